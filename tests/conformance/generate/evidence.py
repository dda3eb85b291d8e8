"""Fraud proofs and clone alarms: what convicts, and what does not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from offline_protocol import (
    CloneAlarm,
    DeviceCertificate,
    FraudProof,
    Signed,
    Signer,
    Transfer,
    TransferKind,
    Voucher,
    cbor,
)
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import ISSUING, NOW, entropy

ACCUSED = world.device("accused")
HARDWARE = world.device("accused in hardware", hardware=True, by=world.ISSUING_P256)
LEFT, RIGHT = (world.ed25519("payee", side).public_key for side in ("left", "right"))
PARENT = entropy("parent")
OTHER_PARENT = entropy("another parent")


@dataclass(frozen=True)
class Pair:
    """Two transfers, and what names the key that signed both."""

    first: Signed[Transfer]
    second: Signed[Transfer]
    certificate: Signed[DeviceCertificate] | None = None
    voucher: Signed[Voucher] | None = None

    def encode(self) -> bytes:
        """Both kinds of evidence are written in the same way."""
        first, second = sorted((self.first, self.second), key=lambda transfer: transfer.id)
        return FraudProof(first, second, self.certificate, self.voucher).encode()


def signed(
    by: Signer, lo: int, hi: int, sequence: int = 1, parent: bytes = PARENT, **changes: Any
) -> Signed[Transfer]:
    payee = changes.pop("payee", LEFT)
    return world.transfer(by, parent, payee, lo=lo, hi=hi, sequence=sequence, **changes)


def vectors() -> Vectors:
    out = Vectors("evidence", "Fraud proofs and clone alarms")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    for name, pair in _frauds():
        out.add("fraud_proof", name, proof=pair.encode(), key_set=trusted)
    for name, number, pair in (*_no_frauds(), *_unnamed(1), *_not_signed(1)):
        out.add(
            "fraud_proof", f"{number}: {name}", error=number, proof=pair.encode(), key_set=trusted
        )
    for name, pair in _clones():
        out.add("clone_alarm", name, alarm=pair.encode(), key_set=trusted)
    for name, number, pair in (*_no_clones(), *_unnamed(0), *_not_signed(0)):
        out.add(
            "clone_alarm", f"{number}: {name}", error=number, alarm=pair.encode(), key_set=trusted
        )
    for name, number, data in _bad_bytes():
        out.add("fraud_proof", f"{number}: {name}", error=number, proof=data, key_set=trusted)
        out.add("clone_alarm", f"{number}: {name}", error=number, alarm=data, key_set=trusted)
    return out


def _by(device: world.Device, first: Signed[Transfer], second: Signed[Transfer]) -> Pair:
    return Pair(first, second, certificate=device.certificate)


def _frauds() -> Iterator[tuple[str, Pair]]:
    by = ACCUSED.signer
    whole = signed(by, 0, 100, 1)
    yield "the same units to two", _by(ACCUSED, whole, signed(by, 0, 100, 2, payee=RIGHT))
    yield "the same units to one", _by(ACCUSED, whole, signed(by, 0, 100, 2))
    yield "one unit in common", _by(ACCUSED, whole, signed(by, 99, 200, 2))
    yield "one inside the other", _by(ACCUSED, whole, signed(by, 40, 41, 2))
    yield "one second apart", _by(ACCUSED, whole, signed(by, 0, 100, 1, time=NOW + 1))
    yield "with one number", _by(ACCUSED, whole, signed(by, 50, 150, 1))
    yield (
        "a payment and a claim",
        _by(
            ACCUSED,
            whole,
            signed(
                by,
                0,
                100,
                2,
                payee=world.SETTLING.public_key,
                kind=TransferKind.CLAIM,
                request_id=bytes(16),
            ),
        ),
    )
    yield (
        "a payment and a return",
        _by(ACCUSED, whole, signed(by, 0, 100, 2, kind=TransferKind.RETURN)),
    )
    yield (
        "two returns",
        _by(
            ACCUSED,
            signed(by, 0, 9, 1, kind=TransferKind.RETURN),
            signed(by, 0, 9, 2, kind=TransferKind.RETURN),
        ),
    )
    yield (
        "at the end of time, of the greatest units",
        _by(
            ACCUSED,
            signed(by, 2**53 - 2, 2**53 - 1, 1, time=2**53 - 1),
            signed(by, 0, 2**53 - 1, 2**53 - 1, time=0),
        ),
    )
    hardware = HARDWARE.signer
    yield "by hardware", _by(HARDWARE, signed(hardware, 0, 9, 1), signed(hardware, 0, 9, 2))
    issuers: dict[str, Signer] = {"": ISSUING, " in hardware": world.ISSUING_P256}
    for name, named in issuers.items():
        voucher = world.voucher(ACCUSED.key, by=named)
        yield (
            f"by the holder of a voucher signed by the issuer{name}",
            Pair(signed(by, 0, 9, 1, voucher.id), signed(by, 0, 9, 2, voucher.id), voucher=voucher),
        )
    yield (
        "by the holder of a voucher, under another parent",
        Pair(signed(by, 0, 9, 1), signed(by, 0, 9, 2), voucher=world.voucher(ACCUSED.key)),
    )
    old = world.certificate(
        ACCUSED.key, valid_from=NOW - 80 * world.DAY, valid_to=NOW - 70 * world.DAY
    )
    yield "with a certificate of another time", Pair(whole, signed(by, 0, 9, 2), certificate=old)


def _no_frauds() -> Iterator[tuple[str, int, Pair]]:
    by = ACCUSED.signer
    whole = signed(by, 0, 100, 1)
    elsewhere = signed(by, 0, 100, 2, OTHER_PARENT)
    yield "two parents", 701, _by(ACCUSED, whole, elsewhere)
    yield "two parents and one number", 701, _by(ACCUSED, whole, signed(by, 0, 9, 1, OTHER_PARENT))
    yield (
        "two parents that differ in one bit",
        701,
        _by(ACCUSED, whole, signed(by, 0, 100, 2, PARENT[:-1] + bytes([PARENT[-1] ^ 1]))),
    )
    yield "intervals that touch", 702, _by(ACCUSED, whole, signed(by, 100, 200, 2))
    yield "intervals that touch from below", 702, _by(ACCUSED, signed(by, 100, 200, 2), whole)
    yield "intervals far apart", 702, _by(ACCUSED, whole, signed(by, 10**15, 10**15 + 1, 2))
    yield "a clone", 702, _by(ACCUSED, whole, signed(by, 100, 200, 1))


def _clones() -> Iterator[tuple[str, Pair]]:
    by = ACCUSED.signer
    yield (
        "one number under two parents",
        _by(ACCUSED, signed(by, 0, 100, 7), signed(by, 0, 100, 7, OTHER_PARENT)),
    )
    yield (
        "one number for two pieces of a parent",
        _by(ACCUSED, signed(by, 0, 100, 7), signed(by, 100, 200, 7)),
    )
    yield "number 0", _by(ACCUSED, signed(by, 0, 9, 0), signed(by, 0, 9, 0, OTHER_PARENT))
    yield (
        "the greatest number",
        _by(ACCUSED, signed(by, 0, 9, 2**53 - 1), signed(by, 0, 9, 2**53 - 1, OTHER_PARENT)),
    )
    hardware = HARDWARE.signer
    yield (
        "by hardware",
        _by(HARDWARE, signed(hardware, 0, 9, 7), signed(hardware, 0, 9, 7, OTHER_PARENT)),
    )
    yield (
        "by the holder of a voucher",
        Pair(
            signed(by, 0, 9, 7),
            signed(by, 0, 9, 7, OTHER_PARENT),
            voucher=world.voucher(ACCUSED.key),
        ),
    )


def _no_clones() -> Iterator[tuple[str, int, Pair]]:
    by = ACCUSED.signer
    first = signed(by, 0, 100, 7)
    yield "two numbers", 706, _by(ACCUSED, first, signed(by, 0, 100, 8, OTHER_PARENT))
    yield "two numbers, and a fork", 706, _by(ACCUSED, first, signed(by, 0, 100, 8))
    yield "two numbers far apart", 706, _by(ACCUSED, first, signed(by, 100, 200, 2**53 - 1))
    yield "a fork", 707, _by(ACCUSED, first, signed(by, 0, 100, 7, payee=RIGHT))
    yield "a fork in one unit", 707, _by(ACCUSED, first, signed(by, 99, 200, 7))


def _contradiction(
    fork: int, by: Signer, other: Signer | None = None
) -> tuple[Signed[Transfer], Signed[Transfer]]:
    """A fork (1) or a clone (0), both signed by one key unless another is given."""
    second = (
        signed(other or by, 0, 100, 2, payee=RIGHT)
        if fork
        else signed(other or by, 0, 100, 1, OTHER_PARENT)
    )
    return signed(by, 0, 100, 1), second


def _unnamed(fork: int) -> Iterator[tuple[str, int, Pair]]:
    pair = _contradiction(fork, ACCUSED.signer)
    key = ACCUSED.key
    for name, certificate in {
        "a certificate of an unknown kid": world.certificate(key, kid=b"\x07"),
        "a certificate of a settling key": world.certificate(key, by=world.SETTLING),
        "a certificate of the root": world.certificate(key, by=world.ROOT),
        "a certificate from before its key": world.certificate(key, valid_from=world.ROTATED - 1),
        "a certificate by the accused": world.certificate(key, by=ACCUSED.signer),
    }.items():
        yield name, 703, Pair(*pair, certificate=certificate)
    for name, voucher in {
        "a voucher of an unknown kid": world.voucher(key, kid=b"\x07"),
        "a voucher from before its key": world.voucher(key, issued_at=world.ROTATED - 1),
        "a voucher of a settling key": world.voucher(key, by=world.SETTLING),
    }.items():
        yield name, 703, Pair(*pair, voucher=voucher)
    kid = ISSUING.public_key.kid
    good = ACCUSED.certificate
    turned = Signed(good.body, good.envelope[:-1] + bytes([good.envelope[-1] ^ 1]))
    for name, certificate in {
        "a certificate by a stranger": world.certificate(key, by=world.STRANGER, kid=kid),
        "a certificate by the accused under the issuer's kid": world.certificate(
            key, by=ACCUSED.signer, kid=kid
        ),
        "a certificate by another key of the issuer": world.certificate(
            key, by=world.ISSUING_P256, kid=kid
        ),
        "a certificate with a bit turned": turned,
    }.items():
        yield name, 704, Pair(*pair, certificate=certificate)
    yield (
        "a voucher by a stranger",
        704,
        Pair(*pair, voucher=world.voucher(key, by=world.STRANGER, kid=kid)),
    )


def _not_signed(fork: int) -> Iterator[tuple[str, int, Pair]]:
    honest, cheat = ACCUSED, world.device("cheat")
    yield (
        "the second by somebody else",
        705,
        _by(honest, *_contradiction(fork, honest.signer, cheat.signer)),
    )
    yield (
        "the first by somebody else",
        705,
        _by(honest, *_contradiction(fork, cheat.signer, honest.signer)),
    )
    yield "both by somebody else", 705, _by(honest, *_contradiction(fork, cheat.signer))
    yield (
        "another holder's voucher",
        705,
        Pair(*_contradiction(fork, cheat.signer), voucher=world.voucher(honest.key)),
    )
    yield (
        "both by a key of another algorithm",
        705,
        _by(honest, *_contradiction(fork, HARDWARE.signer)),
    )
    first, second = _contradiction(fork, honest.signer)
    turned = Signed(second.body, second.envelope[:-1] + bytes([second.envelope[-1] ^ 1]))
    yield "the second with a bit turned", 705, _by(honest, first, turned)
    moved = Signed(second.body, second.envelope[:-64] + first.envelope[-64:])
    yield "the second with the first's signature", 705, _by(honest, first, moved)
    receipt = Signed(second.body, world.envelope("receipt", second.body.payload, honest.signer))
    yield "the second signed as a receipt", 705, _by(honest, first, receipt)


def _bad_bytes() -> Iterator[tuple[str, int, bytes]]:
    pair = _by(ACCUSED, *_contradiction(1, ACCUSED.signer))
    whole = pair.encode()
    first, second = sorted((pair.first, pair.second), key=lambda transfer: transfer.id)
    one, two = first.envelope, second.envelope
    proof, voucher = ACCUSED.certificate.envelope, world.voucher(ACCUSED.key).envelope
    yield "nothing", 101, b""
    yield "a byte after it", 101, whole + b"\x00"
    yield "larger than evidence may be", 101, whole + bytes(32_769 - len(whole))
    yield "a map with a longer head", 101, b"\xb8\x03" + whole[1:]
    yield "a map without length", 101, b"\xbf" + whole[1:] + b"\xff"
    yield "cut after its first transfer", 101, whole[: 2 + len(one)]
    yield "an array", 102, b"\x83" + one + two + proof
    yield "a map of two", 102, b"\xa2\x01" + one + b"\x02" + two
    yield "a map of four", 102, b"\xa4" + whole[1:] + b"\x04" + voucher
    yield "part 0", 102, b"\xa3\x00" + whole[2:]
    yield "part 5 for the certificate", 102, b"\xa3\x01" + one + b"\x02" + two + b"\x05" + proof
    yield "parts 1 and 3 and 4", 102, b"\xa3\x01" + one + b"\x03" + proof + b"\x04" + voucher
    yield "a part twice", 102, b"\xa3\x01" + one + b"\x01" + two + b"\x03" + proof
    yield "parts out of order", 102, b"\xa3\x02" + two + b"\x01" + one + b"\x03" + proof
    yield "a part named by text", 102, b"\xa3\x61a" + whole[2:]
    yield (
        "the transfers in the other order",
        102,
        b"\xa3\x01" + two + b"\x02" + one + b"\x03" + proof,
    )
    yield "one transfer twice", 102, b"\xa3\x01" + one + b"\x02" + one + b"\x03" + proof
    again = one[:-64] + two[-64:]
    yield (
        "one transfer with two signatures",
        102,
        b"\xa3\x01" + one + b"\x02" + again + b"\x03" + proof,
    )
    yield "a voucher as certificate", 102, b"\xa3\x01" + one + b"\x02" + two + b"\x03" + voucher
    yield "a certificate as voucher", 102, b"\xa3\x01" + one + b"\x02" + two + b"\x04" + proof
    yield "a receipt as transfer", 102, b"\xa3\x01" + one + b"\x02" + proof + b"\x03" + proof
    yield "a transfer as a byte string", 103, b"\xa3\x01" + cbor.encode(one)[:2] + one + b"\x02"
    yield "a transfer with a tag", 103, b"\xa3\x01\xd2" + whole[2:]
    yield "cut inside its certificate", 103, whole[:-30]
    yield "an unknown algorithm", 111, whole[:6] + b"\x26" + whole[7:]
    assert CloneAlarm.decode(whole)
