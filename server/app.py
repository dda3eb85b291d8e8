"""The application: the one place that knows every room and wires them together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from socket import gethostname
from uuid import UUID

from litestar import Litestar
from litestar.connection import Request
from litestar.datastructures import State
from litestar.di import Provide
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.fx.controllers import FX_ROUTES
from server.identity import SessionAuthenticator
from server.identity.controllers import IDENTITY_ROUTES
from server.kit.api_page import openapi_config, show_asset
from server.kit.auth import Caller, caller_of, signed_in
from server.kit.cache import MemoryCache, RedisCache
from server.kit.clock import Clock, SystemClock
from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.health import Check, HealthController
from server.kit.http import EXCEPTION_HANDLERS, CorrelationMiddleware, add_safe_headers
from server.kit.ids import Ids, SystemIds
from server.kit.messaging import MessageSender, SpoolSender
from server.kit.strict_json import BODY_BYTES_MAX, check_body
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflow_engine import WorkflowEngine
from server.kit.workflows import WorkflowBook, WorkflowPlace
from server.ledger.controllers import LEDGER_ROUTES
from server.master_key import load_vault
from server.migrations import is_current, migrate
from server.notifications import Courier, EventWork
from server.notifications.controllers import EVENT_ROUTES, WEBHOOK_ROUTES
from server.offline import IssuerKeys, load_issuer_keys, make_issuer_keys
from server.offline.controllers import OFFLINE_ROUTES
from server.offline.dispute_controllers import DISPUTE_ROUTES
from server.offline.own_controllers import OWN_ROUTES
from server.offline.policy_controllers import POLICY_ROUTES
from server.offline.risk_controllers import RISK_ROUTES
from server.offline.trust_controllers import TRUST_ROUTES
from server.payments import (
    CardGateway,
    SandboxGateway,
    StripeGateway,
    StripePayoutRail,
    card_payable_account,
)
from server.payments.banks import BankApi, BankRail, Carrier, payable_account
from server.payments.banks.controllers import BANK_ROUTES
from server.payments.banks.desk_controllers import BANK_DESK_ROUTES
from server.payments.controllers import PAYMENT_ROUTES
from server.payments.emergency.controllers import EMERGENCY_ROUTES
from server.payments.explainers import explainers_of
from server.payments.limits.controllers import LIMIT_ROUTES
from server.payments.papers import DocumentSigner, PaperDesk, Typesetter
from server.payments.payouts import (
    PayableAccount,
    PayoutDesk,
    PayoutRail,
    withdrawal_workflow,
)
from server.payments.payouts.controllers import WITHDRAWAL_ROUTES
from server.payments.payouts.operator_controllers import WORKFLOW_ROUTES
from server.payments.transfers import TransferPolicy, Transfers, contact_confirmed
from server.payments.transfers.controllers import TRANSFER_ROUTES
from server.payments.transfers.request_controllers import REQUEST_ROUTES
from server.payments.transfers.schedule_controllers import SCHEDULE_ROUTES
from server.settings import Settings
from server.worker import Background

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world. Tests hand in doubles; None means the real part that settings choose."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids | None = None
    messages: MessageSender | None = None
    cards: CardGateway | None = None
    issuer_keys: IssuerKeys | None = None
    courier: Courier | None = None
    background: bool = True
    """Whether this process does the background work as well."""
    workflows: bool | None = None
    """Whether it carries out workflows, which can be done once in a process. None means as
    ``background`` says."""


def create_app(settings: Settings, ports: Ports | None = None) -> Litestar:
    """Return the application. Nothing is opened before its lifespan begins.

    Raises:
        SettingsError: the master key file is damaged or missing.
        IssuerKeysMissing: the issuer's keys are incomplete or do not open.
    """
    ports = ports or Ports()
    engine = create_engine(settings.resolved_database_url, pool_size=settings.database_pool_size)
    ids = ports.ids or SystemIds(ports.clock)
    uow = UnitOfWork(engine, clock=ports.clock, ids=ids)
    vault = load_vault(settings)
    cards = ports.cards or _cards(settings)
    messages = ports.messages or SpoolSender(settings.spool_dir)
    issuer_keys = ports.issuer_keys or _issuer_keys(settings, vault, ports.clock, ids)
    authenticator = SessionAuthenticator(uow, settings=settings, vault=vault, clock=ports.clock)
    transfers = Transfers(
        uow,
        vault=vault,
        settings=settings,
        policy=TransferPolicy(pending_life=timedelta(days=settings.pending_transfer_days)),
    )
    bank_api = BankApi(ports.clock)
    carrier = Carrier(uow, vault, bank_api, tenant=settings.tenant)
    payouts = payout_desk(settings, uow, carrier)
    workflows = _workflow_engine(settings, uow, payouts)
    with_workflows = ports.background if ports.workflows is None else ports.workflows
    explainers = explainers_of(transfers)
    papers = PaperDesk(
        uow,
        Typesetter(more_fonts=[Path(settings.font_dir)] if settings.font_dir else []),
        DocumentSigner(uow, vault, tenant=settings.tenant, issuer=settings.issuer_name),
        explainers,
        settings.issuer_name,
    )
    background = Background(
        uow,
        settings=settings,
        vault=vault,
        messages=messages,
        cards=cards,
        issuer_keys=issuer_keys,
        transfers=transfers,
        carrier=carrier,
        payouts=payouts,
    )

    cache = (
        RedisCache(ports.clock, settings.redis_url)
        if settings.redis_url
        else MemoryCache(ports.clock)
    )
    event_work = EventWork(uow, settings=settings, vault=vault, ids=ids, courier=ports.courier)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        if settings.migrate_at_start:
            await migrate(engine)
        task = asyncio.create_task(background.run()) if ports.background else None
        if with_workflows:
            await workflows.open()
        told = asyncio.create_task(event_work.run()) if ports.background else None
        try:
            yield
        finally:
            if task is not None:
                background.stop()
                await task
            if told is not None:
                event_work.stop()
                await told
            await workflows.close()
            await payouts.book.close()
            await cache.close()
            await uow.drained()
            await engine.dispose()
            await bank_api.close()
            if isinstance(cards, StripeGateway):
                await cards.close()
            for rail in payouts.rails.values():
                if isinstance(rail, StripePayoutRail):
                    await rail.close()

    return Litestar(
        route_handlers=[
            HealthController,
            *IDENTITY_ROUTES,
            *LEDGER_ROUTES,
            *PAYMENT_ROUTES,
            *EMERGENCY_ROUTES,
            *BANK_ROUTES,
            *BANK_DESK_ROUTES,
            *WITHDRAWAL_ROUTES,
            *WORKFLOW_ROUTES,
            *LIMIT_ROUTES,
            *FX_ROUTES,
            *TRANSFER_ROUTES,
            *REQUEST_ROUTES,
            *SCHEDULE_ROUTES,
            *WEBHOOK_ROUTES,
            *EVENT_ROUTES,
            *OFFLINE_ROUTES,
            *OWN_ROUTES,
            *POLICY_ROUTES,
            *DISPUTE_ROUTES,
            *RISK_ROUTES,
            *TRUST_ROUTES,
            show_asset,
        ],
        lifespan=[lifespan],
        middleware=[CorrelationMiddleware(ids)],
        guards=[signed_in(authenticator)],
        before_request=check_body,
        before_send=[add_safe_headers],
        exception_handlers=EXCEPTION_HANDLERS,
        dependencies=_provide(
            {
                "uow": uow,
                "settings": settings,
                "clock": ports.clock,
                "ids": ids,
                "vault": vault,
                "cache": cache,
                "cards": cards,
                "issuer_keys": issuer_keys,
                "transfers": transfers,
                "payouts": payouts,
                "explainers": explainers,
                "papers": papers,
                "contact_confirmed": contact_confirmed,
                "readiness": _readiness(engine, uow),
            }
        )
        | {"caller": Provide(_caller, sync_to_thread=False)},
        openapi_config=openapi_config(),
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
    )


def payout_desk(settings: Settings, uow: UnitOfWork, carrier: Carrier) -> PayoutDesk:
    """Return what withdrawals work with; nothing is opened."""
    rails: dict[str, PayoutRail] = {BankRail.name: BankRail(carrier)}
    if settings.card_gateway == "stripe":
        rails[StripePayoutRail.name] = StripePayoutRail(
            settings.stripe_key, url=settings.stripe_url or None
        )
    return PayoutDesk(
        uow,
        WorkflowBook(WorkflowPlace.beside(settings.resolved_database_url)),
        _payable_account,
        rails,
        tenant=settings.tenant,
    )


async def _payable_account(tx: Tx, tenant: int, user_id: UUID, identifier: UUID) -> PayableAccount:
    found = await card_payable_account(tx, tenant, user_id, identifier)
    return found or await payable_account(tx, tenant, user_id, identifier)


def _workflow_engine(settings: Settings, uow: UnitOfWork, payouts: PayoutDesk) -> WorkflowEngine:
    return WorkflowEngine(
        uow,
        WorkflowPlace.beside(settings.resolved_database_url),
        [withdrawal_workflow(payouts)],
        executor=settings.workflow_executor or f"{gethostname()}-{settings.port}",
        prepare=settings.migrate_at_start,
    )


def _cards(settings: Settings) -> CardGateway:
    if settings.card_gateway == "sandbox":
        return SandboxGateway(settings.data_dir / "sandbox-cards.sqlite")
    return StripeGateway(
        settings.stripe_key,
        webhook_secrets=settings.webhook_secrets,
        url=settings.stripe_url or None,
        methods=settings.payment_methods,
    )


def _issuer_keys(settings: Settings, vault: Vault, clock: Clock, ids: Ids) -> IssuerKeys:
    """Load the issuer's keys, or make them where there have never been any."""
    if settings.keys_dir.exists():
        return load_issuer_keys(settings.keys_dir, vault, clock)
    _log.warning("issuer_keys_made", advice="move the root key away before real money is issued")
    return make_issuer_keys(settings.keys_dir, vault, issuer="Tallystick", clock=clock, ids=ids)


def _provide(values: Mapping[str, object]) -> dict[str, Provide]:
    def constant(value: object) -> Callable[[], object]:
        return lambda: value

    return {name: Provide(constant(value), sync_to_thread=False) for name, value in values.items()}


def _caller(request: Request[Caller, object, State]) -> Caller:
    return caller_of(request)


def _readiness(engine: AsyncEngine, uow: UnitOfWork) -> dict[str, Check]:
    async def database() -> None:
        async def ping(tx: Tx) -> None:
            await tx.connection.execute(text("SELECT 1"))

        await uow.read(ping)

    known_current = False

    async def schema() -> None:
        nonlocal known_current
        known_current = known_current or await is_current(engine)
        if not known_current:
            raise RuntimeError("the database schema is not current")

    return {"database": database, "schema": schema}
