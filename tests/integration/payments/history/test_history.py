"""The history: filters, pages, days, tables."""

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from server.kit.auth import Caller
from server.kit.errors import InvalidRequest
from server.kit.i18n import Language, words_of
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many
from server.payments.history import Detail, HistoryQuery, page
from server.payments.history.schemas import HistoryItem
from server.payments.history.tables import csv_of_history, decimal_text, harmless
from server.payments.history.totals import day_totals
from tests.fakes.clock import ManualClock
from tests.integration.payments.people import NAMES, join

ENGLISH = words_of(Language.ENGLISH)
EVIL = '=HYPERLINK("http://x";"pay")'


async def move(
    uow: UnitOfWork,
    user: UUID,
    amount: int,
    *,
    number: int,
    currency: str = "EUR",
    kind: str = "payments.transfer",
) -> None:
    house = AccountRef(AccountKind.HOUSE_CAPITAL, currency)
    own = AccountRef(AccountKind.USER_AVAILABLE, currency, user)
    request = EntryRequest(
        id=UUID(int=NAMES.int + number),
        kind=kind,
        debit=house if amount > 0 else own,
        credit=own if amount > 0 else house,
        amount=abs(amount),
        memo={"transfer": str(UUID(int=number))},
    )
    (outcome,) = await uow.run(lambda tx: post_many(tx, [request]))
    outcome.raise_for_refusal()


async def all_pages(
    uow: UnitOfWork, caller: Caller, query: HistoryQuery, *, limit: int
) -> list[HistoryItem]:
    found: list[HistoryItem] = []
    cursor: str | None = None
    while True:
        part = await uow.read(
            lambda tx, at=cursor: page(tx, caller, cursor=at, limit=limit, query=query)  # type: ignore[misc]
        )
        found += part.items
        cursor = part.next_cursor
        if cursor is None:
            return found


@pytest.fixture
async def ada(uow: UnitOfWork, clock: ManualClock) -> Caller:
    """A month of movements in two currencies, one an hour and three quarters."""
    ada = await join(uow, "ada")
    for number in range(60):
        amount = (number * 37) % 90 + 1
        currency = "EUR" if number % 3 else "JPY"
        kind = ("payments.transfer", "payments.transfer.refund", "payments.top_up")[number % 5 % 3]
        if number > 12 and number % 4 == 0:
            amount = -(amount % 7 + 1)
        await move(uow, ada.user_id, amount, number=number, currency=currency, kind=kind)
        clock.advance(timedelta(hours=1, minutes=45))
    return ada


QUERIES = (
    HistoryQuery(),
    HistoryQuery(currency="JPY"),
    HistoryQuery(currency="USD"),
    HistoryQuery(direction="in", amount_min=20, amount_max=70),
    HistoryQuery(direction="out"),
    HistoryQuery(kind="payments.transfer"),
    HistoryQuery(kind="payments.transfer.refund", currency="EUR"),
    HistoryQuery(kind="payments.tran"),
)


async def test_pages_with_a_filter_are_the_filtered_whole(uow: UnitOfWork, ada: Caller) -> None:
    everything = await all_pages(uow, ada, HistoryQuery(), limit=100)
    assert len(everything) == 60
    assert [item.at for item in everything] == sorted((i.at for i in everything), reverse=True)
    for query, limit in itertools.product(QUERIES, (3, 100)):
        wanted = [
            item
            for item in everything
            if query.currency in {None, item.currency}
            and (query.direction is None or (item.amount > 0) == (query.direction == "in"))
            and (query.amount_min or 0) <= abs(item.amount) <= (query.amount_max or 10**9)
            and (
                query.kind is None
                or item.kind == query.kind
                or item.kind.startswith(f"{query.kind}.")
            )
        ]
        assert await all_pages(uow, ada, query, limit=limit) == wanted, query


async def test_a_period_begins_with_its_first_moment_and_ends_before_its_last(
    uow: UnitOfWork, ada: Caller
) -> None:
    everything = await all_pages(uow, ada, HistoryQuery(), limit=100)
    begin, end = everything[40].at, everything[10].at
    found = await all_pages(uow, ada, HistoryQuery(begin=begin, end=end), limit=9)
    assert found == everything[11:41]


async def test_a_page_looks_at_a_bounded_number_of_changes(
    uow: UnitOfWork,
) -> None:
    ada = await join(uow, "ada")
    house = AccountRef(AccountKind.HOUSE_CAPITAL, "EUR")
    own = AccountRef(AccountKind.USER_AVAILABLE, "EUR", ada.user_id)
    requests = [
        EntryRequest(
            id=UUID(int=n + 1), kind="payments.other", debit=house, credit=own, amount=n + 1
        )
        for n in range(2_500)
    ]
    await uow.run(lambda tx: post_many(tx, requests))
    first = HistoryQuery(amount_max=1)
    part = await uow.read(lambda tx: page(tx, ada, cursor=None, limit=10, query=first))
    assert part.items == []
    assert part.next_cursor is not None
    assert [item.amount for item in await all_pages(uow, ada, first, limit=10)] == [1]


async def test_days_add_up_in_the_readers_zone_and_over_a_change_of_clocks(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    ada = await join(uow, "ada")
    zone = ZoneInfo("Europe/Paris")
    start = datetime(2026, 10, 24, 20, 10, tzinfo=UTC)
    clock.advance(start - clock.now())
    moved: dict[date, list[int]] = {}
    for number in range(70):
        amount = number + 1 if number % 3 else -1
        if number == 0:
            amount = 1_000
        await move(uow, ada.user_id, amount, number=number)
        moved.setdefault(clock.now().astimezone(zone).date(), []).append(amount)
        clock.advance(timedelta(minutes=50))
    first, last = date(2026, 10, 24), date(2026, 10, 28)
    totals = await uow.read(
        lambda tx: day_totals(tx, ada, currency="EUR", first=first, last=last, zone=zone)
    )
    assert [day.day for day in totals.days] == [first + timedelta(days=n) for n in range(5)]
    balance = 0
    for day in totals.days:
        amounts = moved.get(day.day, [])
        balance += sum(amounts)
        assert day.received == sum(a for a in amounts if a > 0)
        assert day.sent == -sum(a for a in amounts if a < 0)
        assert (day.count, day.closing) == (len(amounts), balance)
    later = await uow.read(
        lambda tx: day_totals(
            tx, ada, currency="EUR", first=date(2026, 10, 25), last=date(2026, 10, 25), zone=zone
        )
    )
    assert later.opening == sum(moved[first])
    assert later.days == totals.days[1:2]


async def test_a_period_of_no_or_too_many_days_is_refused(uow: UnitOfWork) -> None:
    ada = await join(uow, "ada")
    day, zone = date(2026, 3, 1), ZoneInfo("UTC")
    for last in (day - timedelta(days=1), day + timedelta(days=366)):
        with pytest.raises(InvalidRequest):
            await uow.read(
                lambda tx, last=last: day_totals(  # type: ignore[misc]
                    tx, ada, currency="EUR", first=day, last=last, zone=zone
                )
            )


async def explain(_tx: Tx, _caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Detail]:
    return {id_: Detail(EVIL, 'two\r\nlines, and a "quote"') for id_ in ids}


async def test_a_table_has_every_change_and_no_formula(uow: UnitOfWork, ada: Caller) -> None:
    table = b"".join(
        [
            part
            async for part in csv_of_history(
                uow, ada, HistoryQuery(), words=ENGLISH, explainers={"transfer": explain}
            )
        ]
    )
    assert table.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))
    everything = await all_pages(uow, ada, HistoryQuery(), limit=100)
    assert [row["entry"] for row in rows] == [str(item.id) for item in everything]
    for row, item in zip(rows, everything, strict=True):
        assert row["amount"] == decimal_text(item.amount, item.currency)
        assert row["counterpart"] == f"'{EVIL}"
        assert row["note"] == 'two lines, and a "quote"'


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "|calc", "%0A", " =1", "＝1", "＋1"],  # noqa: RUF001
)
def test_what_begins_like_a_formula_is_made_harmless(text: str) -> None:
    assert harmless(text).startswith("'")
    assert "\n" not in harmless(text)
    assert harmless(f"a{text}").startswith("a")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(5, "EUR", "0.05"), (-5, "EUR", "-0.05"), (1234, "JPY", "1234"), (-1, "BHD", "-0.001")],
)
def test_amounts_are_plain_decimals(minor: int, currency: str, text: str) -> None:
    assert decimal_text(minor, currency) == text
