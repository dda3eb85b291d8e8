"""A quote is taken once and in time, and an exchange moves exactly what it said, or nothing."""

import asyncio
from datetime import timedelta
from fractions import Fraction
from functools import partial
from uuid import UUID, uuid5

import pytest
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.fx import (
    Quote,
    QuoteRequest,
    find_quote,
    fx_report,
    make_quote,
    postings_for,
    purge_quotes,
    take_quote,
    void_quotes,
)
from server.fx.errors import (
    AmountTooLarge,
    AmountTooSmall,
    QuoteExpired,
    QuoteMismatch,
    QuoteTaken,
    QuoteUnknown,
    RateStale,
    TermsInvalid,
)
from server.fx.exchanges import exchange, find_exchange
from server.fx.schemas import ExchangeCreate, exchange_view
from server.fx.terms import BUILT_IN, DOCUMENT, ChargeRule, SpreadRule, TermsDocument, check, spell
from server.kit.auth import Caller
from server.kit.db import create_engine
from server.kit.documents import store_document
from server.kit.errors import IdempotencyConflict
from server.kit.ids import SystemIds
from server.kit.money import AMOUNT_MAX
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    InsufficientFunds,
    StatementLine,
    balance,
    post_many,
    statement,
    trial_balance,
    verify_ledger,
)
from tests.conftest import Database
from tests.factories.rates import load_rates, run_sql
from tests.fakes.clock import ManualClock

_NAMES = UUID("6f2f0f0e-7f0c-5c57-8a39-4a3a0b5f2c66")
ADA, BOB = uuid5(_NAMES, "ada"), uuid5(_NAMES, "bob")
CALLER = Caller(tenant=1, user_id=ADA, session_id=ADA, role="user")


@pytest.fixture(autouse=True)
async def _rates(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.25", JPY="160", BHD="0.5", TRY="50", UGX="4000")


async def give(uow: UnitOfWork, amount: int, currency: str = "EUR", user: UUID = ADA) -> None:
    entry = EntryRequest(
        id=uuid5(user, f"{currency}/{amount}"),
        kind="test",
        debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, currency),
        credit=AccountRef(AccountKind.USER_AVAILABLE, currency, user),
        amount=amount,
    )
    [outcome] = await uow.run(lambda tx: post_many(tx, [entry]))
    outcome.raise_for_refusal()


async def has(uow: UnitOfWork, currency: str, user: UUID = ADA) -> int:
    ref = AccountRef(AccountKind.USER_AVAILABLE, currency, user)
    return (await uow.read(lambda tx: balance(tx, ref))).available


async def quoted(
    uow: UnitOfWork,
    sell: str = "EUR",
    buy: str = "USD",
    *,
    amount: int | None = 10_000,
    arrives: int | None = None,
    user: UUID = ADA,
    payee: UUID | None = None,
    countries: tuple[str | None, str | None] = (None, None),
) -> Quote:
    wanted = QuoteRequest(
        user_id=user,
        sell_currency=sell,
        buy_currency=buy,
        sell_amount=amount if arrives is None else None,
        buy_amount=arrives,
        payee_id=payee,
        payer_country=countries[0],
        payee_country=countries[1],
    )
    return await uow.run(lambda tx: make_quote(tx, 1, wanted, age_max_days=3))


async def set_terms(uow: UnitOfWork, document: TermsDocument) -> None:
    check(document)
    await uow.run(
        lambda tx: store_document(tx, 1, DOCUMENT, spell(document), reason="test", by="test")
    )


async def _statement(tx: Tx, ref: AccountRef) -> list[StatementLine]:
    return await statement(tx, ref)


async def exchanged(uow: UnitOfWork, quote: Quote, key: str = "k") -> None:
    await exchange(uow, CALLER, ExchangeCreate(quote_id=quote.id), key=key)


# --- what a quote says ------------------------------------------------------------------------


async def test_a_quote_names_mid_spread_and_both_amounts(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    quote = await quoted(uow)
    assert (quote.sell_amount, quote.charge_amount, quote.net_amount) == (10_000, 0, 10_000)
    assert (quote.mid, quote.rate) == (Fraction("1.25"), Fraction("1.24375"))
    # 100.00 EUR are 125.00 USD at the mid rate; half a percent stays with the house, rounded up.
    assert (quote.buy_amount, quote.spread_amount, quote.spread_bps) == (12_437, 63, 50)
    assert quote.expires_at == clock.now() + timedelta(seconds=30)
    assert quote.rate_source == "test"


async def test_a_quote_can_be_for_what_shall_arrive(uow: UnitOfWork) -> None:
    quote = await quoted(uow, arrives=12_437)
    assert (quote.sell_amount, quote.buy_amount) == (10_000, 12_437)
    more = await quoted(uow, arrives=12_438)
    assert (more.sell_amount, more.buy_amount, more.spread_amount) == (10_001, 12_438, 63)


@pytest.mark.parametrize(
    ("sell", "buy", "amount", "arrives"),
    [
        ("EUR", "JPY", 10_000, (15_920, 80)),
        ("JPY", "EUR", 16_000, (9_950, 50)),
        ("BHD", "JPY", 1_000, (318, 2)),
        ("JPY", "BHD", 320, (995, 5)),
        ("UGX", "BHD", 8_000, (995, 5)),
        ("EUR", "BHD", 1, (4, 1)),
        ("BHD", "UGX", 1, (7, 1)),
    ],
)
async def test_currencies_of_no_and_of_three_digits(
    uow: UnitOfWork, sell: str, buy: str, amount: int, arrives: tuple[int, int]
) -> None:
    quote = await quoted(uow, sell, buy, amount=amount)
    assert (quote.buy_amount, quote.spread_amount) == arrives


async def test_amounts_too_small_or_too_large_are_refused(uow: UnitOfWork) -> None:
    with pytest.raises(AmountTooSmall):
        await quoted(uow, "UGX", "EUR", amount=1)
    with pytest.raises(AmountTooLarge):
        await quoted(uow, "EUR", "UGX", amount=AMOUNT_MAX)
    with pytest.raises(AmountTooLarge):
        await quoted(uow, "UGX", "BHD", arrives=AMOUNT_MAX)
    largest = await quoted(uow, "UGX", "EUR", amount=AMOUNT_MAX)
    assert largest.sell_amount == AMOUNT_MAX


async def test_a_purchase_of_almost_nothing_costs_at_least_one_unit(uow: UnitOfWork) -> None:
    quote = await quoted(uow, "EUR", "UGX", arrives=1)
    assert (quote.sell_amount, quote.buy_amount) == (1, 1)


async def test_stale_rates_give_no_quote(uow: UnitOfWork, clock: ManualClock) -> None:
    clock.advance(timedelta(days=4))
    with pytest.raises(RateStale):
        await quoted(uow)


# --- terms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("countries", "payee", "bps"),
    [
        ((None, None), None, 7),
        (("TR", "TR"), None, 7),
        (("TR", "TR"), BOB, 7),
        (("TR", "KE"), BOB, 200),
        (("TR", "DE"), BOB, 150),
        (("DE", "KE"), BOB, 30),
        (("DE", "FR"), BOB, 120),
        ((None, None), BOB, 120),
        (("TR", None), BOB, 150),
        ((None, "KE"), BOB, 30),
    ],
)
async def test_the_charge_goes_by_the_pair_of_countries(
    uow: UnitOfWork, countries: tuple[str | None, str | None], payee: UUID | None, bps: int
) -> None:
    await set_terms(
        uow,
        structs.replace(
            BUILT_IN,
            domestic_bps=7,
            international_bps=120,
            charges=[
                ChargeRule(payer="TR", payee="TR", bps=7),
                ChargeRule(payer="TR", payee="KE", bps=200),
                ChargeRule(payer="TR", payee="*", bps=150),
                ChargeRule(payer="*", payee="KE", bps=30),
            ],
        ),
    )
    quote = await quoted(uow, amount=100_000, payee=payee, countries=countries)
    assert (quote.charge_bps, quote.charge_amount) == (bps, bps * 10)
    assert quote.sell_amount == 100_000
    assert quote.buy_amount == (100_000 - bps * 10) * quote.rate // 1


async def test_a_spread_of_a_pair_holds_in_both_directions(uow: UnitOfWork) -> None:
    rule = SpreadRule(currencies=("USD", "EUR"), bps=10)
    await set_terms(uow, structs.replace(BUILT_IN, spreads=[rule]))
    assert (await quoted(uow, "EUR", "USD")).spread_bps == 10
    assert (await quoted(uow, "USD", "EUR")).spread_bps == 10
    assert (await quoted(uow, "USD", "TRY")).spread_bps == 50


@pytest.mark.parametrize(
    "change",
    [
        {"spreads": [SpreadRule(currencies=("EUR", "EUR"), bps=1)]},
        {"spreads": [SpreadRule(currencies=("EUR", "XAU"), bps=1)]},
        {"spreads": [SpreadRule(currencies=pair, bps=1) for pair in (("EUR", "USD"),) * 2]},
        {"charges": [ChargeRule(payer="*", payee="*", bps=1)]},
        {"charges": [ChargeRule(payer="TR", payee="*", bps=1)] * 2},
    ],
)
def test_terms_that_contradict_themselves_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(TermsInvalid):
        check(structs.replace(BUILT_IN, **change))


# --- taking a quote ---------------------------------------------------------------------------


async def test_an_exchange_moves_what_the_quote_said_and_is_in_both_histories(
    uow: UnitOfWork,
) -> None:
    await set_terms(uow, structs.replace(BUILT_IN, domestic_bps=100))
    await give(uow, 10_000)
    quote = await quoted(uow)
    view = await exchange(uow, CALLER, ExchangeCreate(quote_id=quote.id), key="k")
    assert (view.sell_amount, view.charge_amount, view.buy_amount) == (10_000, 100, 12_313)
    assert (await has(uow, "EUR"), await has(uow, "USD")) == (0, 12_313)
    for currency, kinds in {"EUR": ["test", "fx.sold", "fx.charge"], "USD": ["fx.bought"]}.items():
        ref = AccountRef(AccountKind.USER_AVAILABLE, currency, ADA)
        lines = await uow.read(partial(_statement, ref=ref))
        assert [line.kind for line in lines] == kinds
        assert lines[-1].memo == {"quote": str(quote.id)}
    assert await uow.read(lambda tx: find_exchange(tx, CALLER, quote.id)) == view


async def test_the_same_key_exchanges_once_and_another_quote_conflicts(uow: UnitOfWork) -> None:
    await give(uow, 30_000)
    first, second = await quoted(uow), await quoted(uow)
    wish = ExchangeCreate(quote_id=first.id)
    views = [await exchange(uow, CALLER, wish, key="k") for _ in range(3)]
    assert views[0] == views[1] == views[2]
    assert await has(uow, "EUR") == 20_000
    with pytest.raises(IdempotencyConflict):
        await exchange(uow, CALLER, ExchangeCreate(quote_id=second.id), key="k")


async def test_a_quote_is_good_once(uow: UnitOfWork) -> None:
    await give(uow, 30_000)
    quote = await quoted(uow)
    await exchanged(uow, quote)
    with pytest.raises(QuoteTaken) as caught:
        await exchanged(uow, quote, key="other")
    assert caught.value.code == "fx_quote_taken"
    assert await has(uow, "EUR") == 20_000


async def test_a_quote_ends_after_thirty_seconds_to_the_microsecond(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await give(uow, 20_000)
    late, in_time = await quoted(uow), await quoted(uow)
    clock.advance(timedelta(seconds=30) - timedelta(microseconds=1))
    await exchanged(uow, in_time)
    clock.advance(timedelta(microseconds=1))
    with pytest.raises(QuoteExpired):
        await exchanged(uow, late, key="late")
    assert await has(uow, "EUR") == 10_000


async def test_rates_and_terms_that_change_leave_a_quote_as_it_was(uow: UnitOfWork) -> None:
    await give(uow, 10_000)
    quote = await quoted(uow)
    await load_rates(uow, USD="2.5")
    await set_terms(uow, structs.replace(BUILT_IN, spread_bps=5_000))
    await exchanged(uow, quote)
    assert await has(uow, "USD") == 12_437


async def test_somebody_elses_quote_looks_like_none(uow: UnitOfWork) -> None:
    await give(uow, 10_000)
    quote = await quoted(uow, user=BOB)
    for wanted in (quote.id, uuid5(_NAMES, "nothing")):
        with pytest.raises(QuoteUnknown) as caught:
            await exchange(uow, CALLER, ExchangeCreate(quote_id=wanted), key="k")
        assert caught.value.detail == "You have no quote with this id."
    with pytest.raises(QuoteUnknown):
        await uow.read(lambda tx: find_quote(tx, 1, ADA, quote.id))
    with pytest.raises(QuoteUnknown):
        await uow.read(lambda tx: find_quote(tx, 2, BOB, quote.id))


async def test_a_quote_for_a_payee_is_for_that_payee_alone(uow: UnitOfWork) -> None:
    await give(uow, 20_000)
    own, other = await quoted(uow), await quoted(uow, payee=BOB)
    with pytest.raises(QuoteMismatch):
        await exchanged(uow, other)
    with pytest.raises(QuoteMismatch):
        await uow.run(lambda tx: take_quote(tx, 1, ADA, own.id, payee_id=BOB))

    async def pay(tx: Tx) -> None:
        taken = await take_quote(tx, 1, ADA, other.id, payee_id=BOB)
        for outcome in await post_many(tx, postings_for(taken, payee_id=BOB, memo={"x": 1})):
            outcome.raise_for_refusal()

    await uow.run(pay)
    assert (await has(uow, "USD"), await has(uow, "USD", BOB)) == (0, other.buy_amount)
    with pytest.raises(QuoteUnknown):  # a payment is no exchange of one's own
        await uow.read(lambda tx: find_exchange(tx, CALLER, other.id))


@pytest.mark.parametrize("short_by", [1, 100, 10_000])
async def test_without_the_money_nothing_moves_and_the_quote_can_still_be_taken(
    uow: UnitOfWork, short_by: int
) -> None:
    # One unit short, the net amount is there and the charge is not: all of the chain fails.
    await set_terms(uow, structs.replace(BUILT_IN, domestic_bps=100))
    if short_by < 10_000:
        await give(uow, 10_000 - short_by)
    quote = await quoted(uow)
    with pytest.raises(InsufficientFunds):
        await exchanged(uow, quote)
    assert (await has(uow, "EUR"), await has(uow, "USD")) == (10_000 - short_by, 0)
    assert (await uow.read(lambda tx: find_quote(tx, 1, ADA, quote.id))).taken_at is None
    await give(uow, short_by + 1)
    await exchanged(uow, quote)
    assert (await has(uow, "EUR"), await has(uow, "USD")) == (1, quote.buy_amount)


async def test_of_sixty_four_who_race_for_one_quote_one_gets_it(
    database: Database, uow: UnitOfWork, clock: ManualClock
) -> None:
    await give(uow, 1_000_000)
    quote = await quoted(uow)
    engines = [create_engine(database.url) for _ in range(2)]
    units = [UnitOfWork(engine, clock=clock, ids=SystemIds(clock)) for engine in engines]
    try:
        answers = await asyncio.gather(
            *(exchanged(units[n % 2], quote, key=str(n)) for n in range(64)),
            return_exceptions=True,
        )
    finally:
        for engine in engines:
            await engine.dispose()
    assert sum(answer is None for answer in answers) == 1
    assert {type(answer) for answer in answers if answer is not None} == {QuoteTaken}
    assert await has(uow, "EUR") == 990_000


async def test_of_many_quotes_that_race_for_one_balance_as_many_win_as_it_pays(
    database: Database, uow: UnitOfWork, clock: ManualClock
) -> None:
    await give(uow, 55_000)
    quotes = [await quoted(uow) for _ in range(16)]
    engines = [create_engine(database.url) for _ in range(2)]
    units = [UnitOfWork(engine, clock=clock, ids=SystemIds(clock)) for engine in engines]
    try:
        answers = await asyncio.gather(
            *(exchanged(units[n % 2], quote, key=str(n)) for n, quote in enumerate(quotes)),
            return_exceptions=True,
        )
    finally:
        for engine in engines:
            await engine.dispose()
    assert sum(answer is None for answer in answers) == 5
    assert {type(answer) for answer in answers if answer is not None} == {InsufficientFunds}
    assert (await has(uow, "EUR"), await has(uow, "USD")) == (5_000, 5 * 12_437)


async def test_the_database_keeps_a_quote_as_it_was_given(uow: UnitOfWork) -> None:
    await give(uow, 10_000)
    quote, other = await quoted(uow), await quoted(uow)
    await exchanged(uow, quote)
    statements = [
        "UPDATE fx_quote SET buy_amount = buy_amount + 1",
        "UPDATE fx_quote SET user_id = payee_id",
        "UPDATE fx_quote SET expires_at = expires_at + 1 WHERE taken_at IS NULL",
        "UPDATE fx_quote SET taken_at = NULL WHERE taken_at IS NOT NULL",
        "UPDATE fx_quote SET taken_at = expires_at WHERE taken_at IS NULL",
        "DELETE FROM fx_quote WHERE taken_at IS NOT NULL",
        "INSERT OR REPLACE INTO fx_quote SELECT * FROM fx_quote"
        if uow.dialect == "sqlite"
        else "TRUNCATE fx_quote",
    ]
    for refused in statements:
        with pytest.raises(DBAPIError):
            await run_sql(uow, refused)
    assert (await uow.read(lambda tx: find_quote(tx, 1, ADA, other.id))) == other


async def test_quotes_that_nobody_took_are_forgotten_after_a_day(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await give(uow, 10_000)
    taken, left = await quoted(uow), await quoted(uow)
    await exchanged(uow, taken)
    clock.advance(timedelta(days=1))
    assert await purge_quotes(uow) == 0
    clock.advance(timedelta(minutes=1))
    assert await purge_quotes(uow) == 1
    await uow.read(lambda tx: find_quote(tx, 1, ADA, taken.id))
    with pytest.raises(QuoteUnknown):
        await uow.read(lambda tx: find_quote(tx, 1, ADA, left.id))


# --- the books --------------------------------------------------------------------------------


async def test_positions_and_income_are_the_sums_of_the_quotes(uow: UnitOfWork) -> None:
    await set_terms(uow, structs.replace(BUILT_IN, domestic_bps=35))
    await give(uow, 10_000_000)
    ways = [("EUR", "USD"), ("USD", "JPY"), ("JPY", "BHD"), ("BHD", "EUR"), ("EUR", "TRY")]
    quotes = []
    for number, (sell, buy) in enumerate(ways * 2):
        held = await has(uow, sell)
        quote = await quoted(uow, sell, buy, amount=held * 2 // 3)
        await exchanged(uow, quote, key=str(number))
        quotes.append(quote)
    await quoted(uow)  # not taken
    report = await uow.read(lambda tx: fx_report(tx, 1))
    assert report.adds_up
    euro = next(line for line in report.lines if line.currency == "EUR")
    sold = [quote for quote in quotes if quote.sell_currency == "EUR"]
    bought = [quote for quote in quotes if quote.buy_currency == "EUR"]
    assert euro.exchanges == len(sold) + len(bought) == 6
    assert euro.income == sum(q.charge_amount for q in sold) + sum(q.spread_amount for q in bought)
    assert euro.position == euro.position_euro
    assert sum(line.position_euro or 0 for line in report.lines) >= 0
    trial = await uow.read(lambda tx: trial_balance(tx, 1))
    assert trial.balanced
    assert (await uow.read(verify_ledger)).sound
    assert "DIFFERS" not in report.as_text()


@pytest.mark.parametrize(
    ("kind", "other", "differs"),
    [
        ("fx.sold", AccountKind.HOUSE_CARD_GATEWAY, True),
        ("test", AccountKind.HOUSE_FX_INCOME, True),
        ("test", AccountKind.HOUSE_CARD_GATEWAY, False),
    ],
)
async def test_the_report_tells_what_is_not_of_the_quotes(
    uow: UnitOfWork, kind: str, other: AccountKind, *, differs: bool
) -> None:
    await give(uow, 10_000)
    await exchanged(uow, await quoted(uow))
    entry = EntryRequest(
        id=uuid5(_NAMES, "wrong"),
        kind=kind,
        debit=AccountRef(AccountKind.HOUSE_FX_POSITION, "EUR"),
        credit=AccountRef(other, "EUR"),
        amount=7,
    )
    await uow.run(lambda tx: post_many(tx, [entry]))
    report = await uow.read(lambda tx: fx_report(tx, 1))
    assert report.adds_up is not differs
    assert [line.currency for line in report.lines if not line.adds_up] == ["EUR"] * differs
    assert ("DIFFERS" in report.as_text()) is differs
    euro = next(line for line in report.lines if line.currency == "EUR")
    assert (euro.position, euro.position_other) == (9_993, 0 if kind == "fx.sold" else -7)


async def test_an_exchange_is_told_to_others(uow: UnitOfWork) -> None:
    await give(uow, 10_000)
    quote = await quoted(uow)
    await exchanged(uow, quote)

    async def bodies(tx: Tx) -> list[str]:
        rows = await tx.connection.execute(
            text("SELECT body FROM outbox WHERE type = 'exchange.made'")
        )
        return [row[0] for row in rows]

    [body] = await uow.read(bodies)
    assert str(quote.id) in body
    assert exchange_view(await uow.read(lambda tx: find_quote(tx, 1, ADA, quote.id)))


async def test_a_payment_that_keeps_its_refusal_uses_the_quote_up_and_posts_nothing(
    uow: UnitOfWork,
) -> None:
    quote = await quoted(uow)

    async def refused(tx: Tx) -> None:
        taken = await take_quote(tx, 1, ADA, quote.id)
        outcomes = await post_many(tx, postings_for(taken))
        assert not any(outcome.applied for outcome in outcomes)
        await void_quotes(tx, 1, [quote.id])

    await uow.run(refused)
    assert (await uow.read(lambda tx: fx_report(tx, 1))).adds_up
    with pytest.raises(QuoteTaken):
        await exchanged(uow, quote)
    with pytest.raises(QuoteUnknown):
        await uow.read(lambda tx: find_exchange(tx, CALLER, quote.id))
    await run_sql_refused(uow, "UPDATE fx_quote SET voided_at = NULL")
    await run_sql_refused(uow, "UPDATE fx_quote SET taken_at = NULL, voided_at = NULL")


async def test_only_who_took_a_quote_can_void_it(uow: UnitOfWork, clock: ManualClock) -> None:
    await give(uow, 10_000)
    quote = await quoted(uow)
    await exchanged(uow, quote)
    clock.advance(timedelta(microseconds=1))
    await uow.run(lambda tx: void_quotes(tx, 1, [quote.id]))
    report = await uow.read(lambda tx: fx_report(tx, 1))
    assert report.adds_up
    assert [line.exchanges for line in report.lines] == [1, 1]


async def run_sql_refused(uow: UnitOfWork, statement: str) -> None:
    with pytest.raises(DBAPIError):
        await run_sql(uow, statement)
