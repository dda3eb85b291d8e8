"""Reconciliation: what an outside party says against what its mirror account says.

A mirror account (money at the card gateway, at a bank) repeats what somebody else keeps for us. Its
entries name the outside fact by ``external_id`` in their memo, and the database books each fact
once.
A statement of the other side is a list of lines with the same ids; every difference becomes a
*break* that stays open until somebody, or a later statement, accounts for it. Nothing is mended by
itself: a break never moves money.

Amounts here are as the other side counts them for us: above zero is more money of ours there.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import msgspec
from sqlalchemy import func, select

from server.kit.errors import InvalidRequest
from server.kit.unit_of_work import Tx
from server.ledger.book_errors import StatementChanged
from server.ledger.book_guards import MIRRORS
from server.ledger.book_models import OutsideStatementRow
from server.ledger.breaks import Break, BreakKind, open_break, settle_break, unsettled
from server.ledger.chart import AccountKind, AccountRef
from server.ledger.days import date_of, end_of, number_of
from server.ledger.domain import BALANCE_MAX
from server.ledger.models import AccountRow
from server.ledger.outside_lines import (
    BookedFact,
    OutsideLine,
    entries_after,
    entries_of,
    lines_of,
    store_lines,
)
from server.ledger.past import balance_effective

LINES_MAX = 100_000
TEXT_MAX = 500
ID_MAX = 200
NAME_MAX = 128
_RECONCILING = 0x5EC0


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """What a statement showed. ``unexplained`` is None where it named no closing balance."""

    mirror: AccountRef
    statement: str
    first_day: date
    last_day: date
    lines: int
    matched: int
    balance_here: int
    closing_balance: int | None
    unexplained: int | None
    breaks: tuple[Break, ...]
    """All breaks of the mirror account that are not closed, also those of earlier statements."""
    repeated: bool = False

    @property
    def sound(self) -> bool:
        return not self.breaks and not self.unexplained


async def reconcile(
    tx: Tx,
    mirror: AccountRef,
    statement_id: str,
    lines: Sequence[OutsideLine],
    *,
    closing_balance: int | None,
    period: tuple[date, date] | None = None,
) -> ReconciliationReport:
    """Compare a statement with a mirror account and keep what differs as breaks.

    The same statement again gives the present breaks and changes nothing. Statements may come in
    any order; an entry that no statement showed yet is a break until one does.

    Args:
        tx: the transaction that keeps the statement.
        mirror: the account that repeats what the other side keeps.
        statement_id: the other side's name for the statement, once per mirror account.
        lines: all lines of the statement.
        closing_balance: what the other side says that we have at the end of the last day.
        period: first and last day; those of the lines when left out.

    Raises:
        StatementChanged: the statement came before with other lines.
        InvalidRequest: a line is not what it must be, or there are too many.
    """
    first_day, last_day = _period(lines, period)
    _check(statement_id, lines, first_day, last_day)
    await _alone(tx, mirror)
    digest = _fingerprint(lines, closing_balance, first_day, last_day)
    known = await tx.session.get(OutsideStatementRow, (mirror.tenant, mirror.id, statement_id))
    if known is not None:
        if known.fingerprint != digest:
            raise StatementChanged(
                "This statement came before with other lines or another balance.",
                fix="Send the corrected statement under a name of its own.",
            )
        return replace(await _report(tx, mirror, known), repeated=True)
    matched = await _compare_lines(tx, mirror, statement_id, lines)
    await recheck(tx, mirror)
    compared_to = await _look_for_missing(tx, mirror, statement_id, first_day, last_day)
    row = OutsideStatementRow(
        tenant=mirror.tenant,
        account=mirror.id,
        id=statement_id,
        fingerprint=digest,
        first_day=number_of(first_day),
        last_day=number_of(last_day),
        lines=len(lines),
        matched=matched,
        closing_balance=closing_balance,
        balance_here=await _balance(tx, mirror, number_of(last_day)),
        compared_to=compared_to,
        at=tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    return await _report(tx, mirror, row)


async def recheck(tx: Tx, mirror: AccountRef) -> int:
    """Close the breaks of a mirror account that have come right meanwhile; return how many.

    A line that nobody had booked is booked now, or an entry that no statement had shown is on one
    now. Where the amounts differ, that is a break of its own.
    """
    kinds = {BreakKind.MISSING_HERE, BreakKind.MISSING_THERE}
    waiting = [each for each in await unsettled(tx, mirror) if each.kind in kinds]
    ids = [each.external_id for each in waiting if each.external_id is not None]
    booked, lines = await entries_of(tx, mirror, ids), await lines_of(tx, mirror, ids)
    closed = 0
    for each in waiting:
        here, there = booked.get(each.external_id or ""), lines.get(each.external_id or "")
        if here is None or there is None:
            continue
        await settle_break(tx, each, f"Booked here, and on statement {there.statement}.")
        closed += 1
        if here.amount != there.amount and each.kind is BreakKind.MISSING_HERE:
            await open_break(
                tx,
                mirror,
                there.statement,
                BreakKind.DIFFERENT_AMOUNT,
                external_id=each.external_id,
                entry=here.entry,
                here=here.amount,
                there=there.amount,
            )
    return closed


async def mirrors_of(tx: Tx, tenant: int) -> list[AccountRef]:
    """Return every mirror account that was ever used, by kind, currency and owner."""
    rows = await tx.connection.execute(
        select(AccountRow.kind, AccountRow.asset, AccountRow.owner)
        .where(AccountRow.tenant == tenant, AccountRow.kind.in_(MIRRORS))
        .order_by(AccountRow.kind, AccountRow.asset, AccountRow.owner)
    )
    return [AccountRef(AccountKind(kind), asset, owner, tenant) for kind, asset, owner in rows]


async def last_report(tx: Tx, mirror: AccountRef) -> ReconciliationReport | None:
    """Return the last statement of a mirror account with its present breaks."""
    row = await tx.session.scalar(
        select(OutsideStatementRow)
        .where(
            OutsideStatementRow.tenant == mirror.tenant, OutsideStatementRow.account == mirror.id
        )
        .order_by(OutsideStatementRow.last_day.desc(), OutsideStatementRow.at.desc())
        .limit(1)
    )
    return None if row is None else await _report(tx, mirror, row)


def _period(lines: Sequence[OutsideLine], period: tuple[date, date] | None) -> tuple[date, date]:
    if period is not None:
        return period
    if not lines:
        raise InvalidRequest("A statement without lines says its period.", field="period")
    days = [line.booked_on for line in lines]
    return min(days), max(days)


def _check(
    statement_id: str, lines: Sequence[OutsideLine], first_day: date, last_day: date
) -> None:
    if not 0 < len(statement_id) <= NAME_MAX:
        raise InvalidRequest("A statement's name has 1 to 128 characters.", field="statement")
    if len(lines) > LINES_MAX:
        raise InvalidRequest(f"A statement has at most {LINES_MAX} lines.", field="lines")
    for line in lines:
        if not 0 < len(line.external_id) <= ID_MAX or len(line.text) > TEXT_MAX:
            raise InvalidRequest("A line has an id, and a text that is not too long.")
        if line.amount == 0 or abs(line.amount) > BALANCE_MAX:
            raise InvalidRequest("A line moves an amount that is not zero and in range.")
        if not first_day <= line.booked_on <= last_day:
            raise InvalidRequest("A line lies outside the statement's period.")


def _fingerprint(lines: Iterable[OutsideLine], closing_balance: int | None, *days: date) -> bytes:
    content = [[list(line) for line in lines], closing_balance, list(days)]
    return hashlib.sha256(msgspec.json.encode(content)).digest()


async def _alone(tx: Tx, mirror: AccountRef) -> None:
    """Wait for whoever reconciles the same mirror account."""
    if tx.dialect == "postgresql":
        lock = func.pg_advisory_xact_lock(_RECONCILING, mirror.id.int & 0x7FFF_FFFF)
        await tx.connection.execute(select(lock))


async def _compare_lines(
    tx: Tx, mirror: AccountRef, statement: str, lines: Sequence[OutsideLine]
) -> int:
    """Store the lines and open a break for each that does not fit; return how many fit."""
    ids = list({line.external_id for line in lines})
    before, booked = await lines_of(tx, mirror, ids), await entries_of(tx, mirror, ids)
    await store_lines(tx, mirror, statement, lines)
    seen: set[str] = set()
    matched = 0
    for line in lines:
        here, earlier = booked.get(line.external_id), before.get(line.external_id)
        # Statements may overlap: the same line again is no second fact.
        overlaps = earlier is None or (earlier.amount, earlier.day) == (line.amount, line.booked_on)
        repeated = line.external_id in seen or not overlaps
        seen.add(line.external_id)
        kind = _kind(mirror, line, here, repeated=repeated)
        matched += kind is None
        if kind is None or (earlier is not None and not repeated):
            continue
        await open_break(
            tx,
            mirror,
            statement,
            kind,
            external_id=line.external_id,
            entry=None if here is None else here.entry,
            here=None if here is None else here.amount,
            there=line.amount,
        )
    return matched


def _kind(
    mirror: AccountRef, line: OutsideLine, here: BookedFact | None, *, repeated: bool
) -> BreakKind | None:
    if repeated:
        return BreakKind.DUPLICATE
    if line.currency != mirror.asset:
        return BreakKind.DIFFERENT_CURRENCY
    if here is None:
        return BreakKind.MISSING_HERE
    return None if here.amount == line.amount else BreakKind.DIFFERENT_AMOUNT


async def _look_for_missing(
    tx: Tx, mirror: AccountRef, statement: str, first_day: date, last_day: date
) -> int:
    """Open a break for each entry up to a day that no statement shows.

    What took effect before the first statement of all begins is not looked for.

    Returns:
        The version up to which no later statement has to look again.
    """
    start = await tx.connection.scalar(
        select(func.max(OutsideStatementRow.compared_to)).where(
            OutsideStatementRow.tenant == mirror.tenant, OutsideStatementRow.account == mirror.id
        )
    )
    begin = end_of(number_of(first_day) - 1) if start is None else None
    end = end_of(number_of(last_day))
    upto, ahead = start or 0, False
    had = {each.entry for each in await unsettled(tx, mirror, settled=True)}
    for fact in await entries_after(tx, mirror, start or 0):
        ahead = ahead or fact.effective_at >= end
        upto = upto if ahead else fact.version
        early = begin is not None and fact.effective_at < begin
        if early or fact.effective_at >= end or fact.shown or fact.entry in had:
            continue
        await open_break(
            tx,
            mirror,
            statement,
            BreakKind.MISSING_THERE,
            external_id=fact.external_id,
            entry=fact.entry,
            here=fact.amount,
            there=None,
        )
    return upto


async def _report(tx: Tx, mirror: AccountRef, row: OutsideStatementRow) -> ReconciliationReport:
    breaks = await unsettled(tx, mirror)
    newest = await tx.connection.scalar(
        select(func.max(OutsideStatementRow.last_day)).where(
            OutsideStatementRow.tenant == mirror.tenant, OutsideStatementRow.account == mirror.id
        )
    )
    here = await _balance(tx, mirror, row.last_day)
    unexplained = None
    if row.closing_balance is not None and row.last_day == newest:
        unexplained = row.closing_balance - here - sum(each.effect for each in breaks)
    return ReconciliationReport(
        mirror=mirror,
        statement=row.id,
        first_day=date_of(row.first_day),
        last_day=date_of(row.last_day),
        lines=row.lines,
        matched=row.matched,
        balance_here=here,
        closing_balance=row.closing_balance,
        unexplained=unexplained,
        breaks=tuple(breaks),
    )


async def _balance(tx: Tx, mirror: AccountRef, day: int) -> int:
    """Return what we say that we had there at the end of a day."""
    last_instant = end_of(day) - timedelta(microseconds=1)
    sign = mirror.kind.rule.account_class.sign
    return await balance_effective(tx, mirror, last_instant) * sign
