"""Public keys and bare signatures, with the traps in which verifiers fall apart."""

from collections.abc import Iterator

from nacl import bindings

from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.points import (
    FIELD,
    P256_FIELD,
    TORSION,
    big,
    little,
    mixed,
    off_curve,
)
from tests.conformance.generate.signatures import add_ed25519_signatures, add_p256_signatures


def vectors() -> Vectors:
    out = Vectors("keys", "Public keys and bare signatures, with what verifiers disagree about")
    for number in range(4):
        out.add("key", f"Ed25519 key {number}", raw=world.ed25519("key", number).public_key.raw)
        out.add("key", f"P-256 key {number}", raw=world.p256("key", number).public_key.raw)
    out.add("key", "Ed25519 key of mixed order", raw=mixed(world.ed25519("key", 0).public_key.raw))
    out.add("key", "Ed25519 key off the curve", raw=off_curve())
    for name, raw in _weak_ed25519():
        out.add("key", f"Ed25519 key: {name}", error=112, raw=raw)
    for name, raw in _weak_p256():
        out.add("key", f"P-256 key: {name}", error=112, raw=raw)
    for size in (0, 1, 16, 31, 34, 64, 65, 66, 255):
        out.add("key", f"key of {size} bytes", error=102, raw=b"\x02" * size)
    add_ed25519_signatures(out)
    add_p256_signatures(out)
    return out


def _weak_ed25519() -> Iterator[tuple[str, bytes]]:
    order_8_too = bindings.crypto_core_ed25519_sub(little(FIELD - 1), TORSION)
    heights = {
        "the neutral point": 1,
        "of order 2": FIELD - 1,
        "of order 4": 0,
        "of order 8": int.from_bytes(TORSION, "little") % 2**255,
        "of order 8, the other": int.from_bytes(order_8_too, "little") % 2**255,
    }
    for name, height in heights.items():
        yield name, little(height)
        yield f"{name}, with the other sign", little(height | 1 << 255)
    for over in range(19):
        yield f"the field prime and {over}", little(FIELD + over)
        yield f"the field prime and {over}, with the other sign", little(FIELD + over | 1 << 255)


def _weak_p256() -> Iterator[tuple[str, bytes]]:
    good = world.p256("key", 0).public_key.raw
    for head in (0, 1, 4, 5, 6, 7, 0x82, 255):
        yield f"head {head}", bytes([head]) + good[1:]
    yield "zeros", bytes(33)
    yield "x is the field prime", b"\x02" + big(P256_FIELD)
    yield "x is the field prime and 5", b"\x03" + big(P256_FIELD + 5)
    yield "x is the greatest number", b"\x02" + b"\xff" * 32
    found = 0
    for x in range(1, 64):
        # A number is an x coordinate when x^3 - 3x + b is a square.
        b = int("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16)
        square = (x**3 - 3 * x + b) % P256_FIELD
        if pow(square, (P256_FIELD - 1) // 2, P256_FIELD) != 1 and found < 4:
            found += 1
            yield f"no point has x {x}", b"\x02" + big(x)
