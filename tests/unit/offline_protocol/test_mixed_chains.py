"""Chains in which Ed25519 and P-256 keys follow one another keep the same rules."""

from itertools import product

import pytest

from offline_protocol import (
    ChainRefused,
    IssuerKey,
    KeyUse,
    Payment,
    UnsupportedAlgorithm,
    build_fraud_proof,
    keys,
    seal,
    verify_fraud_proof,
    verify_payment,
    verify_receipt,
    verify_request,
    verify_return,
)
from offline_protocol.errors import ProtocolError
from tests.factories.protocol import Issuer, p256_signer_from

MIXES = list(product([False, True], repeat=3))


def _names(mix: tuple[bool, ...]) -> str:
    return "-".join("p256" if each else "ed25519" for each in mix)


@pytest.mark.parametrize("mix", MIXES, ids=_names)
def test_payment_receipt_return_and_proof_hold_in_every_mix(mix: tuple[bool, ...]) -> None:
    issuer = Issuer(("mix", mix))
    ada, bob, cid = (issuer.device(n, p256=p) for n, p in zip("abc", mix, strict=True))
    asked = bob.request(500)
    verify_request(asked, issuer.context)
    first = ada.pay(issuer.chain(ada), asked)
    verify_payment(Payment.decode(first.encode()), asked.body, issuer.context)
    again = cid.request(400)
    second = bob.pay(first.chains[0], again)
    verified = verify_payment(Payment.decode(second.encode()), again.body, issuer.context)
    assert verified.amount == 400
    receipt = cid.receipt(second, again.body)
    verify_receipt(receipt, again.body, second.transfer_ids, 400)
    returned = Payment((cid.give_back(second.chains[0]),))
    verify_return(returned, second.transfer_ids, issuer.context)
    other = bob.transfer(first.chains[0].tip_id, 100, 200, ada.key)
    proof = build_fraud_proof(second.chains[0].hops[1].transfer, other, certificate=bob.certificate)
    assert verify_fraud_proof(proof, issuer.key_set.body).key == bob.key


def test_a_signature_of_the_other_algorithm_never_counts() -> None:
    issuer = Issuer("swap")
    ada, bob = issuer.device("ada"), issuer.device("bob", p256=True)
    asked = bob.request(500)
    forged = bob.transfer(issuer.chain(ada).tip_id, 0, 500, bob.key)
    chain = issuer.chain(ada)
    wrong = Payment((chain.extend(bob.transfer(chain.tip_id, 0, 500, bob.key)),))
    assert forged
    with pytest.raises(ChainRefused) as caught:
        verify_payment(wrong, asked.body, issuer.context)
    assert caught.value.number == 428


def test_an_issuer_may_sign_with_p256_too() -> None:
    issuer = Issuer("hardware issuer")
    hardware = p256_signer_from("issuing in an HSM")
    body = issuer.key_set_body()
    listed = IssuerKey(
        hardware.public_key.kid,
        hardware.public_key,
        body.keys[0].not_before,
        body.keys[0].not_after,
        KeyUse.ISSUE,
    )
    issuer.key_set = seal(type(body)(**{**vars(body), "keys": (*body.keys, listed)}), issuer.root)
    issuer.issuing = hardware  # type: ignore[assignment]
    ada, bob = issuer.device("ada"), issuer.device("bob")
    asked = bob.request(500)
    verify_payment(ada.pay(issuer.chain(ada), asked), asked.body, issuer.context)


def test_without_p256_a_mixed_payment_is_refused_as_such_and_others_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer("bare device")
    ada, eve, bob = issuer.device("ada"), issuer.device("eve", p256=True), issuer.device("bob")
    asked = bob.request(500)
    good = ada.pay(issuer.chain(ada), asked).encode()
    mixed = eve.pay(issuer.chain(eve), asked).encode()
    keys.read_key.cache_clear()
    monkeypatch.setattr(keys, "p256", None)
    assert verify_payment(Payment.decode(good), asked.body, issuer.context).amount == 500
    with pytest.raises(UnsupportedAlgorithm) as caught:
        Payment.decode(mixed)
    assert isinstance(caught.value, ProtocolError)
    assert caught.value.number == 111
