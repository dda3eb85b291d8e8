"""Reads: balances in both parts of the wallet, own vouchers, conflicts and their evidence."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import exists, func, select

from offline_protocol.fraud import CloneAlarm
from server.identity import PERMISSIONS, Role, find_user
from server.kit.auth import Caller
from server.kit.errors import InvalidRequest, NotFound
from server.kit.schema import Page, from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, Balance, Times, accounts_of, balances_at
from server.offline.conflicts import read_evidence
from server.offline.models import CertificateRow, ConflictPartyRow, ConflictRow, VoucherRow
from server.offline.schemas import (
    BalanceList,
    BalanceView,
    ConflictView,
    Convicted,
    FraudProofView,
    TransferView,
    VoucherView,
)

_ID_BYTES = 32
_STAFF = "staff"


async def balances(tx: Tx, caller: Caller) -> BalanceList:
    """Return the caller's money in every currency: online, offline and locked away."""
    query = (
        select(VoucherRow.currency, func.sum(VoucherRow.unpaid))
        .where(
            VoucherRow.tenant == caller.tenant,
            VoucherRow.user_id == caller.user_id,
            VoucherRow.closed.is_(False),
        )
        .group_by(VoucherRow.currency)
    )
    offline = {code: int(amount) for code, amount in await tx.session.execute(query)}
    accounts = await accounts_of(tx, caller.tenant, caller.user_id)
    return _balance_list(accounts, offline, tx.now)


async def balances_then(tx: Tx, caller: Caller, when: datetime, by: Times) -> BalanceList:
    """Return what the caller had in every currency at an instant; what was offline is not known.

    Raises:
        InvalidRequest: the instant lies ahead.
    """
    if when > tx.now:
        raise InvalidRequest("The instant lies in the future.", field="at")
    accounts = await balances_at(tx, caller.tenant, caller.user_id, when, by=by)
    return _balance_list(accounts, None, when)


def _balance_list(
    accounts: Sequence[Balance], offline: Mapping[str, int] | None, as_of: datetime
) -> BalanceList:
    by_kind: dict[AccountKind, dict[str, Balance]] = {}
    for each in accounts:
        by_kind.setdefault(each.ref.kind, {})[each.ref.asset] = each
    online = by_kind.get(AccountKind.USER_AVAILABLE, {})
    emergency = by_kind.get(AccountKind.USER_EMERGENCY, {})
    known = offline or {}
    return BalanceList(
        as_of=as_of,
        items=[
            BalanceView(
                currency=code,
                posted=online[code].posted if code in online else 0,
                held=online[code].held if code in online else 0,
                available=online[code].available if code in online else 0,
                emergency=emergency[code].posted if code in emergency else 0,
                offline=None if offline is None else known.get(code, 0),
            )
            for code in sorted(online.keys() | emergency.keys() | known.keys())
        ],
    )


async def own_vouchers(
    tx: Tx, caller: Caller, *, cursor: str | None, limit: int
) -> Page[VoucherView]:
    """Return the caller's vouchers in the order of their ids.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    query = (
        select(VoucherRow)
        .where(VoucherRow.tenant == caller.tenant, VoucherRow.user_id == caller.user_id)
        .order_by(VoucherRow.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(VoucherRow.id > _identity(cursor, "cursor"))
    rows = (await tx.session.scalars(query)).all()
    return Page(
        items=[_voucher(row) for row in rows[:limit]],
        next_cursor=to_base64url(rows[limit - 1].id) if len(rows) > limit else None,
    )


async def conflicts(
    tx: Tx, caller: Caller, *, cursor: str | None, limit: int
) -> Page[ConflictView]:
    """Return conflicts in which the caller is a party; staff who may read accounts see all.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    query = (
        select(ConflictRow, ConflictPartyRow.role)
        .outerjoin(
            ConflictPartyRow,
            (ConflictPartyRow.tenant == ConflictRow.tenant)
            & (ConflictPartyRow.conflict == ConflictRow.id)
            & (ConflictPartyRow.user_id == caller.user_id),
        )
        .where(ConflictRow.tenant == caller.tenant)
        .order_by(ConflictRow.id)
        .limit(limit + 1)
    )
    if not _is_staff(caller):
        query = query.where(ConflictPartyRow.role.is_not(None))
    if cursor is not None:
        query = query.where(ConflictRow.id > _identity(cursor, "cursor"))
    rows = (await tx.session.execute(query)).all()
    return Page(
        items=[_conflict(row, role or _STAFF) for row, role in rows[:limit]],
        next_cursor=to_base64url(rows[limit - 1][0].id) if len(rows) > limit else None,
    )


async def fraud_proof(tx: Tx, caller: Caller, identity: str) -> FraudProofView:
    """Return the evidence of a conflict to its parties and to staff who may read accounts.

    Raises:
        NotFound: there is none with this id, or it does not concern the caller.
        InvalidRequest: the id is malformed.
    """
    key = _identity(identity, "proof id")
    row = await tx.session.get(ConflictRow, (caller.tenant, key))
    party = await tx.session.get(ConflictPartyRow, (caller.tenant, key, caller.user_id))
    if row is None or (party is None and not _is_staff(caller)):
        raise NotFound(
            "No conflict with this id concerns you.", fix="GET /v1/offline/conflicts lists yours."
        )
    offender = await find_user(tx, caller.tenant, row.user_id)
    assert offender is not None, "users stay"
    evidence = read_evidence(row)
    return FraudProofView(
        proof=to_base64url(row.proof),
        convicted=Convicted(
            user=row.user_id, display_name=offender.display_name, device=row.device_id
        ),
        explanation=_explain(row, copied=isinstance(evidence, CloneAlarm)),
        transfers=[
            TransferView(
                id=to_base64url(each.id),
                parent=to_base64url(each.body.parent),
                lo=each.body.lo,
                hi=each.body.hi,
                sequence=each.body.sequence,
                time=each.body.time,
                payee_key_id=to_base64url(each.body.payee.id),
                kind=each.body.kind.name.lower(),
            )
            for each in (evidence.first, evidence.second)
        ],
    )


def _explain(row: ConflictRow, *, copied: bool) -> str:
    if copied:
        return (
            "One device key gave the same sequence number to two different transfers. An honest "
            "device never does: its state was copied or set back. Nobody lost money by it."
        )
    return (
        f"One device key signed the units {row.lo} to {row.hi} of the same value over in two "
        "different transfers. Both signatures are its own; no other key can have made them."
    )


def _voucher(row: VoucherRow) -> VoucherView:
    return VoucherView(
        id=to_base64url(row.id),
        currency=row.currency,
        value=row.value,
        unpaid=row.unpaid,
        spend_by=row.spend_by,
        claim_by=row.claim_by,
        closed=row.closed,
        device_key_id=to_base64url(row.holder),
        voucher=to_base64url(row.envelope),
    )


def _conflict(row: ConflictRow, role: str) -> ConflictView:
    return ConflictView(
        id=to_base64url(row.id),
        kind="fork" if row.kind == "fork" else "clone",
        role=role,
        device_id=row.device_id,
        amount=row.hi - row.lo,
        currency=row.currency,
        found_at=row.found_at,
    )


def _is_staff(caller: Caller) -> bool:
    return "read_accounts" in PERMISSIONS.get(Role(caller.role), frozenset())


def conflict_key(text: str) -> bytes:
    """Return the key of a conflict from its id on the wire.

    Raises:
        InvalidRequest: the id is malformed.
    """
    return _identity(text, "conflict id")


def _identity(text: str, field: str) -> bytes:
    data = from_base64url(text, field=field, size_max=_ID_BYTES)
    if len(data) != _ID_BYTES:
        raise InvalidRequest(f"The {field} is not an id of this server.", field=field)
    return data


async def has_issued(tx: Tx) -> bool:
    """Whether any issuer key has ever signed something that is stored here."""
    return bool(await tx.session.scalar(select(exists(select(CertificateRow.id)))))
