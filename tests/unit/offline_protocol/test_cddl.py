"""The CDDL of the specification describes the bytes that the reference writes, and no others."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pycddl
import pytest

from offline_protocol import cbor
from offline_protocol.cose import seal
from offline_protocol.frames import Refusal
from offline_protocol.fraud import build_clone_alarm, build_fraud_proof
from offline_protocol.gossip import News, Spend, Tag, write_spends, write_tags
from tests.factories.protocol import Issuer, p256_signer_from, signer_from
from tests.unit.offline_protocol.test_objects import BODIES

TEXT = (Path(__file__).parents[3] / "docs" / "protocol.cddl").read_text(encoding="utf-8")


# The validator holds every item of an array against what one of them shall contain, so what lies
# inside byte strings is validated by itself.
PLAIN = re.sub(r"(bytes|bstr) \.cbor [^,]+,", "bytes,", TEXT)


def _schema(root: str) -> pycddl.Schema:
    """The whole text with one rule first: what is validated is the first."""
    return pycddl.Schema(f"root = {root}\n{PLAIN}")


def _fits(root: str, data: bytes) -> bool:
    try:
        _schema(root).validate_cbor(data)
    except pycddl.ValidationError:
        return False
    return True


def _evidence() -> tuple[bytes, bytes]:
    issuer = Issuer()
    ada, bob = issuer.device("ada"), issuer.device("bob")
    voucher = issuer.voucher(ada)
    one = ada.transfer(voucher.id, 0, 10, bob.key, sequence=1)
    two = ada.transfer(voucher.id, 5, 15, bob.key, sequence=2)
    copy = ada.transfer(voucher.id, 20, 30, bob.key, sequence=1)
    proof = build_fraud_proof(one, two, voucher=voucher)
    alarm = build_clone_alarm(one, copy, certificate=ada.certificate)
    return proof.encode(), alarm.encode()


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.NAME)
def test_every_object_fits_its_rule(body: Any) -> None:
    assert _fits(body.NAME, body.payload)
    for signer in (signer_from("a"), p256_signer_from("a")):
        assert _fits(f"Signed<{body.NAME}>", seal(body, signer).envelope)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.NAME)
def test_a_field_too_many_or_too_few_does_not_fit(body: Any) -> None:
    fields = cbor.decode(body.payload, bytes_max=1 << 20)
    assert type(fields) is dict
    assert not _fits(body.NAME, cbor.encode({**fields, 23: 1}))
    assert not _fits(body.NAME, cbor.encode({k: v for k, v in fields.items() if k != 2}))


def test_evidence_and_refusals_fit() -> None:
    """Chains and payments are arrays of arrays, which this validator does not tell apart."""
    proof, alarm = _evidence()
    assert _fits("fraud-proof", proof)
    assert _fits("clone-alarm", alarm)
    assert not _fits("fraud-proof", proof[1:])
    assert _fits("refusal", Refusal(503, "payment_names_request").encode())
    assert not _fits("refusal", Refusal(503, "payment_names_request").encode()[:-1])


def test_what_devices_tell_each_other_fits() -> None:
    issuer = Issuer()
    ada = issuer.device("ada")
    voucher = issuer.voucher(ada)
    one, two = (ada.transfer(voucher.id, lo, lo + 10, ada.key, sequence=lo + 1) for lo in (0, 20))
    tags = [Tag.of(one.body), Tag.of(two.body)]
    news = News(epoch=3, key_set_version=1, policy_version=0, budget=512, proofs=(bytes(8),))
    spends = [Spend(one, voucher), Spend(two, ada.certificate)]
    assert _fits("news", news.encode())
    assert not _fits("news", replace(news, budget=511).encode()[:-1])
    assert _fits("tags", write_tags(tags))
    assert _fits("want", write_tags(tags))
    assert not _fits("tag", cbor.encode([bytes(7), 0, 1]))
    assert _fits("records", write_spends(spends))
    assert not _fits("record", spends[0].transfer.envelope)


def test_the_text_describes_every_object_and_nothing_else() -> None:
    described = set(re.findall(r"^([a-z-]+) = \{\n  1: ", TEXT, re.MULTILINE))
    names = {body.NAME for body in BODIES}
    assert names | {"acceptance-rule", "evidence", "news", "record"} == described
