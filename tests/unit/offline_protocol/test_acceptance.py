"""Acceptance rules: data in, one verdict and its reasons out."""

from dataclasses import replace
from typing import Any

import pytest

from offline_protocol import cbor
from offline_protocol.acceptance import (
    AcceptancePolicy,
    AcceptanceRule,
    PaymentFacts,
    Verdict,
    judge,
    verify_acceptance_policy,
)
from offline_protocol.certificates import Assurance
from offline_protocol.chains import Payment
from offline_protocol.cose import seal
from offline_protocol.errors import MalformedObject, PolicyRefused, ProtocolError
from tests.factories.protocol import DAY, NOW, Issuer, signer_from

ISSUER = Issuer()
KID = ISSUER.issuing.public_key.kid
FACTS = PaymentFacts("EUR", 1_000, 2, 5 * DAY, 3 * DAY, Assurance.SOFTWARE)


def _rule(action: Verdict = Verdict.WARN, **conditions: Any) -> AcceptanceRule:
    return AcceptanceRule(action, **conditions)


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({"currency": "EUR"}, True),
        ({"currency": "TRY"}, False),
        ({"amount_over": 999}, True),
        ({"amount_over": 1_000}, False),
        ({"hops_over": 1}, True),
        ({"hops_over": 2}, False),
        ({"certificate_age_over": 5 * DAY - 1}, True),
        ({"certificate_age_over": 5 * DAY}, False),
        ({"revocation_age_over": 3 * DAY - 1}, True),
        ({"revocation_age_over": 3 * DAY}, False),
        ({"assurance_under": 2}, True),
        ({"assurance_under": 1}, False),
        ({"currency": "EUR", "amount_over": 999, "hops_over": 1}, True),
        ({"currency": "EUR", "amount_over": 999, "hops_over": 2}, False),
    ],
)
def test_a_rule_applies_when_all_its_conditions_hold(
    conditions: dict[str, Any], *, applies: bool
) -> None:
    assert _rule(**conditions).applies_to(FACTS) is applies


def test_the_strongest_action_counts_and_all_that_apply_are_named() -> None:
    warn, refuse = _rule(hops_over=1), _rule(Verdict.REFUSE, amount_over=10)
    silent = _rule(Verdict.REFUSE, amount_over=10_000)
    assert judge(FACTS, ()) == (Verdict.ACCEPT, ())
    assert judge(FACTS, (silent, warn)) == (Verdict.WARN, (warn,))
    assert judge(FACTS, (refuse, silent, warn)) == (Verdict.REFUSE, (refuse, warn))


def test_facts_are_those_of_the_weakest_part_of_a_payment() -> None:
    ada, bob, cid = (ISSUER.device(name) for name in ("ada", "bob", "cid"))
    strong = ISSUER.certify(bob, assurance=Assurance.HARDWARE, valid_from=NOW - 7 * DAY)
    first = ada.pay(ISSUER.chain(ada), bob.request(500)).chains[0]
    onward = replace(bob, certificate=strong).pay(first, cid.request(400)).chains[0]
    facts = PaymentFacts.of(Payment((onward,)), now=NOW, revocation_time=NOW - 60)
    assert facts == PaymentFacts("EUR", 400, 2, 7 * DAY, 60, Assurance.SOFTWARE)
    named = first.extend(onward.hops[1].transfer, strong)
    whole = replace(named, hops=(first.hops[0]._replace(certificate=strong), named.hops[1]))
    assert PaymentFacts.of(Payment((whole,)), now=NOW, revocation_time=NOW).assurance is (
        Assurance.HARDWARE
    )


def test_a_device_that_never_had_a_list_has_one_as_old_as_time() -> None:
    ada, bob = ISSUER.device("ada"), ISSUER.device("bob")
    payment = ada.pay(ISSUER.chain(ada), bob.request(500))
    assert PaymentFacts.of(payment, now=NOW, revocation_time=0).revocation_age == NOW
    assert PaymentFacts.of(payment, now=NOW, revocation_time=NOW + 9).revocation_age == 0


def test_a_policy_is_taken_when_the_issuer_signed_it_and_it_is_newer() -> None:
    body = AcceptancePolicy(KID, 2, NOW, (_rule(hops_over=1),))
    signed = seal(body, ISSUER.issuing)
    key_set = ISSUER.key_set.body
    assert verify_acceptance_policy(signed, key_set) is body
    assert verify_acceptance_policy(signed, key_set, body) is body
    assert verify_acceptance_policy(signed, key_set, replace(body, version=1)) is body
    for current in (replace(body, version=3), replace(body, rules=())):
        with pytest.raises(PolicyRefused):
            verify_acceptance_policy(signed, key_set, current)
    for bad in (
        seal(body, signer_from("stranger")),
        seal(replace(body, kid=b"none"), ISSUER.issuing),
    ):
        with pytest.raises(PolicyRefused):
            verify_acceptance_policy(bad, key_set)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {1: 1},
        {1: 0, 3: 1},
        {1: 3, 3: 1},
        {2: "EUR"},
        {1: 1, 8: 1},
        {1: 1, 2: "eur"},
        {1: 1, 3: "1"},
        {1: "1", 3: 1},
        [1, 3],
    ],
)
def test_other_forms_of_a_rule_are_refused(rule: cbor.Value) -> None:
    payload = cbor.encode({1: 9, 2: KID, 3: 1, 4: NOW, 5: [rule]})
    with pytest.raises(ProtocolError) as caught:
        AcceptancePolicy.from_payload(payload)
    assert isinstance(caught.value, MalformedObject)
