"""The two curves in plain Python, to make points and signatures that no honest library makes.

For tests only: it is slow, and it is not constant-time. Points are pairs of integers.
"""

import hashlib
from itertools import count
from typing import Final

Point = tuple[int, int]

# Edwards25519 (RFC 8032 section 5.1).
FIELD_25519: Final = 2**255 - 19
ORDER_25519: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, FIELD_25519) % FIELD_25519
IDENTITY: Final[Point] = (0, 1)


def edwards_add(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    product = _D * x1 * x2 * y1 * y2 % FIELD_25519
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, FIELD_25519)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, FIELD_25519)
    return x % FIELD_25519, y % FIELD_25519


def edwards_times(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = edwards_add(total, point)
        point = edwards_add(point, point)
        scalar >>= 1
    return total


def edwards_at(y: int, *, odd: bool) -> Point | None:
    """The point with this y and this parity of x, if there is one."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, FIELD_25519) % FIELD_25519
    x = pow(square, (FIELD_25519 + 3) // 8, FIELD_25519)
    if x * x % FIELD_25519 != square:
        x = x * pow(2, (FIELD_25519 - 1) // 4, FIELD_25519) % FIELD_25519
    if x * x % FIELD_25519 != square:
        return None
    return (x if x % 2 == odd else -x % FIELD_25519), y % FIELD_25519


def edwards_bytes(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def edwards_read(raw: bytes) -> Point:
    """The point of a byte string, canonical or not; fails where there is none."""
    number = int.from_bytes(raw, "little")
    point = edwards_at((number & ~(1 << 255)) % FIELD_25519, odd=bool(number >> 255))
    assert point is not None, "no point has this y"
    return point


def _base_25519() -> Point:
    point = edwards_at(4 * pow(5, -1, FIELD_25519) % FIELD_25519, odd=False)
    assert point is not None, "RFC 8032 names it"
    return point


BASE_25519: Final = _base_25519()


def small_order_points() -> list[Point]:
    """The eight points whose order divides eight, the one of order eight first."""
    for y in count(2):
        point = edwards_at(y, odd=False)
        if point is None:
            continue
        torsion = edwards_times(ORDER_25519, point)
        if edwards_times(4, torsion) != IDENTITY:
            return [edwards_times(n, torsion) for n in (1, 2, 3, 4, 5, 6, 7, 8)]
    raise AssertionError("half of all points have a part of order eight")


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    digest = hashlib.sha512(r + key + message).digest()
    return int.from_bytes(digest, "little") % ORDER_25519


# P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
FIELD_P256: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER_P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
BASE_P256: Final[Point] = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def p256_add(one: Point, two: Point) -> Point:
    """Sum of two points, neither of them infinity nor the other's negative."""
    (x1, y1), (x2, y2) = one, two
    if one == two:
        slope = 3 * (x1 * x1 - 1) * pow(2 * y1, -1, FIELD_P256)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, FIELD_P256)
    x = (slope * slope - x1 - x2) % FIELD_P256
    return x, (slope * (x1 - x) - y1) % FIELD_P256


def p256_times(scalar: int, point: Point) -> Point:
    """A multiple by 1 or more, below the order."""
    total: Point | None = None
    while scalar:
        if scalar & 1:
            total = point if total is None else p256_add(total, point)
        point = p256_add(point, point)
        scalar >>= 1
    assert total is not None, "the scalar is positive"
    return total


def p256_has(x: int) -> bool:
    """Whether a point with this x is on the curve."""
    square = (x**3 - 3 * x + _B) % FIELD_P256
    return pow(square, (FIELD_P256 - 1) // 2, FIELD_P256) in {0, 1}


def p256_bytes(point: Point) -> bytes:
    """Compressed SEC1: the parity of y, then x."""
    x, y = point
    return bytes([2 + (y & 1)]) + x.to_bytes(32, "big")


def p256_sign(secret: int, digest: bytes, nonce: int) -> tuple[int, int]:
    r = p256_times(nonce, BASE_P256)[0] % ORDER_P256
    s = pow(nonce, -1, ORDER_P256) * (int.from_bytes(digest, "big") + r * secret) % ORDER_P256
    return r, s
