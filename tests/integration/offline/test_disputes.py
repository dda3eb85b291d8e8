"""An accused owner contests, officers decide: who bears the cost changes, the fact does not."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from offline_protocol import (
    Chain,
    FraudProof,
    Transfer,
    Voucher,
    build_fraud_proof,
    unseal,
    verify_fraud_proof,
)
from server.identity import DeviceStatus, device_by_id
from server.kit.auth import Caller
from server.kit.errors import Forbidden, InvalidRequest, NotFound
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind
from server.offline import close_due_roots
from server.offline.cases import case_view, dispute_view, list_disputes
from server.offline.disputes import decide, open_dispute
from server.offline.errors import (
    DeviceNotTrusted,
    DisputeDecided,
    DisputeExists,
    DisputeTooLate,
    FundTooLow,
    OwnCase,
)
from server.offline.oversight_models import AuditRow
from server.offline.oversight_schemas import CaseView, DisputeDecision, DisputeView
from server.offline.queries import conflict_key, own_vouchers
from server.offline.schemas import RecordUpload
from server.offline.settlement import run_settling
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.officers import (
    WHY,
    deeds_of,
    double_spend,
    officer,
    store_policy,
    with_limits,
)
from tests.integration.offline.town import AFTER_CLAIM_BY, Device, Town, policy

STORY = "My phone was stolen on Friday; I reported it on Saturday."


async def _conflict(town: Town, device: Device) -> str:
    await town.sync(device)
    found = [event for event in device.events if event["type"] == "fork_found"]
    return str(found[-1]["proof_id"])


async def _contest(town: Town, device: Device, conflict: str, story: str = STORY) -> DisputeView:
    caller, key = device.caller, conflict_key(conflict)

    async def command(tx: Tx) -> DisputeView:
        await open_dispute(tx, caller, town.policy, conflict=key, statement=story)
        return await dispute_view(tx, caller, key)

    return await town.uow.run(command)


async def _decide(
    town: Town, caller: Caller, conflict: str, verdict: str = "overturned", bearer: str = "fund"
) -> CaseView:
    key = conflict_key(conflict)
    decision = DisputeDecision(
        verdict=verdict,  # type: ignore[arg-type]
        reason=WHY,
        cause="stolen",
        bearer=bearer if verdict == "overturned" else None,  # type: ignore[arg-type]
    )

    async def command(tx: Tx) -> CaseView:
        await decide(tx, caller, town.policy, conflict=key, decision=decision)
        return await _case(town, tx, caller, key)

    return await run_settling(town.uow, town.tenant, command)


async def _case(town: Town, tx: Tx, caller: Caller, key: bytes) -> CaseView:
    return await case_view(tx, caller, key, key_set=town.keys.key_set.body, policy=town.policy)


async def _stolen(town: Town, money: int = 130) -> tuple[Device, Device, Device, str]:
    """Eve's phone pays 80 twice; of her money 50 are left, and taken."""
    eve = await town.person("eve", money=money)
    bob, cid = await town.person("bob"), await town.person("cid")
    await double_spend(town, eve, [bob, cid], 80)
    return eve, bob, cid, await _conflict(town, bob)


async def _figures(town: Town, eve: Device) -> dict[str, int]:
    return {
        "eve": await town.available(eve),
        "owed": await town.shown(AccountKind.USER_RECEIVABLE, eve.user),
        "fund": await town.shown(AccountKind.HOUSE_GUARANTEE_FUND),
        "loss": await town.shown(AccountKind.HOUSE_OFFLINE_LOSS),
        "due": await town.shown(AccountKind.HOUSE_RECOVERY_DUE),
    }


async def test_an_overturned_dispute_gives_back_what_was_taken_and_the_fund_bears_it(
    town: Town,
) -> None:
    eve, bob, cid, conflict = await _stolen(town)
    assert await _figures(town, eve) == {"eve": 0, "owed": 30, "fund": -30, "loss": 0, "due": 30}
    opened = await _contest(town, eve, conflict)
    assert (opened.state, opened.role, [step.step for step in opened.steps]) == (
        "open",
        "offender",
        ["opened"],
    )
    case = await _decide(town, await officer(town, "olga", "compliance"), conflict)

    assert case.effect is not None
    assert case.dispute is not None
    assert (case.dispute.state, case.effect.cost_of_fork) == ("overturned", 80)
    assert case.effect.sources["spared_fund"] == 80
    assert await _figures(town, eve) == {"eve": 50, "owed": 0, "fund": -80, "loss": 0, "due": 0}
    assert [await town.available(each) for each in (bob, cid)] == [80, 80]
    assert await _status(town, eve) is DeviceStatus.SUSPENDED
    with pytest.raises(DeviceNotTrusted):
        await town.issue(eve, 10)
    tablet = await town.device("eve-tablet", eve.user)
    await town.issue(tablet, 10)
    await town.check()
    await town.audit()


async def _status(town: Town, device: Device) -> DeviceStatus:
    identity = device.caller.device_id
    assert identity is not None
    found = await town.uow.read(lambda tx: device_by_id(tx, town.tenant, identity))
    assert found is not None
    return found.status


async def test_the_issuer_can_bear_it_and_later_victims_of_the_fork_too(town: Town) -> None:
    eve, _, _, conflict = await _stolen(town)
    voucher = (await _vouchers(town, eve))[0]
    await _contest(town, eve, conflict)
    await _decide(town, await officer(town, "olga", "compliance"), conflict, bearer="issuer")
    assert await _figures(town, eve) == {"eve": 50, "owed": 0, "fund": 0, "loss": 80, "due": 0}

    dan = await town.person("dan")
    await town.sync(dan, dan.claim(eve.pay(voucher, dan, 0, 80), town.keys))
    assert await town.available(dan) == 80
    assert await _figures(town, eve) == {"eve": 50, "owed": 0, "fund": 0, "loss": 160, "due": 0}
    await town.check()
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert await _figures(town, eve) == {"eve": 50, "owed": 0, "fund": 0, "loss": 160, "due": 0}
    await town.check()
    await town.audit()


async def _vouchers(town: Town, device: Device) -> list[Chain]:
    page = await town.uow.read(lambda tx: own_vouchers(tx, device.caller, cursor=None, limit=9))
    return [Chain(unseal(Voucher, from_base64url(v.voucher, field="v"))) for v in page.items]


async def test_only_the_contested_fork_is_spared(town: Town) -> None:
    """Another fork of the same account under the same voucher stays the account's to pay."""
    eve = await town.person("eve", money=300)
    bob, cid, dan, fay = [await town.person(name) for name in ("bob", "cid", "dan", "fay")]
    (voucher,) = await town.issue(eve, 100)
    returned = bob.give_back(eve.pay(voucher, bob, 60, 100), eve)
    for payee, chain in (
        (bob, eve.pay(voucher, bob, 0, 50)),
        (cid, eve.pay(voucher, cid, 0, 50)),
        (dan, eve.pay(returned, dan, 60, 100)),
        (fay, eve.pay(returned, fay, 60, 100)),
    ):
        await town.sync(payee, payee.claim(chain, town.keys))
    assert (await _figures(town, eve))["eve"] == 200 - 50 - 40
    await _contest(town, eve, await _conflict(town, cid))
    olga = await officer(town, "olga", "compliance")
    await _decide(town, olga, await _conflict(town, cid))
    assert await _figures(town, eve) == {"eve": 160, "owed": 0, "fund": -50, "loss": 0, "due": 0}
    with pytest.raises(NotFound):
        await _decide(town, olga, await _conflict(town, fay))
    await town.check()
    await town.audit()


async def test_victims_who_were_paid_short_are_made_whole_also_after_claim_by(
    make_town: MakeTown,
) -> None:
    town = make_town(policy(user=0, fund=10))
    eve = await town.person("eve", money=115)
    bob, cid = await town.person("bob"), await town.person("cid")
    await double_spend(town, eve, [bob, cid], 100)
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)
    assert sum([await town.available(each) for each in (bob, cid)]) == 125
    assert await town.available(eve) == 0

    conflict = await _conflict(town, bob)
    await _contest(town, eve, conflict)
    await _decide(town, await officer(town, "olga", "compliance"), conflict)
    assert [await town.available(each) for each in (bob, cid)] == [100, 100]
    assert await _figures(town, eve) == {"eve": 15, "owed": 0, "fund": -100, "loss": 0, "due": 0}
    await town.check()
    await town.audit()


async def test_an_upheld_dispute_moves_nothing(town: Town) -> None:
    eve, bob, _, conflict = await _stolen(town)
    olga = await officer(town, "olga", "compliance")
    before = await town.state()
    await _contest(town, eve, conflict)
    case = await _decide(town, olga, conflict, verdict="upheld")
    assert case.dispute is not None
    assert case.dispute.state == "upheld"
    assert await town.state() == before
    await town.sync(bob)
    told = [event for event in bob.events if event["type"] == "dispute_step"]
    assert [(each["step"], each["role"]) for each in told] == [
        ("opened", "victim"),
        ("upheld", "victim"),
    ]
    await town.check()


async def test_each_party_hears_each_step_in_words_of_its_own(town: Town) -> None:
    eve, bob, cid, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    await _decide(town, await officer(town, "olga", "compliance"), conflict)
    key = conflict_key(conflict)
    seen = {}
    for device in (eve, bob, cid):
        caller = device.caller
        view = await town.uow.read(lambda tx, who=caller: dispute_view(tx, who, key))  # type: ignore[misc]
        await town.sync(device)
        told = [e["text"] for e in device.events if e["type"] == "dispute_step"]
        assert [step.text for step in view.steps] == told
        assert [step.step for step in view.steps] == ["opened", "overturned"]
        seen[device.name] = told
    assert seen["bob"] == seen["cid"]
    assert "given back" in seen["eve"][1]
    assert "You keep all" in seen["bob"][1]
    dan = await town.person("dan")
    with pytest.raises(NotFound):
        await town.uow.read(lambda tx: dispute_view(tx, dan.caller, key))


async def test_only_the_accused_contests_and_once(town: Town) -> None:
    eve, bob, _, conflict = await _stolen(town)
    dan = await town.person("dan")
    with pytest.raises(NotFound):
        await _contest(town, dan, conflict)
    with pytest.raises(Forbidden):
        await _contest(town, bob, conflict)
    first = await _contest(town, eve, conflict)
    assert await _contest(town, eve, conflict) == first
    with pytest.raises(DisputeExists):
        await _contest(town, eve, conflict, "something else")
    assert len(await deeds_of(town, "dispute_opened")) == 1


async def test_a_dispute_of_another_tenant_is_not_there(make_town: MakeTown) -> None:
    here, there = make_town(tenant=1), make_town(tenant=2)
    eve, _, _, conflict = await _stolen(here)
    await _contest(here, eve, conflict)
    foreign = await officer(there, "olga", "compliance")
    with pytest.raises(NotFound):
        await _decide(there, foreign, conflict)
    page = await there.uow.read(
        lambda tx: list_disputes(tx, there.tenant, state="open", cursor=None, limit=9)
    )
    assert page.items == []


async def test_the_time_to_contest_is_data(town: Town) -> None:
    eve, _, _, conflict = await _stolen(town)
    await store_policy(town, replace(town.policy, dispute_within=timedelta(days=5)))
    town.clock.advance(timedelta(days=6))
    with pytest.raises(DisputeTooLate):
        await _contest(town, eve, conflict)


async def test_a_verdict_stands(town: Town) -> None:
    eve, _, _, conflict = await _stolen(town)
    olga = await officer(town, "olga", "compliance")
    with pytest.raises(NotFound):
        await _decide(town, olga, conflict)
    await _contest(town, eve, conflict)
    await _decide(town, olga, conflict)
    after = await town.state()
    await _decide(town, olga, conflict)
    with pytest.raises(DisputeDecided):
        await _decide(town, olga, conflict, verdict="upheld")
    with pytest.raises(DisputeDecided):
        await _decide(town, olga, conflict, bearer="issuer")
    assert await town.state() == after
    assert len(await deeds_of(town, "dispute_overturned")) == 1


async def test_a_verdict_names_a_bearer_exactly_when_somebody_is_spared(town: Town) -> None:
    eve, _, _, conflict = await _stolen(town)
    olga = await officer(town, "olga", "compliance")
    await _contest(town, eve, conflict)
    for verdict, bearer in (("overturned", None), ("upheld", "fund")):
        decision = DisputeDecision(verdict=verdict, reason=WHY, bearer=bearer)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest):
            await town.uow.run(
                lambda tx, said=decision: decide(  # type: ignore[misc]
                    tx, olga, town.policy, conflict=conflict_key(conflict), decision=said
                )
            )


async def test_nobody_decides_their_own_case(town: Town) -> None:
    eve, bob, _, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    for party in (eve, bob):
        with pytest.raises(OwnCase):
            await _decide(town, replace(party.caller, role="compliance"), conflict)


async def test_above_the_policys_amount_two_officers_have_to_agree(make_town: MakeTown) -> None:
    town = make_town(with_limits(policy(), four_eyes_over=79))
    eve, _, _, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    olga, otto = [await officer(town, name, "compliance") for name in ("olga", "otto")]
    before = await town.state()

    case = await _decide(town, olga, conflict)
    assert case.dispute is not None
    assert (case.dispute.state, case.needs_second_officer) == ("proposed", True)
    assert (await _decide(town, olga, conflict)).steps == case.steps, "the same officer again"
    assert await town.state() == before

    other = await _decide(town, otto, conflict, bearer="issuer")
    assert other.dispute is not None
    assert (other.dispute.state, other.proposed_by) == ("proposed", otto.user_id)
    assert await town.state() == before
    agreed = await _decide(town, olga, conflict, bearer="issuer")
    assert agreed.dispute is not None
    assert agreed.dispute.state == "overturned"
    assert await _figures(town, eve) == {"eve": 50, "owed": 0, "fund": 0, "loss": 80, "due": 0}
    steps = [(step.action, step.actor_name) for step in agreed.steps]
    assert steps == [
        ("dispute_opened", "eve"),
        ("dispute_proposed", "olga"),
        ("dispute_proposed", "otto"),
        ("dispute_overturned", "olga"),
    ]
    assert all(step.reason for step in agreed.steps)
    await town.check()


async def test_up_to_that_amount_one_officer_is_enough(make_town: MakeTown) -> None:
    town = make_town(with_limits(policy(), four_eyes_over=80))
    eve, _, _, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    case = await _decide(town, await officer(town, "olga", "compliance"), conflict)
    assert case.dispute is not None
    assert case.dispute.state == "overturned"


async def test_one_officer_does_not_spare_a_fork_whose_cost_nobody_knows_yet(
    make_town: MakeTown,
) -> None:
    """A proof can come before its records, which may cost anything."""
    town = make_town(with_limits(policy(), four_eyes_over=10))
    eve, bob, cid = [await town.person(name, money=100) for name in ("eve", "bob", "cid")]
    (voucher,) = await town.issue(eve, 100)
    middle = bob.pay(eve.pay(voucher, bob, 0, 80), eve, 0, 80)
    chains = [eve.pay(middle, each, 0, 50) for each in (bob, cid)]
    proof = build_fraud_proof(
        *(chain.hops[-1].transfer for chain in chains), certificate=eve.certificate
    )
    await town.upload(cid, [RecordUpload(kind="fraud_proof", object=to_base64url(proof.encode()))])
    conflict = await _conflict(town, eve)
    await _contest(town, eve, conflict)
    olga, otto = [await officer(town, name, "compliance") for name in ("olga", "otto")]
    case = await _decide(town, olga, conflict)
    assert case.dispute is not None
    assert (case.dispute.state, case.needs_second_officer) == ("proposed", True)
    for payee, chain in zip((bob, cid), chains, strict=True):
        await town.sync(payee, payee.claim(chain, town.keys))
    assert (await _figures(town, eve))["owed"] == 50
    agreed = await _decide(town, otto, conflict)
    assert agreed.dispute is not None
    assert (agreed.dispute.state, agreed.needs_second_officer) == ("overturned", True)
    assert (await _figures(town, eve))["owed"] == 0


async def test_a_fund_with_a_floor_bears_no_more_than_it_has(make_town: MakeTown) -> None:
    town = make_town(with_limits(policy(fund=0), fund_floor=0))
    eve, _, _, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    olga = await officer(town, "olga", "compliance")
    before = await town.state()
    with pytest.raises(FundTooLow):
        await _decide(town, olga, conflict)
    assert await town.state() == before
    await _decide(town, olga, conflict, bearer="issuer")
    assert (await _figures(town, eve))["owed"] == 0


async def test_an_officer_sees_the_evidence_itself(town: Town) -> None:
    eve, _, _, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    olga = await officer(town, "olga", "compliance")
    case = await town.uow.read(lambda tx: _case(town, tx, olga, conflict_key(conflict)))

    proof = FraudProof.decode(from_base64url(case.proof, field="proof"))
    assert verify_fraud_proof(proof, town.keys.key_set.body).key == eve.signer.public_key
    assert case.proof_verifies
    assert (case.lo, case.hi, case.currency, case.kind) == (0, 80, "EUR", "fork")
    assert case.statement == STORY
    assert case.accused.username == "eve"
    assert {(each.payee_name, each.lo, each.hi) for each in case.transfers} == {
        ("Bob", 0, 80),
        ("Cid", 0, 80),
    }
    for shown in case.transfers:
        body = unseal(Transfer, from_base64url(shown.object, field="object")).body
        assert shown.signed_at.timestamp() == body.time
        assert shown.received_at is not None
    assert {(each.username, each.role, each.credited) for each in case.parties} == {
        ("eve", "offender", 0),
        ("bob", "victim", 80),
        ("cid", "victim", 80),
    }
    assert case.effect is not None
    assert case.effect.credits == sum(case.effect.sources.values()) == 160
    assert case.effect.debts == {str(eve.user): 80}
    assert case.standing[0].outstanding == 30
    assert case.device_status == "suspended"


async def test_a_copied_device_is_contested_and_nothing_moves(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    first = ada.pay(voucher, bob, 0, 30, sequence=1)
    second = ada.pay(voucher, bob, 50, 80, sequence=1)
    await town.sync(bob, bob.claim(first, town.keys), bob.claim(second, town.keys))
    conflict = await _conflict(town, ada)
    await _contest(town, ada, conflict)
    olga = await officer(town, "olga", "compliance")
    before = await town.state()
    case = await _decide(town, olga, conflict)
    assert (case.kind, case.effect, case.proof_verifies) == ("clone", None, True)
    assert await town.state() == before
    await town.check()


async def test_no_statement_changes_what_the_audit_says(town: Town) -> None:
    eve, _, _, conflict = await _stolen(town)
    await _contest(town, eve, conflict)
    for statement in (update(AuditRow).values(reason="nothing"), delete(AuditRow)):
        with pytest.raises(DBAPIError):
            await town.uow.run(lambda tx, sql=statement: tx.session.execute(sql))  # type: ignore[misc]
    (deed,) = await deeds_of(town, "dispute_opened")
    assert (deed.actor, deed.reason) == (eve.user, STORY)


async def test_disputes_are_listed_oldest_first_in_pages(town: Town) -> None:
    for number, names in enumerate(("abc", "def", "ghi")):
        cheat, first, second = [await town.person(n * 3, money=100) for n in names]
        await double_spend(town, cheat, [first, second], 80)
        town.clock.advance(timedelta(minutes=number + 1))
        await _contest(town, cheat, await _conflict(town, first))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await town.uow.read(
            lambda tx, at=cursor: list_disputes(  # type: ignore[misc]
                tx, town.tenant, state="open", cursor=at, limit=2
            )
        )
        seen += [str(item.user_id) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [str(town.devices[name].user) for name in ("aaa", "ddd", "ggg")]
    with pytest.raises(InvalidRequest):
        await town.uow.read(lambda tx: list_disputes(tx, 1, state="open", cursor="AAAA", limit=2))
