"""What went in and out of an account, in short spans of time.

Spans are quarters of an hour: every time zone in use lies a whole number of them from UTC, so days
of any zone are sums of spans.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, case, func, select, type_coerce

from server.kit.db import from_microseconds
from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountRef
from server.ledger.models import PostingRow
from server.ledger.queries import point_at

SPAN: Final = timedelta(minutes=15)
_SPAN_US: Final = SPAN // timedelta(microseconds=1)
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Turnover:
    """What one span saw. Amounts are minor units, neither below zero."""

    begin: datetime
    received: int
    sent: int
    count: int


async def turnover(
    tx: Tx, ref: AccountRef, *, begin: datetime, end: datetime
) -> tuple[int, list[Turnover]]:
    """Return the balance before ``begin``, and the spans up to ``end`` in which something moved.

    A span that ``begin`` or ``end`` cuts has only what lies inside.
    """
    first, opening = await point_at(tx, ref, begin - _TICK)
    last, _ = await point_at(tx, ref, max(begin, end) - _TICK)
    number = (type_coerce(PostingRow.at, BigInteger) // _SPAN_US).label("number")
    rows = await tx.connection.execute(
        select(
            number,
            func.sum(case((PostingRow.delta > 0, PostingRow.delta), else_=0)),
            func.sum(case((PostingRow.delta < 0, -PostingRow.delta), else_=0)),
            func.count(),
        )
        .where(
            PostingRow.tenant == ref.tenant,
            PostingRow.account == ref.id,
            PostingRow.version > first,
            PostingRow.version <= last,
        )
        .group_by(number)
        .order_by(number)
    )
    return opening, [
        Turnover(from_microseconds(int(number) * _SPAN_US), int(received), int(sent), int(count))
        for number, received, sent, count in rows
    ]
