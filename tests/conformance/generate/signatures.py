"""Bare signatures, with the traps in which verifiers fall apart."""

import hashlib

from nacl import bindings

from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.points import (
    FIELD,
    ORDER,
    P256_ORDER,
    TORSION,
    big,
    little,
    mixed,
    off_curve,
)
from tests.conformance.generate.world import entropy


class _Scalar:
    """The parts of an Ed25519 signature, to put together in wrong ways."""

    def __init__(self, seed: bytes) -> None:
        digest = bytearray(hashlib.sha512(seed).digest())
        digest[0] &= 248
        digest[31] &= 127
        digest[31] |= 64
        self.secret = int.from_bytes(digest[:32], "little") % ORDER
        self.public = bindings.crypto_scalarmult_ed25519_base_noclamp(little(self.secret))
        self.nonce = int.from_bytes(entropy("nonce", seed.hex()), "little") % ORDER
        self.commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(little(self.nonce))

    def sign(self, message: bytes, *, public: bytes, commitment: bytes | None = None) -> bytes:
        """A signature as if these were the public key and the commitment."""
        shown = self.commitment if commitment is None else commitment
        challenge = hashlib.sha512(shown + public + message).digest()
        response = self.nonce + int.from_bytes(challenge, "little") * self.secret
        return shown + little(response % ORDER)


def _challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    digest = hashlib.sha512(commitment + public + message).digest()
    return int.from_bytes(digest, "little") % ORDER


def add_ed25519_signatures(out: Vectors) -> None:
    signer = world.ed25519("key", 0)
    public = signer.public_key.raw
    for size in (0, 1, 31, 32, 64, 1_000):
        message = entropy("message", size, size=size)
        out.add(
            "signature",
            f"Ed25519 over {size} bytes",
            key=public,
            message=message,
            signature=signer.sign(message),
        )
    message = b"pay 12.50"
    good = signer.sign(message)
    response = int.from_bytes(good[32:], "little")
    other = world.ed25519("key", 1)
    wrong = {
        "of another key": other.sign(message),
        "over another message": signer.sign(message + b"0"),
        "S and the order": good[:32] + little(response + ORDER),
        "S and twice the order": good[:32] + little(response + 2 * ORDER),
        "S is the order": good[:32] + little(ORDER),
        "S is zero": good[:32] + bytes(32),
        "S with its highest bit": good[:63] + bytes([good[63] | 0x80]),
        "S with its third highest bit": good[:63] + bytes([good[63] | 0x20]),
        "S negated": good[:32] + little(ORDER - response),
        "R negated": bytes([*good[:31], good[31] ^ 0x80, *good[32:]]),
        "R and S exchanged": good[32:] + good[:32],
        "zeros": bytes(64),
        "without its last byte": good[:-1],
        "with a byte more": good + b"\x00",
        "empty": b"",
        "R with a part of order 8": mixed(good[:32]) + good[32:],
    }
    wrong |= {
        f"bit {bit} turned": _turned(good, bit) for bit in (0, 7, 100, 254, 255, 256, 300, 500)
    }
    for name, signature in wrong.items():
        out.add(
            "signature",
            f"Ed25519: {name}",
            error=113,
            key=public,
            message=message,
            signature=signature,
        )
    out.add(
        "signature",
        "Ed25519: a key off the curve",
        error=113,
        key=off_curve(),
        message=message,
        signature=good,
    )
    _add_torsion(out)


def _turned(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if bit // 8 == at else 0) for at, byte in enumerate(data))


def _add_torsion(out: Vectors) -> None:
    """Points with a part of small order: where verifiers with and without cofactor differ."""
    scalar = _Scalar(entropy("torsion"))
    public = mixed(scalar.public)
    told: set[bool] = set()
    for number in range(100):
        message = f"message {number}".encode()
        vanishes = _challenge(scalar.commitment, public, message) % 8 == 0
        if vanishes in told:
            continue
        told.add(vanishes)
        what = "where the challenge hides it" if vanishes else "which only a cofactor would hide"
        out.add(
            "signature",
            f"Ed25519: a key of mixed order, {what}",
            error=None if vanishes else 113,
            key=public,
            message=message,
            signature=scalar.sign(message, public=public),
        )
    commitment = mixed(scalar.commitment)
    message = b"message"
    out.add(
        "signature",
        "Ed25519: R of mixed order, which only a cofactor would hide",
        error=113,
        key=scalar.public,
        message=message,
        signature=scalar.sign(message, public=scalar.public, commitment=commitment),
    )
    # The nonce is zero in effect: R is a small point, and S is h times the secret.
    for name, small in (("the neutral point", little(1)), ("of order 8", TORSION)):
        scalar.nonce = 0
        out.add(
            "signature",
            f"Ed25519: R is {name}",
            error=113,
            key=scalar.public,
            message=message,
            signature=scalar.sign(message, public=scalar.public, commitment=small),
        )
    for over, sign in ((1, 0), (1, 1), (0, 1)):
        out.add(
            "signature",
            f"Ed25519: R is written as {'the prime and 1' if over else '1'}, sign {sign}",
            error=113,
            key=scalar.public,
            message=message,
            signature=scalar.sign(
                message,
                public=scalar.public,
                commitment=little((FIELD if over else 0) + 1 | sign << 255),
            ),
        )


def add_p256_signatures(out: Vectors) -> None:
    signer = world.p256("key", 0)
    public = signer.public_key.raw
    for size in (0, 1, 32, 64, 1_000):
        message = entropy("message", size, size=size)
        signature = signer.sign(message)
        negated = signature[:32] + big(P256_ORDER - int.from_bytes(signature[32:], "big"))
        for name, either in (("", signature), (" with the other s", negated)):
            out.add(
                "signature",
                f"P-256 over {size} bytes{name}",
                key=public,
                message=message,
                signature=either,
            )
    message = b"pay 12.50"
    good = signer.sign(message)
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    numbers = {
        "r is 0": (0, s),
        "s is 0": (r, 0),
        "both are 0": (0, 0),
        "both are 1": (1, 1),
        "r is the order": (P256_ORDER, s),
        "s is the order": (r, P256_ORDER),
        "s is the order, r is 0": (0, P256_ORDER),
        "r is the greatest number": (2**256 - 1, s),
        "s is the greatest number": (r, 2**256 - 1),
        "r negated": (P256_ORDER - r, s),
        "r and s exchanged": (s, r),
        "s and 1": (r, s + 1),
    }
    wrong = {name: big(first) + big(second) for name, (first, second) in numbers.items()}
    wrong |= {
        "of another key": world.p256("key", 1).sign(message),
        "over another message": signer.sign(message + b"0"),
        "over the hash of the message": signer.sign(hashlib.sha256(message).digest()),
        "without its last byte": good[:-1],
        "with a byte more": good + b"\x00",
        "empty": b"",
        "in DER": b"\x30\x44\x02\x20" + good[:32] + b"\x02\x20" + good[32:],
        "little-endian": good[:32][::-1] + good[32:][::-1],
    }
    wrong |= {f"bit {bit} turned": _turned(good, bit) for bit in (0, 7, 100, 255, 256, 300, 511)}
    for name, signature in wrong.items():
        out.add(
            "signature",
            f"P-256: {name}",
            error=113,
            key=public,
            message=message,
            signature=signature,
        )
    out.add(
        "signature",
        "P-256: the key's other point",
        error=113,
        key=bytes([public[0] ^ 1]) + public[1:],
        message=message,
        signature=good,
    )
    out.add(
        "signature",
        "an Ed25519 signature for a P-256 key",
        error=113,
        key=public,
        message=message,
        signature=world.ed25519("key", 0).sign(message),
    )
    out.add(
        "signature",
        "a P-256 signature for an Ed25519 key",
        error=113,
        key=world.ed25519("key", 0).public_key.raw,
        message=message,
        signature=good,
    )
