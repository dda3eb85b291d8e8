"""Messages of the COSE working group: RFC 9052 and 8152, RFC 8392 (CWT), and failures.

Our profile reads none of them: they are tagged, have unprotected headers, or name their algorithm
by the older numbers. Beneath the profile lies the standard: the structure that is signed, and the
signatures of the two algorithms, which are checked here on the published bytes.
"""

from base64 import urlsafe_b64decode
from collections import Counter
from typing import Any

import cbor2
import pytest

from offline_protocol import cbor
from offline_protocol.cose import open_envelope, to_be_signed
from offline_protocol.errors import BadSignature, ProtocolError
from offline_protocol.keys import PublicKey
from tests.unit.published.vectors import published_folder

FOLDERS = {
    "CWT": 5,
    "RFC8152": 17,
    "countersign1": 8,
    "ecdsa-examples": 8,
    "eddsa-examples": 4,
    "sign1-tests": 9,
}
ES256, EDDSA = -7, -8


@pytest.mark.parametrize(("folder", "count"), FOLDERS.items())
def test_messages_of_other_profiles_are_refused(folder: str, count: int) -> None:
    cases = published_folder("cose-wg-examples", folder)
    assert len(cases) == count
    for name, case in cases:
        message = bytes.fromhex(case["output"]["cbor"])
        assert message, name
        for tried in (message, _untagged(message)):
            with pytest.raises(ProtocolError):
                open_envelope(tried)


def _untagged(message: bytes) -> bytes:
    return message[1:] if message[:1] == b"\xd2" else message


class Sign1:
    """A published COSE_Sign1 taken apart by an independent codec."""

    def __init__(self, case: dict[str, Any]) -> None:
        read = cbor2.loads(bytes.fromhex(case["output"]["cbor"]))
        self.tag = read.tag if isinstance(read, cbor2.CBORTag) else None
        protected, unprotected, self.payload, self.signature = (
            read.value if isinstance(read, cbor2.CBORTag) else read
        )
        header = cbor2.loads(protected) if protected else {}
        self.algorithm = header.get(1, unprotected.get(1))
        # RFC 9052 section 4.4: an empty map counts as no bytes at all.
        self.protected = b"" if protected == b"\xa0" else protected
        self.external = bytes.fromhex(case["input"]["sign0"].get("external", ""))
        self.key = case["input"]["sign0"]["key"]
        self.published = case["intermediates"].get("ToBeSign_hex")

    @property
    def to_be_signed(self) -> bytes:
        """Written by the protocol's own encoder."""
        return cbor.encode(["Signature1", self.protected, self.external, self.payload])

    @property
    def public_key(self) -> PublicKey | None:
        if self.key.get("crv") == "P-256" and self.algorithm == ES256:
            x, y = (_number(self.key, name) for name in "xy")
            return PublicKey(bytes([2 + (y[-1] & 1)]) + x)
        if self.key.get("crv") == "Ed25519" and self.algorithm == EDDSA:
            return PublicKey(bytes.fromhex(self.key["x_hex"]))
        return None


def _number(key: dict[str, str], name: str) -> bytes:
    if f"{name}_hex" in key:
        return bytes.fromhex(key[f"{name}_hex"])
    padded = key[name] + "=" * (-len(key[name]) % 4)
    return urlsafe_b64decode(padded)


def _sign1_cases() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{folder}/{name}", case)
        for folder in FOLDERS
        for name, case in published_folder("cose-wg-examples", folder)
        if "sign0" in case["input"]
    ]


def test_the_structure_that_is_signed_is_the_standards() -> None:
    seen = 0
    for name, case in _sign1_cases():
        message = Sign1(case)
        if case.get("fail") or message.published is None:
            continue
        assert message.to_be_signed.hex() == message.published.lower(), name
        if not message.external:  # ours is the same structure with a name in that place
            ours = to_be_signed(message.protected, "", message.payload)
            bare = ours.replace(b"\x4dtallystick/1/", b"\x40")
            assert bare.hex() == message.published.lower(), name
        seen += 1
    assert seen == 12


def test_good_signatures_verify_and_failures_fail() -> None:
    verdicts: Counter[str] = Counter()
    failed = []
    for name, case in _sign1_cases():
        message = Sign1(case)
        key = message.public_key
        if key is None:
            verdicts["other algorithm"] += 1
            failed += [name] * bool(case.get("fail"))
            continue
        try:
            key.verify(message.to_be_signed, message.signature)
        except BadSignature:
            assert case.get("fail"), name
            failed.append(name)
            verdicts["bad signature"] += 1
        else:
            # What is wrong with this one is its tag; the profile refuses every tag.
            assert not case.get("fail") or message.tag == WRONG_TAG, name
            verdicts["good signature"] += 1
    assert verdicts == {"good signature": 9, "bad signature": 3, "other algorithm": 6}
    assert failed == [f"sign1-tests/sign-fail-0{number}" for number in (2, 3, 4, 6, 7)]


WRONG_TAG = 998
