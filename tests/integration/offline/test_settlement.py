"""What people end up with, to the minor unit."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from server.ledger import AccountKind
from server.offline import DEFAULT_POLICY, close_due_roots, collect_debts
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.town import AFTER_CLAIM_BY, Town, policy

ROOT = Path(__file__).parents[3]


async def test_the_worked_example_of_the_documentation(make_town: MakeTown) -> None:
    town = make_town(DEFAULT_POLICY)
    eve = await town.person("eve", money=22_000)
    bob, cid = await town.person("bob"), await town.person("cid")

    async def row() -> list[int]:
        held = [await town.held(each) for each in (bob, cid)]
        return [
            await town.available(eve),
            await town.shown(AccountKind.USER_RECEIVABLE, eve.user),
            await town.available(bob),
            held[0],
            await town.available(cid),
            held[1],
            await town.shown(AccountKind.HOUSE_OFFLINE_FLOAT),
            await town.shown(AccountKind.HOUSE_GUARANTEE_FUND),
        ]

    (voucher,) = await town.issue(eve, 20_000)
    rows = [await row()]
    for payee in (bob, cid):
        await town.sync(payee, payee.claim(eve.pay(voucher, payee, 0, 15_000), town.keys))
        rows.append(await row())
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow)
    rows.append(await row())
    await town.top_up(eve.user, 10_000)
    await collect_debts(town.uow)
    rows.append(await row())

    assert rows == _table("docs/settlement.md", "| step |")


def _table(page: str, head: str) -> list[list[int]]:
    """Return the figures of a table, in minor units, without its first column."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = line.split("|", 2)[2]
        rows.append([round(float(figure) * 100) for figure in re.findall(r"-?\d+\.\d+", cells)])
    return rows


async def test_value_moves_offline_and_a_claim_brings_it_to_the_payee(town: Town) -> None:
    ada, bob = await town.person("ada", money=500), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    assert await town.available(ada) == 400
    await town.check()

    paid = ada.pay(voucher, bob, 0, 30)
    claimed = bob.claim(paid, town.keys)
    answer = await town.sync(bob, claimed)

    assert [result.status for result in answer.results] == ["stored", "stored"]
    assert await town.available(bob) == 30
    report = await town.report()
    assert (report.currencies[0].offline_float, report.currencies[0].open_vouchers) == (70, 70)
    await town.check()
    await town.audit()


async def test_either_side_can_come_online_first(make_town: MakeTown) -> None:
    states = []
    for tenant, order in enumerate((("ada", "bob"), ("bob", "ada")), 1):
        town = make_town(tenant=tenant)
        ada, bob = await town.person("ada", money=500), await town.person("bob")
        (voucher,) = await town.issue(ada, 100)
        paid = ada.pay(voucher, bob, 0, 30)
        known = {"ada": [paid], "bob": [bob.claim(paid, town.keys)]}
        for name in order:
            await town.sync(town.devices[name], *known[name])
            await town.check()
        states.append(await town.state())
    assert states[0] == states[1]


async def test_both_victims_of_a_double_spend_are_paid_and_the_cheat_owes(town: Town) -> None:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    to_bob, to_cid = eve.pay(voucher, bob, 0, 80), eve.pay(voucher, cid, 0, 80)

    await town.sync(bob, bob.claim(to_bob, town.keys))
    await town.check()
    await town.sync(cid, cid.claim(to_cid, town.keys))
    await town.check()

    assert await town.available(bob) == 80
    assert await town.available(cid) == 80
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 80
    assert await town.shown(AccountKind.HOUSE_RECOVERY_DUE) == 80
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -80
    assert await town.shown(AccountKind.HOUSE_OFFLINE_FLOAT) == 20
    assert (await town.report()).forks == 1
    await town.audit()


async def test_a_debt_is_taken_from_available_money_at_once(town: Town) -> None:
    eve = await town.person("eve", money=150)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    to_bob, to_cid = eve.pay(voucher, bob, 0, 80), eve.pay(voucher, cid, 0, 80)

    await town.sync(bob, bob.claim(to_bob, town.keys))
    await town.sync(cid, cid.claim(to_cid, town.keys))

    assert await town.available(eve) == 0
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 30
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -30
    assert await town.available(bob) == await town.available(cid) == 80
    await town.check()


async def test_a_debt_is_taken_when_the_cheat_gets_money_later(town: Town) -> None:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    for payee, chain in ((bob, eve.pay(voucher, bob, 0, 80)), (cid, eve.pay(voucher, cid, 0, 80))):
        await town.sync(payee, payee.claim(chain, town.keys))

    await town.top_up(eve.user, 50)
    assert await collect_debts(town.uow, town.policy) == 1
    assert await town.available(eve) == 0
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 30
    await town.top_up(eve.user, 50)
    assert await collect_debts(town.uow, town.policy) == 1

    assert await town.available(eve) == 20
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    assert await town.shown(AccountKind.HOUSE_RECOVERY_DUE) == 0
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    assert await collect_debts(town.uow, town.policy) == 0
    await town.check()
    await town.audit()


async def test_a_short_fund_pays_in_proportion_and_what_is_recovered_goes_to_the_victims_first(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=0, fund=10))
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    for payee, chain in (
        (bob, eve.pay(voucher, bob, 0, 100)),
        (cid, eve.pay(voucher, cid, 0, 100)),
    ):
        await town.sync(payee, payee.claim(chain, town.keys))
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)

    assert sorted([await town.available(bob), await town.available(cid)]) == [55, 55]
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 100

    await town.top_up(eve.user, 95)
    await collect_debts(town.uow, town.policy)

    assert [await town.available(bob), await town.available(cid)] == [100, 100]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -5
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 5
    await town.check()
    await town.audit()


async def test_beyond_the_fund_the_issuer_bears_what_the_instant_limit_promised(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=70, fund=10))
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    for payee, chain in (
        (bob, eve.pay(voucher, bob, 0, 100)),
        (cid, eve.pay(voucher, cid, 0, 100)),
    ):
        await town.sync(payee, payee.claim(chain, town.keys))

    assert [await town.available(bob), await town.available(cid)] == [70, 70]
    assert await town.shown(AccountKind.HOUSE_OFFLINE_LOSS) == 30
    await town.check()

    await town.top_up(eve.user, 100)
    await collect_debts(town.uow, town.policy)
    assert await town.shown(AccountKind.HOUSE_OFFLINE_LOSS) == 0
    assert [await town.available(bob), await town.available(cid)] == [70, 70]
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(bob), await town.available(cid)] == [100, 100]
    await town.audit()


async def test_the_short_fund_of_the_documentation(make_town: MakeTown) -> None:
    town = make_town(policy(voucher=20_000, user=10_000, fund=1_000))
    eve = await town.person("eve", money=15_000)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 15_000)
    for payee in (bob, cid):
        await town.sync(payee, payee.claim(eve.pay(voucher, payee, 0, 15_000), town.keys))
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)

    steps = []
    for money in (0, 4_000, 10_000, 1_000):
        if money:
            await town.top_up(eve.user, money)
            await collect_debts(town.uow, town.policy)
        steps.append(
            (
                await town.available(bob),
                await town.available(cid),
                await town.shown(AccountKind.HOUSE_OFFLINE_LOSS),
                await town.shown(AccountKind.HOUSE_GUARANTEE_FUND),
            )
        )
        await town.check()
    assert steps == [
        (10_000, 10_000, 4_000, -1_000),
        (10_000, 10_000, 0, -1_000),
        (15_000, 15_000, 0, -1_000),
        (15_000, 15_000, 0, 0),
    ]


async def test_a_credit_above_the_instant_limit_is_held_until_claim_by(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=30))
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    answer = await town.sync(bob, bob.claim(ada.pay(voucher, bob, 0, 80), town.keys))

    assert await town.available(bob) == 30
    credited = next(event for event in answer.events if event["type"] == "credited")
    assert (credited["amount"], credited["final"]) == (80, False)
    town.clock.advance(AFTER_CLAIM_BY)
    assert await close_due_roots(town.uow, town.policy) == 1

    assert await town.available(bob) == 80
    assert await town.available(ada) == 20
    await town.sync(bob)
    assert "credit_final" in [event["type"] for event in bob.events]
    await town.check()
    await town.audit()


async def test_a_merchant_has_the_merchants_limit(make_town: MakeTown) -> None:
    town = make_town(policy(user=30, merchant=70))
    ada, shop = await town.person("ada", money=100), await town.person("shop", role="merchant")
    (voucher,) = await town.issue(ada, 100)
    await town.sync(shop, shop.claim(ada.pay(voucher, shop, 0, 80), town.keys))
    assert await town.available(shop) == 70


async def test_a_lost_phone_costs_time_but_no_money(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    await town.sync(ada, ada.pay(voucher, bob, 0, 40))
    assert await town.available(bob) == 0

    town.clock.advance(AFTER_CLAIM_BY)
    assert await close_due_roots(town.uow, town.policy) == 1
    assert await town.available(bob) == 40
    assert await town.available(ada) == 60
    assert await close_due_roots(town.uow, town.policy) == 0
    await town.check()
    assert await town.shown(AccountKind.HOUSE_OFFLINE_FLOAT) == 0


async def test_a_record_after_claim_by_moves_nothing_but_still_convicts(town: Town) -> None:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    to_bob, to_cid = eve.pay(voucher, bob, 0, 80), eve.pay(voucher, cid, 0, 80)
    await town.sync(bob, bob.claim(to_bob, town.keys))
    town.clock.advance(AFTER_CLAIM_BY)

    answer = await town.sync(cid, to_cid)

    assert [(r.status, r.code) for r in answer.results] == [("refused", "voucher_closed")]
    assert await town.available(bob) == 80
    assert await town.available(cid) == 0
    assert await town.available(eve) == 20
    assert (await town.report()).forks == 1
    again = await town.sync(cid, to_cid)
    assert [(r.status, r.code) for r in again.results] == [("refused", "voucher_closed")]
    await town.check()


async def test_a_cheat_who_claims_what_was_paid_away_gets_nothing_of_it(town: Town) -> None:
    eve, bob = await town.person("eve", money=100), await town.person("bob")
    (voucher,) = await town.issue(eve, 100)
    paid = eve.pay(voucher, bob, 0, 80)
    await town.sync(eve, eve.claim(voucher, town.keys))
    assert await town.available(eve) == 100
    await town.check()

    await town.sync(bob, bob.claim(paid, town.keys))
    await town.check()

    assert await town.available(bob) == 80
    assert await town.available(eve) == 20
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    await town.audit()


async def test_a_credit_that_was_spent_online_before_it_fell_becomes_a_debt(town: Town) -> None:
    eve, bob = await town.person("eve", money=100), await town.person("bob")
    (voucher,) = await town.issue(eve, 100)
    paid = eve.pay(voucher, bob, 0, 80)
    await town.sync(eve, eve.claim(voucher, town.keys))
    await town.issue(eve, 90)
    assert await town.available(eve) == 10

    await town.sync(bob, bob.claim(paid, town.keys))
    await town.check()

    assert await town.available(bob) == 80
    assert await town.available(eve) == 0
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 70
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert await town.available(eve) == 20
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    await town.audit()


async def test_a_return_gives_the_value_back_and_harms_nobody(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    returned = bob.give_back(ada.pay(voucher, bob, 0, 40), ada)
    await town.sync(ada, ada.claim(returned, town.keys))

    assert await town.available(ada) == 40
    assert await town.available(bob) == 0
    assert (await town.report()).forks == 0
    await town.check()


async def test_what_was_final_stays_when_the_cheats_own_credit_falls_later(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=0, fund=0))
    eve = await town.person("eve", money=200, role="merchant")
    bob, cid, dan = [await town.person(name) for name in ("bob", "cid", "dan")]
    (first,) = await town.issue(eve, 100)
    for_bob, for_cid = eve.pay(first, bob, 0, 100), eve.pay(first, cid, 0, 100)
    claims = [bob.claim(for_bob, town.keys), cid.claim(for_cid, town.keys)]
    town.clock.advance(timedelta(days=10))
    (second,) = await town.issue(eve, 100)
    for_dan, own = eve.pay(second, dan, 0, 100), eve.claim(second, town.keys)
    await town.sync(bob, *claims)
    town.clock.advance(timedelta(days=35))
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(bob), await town.available(cid)] == [50, 50]

    await town.sync(cid, own)
    assert [await town.available(bob), await town.available(cid)] == [100, 100]
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    await town.sync(dan, dan.claim(for_dan, town.keys))

    assert [await town.available(bob), await town.available(cid)] == [100, 100]
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 100
    assert await town.held(dan) == 100
    await town.check()
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert await town.available(dan) == 100
    await town.audit()


async def test_a_server_whose_clock_is_behind_reopens_no_closed_voucher(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    paid = ada.pay(voucher, bob, 0, 30)
    await town.sync(ada, paid)
    town.clock.advance(timedelta(days=44))
    assert await close_due_roots(town.uow, town.policy) == 1
    closed = await town.state()

    town.clock.advance(-timedelta(seconds=5))
    await town.sync(bob, bob.claim(paid, town.keys))
    assert await town.state() == closed
    await town.check()
    await town.audit()


async def test_a_settlement_of_more_entries_than_one_posting_takes_is_posted_in_parts(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await town.person("ada", money=100)
    payees = [await town.person(f"payee-{number}") for number in range(8)]
    (voucher,) = await town.issue(ada, 100)
    paid = [ada.pay(voucher, payee, n * 10, n * 10 + 10) for n, payee in enumerate(payees)]
    await town.sync(ada, *paid)
    town.clock.advance(AFTER_CLAIM_BY)
    for module in ("server.ledger.entries", "server.offline.currency_settlement"):
        monkeypatch.setattr(f"{module}.BATCH_MAX", 3)
    assert await close_due_roots(town.uow, town.policy) == 1
    assert [await town.available(payee) for payee in payees] == [10] * 8
    assert await town.available(ada) == 20
    await town.check()
