"""HTTP of the offline room, and the balances of both parts of a wallet."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller, device_bound
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import (
    Forbidden,
    IdempotencyConflict,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX, Page, to_base64url
from server.kit.unit_of_work import UnitOfWork
from server.offline import queries
from server.offline.balance_controllers import show_balances
from server.offline.domain import DEFAULT_POLICY, OfflinePolicy
from server.offline.errors import DebtOutstanding, DeviceNotTrusted, OverOfflineLimit
from server.offline.issuer_keys import IssuerKeys
from server.offline.schemas import (
    ConflictView,
    FraudProofView,
    KeySetView,
    SyncAnswer,
    SyncRequest,
    VouchersCreate,
    VouchersCreated,
    VoucherView,
)
from server.offline.sync import synchronise
from server.offline.vouchers import issue_vouchers

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
Cursor = Annotated[str | None, QueryParameter(max_length=512)]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]


@get("/offline/key-set", summary="The issuer's key set", opt={OPEN_ROUTE: True})
async def show_key_set(issuer_keys: NamedDependency[IssuerKeys]) -> KeySetView:
    """Return the key set that devices verify offline money with."""
    return KeySetView(
        key_set=to_base64url(issuer_keys.key_set.envelope),
        root_key=to_base64url(issuer_keys.root_key.raw),
    )


@post(
    "/offline/vouchers",
    summary="Move money to the calling device",
    guards=[may("own_money"), device_bound],
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        DeviceNotTrusted,
        IdempotencyConflict,
        DebtOutstanding,
        OverOfflineLimit,
        UnknownCurrency,
        Unavailable,
    ),
)
async def create_vouchers(
    *,
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    issuer_keys: NamedDependency[IssuerKeys],
    policy: NamedDependency[OfflinePolicy],
    data: JSONBody[VouchersCreate],
    idempotency_key: IdempotencyKey = None,
) -> VouchersCreated:
    """Turn available balance into vouchers for this device, once for each Idempotency-Key."""
    key = check_key(idempotency_key)
    return await issue_vouchers(uow, issuer_keys, policy, caller, data, key=key)


@get(
    "/offline/vouchers",
    summary="Your vouchers",
    guards=[may("own_money")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_vouchers(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[VoucherView]:
    """List vouchers that were issued to your devices, and what is left of each."""
    return await uow.read(lambda tx: queries.own_vouchers(tx, caller, cursor=cursor, limit=limit))


@post(
    "/offline/sync",
    summary="Exchange records and news with a device",
    guards=[may("own_money"), device_bound],
    status_code=HTTP_200_OK,
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, Unavailable),
)
async def sync(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    issuer_keys: NamedDependency[IssuerKeys],
    policy: NamedDependency[OfflinePolicy],
    data: JSONBody[SyncRequest],
) -> SyncAnswer:
    """Upload what the device holds and learn what happened; doing it again changes nothing."""
    return await synchronise(uow, issuer_keys, policy, caller, data)


@get(
    "/offline/conflicts",
    summary="Double spends that concern you",
    responses=refusals(Unauthenticated),
)
async def list_conflicts(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ConflictView]:
    """List conflicts in which you are the offender or a victim; staff see all."""
    return await uow.read(lambda tx: queries.conflicts(tx, caller, cursor=cursor, limit=limit))


@get(
    "/offline/fraud-proofs/{proof_id:str}",
    summary="Evidence of a double spend",
    responses=refusals(Unauthenticated, NotFound),
)
async def show_fraud_proof(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    proof_id: Annotated[str, PathParameter(max_length=64)],
) -> FraudProofView:
    """Return evidence that anybody can check without this server."""
    return await uow.read(lambda tx: queries.fraud_proof(tx, caller, proof_id))


def _policy() -> OfflinePolicy:
    return DEFAULT_POLICY


OFFLINE_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            show_balances,
            show_key_set,
            create_vouchers,
            list_vouchers,
            sync,
            list_conflicts,
            show_fraud_proof,
        ],
        dependencies={"policy": Provide(_policy, sync_to_thread=False)},
        tags=["Offline money"],
    )
]
