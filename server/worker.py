"""Work in the background: messages, card payments in doubt, sealing, claim-by, cleaning.

Each round runs every job once, those that look at much less often; a job that fails is logged and
tried again. All of them are safe to run in several processes at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from server.fx import RateJob, purge_quotes
from server.fx import provider_of as rates_from
from server.identity import purge
from server.kit.crypto import Vault
from server.kit.messaging import MessageSender, deliver_messages
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import UnitOfWork
from server.ledger import close_due_days, expire_holds, publish_due_liabilities, seal_once
from server.notifications import event_jobs
from server.offline import IssuerKeys, check_books_daily, close_due_roots, keep_revocations
from server.payments import CardGateway, card_jobs
from server.payments.banks import Carrier
from server.payments.payouts import PayoutDesk, keep_withdrawals
from server.payments.transfers import Transfers, transfer_jobs
from server.settings import Settings

_log = get_logger(__name__)
Job = Callable[[], Awaitable[object]]
_PAUSES_S = {
    "keep_revocations": 10.0,
    "clean_events": 60.0,
    "purge_quotes": 600.0,
    "close_days": 60.0,
    "publish_liabilities": 60.0,
}
"""Between two runs of a job that reads much. Whom the server convicts is revoked at once."""


class Background:
    """The rounds of background work of one process."""

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        settings: Settings,
        vault: Vault,
        messages: MessageSender,
        cards: CardGateway,
        issuer_keys: IssuerKeys,
        transfers: Transfers,
        carrier: Carrier,
        payouts: PayoutDesk,
    ) -> None:
        self._interval_s = settings.background_interval_ms / 1000
        self._stopping = asyncio.Event()
        self._not_before: dict[str, float] = {}
        self._jobs: dict[str, Job] = {
            "deliver_messages": lambda: deliver_messages(uow, messages, vault),
            **event_jobs(
                uow, tenant=settings.tenant, keep=timedelta(days=settings.events_keep_days)
            ),
            **card_jobs(uow, cards, tenant=settings.tenant),
            **transfer_jobs(transfers),
            "carry_bank_orders": carrier.carry_due,
            "keep_withdrawals": lambda: keep_withdrawals(payouts),
            "close_due_roots": lambda: close_due_roots(uow),
            "check_offline_books": lambda: check_books_daily(uow, settings.tenant),
            "keep_revocations": lambda: keep_revocations(uow, tenant=settings.tenant),
            "refresh_rates": RateJob(
                uow, rates_from(settings.fx_rates_source), tenant=settings.tenant
            ),
            "purge_quotes": lambda: purge_quotes(uow),
            "expire_holds": lambda: expire_holds(uow, tenant=settings.tenant),
            "seal_ledger": lambda: seal_once(
                uow, issuer_keys.checkpoint_signer, tenant=settings.tenant
            ),
            "close_days": lambda: close_due_days(
                uow,
                issuer_keys.checkpoint_signer,
                tenant=settings.tenant,
                after_s=settings.day_closes_after_s,
            ),
            "purge": lambda: purge(uow),
        }
        if settings.publish_liabilities:
            self._jobs["publish_liabilities"] = lambda: publish_due_liabilities(
                uow, issuer_keys.checkpoint_signer, tenant=settings.tenant
            )

    async def run(self) -> None:
        """Run rounds until `stop` is called."""
        while not self._stopping.is_set():
            await self.run_once()
            try:
                await asyncio.wait_for(self._stopping.wait(), self._interval_s)
            except TimeoutError:
                continue

    async def run_once(self) -> None:
        now = asyncio.get_running_loop().time()
        for name, job in self._jobs.items():
            if now < self._not_before.get(name, now):
                continue
            self._not_before[name] = now + _PAUSES_S.get(name, 0)
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - one job must not stop the others
                _log.error("background_job_failed", job=name, exc_info=error)

    def stop(self) -> None:
        self._stopping.set()
