"""Accounts that belong together, and debts that nobody expects any more."""

from datetime import timedelta
from uuid import UUID, uuid5

import pytest
from sqlalchemy import select

from server.kit.errors import IdempotencyConflict, InvalidRequest, NotFound
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind
from server.offline import close_due_roots, collect_debts
from server.offline.debts import debts
from server.offline.errors import AlreadyLinked, DebtOutstanding, NothingOwed
from server.offline.jobs import settle_anew
from server.offline.links import links
from server.offline.oversight_models import FrozenLinkRow
from server.offline.oversight_schemas import DebtView, LinkCreate, WriteOffCreate
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.officers import WHY, deeds_of, desk, double_spend, officer
from tests.integration.offline.town import AFTER_CLAIM_BY, CURRENCY, Device, Town, policy

NOBODY = uuid5(UUID(int=1), "nobody")


def _wish(first: Device, second: Device, reason: str = WHY) -> LinkCreate:
    return LinkCreate(first=first.user, second=second.user, reason=reason)


async def _frozen(town: Town) -> list[bytes]:
    async def read(tx: Tx) -> list[bytes]:
        query = select(FrozenLinkRow.root).where(FrozenLinkRow.tenant == town.tenant)
        return list(await tx.session.scalars(query))

    return await town.uow.read(read)


async def test_a_linked_account_is_not_paid_and_the_cheat_owes_nothing_for_it(town: Town) -> None:
    eve, pal, bob = [await town.person(name, money=100) for name in ("eve", "pal", "bob")]
    risk = desk(town, await officer(town, "rita"))
    await risk.link(_wish(eve, pal))
    await double_spend(town, eve, [pal, bob], 80)

    assert await town.available(pal) == 100
    assert await town.available(bob) == 180
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    await town.check()
    await town.audit()


async def test_a_link_changes_open_vouchers_at_once_in_either_direction(town: Town) -> None:
    eve, pal, bob = [await town.person(name, money=100) for name in ("eve", "pal", "bob")]
    await double_spend(town, eve, [pal, bob], 80)
    assert [await town.available(each) for each in (eve, pal, bob)] == [0, 180, 180]
    fund = await town.shown(AccountKind.HOUSE_GUARANTEE_FUND)
    risk = desk(town, await officer(town, "rita"))

    link = await risk.link(_wish(pal, eve))
    assert await risk.link(_wish(eve, pal)) == link, "the same link again, named the other way"
    assert [await town.available(each) for each in (eve, pal, bob)] == [20, 100, 180]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    await town.check()
    await town.sync(pal)
    assert "credit_reduced" in [event["type"] for event in pal.events]

    ended = await risk.end_link(link.id, WHY)
    assert await risk.end_link(link.id, WHY) == ended
    assert (ended.ended_by, ended.end_reason) == ("rita", WHY)
    assert [await town.available(each) for each in (eve, pal, bob)] == [0, 180, 180]
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == fund
    assert [(d.action, d.actor_name) for d in await deeds_of(town, "accounts_linked")] == [
        ("accounts_linked", "rita")
    ]
    assert len(await deeds_of(town, "link_ended")) == 1
    await town.check()
    await town.audit()


async def test_links_are_frozen_at_claim_by(town: Town) -> None:
    """What was in force at claim-by counts, however late the voucher is closed."""
    eve, pal, bob = [await town.person(name, money=300) for name in ("eve", "pal", "bob")]
    risk = desk(town, await officer(town, "rita"))
    early = await double_spend(town, eve, [pal, bob], 80)
    town.clock.advance(timedelta(days=10))
    tablet = await town.device("eve-tablet", eve.user)
    await town.top_up(eve.user, 1_000)
    await collect_debts(town.uow, town.policy)
    (late,) = await town.issue(tablet, 70)
    for payee in (pal, bob):
        await town.sync(payee, payee.claim(tablet.pay(late, payee, 0, 70), town.keys))
    assert [await town.available(each) for each in (pal, bob)] == [450, 450]

    # The first voucher's claim-by passes, then they are linked, and only then it is closed.
    town.clock.advance(timedelta(days=35))
    await risk.link(_wish(eve, pal))
    await close_due_roots(town.uow, town.policy)
    assert [await town.available(each) for each in (pal, bob)] == [380, 450]
    assert await _frozen(town) == []
    town.clock.advance(timedelta(days=10))
    await close_due_roots(town.uow, town.policy)
    assert await _frozen(town) == [late.voucher.id]

    (link,) = await town.uow.read(lambda tx: links(tx, town.tenant, limit=9))
    await risk.end_link(link.id, WHY)
    before = await town.state()
    roots = [early.voucher.id, late.voucher.id]
    await town.uow.run(lambda tx: settle_anew(tx, town.tenant, town.policy, roots=roots))
    assert await town.state() == before
    assert [await town.available(each) for each in (pal, bob)] == [380, 450]
    await town.check()
    await town.audit()


async def test_links_that_make_no_sense_are_refused(town: Town) -> None:
    eve, pal = await town.person("eve"), await town.person("pal")
    risk = desk(town, await officer(town, "rita"))
    with pytest.raises(InvalidRequest):
        await risk.link(_wish(eve, eve))
    with pytest.raises(NotFound):
        await risk.link(LinkCreate(first=eve.user, second=NOBODY, reason=WHY))
    with pytest.raises(NotFound):
        await risk.end_link(NOBODY, WHY)
    await risk.link(_wish(eve, pal))
    with pytest.raises(AlreadyLinked):
        await risk.link(_wish(eve, pal, "another reason"))
    assert len(await town.uow.read(lambda tx: links(tx, town.tenant, limit=9))) == 1


async def test_links_of_another_tenant_count_for_nothing(make_town: MakeTown) -> None:
    here, there = make_town(tenant=1), make_town(tenant=2)
    for town in (here, there):
        for name in ("eve", "pal", "bob"):
            await town.person(name, money=100)
    await desk(there, await officer(there, "rita")).link(
        _wish(there.devices["eve"], there.devices["pal"])
    )
    eve, pal, bob = (here.devices[name] for name in ("eve", "pal", "bob"))
    await double_spend(here, eve, [pal, bob], 80)
    assert await here.available(pal) == 180


def _write(amount: int | None = None) -> WriteOffCreate:
    return WriteOffCreate(currency=CURRENCY, reason=WHY, amount=amount)


async def _debts(town: Town) -> list[DebtView]:
    return await town.uow.read(lambda tx: debts(tx, town.tenant, after=None, limit=10))


async def test_a_debt_is_written_off_and_falls_back_when_money_comes_after_all(
    town: Town,
) -> None:
    eve = await town.person("eve", money=100)
    victims = [await town.person("bob"), await town.person("cid")]
    await double_spend(town, eve, victims, 80)
    risk = desk(town, await officer(town, "rita"))
    owed = await town.shown(AccountKind.USER_RECEIVABLE, eve.user)
    assert owed == 60
    assert [(each.user_id, each.outstanding) for each in await _debts(town)] == [(eve.user, owed)]

    part = await risk.write_off(eve.user, _write(50), key="one")
    assert await risk.write_off(eve.user, _write(50), key="one") == part
    with pytest.raises(IdempotencyConflict):
        await risk.write_off(eve.user, _write(51), key="one")
    assert (part.outstanding, part.written_off) == (owed, 50)
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == owed - 50
    assert await town.shown(AccountKind.HOUSE_WRITTEN_OFF) == -50
    with pytest.raises(NothingOwed):
        await risk.write_off(eve.user, _write(owed - 49), key="two")
    rest = await risk.write_off(eve.user, _write(), key="three")
    assert rest.written_off == owed
    with pytest.raises(NothingOwed):
        await risk.write_off(eve.user, _write(), key="four")
    tablet = await town.device("eve-tablet", eve.user)
    await town.top_up(eve.user, 30)
    with pytest.raises(DebtOutstanding):
        await town.issue(tablet, 10)
    await town.check()

    assert await collect_debts(town.uow, town.policy) == 1
    assert await town.available(eve) == 0
    assert await town.shown(AccountKind.HOUSE_WRITTEN_OFF) == 30 - owed
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 0
    await town.top_up(eve.user, 100)
    await collect_debts(town.uow, town.policy)
    assert await town.shown(AccountKind.HOUSE_WRITTEN_OFF) == 0
    assert await town.shown(AccountKind.HOUSE_GUARANTEE_FUND) == 0
    assert await town.available(eve) == 130 - owed
    deeds = await deeds_of(town, "debt_written_off")
    assert [(d.actor_name, d.reason, d.detail["amount"]) for d in deeds] == [
        ("rita", WHY, 50),
        ("rita", WHY, owed - 50),
    ]
    await town.check()
    await town.audit()


async def test_credit_that_was_spent_before_it_fell_is_a_loss_when_it_is_written_off(
    town: Town,
) -> None:
    eve, bob = await town.person("eve", money=100), await town.person("bob")
    (voucher,) = await town.issue(eve, 100)
    paid = eve.pay(voucher, bob, 0, 80)
    await town.sync(eve, eve.claim(voucher, town.keys))
    await town.issue(eve, 90)
    await town.sync(bob, bob.claim(paid, town.keys))
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 70

    risk = desk(town, await officer(town, "rita"))
    await risk.write_off(eve.user, _write(), key="one")
    assert await town.shown(AccountKind.HOUSE_OFFLINE_LOSS) == 70
    assert await town.shown(AccountKind.HOUSE_WRITTEN_OFF) == 0
    await town.check()
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert await town.shown(AccountKind.HOUSE_OFFLINE_LOSS) == 0
    assert await town.available(eve) == 20
    await town.check()
    await town.audit()


async def test_victims_who_were_paid_short_get_what_comes_after_a_write_off(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=0, fund=10))
    eve = await town.person("eve", money=100)
    victims = [await town.person("bob"), await town.person("cid")]
    await double_spend(town, eve, victims, 100)
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    risk = desk(town, await officer(town, "rita"))
    await risk.write_off(eve.user, _write(), key="one")
    await town.top_up(eve.user, 40)
    await collect_debts(town.uow, town.policy)
    assert [await town.available(each) for each in victims] == [75, 75]
    assert await town.shown(AccountKind.HOUSE_WRITTEN_OFF) == -60
    await town.check()
    await town.audit()
