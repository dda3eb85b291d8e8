"""Closing of days: what took effect on a day is final once the day is closed.

Days are those of UTC, closed one after the other; the first one takes all that came before it. A
day is closed in steps, each of which can be done again after a crash:

1. **Cut off.** From now on the database refuses entries that take effect before the day's end.
   `post_many` books later facts into the open day: what should take effect earlier takes effect
   with the first instant that is open.
2. **Settle down.** Transactions that began before the cutoff come to their end.
3. **Seal.** All that took effect on the day is in the hash chain.
4. **Close.** The balance of each account that changed, and the sum of each kind, are stored with
   one hash over all of them, linked to the day before and signed.

Nobody waits meanwhile: the cutoff is one row, and everything after it only reads what is final.
"""

import asyncio
from datetime import date, timedelta
from functools import partial

from sqlalchemy import func, insert, select, text

from offline_protocol.keys import Signer
from server.kit.bulk import id_value, insert_rows
from server.kit.errors import Unavailable
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger.book_errors import DayNotOver
from server.ledger.book_guards import DAY_US
from server.ledger.book_models import ClosedDayRow, DayCutoffRow
from server.ledger.chain import seal_once
from server.ledger.cutoff import first_open
from server.ledger.day_figures import Figures, figures_of
from server.ledger.days import ClosedDay, date_of, end_of, last_closed, number_of
from server.ledger.models import EntryRow, UnsealedRow

DAYS_MAX = 400
"""Days that one call closes; the next call goes on."""
_CLOSING = 0xC105
"""First half of the advisory lock of whoever closes a tenant's day."""
_PATIENCE_S = 30
_POLL_S = 0.02
_log = get_logger(__name__)


async def close_days(
    uow: UnitOfWork, signer: Signer | None, *, tenant: int = 1, upto: date
) -> list[ClosedDay]:
    """Close every day up to a date that is not closed yet; return those that were closed.

    Of several processes one closes a day, and the others leave it out of what they return.

    Raises:
        DayNotOver: the date is not in the past.
        BooksUnbalanced: balances do not sum to zero; `verify_ledger` says more.
        Unavailable: transactions from before the cutoff did not end in time.
    """
    wanted = number_of(upto)
    last = await uow.read(lambda tx: _check_over(tx, tenant, wanted))
    first = wanted if last is None else last.day + 1
    closed = []
    for day in range(first, min(wanted, first + DAYS_MAX - 1) + 1):
        await uow.run(partial(_cut_off, tenant=tenant, day=day))
        await _settle_down(uow)
        await _seal_day(uow, signer, tenant, day)
        if done := await _close(uow, signer, tenant, day):
            closed.append(done)
            _log.info("day_closed", tenant=tenant, day=str(done.date), hash=done.hash.hex())
    return closed


async def close_due_days(
    uow: UnitOfWork, signer: Signer | None, *, tenant: int = 1, after_s: int
) -> list[ClosedDay]:
    """Close the days that have been over for ``after_s`` seconds, if there ever was an entry."""

    async def due(tx: Tx) -> date | None:
        upto = (tx.now - timedelta(seconds=after_s)).date() - timedelta(days=1)
        last = await last_closed(tx, tenant)
        if last is not None:
            return upto if last.date < upto else None
        begun = select(EntryRow.id).where(
            EntryRow.tenant == tenant, EntryRow.at < end_of(number_of(upto))
        )
        return upto if (await tx.connection.execute(begun.limit(1))).first() else None

    upto = await uow.read(due)
    return [] if upto is None else await close_days(uow, signer, tenant=tenant, upto=upto)


async def _check_over(tx: Tx, tenant: int, day: int) -> ClosedDay | None:
    if end_of(day) > tx.now:
        raise DayNotOver(
            f"{date_of(day)} ends at midnight UTC.", fix="Close the day before, or wait."
        )
    return await last_closed(tx, tenant)


async def _cut_off(tx: Tx, tenant: int, day: int) -> None:
    await _lock(tx, tenant)
    if await first_open(tx, tenant) < (day + 1) * DAY_US:
        await tx.connection.execute(insert(DayCutoffRow).values(tenant=tenant, day=day, at=tx.now))


async def _lock(tx: Tx, tenant: int) -> None:
    if tx.dialect == "postgresql":
        await tx.connection.execute(select(func.pg_advisory_xact_lock(_CLOSING, tenant)))


async def _settle_down(uow: UnitOfWork) -> None:
    """Wait until every transaction has ended that could have missed the cutoff.

    PostgreSQL numbers writing transactions as they begin to write. Whoever wrote an entry and did
    not see the cutoff has a number below one that is taken now. SQLite has one writer at a time,
    which was this one.
    """
    if uow.dialect == "sqlite":
        return
    barrier = await uow.run(lambda tx: _number(tx, "pg_current_xact_id()"))
    oldest = partial(_number, what="pg_snapshot_xmin(pg_current_snapshot())")
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while await uow.read(oldest) < barrier:
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(
                "Transactions from before the cutoff are still running.",
                fix="End them, and close the day again.",
            )
        await asyncio.sleep(_POLL_S)


async def _number(tx: Tx, what: str) -> int:
    found = await tx.connection.scalar(text(f"SELECT ({what})::text::bigint"))
    return int(found)


async def _seal_day(uow: UnitOfWork, signer: Signer | None, tenant: int, day: int) -> None:
    """Seal until nothing of the day waits. Others may seal as well."""
    waiting = (
        select(UnsealedRow.entry)
        .join(
            EntryRow, (EntryRow.tenant == UnsealedRow.tenant) & (EntryRow.id == UnsealedRow.entry)
        )
        .where(UnsealedRow.tenant == tenant, EntryRow.effective_at < end_of(day))
        .limit(1)
    )

    async def unsealed(tx: Tx) -> bool:
        return (await tx.connection.execute(waiting)).first() is not None

    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while await uow.read(unsealed):
        if await seal_once(uow, signer, tenant=tenant) is not None:
            deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        elif asyncio.get_running_loop().time() > deadline:
            raise Unavailable("Another process seals and does not come to an end.")
        else:
            await asyncio.sleep(_POLL_S)


async def _close(uow: UnitOfWork, signer: Signer | None, tenant: int, day: int) -> ClosedDay | None:
    # Read apart from writing: on SQLite, what takes long must not keep others from posting.
    figures = await uow.read(lambda tx: figures_of(tx, tenant, day))
    return await uow.run(lambda tx: _store(tx, signer, figures))


async def _store(tx: Tx, signer: Signer | None, figures: Figures) -> ClosedDay | None:
    closed = figures.closed
    await _lock(tx, closed.tenant)
    last = await last_closed(tx, closed.tenant)
    if last is not None and last.day >= closed.day:
        return None
    key = (closed.tenant, closed.day)
    await insert_rows(
        tx,
        "day_balance",
        ("tenant", "day", "account", "postings", "debits", "credits", "balance"),
        [(*key, id_value(tx, each.account), *each[1:]) for each in figures.balances],
    )
    await insert_rows(
        tx,
        "day_total",
        ("tenant", "day", "asset", "kind", "accounts", "debits", "credits", "balance"),
        [(*key, *each) for each in figures.totals],
    )
    fields = {name: getattr(closed, name) for name in ClosedDay.__dataclass_fields__}
    await tx.connection.execute(
        insert(ClosedDayRow).values(
            **fields,
            hash=closed.hash,
            public_key=None if signer is None else signer.public_key.raw,
            signature=None if signer is None else signer.sign(closed.hash),
        )
    )
    return closed
