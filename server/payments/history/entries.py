"""Pages of changes of a user's available balance, newest first, over all currencies."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from server.kit.auth import Caller
from server.kit.db import to_microseconds
from server.kit.errors import InvalidRequest
from server.kit.i18n import Language, Words, words_of
from server.kit.schema import Page, from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.ledger import (
    AccountKind,
    AccountRef,
    StatementLine,
    accounts_of,
    point_at,
    statement,
)
from server.payments.history.details import Detail, Explainer, details_of, subject_of
from server.payments.history.schemas import HistoryItem, SubjectView
from server.payments.history.wording import title

SCANNED_MAX: Final = 2_000
"""Changes that one page looks at; with a strict filter a page may come back with few items."""
_CHUNK: Final = 200
_CURSOR_BYTES_MAX: Final = 512
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What to show. ``begin`` is included, ``end`` is not; a kind fits with all that it begins.

    Bounds of amounts are minor units and look at the amount without its sign.
    """

    currency: str | None = None
    direction: Literal["in", "out"] | None = None
    kind: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    begin: datetime | None = None
    end: datetime | None = None

    def fits(self, line: StatementLine) -> bool:
        amount = abs(line.delta)
        return (
            (self.direction is None or (line.delta > 0) == (self.direction == "in"))
            and (self.kind is None or f"{line.kind}.".startswith(f"{self.kind.rstrip('.')}."))
            and (self.amount_min is None or amount >= self.amount_min)
            and (self.amount_max is None or amount <= self.amount_max)
        )


_EVERYTHING: Final = HistoryQuery()
_NO_EXPLAINERS: Final[Mapping[str, Explainer]] = {}


async def page(
    tx: Tx,
    caller: Caller,
    *,
    cursor: str | None,
    limit: int,
    query: HistoryQuery = _EVERYTHING,
    words: Words | None = None,
    explainers: Mapping[str, Explainer] = _NO_EXPLAINERS,
) -> Page[HistoryItem]:
    """Return the next items before a cursor, and the cursor for those before them.

    The cursor holds, for each currency, the version up to which the next page reaches; items that
    come in meanwhile therefore never shift a page.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    walk = await _begin(tx, caller, query, cursor)
    found: list[tuple[StatementLine, str]] = []
    scanned = 0
    while len(found) < limit and scanned < SCANNED_MAX:
        newest = await walk.next(tx)
        if newest is None:
            break
        scanned += 1
        if query.fits(newest[0]):
            found.append(newest)
    explained = await details_of(tx, caller, [line for line, _ in found], explainers)
    spoken = words or words_of(Language.ENGLISH)
    return Page(
        items=[_item(line, code, explained.get(line.entry), spoken) for line, code in found],
        next_cursor=walk.cursor(),
    )


class _Walk:
    """Goes back through several accounts at once, the newest change of all first."""

    def __init__(
        self, refs: dict[str, AccountRef], upto: dict[str, int], low: dict[str, int]
    ) -> None:
        self._refs = refs
        self._upto = upto
        self._low = low
        self._chunks: dict[str, list[StatementLine]] = {code: [] for code in upto}
        self._heap: list[tuple[int, str, int]] = []
        self._started = False

    async def next(self, tx: Tx) -> tuple[StatementLine, str] | None:
        if not self._started:
            self._started = True
            for code in self._upto:
                await self._offer(tx, code)
        if not self._heap:
            return None
        _, code, _ = heapq.heappop(self._heap)
        line = self._chunks[code].pop()
        self._upto[code] = line.version - 1
        await self._offer(tx, code)
        return line, code

    def cursor(self) -> str | None:
        """Return where to go on, or None when everything was shown."""
        left = {code: upto for code, upto in self._upto.items() if upto > self._low[code]}
        return to_base64url(msgspec.json.encode(left)) if left else None

    async def _offer(self, tx: Tx, code: str) -> None:
        """Put an account's next change where the newest of all is chosen."""
        upto, low = self._upto[code], self._low[code]
        if upto <= low:
            return
        if not self._chunks[code]:
            first = max(low, upto - _CHUNK)
            self._chunks[code] = await statement(
                tx, self._refs[code], after_version=first, limit=upto - first
            )
        line = self._chunks[code][-1]
        heapq.heappush(self._heap, (-to_microseconds(line.at), code, -line.version))


async def _begin(tx: Tx, caller: Caller, query: HistoryQuery, cursor: str | None) -> _Walk:
    marks = None if cursor is None else _read(cursor)
    refs: dict[str, AccountRef] = {}
    upto: dict[str, int] = {}
    low: dict[str, int] = {}
    for each in await accounts_of(tx, caller.tenant, caller.user_id):
        code = each.ref.asset
        if each.ref.kind is not AccountKind.USER_AVAILABLE or query.currency not in {None, code}:
            continue
        last, first = each.version, 0
        if query.end is not None:
            last, _ = await point_at(tx, each.ref, query.end - _TICK)
        if query.begin is not None:
            first, _ = await point_at(tx, each.ref, query.begin - _TICK)
        if marks is not None:
            last = min(last, marks.get(code, 0))
        refs[code], upto[code], low[code] = each.ref, last, first
    return _Walk(refs, upto, low)


def _item(line: StatementLine, currency: str, detail: Detail | None, words: Words) -> HistoryItem:
    subject = subject_of(line)
    return HistoryItem(
        id=line.entry,
        at=line.at,
        kind=line.kind,
        title=title(line.kind, words),
        currency=currency,
        amount=line.delta,
        balance=line.balance,
        subject=None if subject is None else SubjectView(type=subject.type, id=subject.id),
        counterpart=None if detail is None else detail.counterpart,
        note=None if detail is None else detail.note,
    )


def _read(cursor: str) -> dict[str, int]:
    try:
        data = from_base64url(cursor, field="cursor", size_max=_CURSOR_BYTES_MAX)
        marks = msgspec.json.decode(data, type=dict[str, int])
    except (msgspec.DecodeError, InvalidRequest):
        marks = {"": -1}
    if any(version < 0 for version in marks.values()):
        raise InvalidRequest(
            "The cursor is not one that this list gave.",
            fix="Use next_cursor of the page before, or leave it out to begin.",
        )
    return marks
