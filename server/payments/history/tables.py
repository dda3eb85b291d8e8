"""History as CSV (RFC 4180), safe to open in a spreadsheet.

A spreadsheet takes a cell that begins like a formula for one (OWASP, CSV injection). Texts of
people, which are all that could carry one, get an apostrophe before it; numbers are written by us.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from server.kit.auth import Caller
from server.kit.i18n import Words
from server.kit.money import asset
from server.kit.schema import PAGE_MAX
from server.kit.unit_of_work import UnitOfWork
from server.payments.history.details import Explainer
from server.payments.history.entries import HistoryQuery, page
from server.payments.history.schemas import HistoryItem

ROWS_MAX: Final = 100_000
_COLUMNS: Final = (
    "time",
    "title",
    "counterpart",
    "note",
    "amount",
    "currency",
    "balance",
    "kind",
    "reference",
    "entry",
)
_FORMULA: Final = frozenset("=+-@\t\r\n|%＝＋－＠")  # noqa: RUF001 - spreadsheets read wide forms too
_BYTE_ORDER_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it the best known spreadsheet reads UTF-8 as something else."""


async def csv_of_history(
    uow: UnitOfWork,
    caller: Caller,
    query: HistoryQuery,
    *,
    words: Words,
    explainers: Mapping[str, Explainer],
) -> AsyncIterator[bytes]:
    """Yield the table piece by piece, newest first, at most ``ROWS_MAX`` rows.

    Each piece is read on its own, so a long export keeps no transaction open; what comes in
    meanwhile is not in it.
    """
    yield (_BYTE_ORDER_MARK + _lines([_COLUMNS])).encode()
    cursor: str | None = None
    written = 0
    while written < ROWS_MAX:
        part = await uow.read(
            lambda tx, cursor=cursor: page(  # type: ignore[misc]
                tx,
                caller,
                cursor=cursor,
                limit=PAGE_MAX,
                query=query,
                words=words,
                explainers=explainers,
            )
        )
        yield _lines(map(_row, part.items)).encode()
        written += len(part.items)
        cursor = part.next_cursor
        if cursor is None:
            return


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, and that stays on one line."""
    flat = " ".join(text.split())
    return f"'{flat}" if text[:1] in _FORMULA or flat[:1] in _FORMULA else flat


def decimal_text(minor: int, currency: str) -> str:
    """Return minor units as a plain decimal number, with a point and no grouping."""
    scale = asset(currency).scale
    digits = f"{abs(minor):0{scale + 1}d}"
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"


def _row(item: HistoryItem) -> tuple[str, ...]:
    return (
        item.at.isoformat(),
        harmless(item.title),
        harmless(item.counterpart or ""),
        harmless(item.note or ""),
        decimal_text(item.amount, item.currency),
        item.currency,
        decimal_text(item.balance, item.currency),
        item.kind,
        harmless(f"{item.subject.type}/{item.subject.id}") if item.subject else "",
        str(item.id),
    )


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
