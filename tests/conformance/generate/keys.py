"""Public keys and bare signatures, with the traps in which verifiers fall apart."""

import hashlib
from collections.abc import Iterator

from nacl import bindings

from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import entropy

_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_TORSION = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
"""A point of order 8."""
_P256_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
_P256_ORDER = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)


def vectors() -> Vectors:
    out = Vectors("keys", "Public keys and bare signatures, with what verifiers disagree about")
    for number in range(4):
        out.add("key", f"Ed25519 key {number}", raw=world.ed25519("key", number).public_key.raw)
        out.add("key", f"P-256 key {number}", raw=world.p256("key", number).public_key.raw)
    out.add("key", "Ed25519 key of mixed order", raw=_mixed(world.ed25519("key", 0).public_key.raw))
    out.add("key", "Ed25519 key off the curve", raw=_off_curve())
    for name, raw in _weak_ed25519():
        out.add("key", f"Ed25519 key: {name}", error=112, raw=raw)
    for name, raw in _weak_p256():
        out.add("key", f"P-256 key: {name}", error=112, raw=raw)
    for size in (0, 1, 16, 31, 34, 64, 65, 66, 255):
        out.add("key", f"key of {size} bytes", error=102, raw=b"\x02" * size)
    _add_ed25519_signatures(out)
    _add_p256_signatures(out)
    return out


def _little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _big(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _mixed(point: bytes) -> bytes:
    return bindings.crypto_core_ed25519_add(point, _TORSION)


def _off_curve() -> bytes:
    """The smallest y coordinate above 1 that no point has."""
    height = 2
    while True:
        try:
            bindings.crypto_core_ed25519_add(_little(height), _little(height))
        except Exception:  # noqa: BLE001 - PyNaCl has no narrower one
            return _little(height)
        height += 1


def _weak_ed25519() -> Iterator[tuple[str, bytes]]:
    order_8_too = bindings.crypto_core_ed25519_sub(_little(_FIELD - 1), _TORSION)
    heights = {
        "the neutral point": 1,
        "of order 2": _FIELD - 1,
        "of order 4": 0,
        "of order 8": int.from_bytes(_TORSION, "little") % 2**255,
        "of order 8, the other": int.from_bytes(order_8_too, "little") % 2**255,
    }
    for name, height in heights.items():
        yield name, _little(height)
        yield f"{name}, with the other sign", _little(height | 1 << 255)
    for over in range(19):
        yield f"the field prime and {over}", _little(_FIELD + over)
        yield f"the field prime and {over}, with the other sign", _little(_FIELD + over | 1 << 255)


def _weak_p256() -> Iterator[tuple[str, bytes]]:
    good = world.p256("key", 0).public_key.raw
    for head in (0, 1, 4, 5, 6, 7, 0x82, 255):
        yield f"head {head}", bytes([head]) + good[1:]
    yield "zeros", bytes(33)
    yield "x is the field prime", b"\x02" + _big(_P256_FIELD)
    yield "x is the field prime and 5", b"\x03" + _big(_P256_FIELD + 5)
    yield "x is the greatest number", b"\x02" + b"\xff" * 32
    found = 0
    for x in range(1, 64):
        # A number is an x coordinate when x^3 - 3x + b is a square.
        b = int("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16)
        square = (x**3 - 3 * x + b) % _P256_FIELD
        if pow(square, (_P256_FIELD - 1) // 2, _P256_FIELD) != 1 and found < 4:
            found += 1
            yield f"no point has x {x}", b"\x02" + _big(x)


class _Scalar:
    """The parts of an Ed25519 signature, to put together in wrong ways."""

    def __init__(self, seed: bytes) -> None:
        digest = bytearray(hashlib.sha512(seed).digest())
        digest[0] &= 248
        digest[31] &= 127
        digest[31] |= 64
        self.secret = int.from_bytes(digest[:32], "little") % _ORDER
        self.public = bindings.crypto_scalarmult_ed25519_base_noclamp(_little(self.secret))
        self.nonce = int.from_bytes(entropy("nonce", seed.hex()), "little") % _ORDER
        self.commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(_little(self.nonce))

    def sign(self, message: bytes, *, public: bytes, commitment: bytes | None = None) -> bytes:
        """A signature as if these were the public key and the commitment."""
        shown = self.commitment if commitment is None else commitment
        challenge = hashlib.sha512(shown + public + message).digest()
        response = self.nonce + int.from_bytes(challenge, "little") * self.secret
        return shown + _little(response % _ORDER)


def _challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    digest = hashlib.sha512(commitment + public + message).digest()
    return int.from_bytes(digest, "little") % _ORDER


def _add_ed25519_signatures(out: Vectors) -> None:
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
        "S and the order": good[:32] + _little(response + _ORDER),
        "S and twice the order": good[:32] + _little(response + 2 * _ORDER),
        "S is the order": good[:32] + _little(_ORDER),
        "S is zero": good[:32] + bytes(32),
        "S with its highest bit": good[:63] + bytes([good[63] | 0x80]),
        "S with its third highest bit": good[:63] + bytes([good[63] | 0x20]),
        "S negated": good[:32] + _little(_ORDER - response),
        "R negated": bytes([*good[:31], good[31] ^ 0x80, *good[32:]]),
        "R and S exchanged": good[32:] + good[:32],
        "zeros": bytes(64),
        "without its last byte": good[:-1],
        "with a byte more": good + b"\x00",
        "empty": b"",
        "R with a part of order 8": _mixed(good[:32]) + good[32:],
    }
    wrong |= {
        f"bit {bit} turned": _turned(good, bit) for bit in (0, 7, 100, 254, 255, 256, 300, 500)
    }
    for name, signature in wrong.items():
        out.add(
            "signature", f"Ed25519: {name}", error=113, key=public, message=message, signature=signature
        )
    out.add(
        "signature",
        "Ed25519: a key off the curve",
        error=113,
        key=_off_curve(),
        message=message,
        signature=good,
    )
    _add_torsion(out)


def _turned(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if bit // 8 == at else 0) for at, byte in enumerate(data))


def _add_torsion(out: Vectors) -> None:
    """Points with a part of small order: where verifiers with and without cofactor differ."""
    scalar = _Scalar(entropy("torsion"))
    mixed = _mixed(scalar.public)
    told: set[bool] = set()
    for number in range(100):
        message = f"message {number}".encode()
        vanishes = _challenge(scalar.commitment, mixed, message) % 8 == 0
        if vanishes in told:
            continue
        told.add(vanishes)
        what = "where the challenge hides it" if vanishes else "which only a cofactor would hide"
        out.add(
            "signature",
            f"Ed25519: a key of mixed order, {what}",
            error=None if vanishes else 113,
            key=mixed,
            message=message,
            signature=scalar.sign(message, public=mixed),
        )
    commitment = _mixed(scalar.commitment)
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
    for name, small in (("the neutral point", _little(1)), ("of order 8", _TORSION)):
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
                commitment=_little((_FIELD if over else 0) + 1 | sign << 255),
            ),
        )


def _add_p256_signatures(out: Vectors) -> None:
    signer = world.p256("key", 0)
    public = signer.public_key.raw
    for size in (0, 1, 32, 64, 1_000):
        message = entropy("message", size, size=size)
        signature = signer.sign(message)
        negated = signature[:32] + _big(_P256_ORDER - int.from_bytes(signature[32:], "big"))
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
        "r is the order": (_P256_ORDER, s),
        "s is the order": (r, _P256_ORDER),
        "s is the order, r is 0": (0, _P256_ORDER),
        "r is the greatest number": (2**256 - 1, s),
        "s is the greatest number": (r, 2**256 - 1),
        "r negated": (_P256_ORDER - r, s),
        "r and s exchanged": (s, r),
        "s and 1": (r, s + 1),
    }
    wrong = {name: _big(first) + _big(second) for name, (first, second) in numbers.items()}
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
            "signature", f"P-256: {name}", error=113, key=public, message=message, signature=signature
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
