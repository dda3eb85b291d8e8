from datetime import timedelta
from functools import partial
from uuid import UUID

from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    StatementLine,
    accounts_of,
    balance_at,
    statement,
    trial_balance,
)
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import post
from tests.unit.ledger.books import ANNA, BERK, GATEWAY, START, fund, hold, move, user


async def test_the_balance_at_any_instant(uow: UnitOfWork, clock: ManualClock) -> None:
    for amount in (1, 10, 100, 1000, 10_000):
        await post(uow, fund(ANNA, amount), fund(ANNA, amount))
        clock.advance(timedelta(seconds=10))

    async def at(seconds: float) -> int:
        when = START + timedelta(seconds=seconds)
        return await uow.read(lambda tx: balance_at(tx, ANNA, when))

    assert [await at(s) for s in (-86_400, -0.000001)] == [0, 0]
    assert [await at(s) for s in (0, 9.999999, 10, 15, 20, 39, 40, 86_400)] == [
        2, 2, 22, 22, 222, 2222, 22_222, 22_222,
    ]  # fmt: skip


async def test_an_unopened_account_was_always_empty(uow: UnitOfWork) -> None:
    assert await uow.read(lambda tx: balance_at(tx, BERK, START)) == 0


async def test_a_statement_is_read_page_by_page(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100, memo={"card": "visa"}))
    await post(uow, *(move(ANNA, BERK, n) for n in range(1, 6)))
    lines: list[StatementLine] = []
    page: list[StatementLine] | None = None
    while page is None or page:
        after = lines[-1].version if lines else 0
        page = await uow.read(partial(statement, ref=ANNA, after_version=after, limit=4))
        assert len(page) <= 4
        lines += page
    assert [line.version for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.delta for line in lines] == [100, -1, -2, -3, -4, -5]
    assert [line.balance for line in lines] == [100, 99, 97, 94, 90, 85]
    assert lines[0].memo == {"card": "visa"}
    assert (lines[0].counterpart, lines[1].counterpart) == (GATEWAY.id, BERK.id)
    assert {line.at for line in lines} == {START}


async def test_a_fact_from_the_past_is_booked_now_and_says_when_it_was(uow: UnitOfWork) -> None:
    long_ago = START - timedelta(days=30)
    await post(uow, fund(ANNA, 5, effective_at=long_ago))
    (line,) = await uow.read(lambda tx: statement(tx, ANNA))
    assert (line.at, line.effective_at) == (START, long_ago)


async def test_all_accounts_of_an_owner(uow: UnitOfWork) -> None:
    receivable = AccountRef(AccountKind.USER_RECEIVABLE, "EUR", ANNA.owner)
    due = AccountRef(AccountKind.HOUSE_RECOVERY_DUE, "EUR")
    await post(uow, fund(ANNA, 5), fund(user(1, "JPY"), 7), fund(BERK, 9), move(receivable, due, 3))
    await post(uow, hold(ANNA, BERK, 1))
    assert ANNA.owner is not None
    found = await uow.read(lambda tx: accounts_of(tx, 1, UUID(int=1)))
    assert [(b.ref, b.shown, b.available) for b in found] == [
        (ANNA, 5, 4),
        (receivable, 3, -3),
        (user(1, "JPY"), 7, 7),
    ]


async def test_the_trial_balance_sums_to_zero_and_shows_natural_signs(uow: UnitOfWork) -> None:
    capital = AccountRef(AccountKind.HOUSE_CAPITAL, "EUR")
    guarantee = AccountRef(AccountKind.HOUSE_GUARANTEE_FUND, "EUR")
    loss = AccountRef(AccountKind.HOUSE_OFFLINE_LOSS, "EUR")
    await post(
        uow,
        fund(ANNA, 500),
        fund(BERK, 20),
        fund(capital, 1000),
        move(capital, guarantee, 300),
        move(loss, ANNA, 7),
        fund(user(1, "JPY"), 40),
    )
    report = await uow.read(lambda tx: trial_balance(tx, 1))
    assert report.balanced
    assert report.totals == {"EUR": 0, "JPY": 0}
    assert {(line.asset, str(line.kind)): line.shown for line in report.lines} == {
        ("EUR", "house_card_gateway"): 1520,
        ("EUR", "user_available"): 527,
        ("EUR", "house_capital"): 700,
        ("EUR", "house_guarantee_fund"): 300,
        ("EUR", "house_offline_loss"): 7,
        ("JPY", "house_card_gateway"): 40,
        ("JPY", "user_available"): 40,
    }
    assert "EUR: sums to zero" in report.as_text()
    assert report.as_json()["balanced"] is True


async def test_an_empty_ledger_has_an_empty_trial_balance(uow: UnitOfWork) -> None:
    report = await uow.read(lambda tx: trial_balance(tx, 1))
    assert report.balanced
    assert report.as_text() == "There are no accounts yet."
