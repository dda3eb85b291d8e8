"""Contradictory signatures are found, proved and told; honest keys are left alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from offline_protocol import (
    Chain,
    FraudProof,
    SoftwareSigner,
    build_fraud_proof,
    seal,
    verify_fraud_proof,
)
from server.identity import DeviceStatus, device_by_id
from server.kit.auth import Caller
from server.kit.errors import InvalidRequest, NotFound
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.offline import queries
from server.offline.errors import DebtOutstanding, DeviceNotTrusted
from server.offline.schemas import FraudProofView, RecordUpload
from tests.integration.offline.town import Device, Town, transfers_of


async def _status(town: Town, device: Device) -> DeviceStatus:
    async def query(tx: Tx) -> DeviceStatus:
        assert device.caller.device_id is not None
        found = await device_by_id(tx, town.tenant, device.caller.device_id)
        assert found is not None
        return found.status

    return await town.uow.read(query)


async def _proof(town: Town, caller: Caller, identity: str) -> FraudProofView:
    return await town.uow.read(lambda tx: queries.fraud_proof(tx, caller, identity))


async def _double_spend(town: Town) -> tuple[Device, Device, Device]:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    to_bob, to_cid = eve.pay(voucher, bob, 0, 80), eve.pay(voucher, cid, 40, 100)
    await town.sync(bob, bob.claim(to_bob, town.keys))
    await town.sync(cid, cid.claim(to_cid, town.keys))
    return eve, bob, cid


def _news(device: Device, kind: str) -> list[dict[str, object]]:
    return [event for event in device.events if event["type"] == kind]


async def test_a_double_spend_suspends_the_device_and_is_told_to_its_parties(town: Town) -> None:
    eve, bob, cid = await _double_spend(town)
    await town.sync(bob)
    await town.sync(eve)

    assert await _status(town, eve) is DeviceStatus.SUSPENDED
    (to_bob,) = _news(bob, "fork_found")
    (to_eve,) = _news(eve, "fork_found")
    assert (to_bob["role"], to_bob["amount"], to_bob["account"]) == ("victim", 40, "Eve")
    assert to_eve["role"] == "offender"
    assert _news(eve, "debt_charged")[-1]["amount"] == 40
    assert _news(eve, "certificate_refused")[-1]["reason"] == "convicted"
    assert await _status(town, cid) is DeviceStatus.ACTIVE


async def test_the_proof_convinces_without_the_server(town: Town) -> None:
    eve, bob, _ = await _double_spend(town)
    await town.sync(bob)
    identity = str(_news(bob, "fork_found")[0]["proof_id"])

    view = await _proof(town, bob.caller, identity)

    proof = FraudProof.decode(from_base64url(view.proof, field="proof"))
    conviction = verify_fraud_proof(proof, town.keys.key_set.body)
    assert conviction.key == eve.signer.public_key
    assert (conviction.lo, conviction.hi) == (40, 80)
    assert view.convicted.user == eve.user
    assert {view.transfers[0].id, view.transfers[1].id} == {
        to_base64url(proof.first.id),
        to_base64url(proof.second.id),
    }


async def test_only_parties_and_staff_see_a_proof(town: Town) -> None:
    _, bob, _ = await _double_spend(town)
    dan = await town.person("dan")
    sue = await town.person("sue", role="support")
    await town.sync(bob)
    identity = str(_news(bob, "fork_found")[0]["proof_id"])

    with pytest.raises(NotFound):
        await _proof(town, dan.caller, identity)
    with pytest.raises(InvalidRequest):
        await _proof(town, bob.caller, "short")
    staff = Caller(town.tenant, sue.user, sue.caller.session_id, "support")
    assert await _proof(town, staff, identity) == await _proof(town, bob.caller, identity)

    async def lists(tx: Tx) -> list[int]:
        pages = [
            await queries.conflicts(tx, caller, cursor=None, limit=10)
            for caller in (bob.caller, dan.caller, staff)
        ]
        return [len(page.items) for page in pages]

    assert await town.uow.read(lists) == [1, 0, 1]


async def test_a_convicted_user_gets_no_new_value(town: Town) -> None:
    eve, _, _ = await _double_spend(town)
    await town.top_up(eve.user, 500)
    with pytest.raises(DeviceNotTrusted):
        await town.issue(eve, 10)
    tablet = await town.device("eve-tablet", eve.user)
    with pytest.raises(DebtOutstanding):
        await town.issue(tablet, 10)
    await town.check()


async def test_a_proof_that_comes_before_its_records_convicts_and_settles_later(
    town: Town,
) -> None:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    middle = bob.pay(eve.pay(voucher, bob, 0, 80), eve, 0, 80)
    first, second = eve.pay(middle, bob, 0, 50), eve.pay(middle, cid, 0, 50)
    proof = build_fraud_proof(
        first.hops[-1].transfer, second.hops[-1].transfer, certificate=eve.certificate
    )
    record = RecordUpload(kind="fraud_proof", object=to_base64url(proof.encode()))

    answer = await town.upload(cid, [record])
    assert [r.status for r in answer.results] == ["stored"]
    assert await _status(town, eve) is DeviceStatus.SUSPENDED
    again = await town.upload(cid, [record])
    assert [r.status for r in again.results] == ["duplicate"]

    await town.sync(bob, bob.claim(first, town.keys))
    await town.sync(cid, cid.claim(second, town.keys))
    assert await town.available(bob) == 50
    assert await town.available(cid) == 50
    assert (await town.report()).forks == 1
    await town.check()


async def test_a_false_proof_is_refused_and_convicts_nobody(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    mallory = await town.person("mallory")
    forged = [mallory.pay(voucher, bob, 0, hi).hops[-1].transfer for hi in (40, 50)]
    proof = build_fraud_proof(forged[0], forged[1], voucher=voucher.voucher)

    answer = await town.upload(
        bob, [RecordUpload(kind="fraud_proof", object=to_base64url(proof.encode()))]
    )

    assert [(r.status, r.code) for r in answer.results] == [("refused", "not_signed")]
    assert await _status(town, ada) is DeviceStatus.ACTIVE
    assert (await town.report()).forks == 0


async def test_a_copied_device_is_suspended_and_nobody_owes(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    first = ada.pay(voucher, bob, 0, 30, sequence=1)
    second = ada.pay(voucher, bob, 50, 80, sequence=1)
    await town.sync(bob, bob.claim(first, town.keys), bob.claim(second, town.keys))

    report = await town.report()
    assert (report.forks, report.clones) == (0, 1)
    assert report.currencies[0].debts == 0
    assert await _status(town, ada) is DeviceStatus.SUSPENDED
    assert await town.available(bob) == 60
    await town.sync(ada)
    (news,) = _news(ada, "fork_found")
    assert (news["kind"], news["amount"]) == ("clone", 0)
    view = await _proof(town, ada.caller, str(news["proof_id"]))
    assert "Nobody lost money" in view.explanation
    await town.check()


async def test_the_same_content_signed_twice_is_no_conflict(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    chain = bob.claim(ada.pay(voucher, bob, 0, 30), town.keys)
    await town.sync(bob, chain)
    await town.sync(ada, chain)
    report = await town.report()
    assert (report.forks, report.clones) == (0, 0)


async def test_a_hole_in_the_sequence_stops_the_certificate_until_it_is_filled(
    town: Town,
) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    first, second = ada.pay(voucher, bob, 0, 30), ada.pay(voucher, bob, 30, 60)

    answer = await town.sync(ada, second)
    assert (answer.certificate, answer.missing_sequences) == (None, [1])
    assert answer.events[-1]["reason"] == "sequence_gap"
    answer = await town.sync(ada)
    assert answer.events == []
    answer = await town.sync(ada, first)
    assert answer.missing_sequences == []
    assert answer.certificate is not None


async def test_a_certificate_is_renewed_when_less_than_a_week_is_left(town: Town) -> None:
    ada = await town.person("ada")
    first = ada.certificate
    town.clock.advance(timedelta(days=6))
    await town.sync(ada)
    assert ada.certificate == first
    town.clock.advance(timedelta(days=2))
    await town.sync(ada)
    assert ada.certificate is not None
    assert first is not None
    assert ada.certificate.body.valid_to > first.body.valid_to


async def test_a_proof_against_a_key_that_nobody_enrolled_here_spoils_no_batch(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    stranger = replace(ada, signer=SoftwareSigner(b"stranger" * 4))
    body = replace(voucher.voucher.body, holder=stranger.signer.public_key)
    elsewhere = Chain(seal(body, town.keys.issue_signers[0]))
    first, second = (stranger.pay(elsewhere, bob, 0, hi) for hi in (50, 60))
    proof = build_fraud_proof(
        first.hops[0].transfer, second.hops[0].transfer, voucher=elsewhere.voucher
    )
    record = RecordUpload(kind="fraud_proof", object=to_base64url(proof.encode()))
    paid = ada.pay(voucher, bob, 0, 30)

    answer = await town.upload(bob, [record, *transfers_of([bob.claim(paid, town.keys)])])
    assert [result.status for result in answer.results] == ["refused", "stored", "stored"]
    assert answer.results[0].code == "signer_unknown"
    assert await town.available(bob) == 30


async def test_everybody_below_a_fork_of_many_branches_hears_of_it_once(town: Town) -> None:
    eve = await town.person("eve", money=100)
    payees = [await town.person(f"payee-{number}") for number in range(4)]
    dan = await town.person("dan")
    (voucher,) = await town.issue(eve, 100)
    paid = [eve.pay(voucher, payee, n, 90) for n, payee in enumerate(payees)]
    for payee, chain in zip(payees[:3], paid[:3], strict=True):
        await town.sync(payee, chain)
    await town.sync(payees[3], payees[3].pay(paid[3], dan, 10, 20))
    for device in (eve, *payees, dan):
        await town.sync(device)
        (told,) = _news(device, "fork_found")
        assert told["role"] == ("offender" if device is eve else "victim")
