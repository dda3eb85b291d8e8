"""Sync: idempotent, resumable, and one bad record spoils no other."""

from datetime import timedelta

import pytest

from offline_protocol import Receipt, Signed, Voucher, VoucherLimits, seal
from server.identity import Role, set_role
from server.kit.errors import IdempotencyConflict
from server.kit.schema import to_base64url
from server.ledger import InsufficientFunds
from server.offline import issue_vouchers
from server.offline.errors import OverOfflineLimit
from server.offline.schemas import RecordUpload, SyncAnswer, VouchersCreate
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.town import (
    AFTER_CLAIM_BY,
    CURRENCY,
    Device,
    Town,
    policy,
    receipt_record,
    transfer_record,
    transfers_of,
)


def _statuses(answer: SyncAnswer) -> list[tuple[str, str | None]]:
    return [(result.status, result.code) for result in answer.results]


def _receipt(town: Town, payee: Device, transfer: bytes, amount: int) -> Signed[Receipt]:
    now = int(town.clock.now().timestamp())
    return seal(Receipt((transfer,), b"r" * 16, amount, now), payee.signer)


async def test_uploading_again_changes_nothing(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    chain = bob.claim(ada.pay(voucher, bob, 0, 30), town.keys)
    await town.sync(bob, chain)
    before = await town.state()

    assert _statuses(await town.sync(bob, chain)) == [("duplicate", None)] * 2
    assert _statuses(await town.sync(ada, chain)) == [("duplicate", None)] * 2
    doubled = await town.upload(bob, transfers_of([chain]) * 2)
    assert _statuses(doubled) == [("duplicate", None)] * 4
    assert await town.state() == before


async def test_a_record_waits_for_its_parent_in_another_devices_upload(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    cid = await town.person("cid")
    (voucher,) = await town.issue(ada, 100)
    to_cid = bob.pay(ada.pay(voucher, bob, 0, 30), cid, 0, 20)
    claim = cid.claim(to_cid, town.keys)
    first, second, third = (hop.transfer.envelope for hop in claim.hops)

    answer = await town.upload(cid, [transfer_record(third), transfer_record(second)])
    assert _statuses(answer) == [("waiting", "parent_unknown")] * 2
    answer = await town.upload(cid, [transfer_record(third)])
    assert _statuses(answer) == [("waiting", "parent_unknown")]
    assert await town.available(cid) == 0

    answer = await town.upload(ada, [transfer_record(first)])
    assert _statuses(answer) == [("stored", None)]
    assert await town.available(cid) == 20
    assert _statuses(await town.sync(cid, claim)) == [("duplicate", None)] * 3
    await town.check()


async def test_a_bad_record_does_not_spoil_its_neighbours(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    mallory = await town.person("mallory")
    (voucher,) = await town.issue(ada, 100)
    good = bob.claim(ada.pay(voucher, bob, 0, 30), town.keys)
    stolen = mallory.pay(voucher, mallory, 30, 60)
    outside = ada.pay(voucher, bob, 90, 101)
    records = [
        RecordUpload(kind="transfer", object="!!"),
        RecordUpload(kind="transfer", object="AAAA"),
        *transfers_of([stolen]),
        *transfers_of([outside]),
        *transfers_of([good]),
        RecordUpload(kind="voucher", object=to_base64url(voucher.voucher.envelope)),
    ]

    answer = await town.upload(bob, records)

    assert _statuses(answer) == [
        ("refused", "invalid_request"),
        ("refused", "malformed_envelope"),
        ("refused", "transfer_signed"),
        ("refused", "transfer_inside_parent"),
        ("stored", None),
        ("stored", None),
        ("duplicate", None),
    ]
    assert await town.available(bob) == 30
    await town.check()


async def test_a_forged_copy_does_not_keep_the_true_one_out(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    mallory = await town.person("mallory")
    (voucher,) = await town.issue(ada, 100)
    true = ada.pay(voucher, bob, 0, 30)
    forged = seal(true.hops[0].transfer.body, mallory.signer)
    claim = bob.claim(true, town.keys)
    child = transfer_record(claim.hops[1].transfer.envelope)

    answer = await town.upload(mallory, [transfer_record(forged.envelope), child])
    assert _statuses(answer) == [("refused", "transfer_signed"), ("waiting", "parent_unknown")]
    answer = await town.upload(bob, [transfer_record(true.hops[0].transfer.envelope)])
    assert _statuses(answer) == [("stored", None)]
    assert await town.available(bob) == 30


async def test_no_changed_byte_of_a_record_moves_money(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    claim = bob.claim(ada.pay(voucher, bob, 0, 30), town.keys)
    await town.sync(ada, ada.pay(voucher, bob, 50, 60))
    before = await town.state()
    for hop in claim.hops:
        envelope = hop.transfer.envelope
        changed = [
            transfer_record(envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :])
            for at in range(len(envelope))
        ]
        for start in range(0, len(changed), 100):
            answer = await town.upload(bob, changed[start : start + 100])
            assert {status for status, _ in _statuses(answer)} <= {"refused", "waiting"}
    assert await town.state() == before
    await town.sync(bob, claim)
    assert await town.available(bob) == 30


async def test_a_stranger_may_carry_a_claim_but_it_pays_its_owner(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    cid = await town.person("cid")
    (voucher,) = await town.issue(ada, 100)
    await town.sync(cid, bob.claim(ada.pay(voucher, bob, 0, 30), town.keys))
    assert await town.available(bob) == 30
    assert await town.available(cid) == 0


async def test_nobody_can_claim_what_is_somebody_elses(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    cid = await town.person("cid")
    (voucher,) = await town.issue(ada, 100)
    answer = await town.sync(cid, cid.claim(ada.pay(voucher, bob, 0, 30), town.keys))
    assert _statuses(answer) == [("stored", None), ("refused", "transfer_signed")]
    assert await town.available(cid) == 0


async def test_a_payment_to_a_key_that_nobody_enrolled_stays_the_payers(
    make_town: MakeTown,
) -> None:
    town, elsewhere = make_town(), make_town(tenant=2)
    ada, foreigner = await town.person("ada", money=100), await elsewhere.person("zoe")
    (voucher,) = await town.issue(ada, 100)
    answer = await town.sync(ada, ada.pay(voucher, foreigner, 0, 30))
    assert _statuses(answer) == [("refused", "payee_unknown")]
    assert (await town.report()).currencies[0].open_vouchers == 100


async def test_a_transfer_outside_its_certificates_time_is_refused(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    cid = await town.person("cid")
    (voucher,) = await town.issue(ada, 100)
    received = ada.pay(voucher, bob, 0, 30)
    late = bob.pay(received, cid, 0, 10, after=timedelta(days=15))
    in_time = bob.pay(received, cid, 10, 20, after=timedelta(days=13))
    answer = await town.sync(cid, late, in_time)
    assert _statuses(answer) == [
        ("stored", None),
        ("refused", "transfer_within_certificate"),
        ("stored", None),
    ]


async def test_only_so_many_records_of_a_device_may_wait(make_town: MakeTown) -> None:
    town = make_town(policy(waiting=2))
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    received = ada.pay(voucher, bob, 0, 30)
    orphans = [bob.pay(received, ada, lo, lo + 1).hops[-1].transfer for lo in range(4)]
    records = [transfer_record(each.envelope) for each in orphans]
    answer = await town.upload(bob, records)
    assert sorted(_statuses(answer)) == [
        ("waiting", "parent_unknown"),
        ("waiting", "parent_unknown"),
        ("waiting", "too_many_waiting"),
        ("waiting", "too_many_waiting"),
    ]
    # Nothing is lost by it: a device sends again whatever it is not told to be decided.
    await town.sync(bob, received)
    answer = await town.upload(bob, records)
    assert sorted(_statuses(answer)) == [("duplicate", None)] * 2 + [("stored", None)] * 2


async def test_a_receipt_is_kept_and_told_to_the_payer_also_when_it_comes_first(
    town: Town,
) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    paid = ada.pay(voucher, bob, 0, 30)
    receipt = _receipt(town, bob, paid.tip_id, 30)

    answer = await town.upload(bob, [receipt_record(receipt)])
    assert _statuses(answer) == [("waiting", "parent_unknown")]
    await town.sync(bob, paid)
    assert _statuses(await town.upload(bob, [receipt_record(receipt)])) == [("duplicate", None)]
    await town.sync(ada)

    told = [event for event in ada.events if event["type"] == "transfer_known"]
    assert {event["transfer_id"] for event in told} == {to_base64url(paid.tip_id)}
    assert told[-1]["receipt"] == to_base64url(receipt.envelope)


async def test_a_receipt_over_another_amount_or_by_another_key_is_refused(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    paid = ada.pay(voucher, bob, 0, 30)
    records = [
        *transfers_of([paid]),
        receipt_record(_receipt(town, bob, paid.tip_id, 31)),
        receipt_record(_receipt(town, ada, paid.tip_id, 30)),
    ]
    assert _statuses(await town.upload(ada, records)) == [
        ("stored", None),
        ("refused", "receipt_of_amount"),
        ("refused", "receipt_signed"),
    ]


async def test_events_come_once_in_order_and_in_pages(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.offline.events.EVENTS_PER_SYNC", 3)
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    for lo in range(0, 50, 10):
        await town.sync(ada, ada.pay(voucher, bob, lo, lo + 10))

    more = True
    pages = []
    while more:
        answer = await town.sync(bob)
        pages.append(len(answer.events))
        more = answer.more
    assert pages == [3, 2]
    numbers = [event["seq"] for event in bob.events]
    assert numbers == sorted(set(numbers))
    assert {event["type"] for event in bob.events} == {"transfer_known"}


async def test_issuing_is_idempotent_and_bound_to_its_request(town: Town) -> None:
    ada = await town.person("ada", money=500)
    wish = VouchersCreate(amount=250, currency=CURRENCY)
    issue = [
        await issue_vouchers(town.uow, town.keys, town.policy, ada.caller, wish, key="same")
        for _ in range(2)
    ]
    assert issue[0] == issue[1]
    assert len(issue[0].vouchers) == 3
    assert await town.available(ada) == 250
    with pytest.raises(IdempotencyConflict):
        await issue_vouchers(
            town.uow,
            town.keys,
            town.policy,
            ada.caller,
            VouchersCreate(amount=251, currency=CURRENCY),
            key="same",
        )
    await town.check()


async def test_issuing_stays_within_money_and_limits(town: Town) -> None:
    ada = await town.person("ada", money=50)
    with pytest.raises(InsufficientFunds):
        await town.issue(ada, 51)
    with pytest.raises(OverOfflineLimit):
        await town.issue(ada, 100 * 32 + 1)
    assert await town.available(ada) == 50
    assert (await town.report()).currencies == ()


async def test_vouchers_of_several_currencies_settle_apart(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    await town.top_up(ada.user, 100, "TRY")
    (euro,) = await town.issue(ada, 100)
    (lira,) = await town.issue(ada, 100, "TRY")
    claims = [bob.claim(ada.pay(each, bob, 0, 30), town.keys) for each in (euro, lira)]
    await town.sync(bob, *claims)
    assert await town.available(bob) == await town.available(bob, "TRY") == 30
    await town.check()
    assert [each.currency for each in (await town.report()).currencies] == ["EUR", "TRY"]


async def test_a_voucher_that_was_never_issued_is_refused(town: Town) -> None:
    ada = await town.person("ada")
    foreign = seal(_voucher(town, ada), ada.signer)
    answer = await town.upload(
        ada, [RecordUpload(kind="voucher", object=to_base64url(foreign.envelope))]
    )
    assert _statuses(answer) == [("refused", "voucher_unknown")]


def _voucher(town: Town, device: Device) -> Voucher:
    now = int(town.clock.now().timestamp())
    later = now + int(AFTER_CLAIM_BY.total_seconds())
    return Voucher(
        kid=town.keys.issue_signers[0].public_key.kid,
        serial=b"s" * 16,
        currency=CURRENCY,
        value=10,
        holder=device.signer.public_key,
        issued_at=now,
        spend_by=later,
        limits=VoucherLimits(4, 10),
        claim_by=later,
    )


async def test_a_new_merchant_is_certified_by_name_at_the_next_sync(town: Town) -> None:
    bob = await town.person("bob")
    assert bob.certificate is not None
    assert bob.certificate.body.display_name is None
    await town.uow.run(lambda tx: set_role(tx, town.tenant, "bob", Role.MERCHANT))
    await town.sync(bob)
    named = bob.certificate
    assert named.body.display_name == "Bob"
    await town.sync(bob)
    assert bob.certificate == named, "nothing changed, so nothing is issued"
