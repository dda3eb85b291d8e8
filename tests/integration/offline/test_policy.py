"""The policy is data: stored in versions, in force from a time, obeyed by every command."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from server.identity import Role, set_role
from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind
from server.offline import DEFAULT_POLICY, close_due_roots
from server.offline.audit import OPERATOR
from server.offline.domain import AcceptanceRule, OfflinePolicy
from server.offline.errors import OverOfflineLimit, PolicyChanged, PolicyInvalid
from server.offline.oversight_models import PolicyRow
from server.offline.oversight_schemas import TierChange
from server.offline.policy import (
    Version,
    change_policy,
    next_change,
    policy_in_force,
    version_in_force,
    versions,
)
from server.offline.policy_documents import acceptance_rules, document_of
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.officers import (
    WHY,
    deeds_of,
    desk,
    officer,
    store_policy,
    with_limits,
)
from tests.integration.offline.town import AFTER_CLAIM_BY, Town, policy


async def _in_force(town: Town) -> Version:
    return await town.uow.read(lambda tx: version_in_force(tx, town.tenant, town.policy))


async def test_without_a_stored_policy_the_built_in_one_holds(town: Town) -> None:
    assert await town.uow.read(lambda tx: policy_in_force(tx, town.tenant)) == DEFAULT_POLICY
    assert (await _in_force(town)).number == 0


async def test_a_change_holds_at_once_and_keeps_what_was_before(town: Town) -> None:
    first = await store_policy(town, replace(town.policy, hops_max=2))
    second = await store_policy(town, replace(town.policy, hops_max=3))
    assert (first.number, second.number) == (1, 2)
    assert (await _in_force(town)).policy.hops_max == 3
    kept = await town.uow.read(lambda tx: versions(tx, town.tenant, before=None, limit=9))
    assert [(each.number, each.policy.hops_max, each.reason) for each in kept] == [
        (2, 3, WHY),
        (1, 2, WHY),
    ]
    deeds = await deeds_of(town, "policy_changed")
    assert [(deed.subject, deed.actor_name, deed.reason) for deed in deeds] == [
        ("policy/1", "operator", WHY),
        ("policy/2", "operator", WHY),
    ]


async def test_a_change_may_wait_and_a_later_word_replaces_one_that_waits(town: Town) -> None:
    await store_policy(town, replace(town.policy, hops_max=2), after=timedelta(days=1))
    assert (await _in_force(town)).number == 0
    begins = await town.uow.read(lambda tx: next_change(tx, town.tenant, 0))
    assert begins == town.clock.now() + timedelta(days=1)
    town.clock.advance(timedelta(days=1))
    assert (await _in_force(town)).policy.hops_max == 2

    await store_policy(town, replace(town.policy, hops_max=5), after=timedelta(days=2))
    await store_policy(town, replace(town.policy, hops_max=6))
    town.clock.advance(timedelta(days=3))
    assert (await _in_force(town)).policy.hops_max == 6


async def test_two_authors_do_not_overwrite_each_other(town: Town) -> None:
    async def change(rules: OfflinePolicy, replaces: int) -> Version:
        async def command(tx: Tx) -> Version:
            return await change_policy(
                tx,
                town.tenant,
                OPERATOR,
                document=document_of(rules),
                reason=WHY,
                replaces=replaces,
            )

        return await town.uow.run(command)

    mine, theirs = replace(town.policy, hops_max=2), replace(town.policy, hops_max=3)
    first = await change(mine, 0)
    assert (await change(mine, 0)).number == first.number, "the same change again is no other one"
    with pytest.raises(PolicyChanged):
        await change(theirs, 0)
    assert (await change(theirs, 1)).number == 2
    assert len(await deeds_of(town, "policy_changed")) == 2


async def test_a_policy_that_contradicts_itself_is_refused_with_every_reason(town: Town) -> None:
    broken = with_limits(
        replace(
            town.policy,
            renew_below=town.policy.certificate_life,
            acceptance=(
                AcceptanceRule(action="warn"),
                AcceptanceRule(action="refuse", currency="EUR"),
                AcceptanceRule(action="refuse", amount_over=5),
                AcceptanceRule(action="refuse", currency="EUR", hops_over=1),
            ),
        ),
        voucher_value_max=2_000_000,
        instant={"merchant": 5},
        fund_per_period=1,
    )
    with pytest.raises(PolicyInvalid) as refused:
        await store_policy(town, broken)
    problems = refused.value.members["problems"]
    assert isinstance(problems, list)
    assert [each["field"] for each in problems] == [
        "renew_below_s",
        "currencies.EUR.voucher_value_max",
        "currencies.EUR.instant",
        "currencies.EUR.fund_per_period",
        "acceptance[0]",
        "acceptance[1]",
        "acceptance[2]",
    ]
    for after in (timedelta(days=-1), timedelta(days=400)):
        with pytest.raises(PolicyInvalid):
            await store_policy(town, town.policy, after=after)
    assert (await _in_force(town)).number == 0


async def test_no_statement_changes_a_version_that_was_stored(town: Town) -> None:
    await store_policy(town, town.policy)
    for statement in (update(PolicyRow).values(reason="another"), delete(PolicyRow)):
        with pytest.raises(DBAPIError):
            await town.uow.run(lambda tx, sql=statement: tx.session.execute(sql))  # type: ignore[misc]


async def test_issuing_obeys_the_policy_of_the_moment(town: Town) -> None:
    ada = await town.person("ada", money=10_000)
    await store_policy(town, with_limits(town.policy, balance_max=150), after=timedelta(hours=1))
    assert [each.voucher.body.value for each in await town.issue(ada, 200)] == [100, 100]
    town.clock.advance(timedelta(hours=1))
    with pytest.raises(OverOfflineLimit):
        await town.issue(ada, 10)


async def test_certificates_obey_the_policy_of_the_moment(town: Town) -> None:
    await store_policy(town, replace(town.policy, hops_max=7, certificate_life=timedelta(days=9)))
    ada = await town.person("ada")
    assert ada.certificate is not None
    body = ada.certificate.body
    assert body.limits.hops_max == 7
    assert body.valid_to - body.valid_from < 10 * 86_400


async def test_closing_obeys_the_policy_of_the_moment(make_town: MakeTown) -> None:
    """What the fund gives to a cheat that is first found when its voucher is closed."""
    town = make_town(policy(user=0, fund=0))
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    await town.sync(bob, eve.pay(voucher, bob, 0, 100), eve.pay(voucher, cid, 0, 100))
    await store_policy(town, with_limits(town.policy, fund=30))
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow)

    assert [await town.available(bob), await town.available(cid)] == [65, 65]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == -30
    await town.check()


async def test_a_lower_instant_limit_counts_for_what_comes_and_takes_nothing_back(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=80))
    ada, bob = await town.person("ada", money=300), await town.person("bob")
    first, second, third = await town.issue(ada, 300)
    await town.sync(bob, bob.claim(ada.pay(first, bob, 0, 90), town.keys))
    assert (await town.available(bob), await town.held(bob)) == (80, 10)

    await store_policy(town, with_limits(town.policy, instant={"user": 20}))
    await town.sync(bob, bob.claim(ada.pay(second, bob, 0, 50), town.keys))
    assert (await town.available(bob), await town.held(bob)) == (100, 40)
    await town.sync(bob, bob.claim(ada.pay(first, bob, 90, 100), town.keys))
    assert (await town.available(bob), await town.held(bob)) == (100, 50), "the rest of it waits"

    await store_policy(town, with_limits(town.policy, instant={"user": 1_000}))
    await town.sync(bob, bob.claim(ada.pay(second, bob, 50, 60), town.keys))
    await town.sync(bob, bob.claim(ada.pay(third, bob, 0, 5), town.keys))
    assert (await town.available(bob), await town.held(bob)) == (145, 20)
    await town.check()


async def test_a_promise_that_the_issuer_keeps_survives_a_lower_limit_and_closing(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=70, fund=10))
    eve = await town.person("eve", money=100)
    bob, cid, dan = [await town.person(name) for name in ("bob", "cid", "dan")]
    (voucher,) = await town.issue(eve, 100)
    for payee in (bob, cid):
        await town.sync(payee, payee.claim(eve.pay(voucher, payee, 0, 100), town.keys))
    assert [await town.available(bob), await town.available(cid)] == [70, 70]

    await store_policy(town, with_limits(town.policy, instant={"user": 0}))
    await town.sync(dan, dan.claim(eve.pay(voucher, dan, 0, 100), town.keys))
    assert [await town.available(bob), await town.available(cid)] == [70, 70]
    assert await town.available(dan) == 0
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(each) for each in (bob, cid)] == [70, 70]
    assert await town.available(dan) in {36, 37}
    await town.check()
    await town.audit()


async def test_a_tier_is_data_of_the_account_and_comes_before_its_role(
    make_town: MakeTown,
) -> None:
    town = make_town(with_limits(policy(), instant={"user": 30, "merchant": 70, "kiosk": 50}))
    ada, bob = await town.person("ada", money=300), await town.person("bob")
    risk = desk(town, await officer(town, "rita"))
    vouchers = await town.issue(ada, 300)

    async def claims(number: int) -> int:
        before = await town.available(bob)
        await town.sync(bob, bob.claim(ada.pay(vouchers[number], bob, 0, 100), town.keys))
        return await town.available(bob) - before

    assert await claims(0) == 30
    given = await risk.give_tier(bob.user, TierChange(tier="kiosk", reason=WHY))
    assert given.tier == "kiosk"
    assert await claims(1) == 50
    await town.uow.run(lambda tx: set_role(tx, town.tenant, "bob", Role.MERCHANT))
    assert (await risk.account(bob.user)).tier == "kiosk"
    back = await risk.give_tier(bob.user, TierChange(tier=None, reason=WHY))
    assert back.tier == "merchant"
    assert await claims(2) == 70
    deeds = await deeds_of(town, "tier_given")
    assert [(deed.detail["before"], deed.detail["after"]) for deed in deeds] == [
        ("user", "kiosk"),
        ("kiosk", "merchant"),
    ]
    assert {(deed.actor_name, deed.reason) for deed in deeds} == {("rita", WHY)}
    with pytest.raises(PolicyInvalid):
        await risk.give_tier(bob.user, TierChange(tier="palace", reason=WHY))
    with pytest.raises(NotFound):
        await risk.give_tier(UUID(int=5), TierChange(tier="kiosk", reason=WHY))


def test_rules_for_payees_leave_out_conditions_that_are_not_set() -> None:
    rules = replace(
        DEFAULT_POLICY,
        acceptance=(
            AcceptanceRule(action="warn", revocation_age_over_s=86_400),
            AcceptanceRule(action="refuse", currency="EUR", amount_over=20_000, assurance_under=2),
        ),
    )
    assert acceptance_rules(rules) == [
        {"action": "warn", "revocation_age_over_s": 86_400},
        {"action": "refuse", "currency": "EUR", "amount_over": 20_000, "assurance_under": 2},
    ]
    assert acceptance_rules(DEFAULT_POLICY) == []
