"""Evidence: it convicts exactly the keys that contradicted themselves, and needs nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from offline_protocol import cbor
from offline_protocol.chains import Chain
from offline_protocol.cose import Signed, seal
from offline_protocol.errors import EvidenceRefused, MalformedObject, ProtocolError
from offline_protocol.fraud import (
    CloneAlarm,
    FraudProof,
    build_clone_alarm,
    build_fraud_proof,
    find_clones,
    find_forks,
    verify_clone_alarm,
    verify_fraud_proof,
)
from offline_protocol.transfers import Transfer
from tests.factories.protocol import NOW, Issuer, entropy, signer_from

ISSUER = Issuer()
ALICE, BOB, CAROL = (ISSUER.device(name) for name in ("alice", "bob", "carol"))
KEY_SET = ISSUER.key_set.body
CHAIN: Chain = ISSUER.chain(ALICE)
PARENT = CHAIN.tip_id


def _pay(lo: int, hi: int, **more: Any) -> Signed[Transfer]:
    return ALICE.transfer(PARENT, lo, hi, more.pop("payee", BOB.key), **more)


def _number(error: pytest.ExceptionInfo[ProtocolError]) -> int:
    return error.value.number


@pytest.mark.parametrize("named", [{"certificate": ALICE.certificate}, {"voucher": CHAIN.voucher}])
def test_two_overlapping_transfers_convict_their_signer(named: dict[str, Any]) -> None:
    first, second = _pay(0, 500), _pay(400, 900, payee=CAROL.key)
    proof = build_fraud_proof(first, second, **named)
    assert proof == build_fraud_proof(second, first, **named)
    conviction = verify_fraud_proof(FraudProof.decode(proof.encode()), KEY_SET)
    assert conviction.key == ALICE.key
    assert (conviction.parent, conviction.lo, conviction.hi) == (PARENT, 400, 500)


def test_touching_intervals_are_no_contradiction() -> None:
    first, second = _pay(0, 5), _pay(5, 9)
    assert find_forks([first, second]) == []
    with pytest.raises(EvidenceRefused) as caught:
        build_fraud_proof(first, second, certificate=ALICE.certificate)
    assert _number(caught) == 702


def test_different_parents_are_no_contradiction() -> None:
    first = _pay(0, 5)
    second = ALICE.transfer(entropy("another parent"), 0, 5, BOB.key)
    assert find_forks([first, second]) == []
    with pytest.raises(EvidenceRefused) as caught:
        build_fraud_proof(first, second, certificate=ALICE.certificate)
    assert _number(caught) == 701


def test_the_same_content_signed_again_is_no_fraud() -> None:
    """As a randomised signature scheme would do it: other signature bytes, the same object."""
    first = _pay(0, 5)
    envelope = bytearray(first.envelope)
    envelope[-1] ^= 1
    again = Signed(first.body, bytes(envelope))
    assert find_forks([first, again]) == []
    assert find_clones([(ALICE.key, first), (ALICE.key, again)]) == []
    with pytest.raises(MalformedObject):
        build_fraud_proof(first, again, certificate=ALICE.certificate)


def test_a_return_and_a_spend_of_the_same_piece_are_a_contradiction() -> None:
    paid = ALICE.hand_over(CHAIN, BOB.request().body, lo=0, hi=100)
    returned = BOB.give_back(paid)
    spent = BOB.hand_over(paid, CAROL.request().body, lo=90, hi=100)
    claimed = BOB.claim(paid, ISSUER.settle_key, lo=0, hi=1)
    hops = [chain.hops[-1].transfer for chain in (returned, spent, claimed)]
    pairs = find_forks([paid.hops[0].transfer, *hops])
    assert len(pairs) == 2
    for first, second in pairs:
        proof = build_fraud_proof(first, second, certificate=BOB.certificate)
        assert verify_fraud_proof(proof, KEY_SET).key == BOB.key


def _forged(signer: Any = None, **changes: Any) -> Signed[Transfer]:
    """A transfer that Alice never signed."""
    body = replace(_pay(0, 500).body, **changes)
    return seal(body, signer or signer_from("mallory"))


def test_nobody_can_be_convicted_without_their_signatures() -> None:
    honest = _pay(0, 500)
    proof = build_fraud_proof(honest, _forged(), certificate=ALICE.certificate)
    with pytest.raises(EvidenceRefused) as caught:
        verify_fraud_proof(proof, KEY_SET)
    assert _number(caught) == 705


def test_a_proof_against_a_key_that_the_issuer_does_not_know_proves_nothing() -> None:
    first, second = _pay(0, 500), _pay(400, 900)
    own = seal(ALICE.certificate.body, signer_from("mallory"))
    with pytest.raises(EvidenceRefused) as caught:
        verify_fraud_proof(build_fraud_proof(first, second, certificate=own), KEY_SET)
    assert _number(caught) == 704
    unknown = ISSUER.certify(ALICE, kid=b"none")
    with pytest.raises(EvidenceRefused) as caught:
        verify_fraud_proof(build_fraud_proof(first, second, certificate=unknown), KEY_SET)
    assert _number(caught) == 703


def test_a_proof_that_names_another_key_convicts_nobody() -> None:
    first, second = _pay(0, 500), _pay(400, 900)
    with pytest.raises(EvidenceRefused) as caught:
        verify_fraud_proof(build_fraud_proof(first, second, certificate=BOB.certificate), KEY_SET)
    assert _number(caught) == 705


def test_evidence_names_the_key_in_exactly_one_way_and_orders_its_transfers() -> None:
    first, second = sorted((_pay(0, 500), _pay(400, 900)), key=lambda t: t.id)
    for arguments in [
        (first, second, None, None),
        (first, second, ALICE.certificate, CHAIN.voucher),
        (second, first, ALICE.certificate, None),
        (first, first, ALICE.certificate, None),
    ]:
        with pytest.raises(MalformedObject):
            FraudProof(*arguments)
    proof = build_fraud_proof(first, second, certificate=ALICE.certificate)
    fields = cbor.decode(proof.encode())
    assert type(fields) is dict
    swapped = {**fields, 1: fields[2], 2: fields[1]}
    with pytest.raises(MalformedObject):
        FraudProof.decode(cbor.encode(swapped))
    with pytest.raises(MalformedObject):
        FraudProof.decode(cbor.encode({**fields, 5: 1}))


def test_a_proof_read_unchecked_is_still_checked_for_contradiction() -> None:
    first, second = sorted((_pay(0, 5), _pay(5, 9)), key=lambda t: t.id)
    with pytest.raises(EvidenceRefused):
        verify_fraud_proof(FraudProof(first, second, ALICE.certificate), KEY_SET)
    with pytest.raises(EvidenceRefused):
        verify_clone_alarm(CloneAlarm(first, second, ALICE.certificate), KEY_SET)


def test_one_number_for_two_transfers_raises_the_alarm_and_nothing_more() -> None:
    first, second = _pay(0, 5, sequence=900), _pay(5, 9, sequence=900)
    assert find_clones([(ALICE.key, second), (ALICE.key, first)]) == [
        tuple(sorted((first, second), key=lambda t: t.id))
    ]
    alarm = build_clone_alarm(second, first, certificate=ALICE.certificate)
    conviction = verify_clone_alarm(CloneAlarm.decode(alarm.encode()), KEY_SET)
    assert conviction.key == ALICE.key
    assert conviction.lo == conviction.hi


def test_an_alarm_is_not_raised_for_other_numbers_other_keys_or_what_is_worse() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        build_clone_alarm(_pay(0, 5), _pay(5, 9), certificate=ALICE.certificate)
    assert _number(caught) == 706
    overlapping = _pay(0, 6, sequence=900), _pay(5, 9, sequence=900)
    with pytest.raises(EvidenceRefused) as caught:
        build_clone_alarm(*overlapping, certificate=ALICE.certificate)
    assert _number(caught) == 707
    assert find_clones((ALICE.key, transfer) for transfer in overlapping) == []
    bobs = BOB.transfer(PARENT, 0, 5, CAROL.key, sequence=900)
    assert find_clones([(ALICE.key, _pay(5, 9, sequence=900)), (BOB.key, bobs)]) == []


def test_an_alarm_needs_the_signatures_too() -> None:
    forged = _forged(lo=700, hi=800, sequence=901)
    alarm = build_clone_alarm(_pay(0, 5, sequence=901), forged, certificate=ALICE.certificate)
    with pytest.raises(EvidenceRefused) as caught:
        verify_clone_alarm(alarm, KEY_SET)
    assert _number(caught) == 705


def test_every_transfer_that_contradicts_another_is_in_a_pair() -> None:
    transfers = [_pay(0, 10), _pay(2, 4), _pay(5, 7), _pay(9, 12), _pay(12, 20)]
    pairs = find_forks([*transfers, *reversed(transfers)])
    assert len(pairs) == 3
    involved = {transfer.id for pair in pairs for transfer in pair}
    assert involved == {transfer.id for transfer in transfers[:4]}
    assert find_forks(reversed(transfers)) == pairs


def test_thousands_of_contradictions_give_no_more_pairs_than_transfers() -> None:
    body = _pay(0, 100).body
    many = [Signed(replace(body, sequence=n, time=NOW + n), b"") for n in range(3_000)]
    assert len(find_forks(many)) == 2_999
