"""Money set aside: higher limits, first to pay debts, back when nothing depends on it."""

import random
from datetime import timedelta

import pytest

from offline_protocol import Chain, build_fraud_proof
from server.kit.errors import IdempotencyConflict
from server.kit.schema import to_base64url
from server.ledger import AccountKind, InsufficientFunds
from server.offline import close_due_roots, collect_debts
from server.offline.collateral import collateral_of, set_aside, take_back
from server.offline.errors import CollateralBound, DebtOutstanding, OverOfflineLimit
from server.offline.oversight_schemas import CollateralChange, CollateralView
from server.offline.schemas import RecordUpload
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.histories import live, upload_all
from tests.integration.offline.officers import double_spend, with_limits
from tests.integration.offline.town import AFTER_CLAIM_BY, CURRENCY, Device, Town, policy


async def _put(town: Town, device: Device, amount: int, key: str = "put") -> CollateralView:
    data = CollateralChange(amount=amount, currency=CURRENCY)
    return await set_aside(town.uow, town.policy, device.caller, data, key=key)


async def _take(town: Town, device: Device, amount: int, key: str = "take") -> CollateralView:
    data = CollateralChange(amount=amount, currency=CURRENCY)
    return await take_back(town.uow, town.policy, device.caller, data, key=key)


async def _aside(town: Town, device: Device) -> int:
    return await town.shown(AccountKind.USER_COLLATERAL, device.user)


async def test_money_goes_aside_and_comes_back_once_for_each_key(town: Town) -> None:
    ada = await town.person("ada", money=100)
    first = await _put(town, ada, 60)
    assert await _put(town, ada, 60) == first
    assert (first.set_aside, first.free, first.used, first.needed) == (60, 60, 0, 0)
    assert first.balance_max == 1_000_060
    assert (await town.available(ada), await _aside(town, ada)) == (40, 60)
    with pytest.raises(IdempotencyConflict):
        await _put(town, ada, 61)
    with pytest.raises(InsufficientFunds):
        await _put(town, ada, 41, "more")
    back = await _take(town, ada, 25)
    assert await _take(town, ada, 25) == back
    assert (await town.available(ada), await _aside(town, ada)) == (65, 35)
    with pytest.raises(CollateralBound) as refused:
        await _take(town, ada, 36, "too much")
    assert refused.value.members["bound_by"] == "amount"
    await town.sync(ada)
    changes = [e for e in ada.events if e["type"] == "collateral_changed"]
    assert [(each["amount"], each["total"]) for each in changes] == [(60, 60), (-25, 35)]
    await town.check()
    await town.audit()


async def test_collateral_raises_what_a_device_may_hold_and_stays_until_it_is_closed(
    make_town: MakeTown,
) -> None:
    town = make_town(with_limits(policy(), balance_max=100, collateral_percent=50))
    ada, bob = await town.person("ada", money=500), await town.person("bob")
    with pytest.raises(OverOfflineLimit):
        await town.issue(ada, 120)
    assert (await _put(town, ada, 80)).balance_max == 140
    (small,) = await town.issue(ada, 90)
    assert (await _take(town, ada, 1)).needed == 0, "it fits without collateral"
    vouchers = await town.issue(ada, 31)
    with pytest.raises(OverOfflineLimit):
        await town.issue(ada, 20)

    for chain in (small, *vouchers):
        await town.sync(bob, bob.claim(ada.pay(chain, bob, 0, chain.voucher.body.value), town.keys))
    with pytest.raises(CollateralBound) as refused:
        await _take(town, ada, 40, "bound")
    assert refused.value.members["bound_by"] == "vouchers"
    found = (await town.uow.read(lambda tx: collateral_of(tx, town.tenant, ada.user)))[CURRENCY]
    assert (found.set_aside, found.needed, found.free) == (79, 42, 37)
    await _take(town, ada, 37, "free")
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    await _take(town, ada, 42, "rest")
    assert await _aside(town, ada) == 0
    await town.check()


async def test_collateral_that_raises_nothing_lets_nothing_through(make_town: MakeTown) -> None:
    town = make_town(with_limits(policy(), balance_max=100, collateral_percent=0))
    ada = await town.person("ada", money=500)
    await _put(town, ada, 300)
    with pytest.raises(OverOfflineLimit):
        await town.issue(ada, 101)
    await town.issue(ada, 100)


async def test_collateral_pays_the_debt_before_balance_and_fund_to_the_unit(town: Town) -> None:
    eve = await town.person("eve", money=200)
    bob, cid = await town.person("bob"), await town.person("cid")
    await _put(town, eve, 50)
    await double_spend(town, eve, [bob, cid], 80)

    # 200 - 50 aside - 80 loaded = 70 available; 80 are owed: 50 from aside, 30 from the balance.
    assert await _aside(town, eve) == 0
    assert await town.available(eve) == 40
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    assert await town.shown(AccountKind.HOUSE_RECOVERY_DUE) == 0
    assert [await town.available(each) for each in (bob, cid)] == [80, 80]
    await town.sync(eve)
    charged = [event for event in eve.events if event["type"] == "debt_charged"][-1]
    assert (charged["recovered"], charged["from_collateral"]) == (80, 50)
    with pytest.raises(CollateralBound) as refused:
        await _take(town, eve, 1)
    assert refused.value.members["bound_by"] == "conflict"
    await town.check()
    await town.audit()


async def test_short_collateral_is_used_up_and_the_fund_pays_the_rest(make_town: MakeTown) -> None:
    town = make_town(policy(user=0, fund=20))
    eve = await town.person("eve", money=130)
    bob, cid = await town.person("bob"), await town.person("cid")
    await _put(town, eve, 30)
    await double_spend(town, eve, [bob, cid], 100)
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(each) for each in (bob, cid)] == [75, 75]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -20
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 70
    assert await _aside(town, eve) == 0
    with pytest.raises(DebtOutstanding):
        await _put(town, eve, 5, "late")
    with pytest.raises(CollateralBound) as refused:
        await _take(town, eve, 1)
    assert refused.value.members["bound_by"] == "debt"
    await town.check()
    await town.audit()


async def test_what_collateral_paid_for_good_does_not_come_back_and_the_rest_does(
    town: Town,
) -> None:
    eve = await town.person("eve", money=180)
    bob, cid = await town.person("bob"), await town.person("cid")
    await _put(town, eve, 100)
    await double_spend(town, eve, [bob, cid], 80)
    assert await _aside(town, eve) == 20
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    found = (await town.uow.read(lambda tx: collateral_of(tx, town.tenant, eve.user)))[CURRENCY]
    assert (found.set_aside, found.used, found.free) == (100, 80, 20)
    with pytest.raises(CollateralBound):
        await _take(town, eve, 21)
    await _take(town, eve, 20, "rest")
    assert await town.available(eve) == 20
    await town.check()
    await town.audit()


async def test_collateral_stands_in_for_a_credit_that_was_spent_before_it_fell(
    town: Town,
) -> None:
    eve, bob = await town.person("eve", money=140), await town.person("bob")
    await _put(town, eve, 40)
    (voucher,) = await town.issue(eve, 100)
    paid = eve.pay(voucher, bob, 0, 80)
    await town.sync(eve, eve.claim(voucher, town.keys))
    await town.issue(eve, 90)
    assert await town.available(eve) == 10

    await town.sync(bob, bob.claim(paid, town.keys))
    assert await town.available(bob) == 80
    assert await town.available(eve) == 0
    assert await _aside(town, eve) == 0
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 30
    await town.check()
    await town.top_up(eve.user, 45)
    await collect_debts(town.uow, town.policy)
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    assert (await town.available(eve), await _aside(town, eve)) == (0, 15)
    await town.check()
    await town.audit()


async def test_a_victim_who_is_a_cheat_with_collateral_reaches_the_same_fixed_point(
    make_town: MakeTown,
) -> None:
    """Eve's victim Fay owes as well: what Eve's collateral pays Fay pays Fay's victims."""
    states = []
    for tenant, order in enumerate(("abcd", "dcba", "cadb"), 1):
        town = make_town(policy(user=0, fund=0), tenant=tenant)
        eve = await town.person("eve", money=160)
        fay = await town.person("fay", money=100)
        bob, cid, dan = [await town.person(name) for name in ("bob", "cid", "dan")]
        await _put(town, eve, 60)
        await _put(town, fay, 10)
        (of_eve,) = await town.issue(eve, 100)
        (of_fay,) = await town.issue(fay, 90)
        claims = {
            "a": (fay, fay.claim(eve.pay(of_eve, fay, 0, 100), town.keys)),
            "b": (bob, bob.claim(eve.pay(of_eve, bob, 0, 100), town.keys)),
            "c": (cid, cid.claim(fay.pay(of_fay, cid, 0, 90), town.keys)),
            "d": (dan, dan.claim(fay.pay(of_fay, dan, 0, 90), town.keys)),
        }
        start = town.clock.now()
        for name in order:
            device, chain = claims[name]
            await town.sync(device, chain)
            await town.check()
        town.clock.advance(AFTER_CLAIM_BY)
        await close_due_roots(town.uow, town.policy)
        await town.check()
        await town.audit()
        states.append(await town.state())
        # Eve owes 100 and has 60: Fay and Bob get 80 each. Fay owes 90 and has 10 + 80.
        assert [await town.available(each) for each in (bob, cid, dan)] == [80, 90, 90]
        assert await town.shown(AccountKind.USER_RECEIVABLE, fay.user) == 0
        assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 40
        town.clock.advance(start - town.clock.now())
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("seed", [3, 11])
async def test_the_order_of_syncs_leaves_no_trace_when_cheats_have_collateral(
    make_town: MakeTown, seed: int
) -> None:
    states = []
    for tenant in (1, 2):
        town = make_town(policy(user=25, fund=30), tenant=tenant, seed=seed)
        start = town.clock.now()
        history = await live(town, random.Random(f"c{seed}"), people=5, cheats=2, steps=50)
        for number, name in enumerate(sorted(history.cheats), 1):
            cheat = town.devices[name]
            await town.top_up(cheat.user, 40)
            await _put(town, cheat, 15 * number, name)
        await upload_all(town, history, random.Random(f"{seed}/{tenant}"))
        town.clock.advance(timedelta(days=1))
        states.append(await town.state())
        town.clock.advance(AFTER_CLAIM_BY)
        await close_due_roots(town.uow, town.policy)
        states.append(await town.state())
        await town.check()
        await town.audit()
        town.clock.advance(start - town.clock.now())
    assert states[0] == states[2]
    assert states[1] == states[3]


async def test_a_double_spending_that_only_a_proof_tells_of_binds_collateral_too(
    town: Town,
) -> None:
    """Else a cheat takes it back between the proof and the records of the voucher."""
    eve, bob = await town.person("eve", money=200), await town.person("bob")
    cid = await town.person("cid")
    await _put(town, eve, 60)
    (voucher,) = await town.issue(eve, 100)
    middle = bob.pay(eve.pay(voucher, bob, 0, 80), eve, 0, 80)
    branches: list[Chain] = [eve.pay(middle, each, 0, 50) for each in (bob, cid)]
    first, second = (chain.hops[-1].transfer for chain in branches)
    proof = build_fraud_proof(first, second, certificate=eve.certificate)
    await town.upload(cid, [RecordUpload(kind="fraud_proof", object=to_base64url(proof.encode()))])
    with pytest.raises(CollateralBound) as refused:
        await _take(town, eve, 60)
    assert refused.value.members["bound_by"] == "conflict"

    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert (await _take(town, eve, 60)).set_aside == 0
    await town.check()
