"""Day by day, the gateway's statement against its mirror account in our books."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from server.kit.money import ASSETS
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    OutsideLine,
    ReconciliationReport,
    post_many,
    reconcile,
)
from server.payments.cards.models import CardCursorRow
from server.payments.cards.postings import for_house_line
from server.payments.gateway import CardGateway, GatewayUnavailable, StatementSource

SETTLES_AFTER = timedelta(hours=2)
"""A day is compared when webhooks about its last minutes have had time to arrive."""
_DAY = timedelta(days=1)
_log = get_logger(__name__)


async def reconcile_cards(
    uow: UnitOfWork, gateway: CardGateway, *, tenant: int = 1
) -> list[ReconciliationReport] | None:
    """Compare the next day that is over; return None when there is none, or no statement.

    The first time it begins with the present day.
    """
    if not isinstance(gateway, StatementSource):
        return None
    due = await uow.run(lambda tx: _lease(tx, tenant, f"{gateway.name}/days"))
    if due is None:
        return None
    try:
        return await reconcile_day(uow, gateway, due, tenant=tenant)
    except GatewayUnavailable:
        return None


async def reconcile_day(
    uow: UnitOfWork, source: StatementSource, day: date, *, tenant: int = 1
) -> list[ReconciliationReport]:
    """Compare one day (UTC) in every currency that moved, and keep what differs as breaks.

    What only the house is concerned with, such as payouts to our own bank, is booked first.

    Raises:
        GatewayUnavailable: the gateway did not answer.
        StatementChanged: the day was compared before, with other lines.
    """
    begin = datetime.combine(day, time(), UTC)
    lines = await source.statement_lines(begin, begin + _DAY)
    by_currency: dict[str, list[OutsideLine]] = defaultdict(list)
    for line in lines:
        by_currency[line.currency].append(line)
    for unknown in sorted(by_currency.keys() - ASSETS.keys()):
        _log.error("statement_in_unknown_currency", currency=unknown, day=str(day))
        del by_currency[unknown]

    house = [
        entry
        for each in by_currency.values()
        for line in each
        if (entry := for_house_line(tenant, line)) is not None
    ]

    async def compare(tx: Tx) -> list[ReconciliationReport]:
        for outcome in await post_many(tx, house):
            outcome.raise_for_refusal()
        reports = [
            await _compare(tx, tenant, source.name, day, currency, each)
            for currency, each in sorted(by_currency.items())
        ]
        row = await tx.session.get(CardCursorRow, (tenant, f"{source.name}/days"))
        if row is not None and row.read_up_to < begin + _DAY:
            row.read_up_to = begin + _DAY
            row.due_at = row.read_up_to + _DAY + SETTLES_AFTER
        return reports

    return await uow.run(compare)


async def _compare(  # noqa: PLR0917 - all are plain
    tx: Tx, tenant: int, name: str, day: date, currency: str, lines: Sequence[OutsideLine]
) -> ReconciliationReport:
    mirror = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, currency, None, tenant)
    statement = f"{name}/{day}/{currency}"
    report = await reconcile(tx, mirror, statement, lines, closing_balance=None, period=(day, day))
    if report.breaks:
        _log.warning("card_statement_differs", day=str(day), breaks=len(report.breaks))
    return report


async def _lease(tx: Tx, tenant: int, name: str) -> date | None:
    row = await tx.session.get(CardCursorRow, (tenant, name), with_for_update=True)
    if row is None:
        begin = datetime.combine(tx.now.date(), time(), UTC)
        row = CardCursorRow(
            tenant=tenant, gateway=name, read_up_to=begin, due_at=begin + _DAY + SETTLES_AFTER
        )
        tx.session.add(row)
        return None
    if row.due_at > tx.now:
        return None
    # Tried again in an hour, unless the comparison moves it to the next day.
    row.due_at = tx.now + timedelta(hours=1)
    return row.read_up_to.date()
