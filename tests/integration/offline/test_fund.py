"""The guarantee fund: endowed, drawn on, never beyond what the policy lets it promise."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from offline_protocol import Chain
from server.kit.errors import IdempotencyConflict
from server.kit.money import UnknownCurrency
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind
from server.offline import close_due_roots, offline_report
from server.offline.errors import FundTooLow
from server.offline.fund import FundState, fund_state
from server.offline.fund_commands import change_fund, fund_rows, fund_text
from server.offline.oversight_schemas import FundChange
from server.offline.policy import policy_in_force
from server.offline.report import OfflineReport
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.officers import (
    WHY,
    deeds_of,
    desk,
    double_spend,
    officer,
    store_policy,
    with_limits,
)
from tests.integration.offline.town import AFTER_CLAIM_BY, CURRENCY, Device, Town, policy


async def _state(town: Town) -> FundState:
    async def look(tx: Tx) -> FundState:
        rules = await policy_in_force(tx, town.tenant, town.policy)
        return await fund_state(tx, town.tenant, CURRENCY, rules)

    return await town.uow.read(look)


async def _endow(town: Town, amount: int) -> None:
    await change_fund(
        town.uow,
        town.tenant,
        amount=f"{amount // 100}.{amount % 100:02}",
        currency=CURRENCY,
        sign=1,
        reason=WHY,
        key=f"endow-{amount}",
    )


async def _report(town: Town) -> OfflineReport:
    return await town.uow.read(lambda tx: offline_report(tx, town.tenant, town.policy))


async def _cheat(town: Town, name: str, amount: int = 80) -> tuple[Device, list[Device], Chain]:
    """Let somebody with nothing left double-spend; return the cheat, the victims, the voucher."""
    cheat = await town.person(name, money=amount)
    victims = [await town.person(f"{name}-{number}") for number in (1, 2)]
    voucher = await double_spend(town, cheat, victims, amount)
    return cheat, victims, voucher


async def test_officers_endow_and_take_out_once_for_each_key(town: Town) -> None:
    rita = await officer(town, "rita")
    risk = desk(town, rita)
    wish = FundChange(amount=500, currency=CURRENCY, reason=WHY)
    first = await risk.move_fund(wish, sign=1, key="one")
    assert await risk.move_fund(wish, sign=1, key="one") == first
    assert (first.balance, first.free, first.room) == (500, 500, None)
    with pytest.raises(IdempotencyConflict):
        await risk.move_fund(
            FundChange(amount=501, currency=CURRENCY, reason=WHY), sign=1, key="one"
        )
    taken = await risk.move_fund(
        FundChange(amount=200, currency=CURRENCY, reason=WHY), sign=-1, key="one"
    )
    assert taken.balance == 300
    with pytest.raises(FundTooLow):
        await risk.move_fund(
            FundChange(amount=301, currency=CURRENCY, reason=WHY), sign=-1, key="two"
        )
    with pytest.raises(UnknownCurrency):
        await risk.move_fund(FundChange(amount=1, currency="XXX", reason=WHY), sign=1, key="3")
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 300
    assert await town.shown(AccountKind.HOUSE_CAPITAL) == -300
    deeds = [*await deeds_of(town, "fund_endowed"), *await deeds_of(town, "fund_withdrawn")]
    assert [(d.actor, d.actor_name, d.reason, d.detail["amount"]) for d in deeds] == [
        (rita.user_id, "rita", WHY, 500),
        (rita.user_id, "rita", WHY, 200),
    ]
    assert (await risk.fund()).items == [taken]
    await town.check()
    await town.audit()


async def test_many_at_once_take_out_no_more_than_there_is(town: Town) -> None:
    risk = desk(town, await officer(town, "rita"))
    await _endow(town, 100)
    wish = FundChange(amount=60, currency=CURRENCY, reason=WHY)
    outcomes = await asyncio.gather(
        *(risk.move_fund(wish, sign=-1, key=f"key-{n}") for n in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, FundTooLow) for each in outcomes) == 3
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 40


async def test_the_command_line_says_what_the_fund_holds(town: Town) -> None:
    said = await change_fund(
        town.uow, 1, amount="12.50", currency=CURRENCY, sign=1, reason=WHY, key="k"
    )
    again = await change_fund(
        town.uow, 1, amount="12.50", currency=CURRENCY, sign=1, reason=WHY, key="k"
    )
    assert said == again == "The guarantee fund holds 12.50 EUR now."
    text = await town.uow.read(lambda tx: fund_rows(tx, town.tenant))
    assert "EUR: 12.50 EUR, promised 0.00 EUR, free to take out 12.50 EUR" in fund_text(text)


async def test_without_a_floor_the_fund_may_go_below_zero_and_that_is_an_alarm(town: Town) -> None:
    _, victims, _ = await _cheat(town, "eve")
    assert [await town.available(each) for each in victims] == [80, 80]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -80
    report = await _report(town)
    assert [alarm.code for alarm in report.alarms] == ["fund_negative"]
    assert "ALARM fund_negative" in report.as_text()


async def test_a_floor_bounds_what_is_promised_and_victims_share_the_rest(
    make_town: MakeTown,
) -> None:
    town = make_town(with_limits(policy(user=0, fund=100), fund_floor=0, fund_alarm_below=20))
    await _endow(town, 60)
    _, first, _ = await _cheat(town, "eve")
    state = await _state(town)
    assert (state.balance, state.reserved, state.room) == (0, 0, 0)
    _, second, _ = await _cheat(town, "fay")
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(each) for each in first] == [70, 70]
    assert [await town.available(each) for each in second] == [40, 40]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    codes = {alarm.code for alarm in (await _report(town)).alarms}
    assert codes == {"fund_low", "fund_room"}
    await town.check()
    await town.audit()


async def test_what_is_promised_to_one_cheat_is_not_promised_again_nor_taken_out(
    make_town: MakeTown,
) -> None:
    town = make_town(with_limits(policy(user=0, fund=100), fund_floor=10))
    await _endow(town, 150)
    risk = desk(town, await officer(town, "rita"))
    eve, _, voucher = await _cheat(town, "eve", 30)
    state = await _state(town)
    assert (state.balance, state.reserved, state.room, state.free) == (120, 70, 40, 40)
    with pytest.raises(FundTooLow):
        await risk.move_fund(
            FundChange(amount=41, currency=CURRENCY, reason=WHY), sign=-1, key="over"
        )
    _, victims, _ = await _cheat(town, "fay", 60)
    assert (await _state(town)).room == 0
    third = await town.person("third")
    await town.sync(third, third.claim(eve.pay(voucher, third, 0, 30), town.keys))
    state = await _state(town)
    assert (state.balance, state.reserved) == (50, 40)

    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    state = await _state(town)
    assert (state.balance, state.reserved, state.free) == (50, 0, 40)
    assert [await town.available(each) for each in victims] == [50, 50]
    assert await town.available(third) == 30
    await town.check()


async def test_a_budget_for_a_period_bounds_all_cheats_together(make_town: MakeTown) -> None:
    rules = with_limits(policy(user=0, fund=50), fund_per_period=120)
    town = make_town(replace(rules, fund_period=timedelta(days=90)))
    victims = [(await _cheat(town, name))[1] for name in ("eve", "fay", "guy", "hal")]
    assert (await _state(town)).promised_in_period == 120
    assert {alarm.code for alarm in (await _report(town)).alarms} >= {"fund_budget", "fund_room"}
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    got = [[await town.available(each) for each in group] for group in victims]
    assert got == [[65, 65], [65, 65], [50, 50], [40, 40]]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -120
    await town.check()
    await town.audit()


async def test_a_promise_that_was_cut_short_grows_while_its_voucher_is_open(
    make_town: MakeTown,
) -> None:
    town = make_town(with_limits(policy(user=0, fund=50), fund_per_period=50))
    _, first, _ = await _cheat(town, "eve")
    _, second, _ = await _cheat(town, "fay")
    assert [await town.held(each) for each in (*first, *second)] == [65, 65, 40, 40]
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(each) for each in (*first, *second)] == [65, 65, 65, 65]
    assert (await _state(town)).promised_in_period == 50
    await town.check()


async def test_more_victims_of_one_cheat_share_one_promise_in_whatever_order(
    make_town: MakeTown,
) -> None:
    states = []
    for tenant, order in enumerate(((0, 1, 2), (2, 0, 1)), 1):
        town = make_town(
            with_limits(policy(user=0, fund=50), fund_per_period=60, fund_floor=-500),
            tenant=tenant,
        )
        eve = await town.person("eve", money=100)
        victims = [await town.person(name) for name in ("bob", "cid", "dan")]
        (voucher,) = await town.issue(eve, 100)
        claims = [each.claim(eve.pay(voucher, each, 0, 100), town.keys) for each in victims]
        for number in order:
            await town.sync(victims[number], claims[number])
        states.append(await town.state())
    assert states[0] == states[1]


async def test_a_raised_share_counts_for_open_vouchers_and_not_for_closed_ones(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=0, fund=10))
    eve, closed, _ = await _cheat(town, "eve")
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(each) for each in closed] == [45, 45]
    _, opened, _ = await _cheat(town, "fay")
    await store_policy(town, with_limits(town.policy, fund=60))
    dan = await town.person("dan")
    await town.sync(dan)
    await town.top_up(eve.user, 1)
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert sum([await town.available(each) for each in closed]) == 91
    assert [await town.available(each) for each in opened] == [70, 70]
    await town.check()


async def test_a_floor_below_zero_lets_nobody_take_out_what_is_not_there(
    make_town: MakeTown,
) -> None:
    town = make_town(with_limits(policy(), fund_floor=-500))
    await _endow(town, 100)
    assert (await _state(town)).free == 100
