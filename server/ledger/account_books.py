"""What is kept about single accounts: limits, notes, outside references; closing by name.

Limits and notes only grow: the newest counts, and every earlier one can be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from server.kit.db import to_microseconds
from server.kit.errors import InvalidRequest, NotFound
from server.kit.unit_of_work import Tx
from server.ledger.book_errors import LimitUnfit
from server.ledger.book_models import AccountLimitRow, AccountNoteRow, ExternalReferenceRow
from server.ledger.chart import AccountRef
from server.ledger.domain import BALANCE_MAX
from server.ledger.entries import expire_due
from server.ledger.stores import store_of

REASON_MAX = 500
NAME_MAX = 64
NOTES_MAX = 1000
_IDS_MAX = 4_000
"""SQLite takes 32,766 parameters in a statement."""


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """How low and how high an account may go; None is without limit. Credit-positive.

    A floor below zero is a credit line.
    """

    number: int
    floor: int | None
    ceiling: int | None
    reason: str
    set_by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AccountNote:
    number: int
    name: str
    value: object
    set_by: str
    at: datetime


async def limit_account(
    tx: Tx,
    ref: AccountRef,
    *,
    floor: int | None,
    ceiling: int | None = None,
    reason: str,
    by: str,
) -> AccountLimit:
    """Set how low ``posted - held`` of an account may go, and how high ``posted``, from now on.

    The account is opened if nobody used it yet. Holds never draw on a credit line. What would take
    the account above its ceiling is refused with `BalanceAboveCeiling`, and may be tried again.

    Args:
        tx: the transaction that sets it.
        ref: the account.
        floor: minor units, credit-positive; None only where the kind of account has no floor.
        ceiling: minor units, credit-positive; None is without limit.
        reason: kept for ever.
        by: who sets it.

    Raises:
        LimitUnfit: the account is below the floor or above the ceiling already, or its kind always
            has a floor.
        InvalidRequest: the floor is out of range, or there is no reason.
    """
    check_reason(reason)
    if floor is None and ref.kind.rule.floor is not None:
        raise LimitUnfit("An account of this kind always has a floor.", fix="Name one.")
    for name, limit in (("floor", floor), ("ceiling", ceiling)):
        if limit is not None and abs(limit) > BALANCE_MAX:
            raise InvalidRequest(f"The {name} is out of range.", field=name)
    store = store_of(tx, ref.tenant)
    accounts, _ = await store.lock([ref.id])
    if ref.id not in accounts:
        await store.open([ref], to_microseconds(tx.now))
    await expire_due(tx, ref.tenant, [ref.id])
    number = await _next(tx, AccountLimitRow, ref.tenant, ref.id)
    try:
        await tx.connection.execute(
            insert(AccountLimitRow).values(
                tenant=ref.tenant,
                account=ref.id,
                number=number,
                floor=floor,
                ceiling=ceiling,
                reason=reason,
                set_by=by,
                at=tx.now,
            )
        )
    except IntegrityError as error:
        if "never_below_floor" in str(error.orig) or "never_above_ceiling" in str(error.orig):
            raise LimitUnfit(
                "The account is outside of these limits already, or would be with what it holds.",
                fix="Choose wider limits, or move money first.",
            ) from error
        raise
    return AccountLimit(number, floor, ceiling, reason, by, tx.now)


async def limits_of(tx: Tx, ref: AccountRef) -> list[AccountLimit]:
    """Return every limit that was set for an account, the newest first."""
    rows = await tx.connection.execute(
        select(
            AccountLimitRow.number,
            AccountLimitRow.floor,
            AccountLimitRow.ceiling,
            AccountLimitRow.reason,
            AccountLimitRow.set_by,
            AccountLimitRow.at,
        )
        .where(AccountLimitRow.tenant == ref.tenant, AccountLimitRow.account == ref.id)
        .order_by(AccountLimitRow.number.desc())
    )
    return [AccountLimit(*row) for row in rows]


async def note_account(
    tx: Tx, ref: AccountRef, *, name: str, value: object, by: str
) -> AccountNote:
    """Note something about an account: a name and a JSON value. A later one counts instead.

    Raises:
        InvalidRequest: the name has no characters or too many, or the account has enough notes.
    """
    if not 0 < len(name) <= NAME_MAX:
        raise InvalidRequest(f"A note's name has 1 to {NAME_MAX} characters.", field="name")
    await store_of(tx, ref.tenant).lock([ref.id])
    number = await _next(tx, AccountNoteRow, ref.tenant, ref.id)
    if number > NOTES_MAX:
        raise InvalidRequest(f"An account has at most {NOTES_MAX} notes.")
    note = AccountNote(number, name, value, by, tx.now)
    await tx.connection.execute(
        insert(AccountNoteRow).values(
            tenant=ref.tenant,
            account=ref.id,
            number=number,
            name=name,
            value=value,
            set_by=by,
            at=tx.now,
        )
    )
    return note


async def notes_of(tx: Tx, ref: AccountRef) -> list[AccountNote]:
    """Return every note about an account, the newest first."""
    rows = await tx.connection.execute(
        select(
            AccountNoteRow.number,
            AccountNoteRow.name,
            AccountNoteRow.value,
            AccountNoteRow.set_by,
            AccountNoteRow.at,
        )
        .where(AccountNoteRow.tenant == ref.tenant, AccountNoteRow.account == ref.id)
        .order_by(AccountNoteRow.number.desc())
    )
    return [AccountNote(*row) for row in rows]


async def booked_as(tx: Tx, mirror: AccountRef, external_id: str) -> UUID | None:
    """Return the entry that books an outside fact on a mirror account, or None."""
    return (await entries_by_external_ids(tx, mirror, [external_id])).get(external_id)


async def entries_by_external_ids(
    tx: Tx, mirror: AccountRef, external_ids: Sequence[str]
) -> dict[str, UUID]:
    """Return the entries that book outside facts on a mirror account, by external id."""
    found: dict[str, UUID] = {}
    for first in range(0, len(external_ids), _IDS_MAX):
        rows = await tx.connection.execute(
            select(ExternalReferenceRow.external_id, ExternalReferenceRow.entry).where(
                ExternalReferenceRow.tenant == mirror.tenant,
                ExternalReferenceRow.account == mirror.id,
                ExternalReferenceRow.external_id.in_(external_ids[first : first + _IDS_MAX]),
            )
        )
        found |= {row[0]: row[1] for row in rows}
    return found


def check_reason(reason: str) -> None:
    """Refuse a reason that says nothing.

    Raises:
        InvalidRequest: it is empty, or longer than ``REASON_MAX`` characters.
    """
    if not reason.strip() or len(reason) > REASON_MAX:
        raise InvalidRequest(f"A reason has 1 to {REASON_MAX} characters.", field="reason")


async def _next(
    tx: Tx, row: type[AccountLimitRow] | type[AccountNoteRow], tenant: int, account: UUID
) -> int:
    last = await tx.connection.scalar(
        select(func.max(row.number)).where(row.tenant == tenant, row.account == account)
    )
    return int(last or 0) + 1


async def known_account(tx: Tx, ref: AccountRef) -> AccountRef:
    """Return the reference if the account was ever opened.

    Raises:
        NotFound: nobody ever used it.
    """
    accounts, _ = await store_of(tx, ref.tenant).lock([ref.id])
    if ref.id not in accounts:
        raise NotFound("This account was never used.")
    return ref
