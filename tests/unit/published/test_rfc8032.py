"""Ed25519 signatures of RFC 8032 section 7.1."""

from offline_protocol.errors import BadSignature
from offline_protocol.keys import PublicKey
from tests.unit.published.vectors import published


def test_signatures_of_the_standard_verify() -> None:
    cases = published("rfc8032-ed25519", "rfc8032.json")
    assert len(cases) == 4
    for case in cases:
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        PublicKey(bytes.fromhex(case["pk"])).verify(message, signature)


def test_no_bit_of_a_signature_may_change() -> None:
    flips = 0
    for case in published("rfc8032-ed25519", "rfc8032.json"):
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        key = PublicKey(bytes.fromhex(case["pk"]))
        for bit in range(len(signature) * 8):
            changed = bytearray(signature)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                key.verify(message, bytes(changed))
            except BadSignature:
                flips += 1
    assert flips == 4 * 512
