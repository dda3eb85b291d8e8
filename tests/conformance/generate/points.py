"""Numbers and points of the two curves."""

from nacl import bindings

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
TORSION = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
"""A point of order 8."""


P256_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_ORDER = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def big(number: int) -> bytes:
    return number.to_bytes(32, "big")


def mixed(point: bytes) -> bytes:
    return bindings.crypto_core_ed25519_add(point, TORSION)


def off_curve() -> bytes:
    """The smallest y coordinate above 1 that no point has."""
    height = 2
    while True:
        try:
            bindings.crypto_core_ed25519_add(little(height), little(height))
        except Exception:  # noqa: BLE001 - PyNaCl has no narrower one
            return little(height)
        height += 1
