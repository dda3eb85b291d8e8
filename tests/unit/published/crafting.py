"""Makes `traps.json`: inputs on which verifiers and decoders are known to disagree.

    python -m tests.unit.published.crafting

Every case says what our verdict is: 0 accepted, otherwise the number of the error. The same file
is read by the tests of the other implementations.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.unit.published import curves
from tests.unit.published.curves import (
    BASE_25519,
    BASE_P256,
    FIELD_25519,
    FIELD_P256,
    IDENTITY,
    ORDER_25519,
    ORDER_P256,
)

FILE: Final = Path(__file__).with_name("traps.json")

ACCEPTED, CBOR, OBJECT, ENVELOPE, ALGORITHM, WEAK_KEY, BAD_SIGNATURE = (
    0,
    101,
    102,
    103,
    111,
    112,
    113,
)

MESSAGE: Final = b"twenty-five euros"
NAME: Final = "receipt"
_ID: Final = bytes.fromhex("00112233445566778899aabbccddeeff")
PAYLOAD: Final = b"".join(
    (
        b"\xa5\x01\x06",
        b"\x02\x81\x58\x20" + _ID + _ID,
        b"\x03\x50" + _ID,
        b"\x04\x19\x09\xc4",
        b"\x05\x1a\x6b\x49\xd2\x00",
    )
)
"""A receipt for 25.00, written by hand."""

Case = dict[str, Any]


def _number(label: str, below: int) -> int:
    return int.from_bytes(hashlib.sha512(label.encode()).digest(), "big") % (below - 1) + 1


# Ed25519.

SECRET: Final = _number("ed25519 secret", ORDER_25519)
POINT: Final = curves.edwards_times(SECRET, BASE_25519)
KEY: Final = curves.edwards_bytes(POINT)
TORSION: Final = curves.small_order_points()
NONCE: Final = _number("ed25519 nonce", ORDER_25519)
R_POINT: Final = curves.edwards_times(NONCE, BASE_25519)


def _signature(r: bytes, key: bytes, message: bytes, nonce: int) -> bytes:
    """A signature whose first half is written as given, whatever point that is."""
    s = (nonce + curves.challenge(r, key, message) * SECRET) % ORDER_25519
    return r + s.to_bytes(32, "little")


def _honest(message: bytes = MESSAGE) -> bytes:
    return _signature(curves.edwards_bytes(R_POINT), KEY, message, NONCE)


def _key(name: str, raw: bytes, verdict: int) -> Case:
    return {"name": name, "does": "key", "key": raw.hex(), "verdict": verdict}


def _verify(name: str, key: bytes, message: bytes, signature: bytes, verdict: int) -> Case:
    return {
        "name": name,
        "does": "verify",
        "key": key.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "verdict": verdict,
    }


def small_order_keys() -> Iterator[Case]:
    for number, point in enumerate(TORSION, 1):
        yield _key(f"order_divides_eight_{number}", curves.edwards_bytes(point), WEAK_KEY)


def _enrol(name: str, raw: bytes) -> Case:
    """Read by everybody, and certified by no issuer."""
    return {"name": name, "does": "enrol", "key": raw.hex(), "verdict": WEAK_KEY}


def mixed_order_keys() -> Iterator[Case]:
    """If eight divides k the part of small order cancels; if not, only a cofactor helps."""
    for number in (1, 2, 4):
        key = curves.edwards_bytes(curves.edwards_add(POINT, TORSION[number - 1]))
        yield _key(f"plus_{number}_torsion", key, ACCEPTED)
        yield _enrol(f"plus_{number}_torsion_at_the_issuer", key)
    key = curves.edwards_bytes(curves.edwards_add(POINT, TORSION[0]))
    r = curves.edwards_bytes(R_POINT)
    for name, cancels, verdict in (
        ("cancelled", True, ACCEPTED),
        ("holds_with_a_cofactor_only", False, BAD_SIGNATURE),
    ):
        for number in count():
            message = b"%d" % number
            if (curves.challenge(r, key, message) % 8 == 0) is cancels:
                yield _verify(name, key, message, _signature(r, key, message, NONCE), verdict)
                break


def keys_not_canonical() -> Iterator[Case]:
    for over in range(19):
        if curves.edwards_at(over, odd=False) is None:
            continue
        for sign in (0, 1):
            raw = (FIELD_25519 + over | sign << 255).to_bytes(32, "little")
            yield _key(f"y_is_p_plus_{over}_sign_{sign}", raw, WEAK_KEY)
    for name, y in (("one", 1), ("minus_one", FIELD_25519 - 1)):
        raw = (y | 1 << 255).to_bytes(32, "little")
        yield _key(f"x_is_zero_with_a_sign_y_is_{name}", raw, WEAK_KEY)


def keys_off_the_curve() -> Iterator[Case]:
    nowhere = (2).to_bytes(32, "little")
    yield _enrol("ed25519_y_is_two_at_the_issuer", nowhere)
    yield _verify("ed25519_y_is_two", nowhere, MESSAGE, _honest(), BAD_SIGNATURE)
    off = next(x for x in count(1) if not curves.p256_has(x))
    yield _key("p256_x_without_a_point", b"\x02" + off.to_bytes(32, "big"), WEAK_KEY)


def s_not_reduced() -> Iterator[Case]:
    honest = _honest()
    yield _verify("honest", KEY, MESSAGE, honest, ACCEPTED)
    s = int.from_bytes(honest[32:], "little")
    for times in (1, 2, 7, 15):
        if s + times * ORDER_25519 < 1 << 256:
            longer = (s + times * ORDER_25519).to_bytes(32, "little")
            name = f"s_plus_{times}_times_the_order"
            yield _verify(name, KEY, MESSAGE, honest[:32] + longer, BAD_SIGNATURE)


def small_order_r() -> Iterator[Case]:
    """R is of small order and s = k·a; with R the identity the plain equation holds."""
    for number, point in enumerate(TORSION, 1):
        r = curves.edwards_bytes(point)
        signature = _signature(r, KEY, MESSAGE, 0)
        yield _verify(f"r_is_torsion_{number}", KEY, MESSAGE, signature, BAD_SIGNATURE)


def r_not_canonical() -> Iterator[Case]:
    for name, y, sign in (
        ("identity_as_p_plus_1", FIELD_25519 + 1, 0),
        ("identity_with_sign", 1, 1),
        ("order_2_with_sign", FIELD_25519 - 1, 1),
        ("order_4_as_p", FIELD_25519, 0),
    ):
        r = (y | sign << 255).to_bytes(32, "little")
        yield _verify(name, KEY, MESSAGE, _signature(r, KEY, MESSAGE, 0), BAD_SIGNATURE)


def mixed_order_r() -> Iterator[Case]:
    """Holds when both sides are multiplied by eight, and not without."""
    for number in (1, 2, 4):
        r = curves.edwards_bytes(curves.edwards_add(R_POINT, TORSION[number - 1]))
        signature = _signature(r, KEY, MESSAGE, NONCE)
        yield _verify(f"r_plus_{number}_torsion", KEY, MESSAGE, signature, BAD_SIGNATURE)


def signature_for_every_message() -> Iterator[Case]:
    """Key and R the identity, s zero: what a verifier without the key rule takes for all."""
    identity = curves.edwards_bytes(IDENTITY)
    signature = identity + bytes(32)
    yield _verify("all_identity", identity, MESSAGE, signature, WEAK_KEY)
    yield _verify("zeros_under_an_honest_key", KEY, MESSAGE, bytes(64), BAD_SIGNATURE)


# P-256.

P256_SECRET: Final = _number("p256 secret", ORDER_P256)
P256_POINT: Final = curves.p256_times(P256_SECRET, BASE_P256)
P256_KEY: Final = curves.p256_bytes(P256_POINT)


def _p256(message: bytes, *, nonce: int = 0, hash_name: str = "sha256") -> tuple[int, int]:
    digest = hashlib.new(hash_name, message).digest()[:32]
    return curves.p256_sign(P256_SECRET, digest, nonce or _number("p256 nonce", ORDER_P256))


def _p1363(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _der(r: int, s: int) -> bytes:
    def integer(value: int) -> bytes:
        raw = value.to_bytes((value.bit_length() + 8) // 8, "big")
        return b"\x02" + bytes([len(raw)]) + raw

    body = integer(r) + integer(s)
    return b"\x30" + bytes([len(body)]) + body


def p256_keys_in_other_forms() -> Iterator[Case]:
    x, y = (part.to_bytes(32, "big") for part in P256_POINT)
    yield _key("compressed", P256_KEY, ACCEPTED)
    yield _key("the_other_parity_is_another_key", bytes([P256_KEY[0] ^ 1]) + x, ACCEPTED)
    for head in (0, 1, 4, 5, 6, 7, 0xFF):
        yield _key(f"first_byte_{head}", bytes([head]) + x, WEAK_KEY)
    yield _key("infinity_padded", bytes(33), WEAK_KEY)
    yield _key("infinity", bytes(1), OBJECT)
    yield _key("uncompressed", b"\x04" + x + y, OBJECT)
    yield _key("x_and_y_without_a_head", x + y, OBJECT)
    yield _key("subject_public_key_info", _SPKI + b"\x04" + x + y, OBJECT)
    yield _key("one_byte_short", P256_KEY[:32][:31], OBJECT)
    small = next(n for n in count(1) if curves.p256_has(n))
    over = b"\x02" + (FIELD_P256 + small).to_bytes(32, "big")
    yield _key("x_over_the_field", over, WEAK_KEY)


_SPKI: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def p256_r_and_s_out_of_range() -> Iterator[Case]:
    r, s = _p256(MESSAGE)
    yield _verify("honest", P256_KEY, MESSAGE, _p1363(r, s), ACCEPTED)
    most = (1 << 256) - 1
    for name, one, two in (
        ("both_zero", 0, 0),
        ("r_zero", 0, s),
        ("s_zero", r, 0),
        ("r_is_the_order", ORDER_P256, s),
        ("s_is_the_order", r, ORDER_P256),
        ("both_the_order", ORDER_P256, ORDER_P256),
        ("both_one", 1, 1),
        ("r_is_the_field", FIELD_P256, s),
        ("r_all_ones", most, s),
        ("s_all_ones", r, most),
    ):
        yield _verify(name, P256_KEY, MESSAGE, _p1363(one, two), BAD_SIGNATURE)


def p256_over_another_hash() -> Iterator[Case]:
    for name, signature in (
        ("sha512_cut", _p1363(*_p256(MESSAGE, hash_name="sha512"))),
        ("hashed_twice", _p1363(*_p256(hashlib.sha256(MESSAGE).digest()))),
    ):
        yield _verify(name, P256_KEY, MESSAGE, signature, BAD_SIGNATURE)


def p256_der_in_place_of_r_and_s() -> Iterator[Case]:
    yield _verify("der", P256_KEY, MESSAGE, _der(*_p256(MESSAGE)), BAD_SIGNATURE)


def p256_leading_zeros() -> Iterator[Case]:
    """Both numbers keep their 32 bytes; hardware that answers in DER leaves the zeros out."""
    for nonce in count(_number("p256 short", ORDER_P256)):
        r, s = _p256(MESSAGE, nonce=nonce)
        if r >> 248 == 0:
            break
    yield _verify("r_below_2_to_248", P256_KEY, MESSAGE, _p1363(r, s), ACCEPTED)
    shorter = _p1363(r, s)[1:]
    yield _verify("its_first_zero_left_out", P256_KEY, MESSAGE, shorter, BAD_SIGNATURE)


def p256_negated_s() -> Iterator[Case]:
    """Anybody can turn s into n - s: both are signatures, and the object is the same one."""
    r, s = _p256(MESSAGE)
    yield _verify("s", P256_KEY, MESSAGE, _p1363(r, s), ACCEPTED)
    yield _verify("n_minus_s", P256_KEY, MESSAGE, _p1363(r, ORDER_P256 - s), ACCEPTED)


# CBOR.


def _cbor(name: str, text: str, verdict: int = CBOR) -> Case:
    return {"name": name, "does": "cbor", "bytes": text, "verdict": verdict}


def map_keys_in_two_orders() -> Iterator[Case]:
    yield _cbor("positive_before_negative", "a3010017002000", ACCEPTED)
    yield _cbor("negative_before_positive", "a220000100")
    yield _cbor("order_of_rfc_8949", "a30a001864002000")
    yield _cbor("order_of_rfc_7049", "a30a002000186400")
    yield _cbor("descending", "a202000100")
    yield _cbor("key_24", "a1181800")
    yield _cbor("key_minus_25", "a1381800")
    yield _cbor("key_zero", "a10000")


def one_value_in_two_forms() -> Iterator[Case]:
    for name, text in (
        ("long_1", "1801"),
        ("long_23", "1817"),
        ("long_255", "1900ff"),
        ("long_65535", "1a0000ffff"),
        ("long_2_to_32_minus_1", "1b00000000ffffffff"),
        ("long_string_head", "580100"),
        ("long_array_head", "980100"),
        ("long_map_head", "b8010100"),
        ("long_map_key", "a1180100"),
        ("indefinite_bytes", "5f4100ff"),
        ("indefinite_text", "7f6161ff"),
        ("indefinite_array", "9f00ff"),
        ("indefinite_map", "bf0100ff"),
        ("doubled_key", "a201000100"),
        ("doubled_key_same_value_long", "a20100180100"),
        ("trailing_byte", "0000"),
        ("trailing_break", "00ff"),
        ("text_not_normalised", "6375cc88"),
        ("text_overlong_utf8", "62c080"),
        ("text_half_a_pair", "63eda080"),
    ):
        yield _cbor(name, text)


def numbers_that_are_not_ours() -> Iterator[Case]:
    yield _cbor("largest_integer", "1b001fffffffffffff", ACCEPTED)
    for name, text in (
        ("one_over_the_largest", "1b0020000000000000"),
        ("largest_64_bit", "1bffffffffffffffff"),
        ("bignum_1", "c24101"),
        ("bignum_empty", "c240"),
        ("bignum_2_to_64", "c249010000000000000000"),
        ("negative_bignum", "c34101"),
        ("minus_1_as_a_value", "20"),
        ("huge_negative", "3bffffffffffffffff"),
        ("half_1", "f93c00"),
        ("half_0", "f90000"),
        ("half_minus_0", "f98000"),
        ("single_1", "fa3f800000"),
        ("double_1", "fb3ff0000000000000"),
        ("double_2_to_53", "fb4340000000000000"),
        ("not_a_number", "f97e00"),
        ("infinity", "f97c00"),
        ("true_is_no_1", "f5"),
        ("false_is_no_0", "f4"),
        ("true_inside", "81f5"),
        ("null", "f6"),
        ("undefined", "f7"),
        ("simple_0", "e0"),
        ("simple_16", "f0"),
        ("simple_255", "f8ff"),
        ("simple_false_in_two_bytes", "f814"),
        ("decimal_fraction", "c48221196ab3"),
        ("epoch_time", "c11a514b67b0"),
    ):
        yield _cbor(name, text)


# Envelopes: the object is a receipt, the key Ed25519 or P-256.


def _bstr(data: bytes) -> bytes:
    head = bytes([0x40 | len(data)]) if len(data) < 24 else bytes([0x58, len(data)])
    return head + data


def _signed(algorithm: str, protected: bytes, aad: bytes) -> bytes:
    structure = b"\x84\x6aSignature1" + _bstr(protected) + _bstr(aad) + _bstr(PAYLOAD)
    if algorithm == "Ed25519":
        return _honest(structure)
    return _p1363(*_p256(structure))


_HEADERS: Final = {"Ed25519": bytes.fromhex("a10132"), "ESP256": bytes.fromhex("a10128")}
_KEYS: Final = {"Ed25519": KEY, "ESP256": P256_KEY}


def _envelope(
    name: str,
    algorithm: str,
    verdict: int,
    *,
    protected: bytes | None = None,
    unprotected: bytes = b"\xa0",
    signed_as: bytes | None = None,
    aad: bytes = b"tallystick/1/receipt",
    before: bytes = b"",
    signature: bytes | None = None,
) -> Case:
    """An envelope; its signature is good for the header `signed_as`, by default the shown one."""
    header = _HEADERS[algorithm] if protected is None else protected
    given = signature or _signed(algorithm, header if signed_as is None else signed_as, aad)
    data = before + b"\x84" + _bstr(header) + unprotected + _bstr(PAYLOAD) + _bstr(given)
    return {
        "name": f"{algorithm.lower()}_{name}",
        "does": "envelope",
        "object": NAME,
        "key": _KEYS[algorithm].hex(),
        "bytes": data.hex(),
        "verdict": verdict,
    }


def empty_protected_headers() -> Iterator[Case]:
    """A published example writes it as the map `a0` and signs over nothing at all."""
    for algorithm in _HEADERS:
        yield _envelope("honest", algorithm, ACCEPTED)
        yield _envelope("empty_string", algorithm, ENVELOPE, protected=b"")
        yield _envelope("empty_map", algorithm, ENVELOPE, protected=b"\xa0")
        empty = {"protected": b"\xa0", "signed_as": b""}
        yield _envelope("empty_map_signed_as_nothing", algorithm, ENVELOPE, **empty)


def tags_before_a_good_signature() -> Iterator[Case]:
    for algorithm in _HEADERS:
        for name, tag in (("998", "d903e6"), ("18", "d2"), ("18_long", "d812"), ("61", "d83d")):
            before = bytes.fromhex(tag)
            yield _envelope(f"tag_{name}", algorithm, ENVELOPE, before=before)


def other_algorithm_numbers() -> Iterator[Case]:
    """-8 and -7 name a family, not a curve (RFC 9864); their signatures are good otherwise."""
    old = {"Ed25519": b"\xa1\x01\x27", "ESP256": b"\xa1\x01\x26"}
    for algorithm in _HEADERS:
        yield _envelope("old_number", algorithm, ALGORITHM, protected=old[algorithm])
    for algorithm, other in (("Ed25519", "ESP256"), ("ESP256", "Ed25519")):
        shown = _HEADERS[other]
        yield _envelope("header_of_the_other", algorithm, BAD_SIGNATURE, protected=shown)


def headers_written_differently() -> Iterator[Case]:
    """Whoever encodes the header anew before checking accepts what was never signed."""
    for algorithm, header in _HEADERS.items():
        number = header[-1:]
        extra = b"\xa2\x01" + number + b"\x03\x00"
        long_key = b"\xa1\x18\x01" + number
        long_value = b"\xa1\x01\x38" + bytes([number[0] & 0x1F])
        indefinite = b"\xbf\x01" + number + b"\xff"
        for name, given in (
            ("content_type_too", extra),
            ("long_key", long_key),
            ("long_number", long_value),
            ("indefinite", indefinite),
            ("trailing_byte", header + b"\x00"),
        ):
            yield _envelope(name, algorithm, ENVELOPE, protected=given)
            if name != "content_type_too":
                again = {"protected": given, "signed_as": header}
                yield _envelope(f"{name}_signed_as_ours", algorithm, ENVELOPE, **again)
        kid = b"\xa1\x04\x42\x31\x31"
        yield _envelope("key_id_outside", algorithm, ENVELOPE, unprotected=kid)
        outside = {"protected": b"", "unprotected": b"\xa1\x01" + number}
        yield _envelope("number_outside", algorithm, ENVELOPE, **outside)


def signatures_of_other_kinds() -> Iterator[Case]:
    for algorithm in _HEADERS:
        for name, aad in (("no_name", b""), ("voucher", b"tallystick/1/voucher")):
            yield _envelope(f"signed_for_{name}", algorithm, BAD_SIGNATURE, aad=aad)
    r, s = _p256(b"x")
    yield _envelope("der", "ESP256", ENVELOPE, signature=_der(r, s))


TRAPS: Final = (
    (
        small_order_keys,
        "Some verifiers take keys of small order, whose signatures anybody can make.",
    ),
    (mixed_order_keys, "Verifiers with a cofactor take what those without refuse."),
    (keys_not_canonical, "One point in two byte strings would be one key with two ids."),
    (keys_off_the_curve, "Points that are none."),
    (s_not_reduced, "s + order verifies where the range is not checked."),
    (small_order_r, "OpenSSL takes the identity as R, libsodium does not."),
    (r_not_canonical, "Verifiers that decode R take what those that compare bytes refuse."),
    (mixed_order_r, "Verifiers with a cofactor take it, those without refuse it."),
    (signature_for_every_message, "Without a key rule one signature fits every message."),
    (
        p256_keys_in_other_forms,
        "One key has one byte string: compressed, 33 bytes, x below the field.",
    ),
    (p256_r_and_s_out_of_range, "Zero and the order were taken by a widespread library once."),
    (p256_over_another_hash, "ESP256 is SHA-256 over the message, once."),
    (
        p256_der_in_place_of_r_and_s,
        "Key stores answer in DER; the wire has r and s, 32 bytes each.",
    ),
    (p256_leading_zeros, "Short numbers keep their zeros."),
    (p256_negated_s, "ECDSA signatures can be changed by anybody; ids do not cover them."),
    (map_keys_in_two_orders, "Two standards order keys differently; ours lie where both agree."),
    (one_value_in_two_forms, "Lenient readers take many byte strings for one value."),
    (numbers_that_are_not_ours, "Floats, bignums, true and null look like integers to many."),
    (empty_protected_headers, "An empty header is signed as nothing, not as an empty map."),
    (tags_before_a_good_signature, "A good signature behind a tag is still no object of ours."),
    (other_algorithm_numbers, "One number, one curve, one hash; and it is the key's."),
    (headers_written_differently, "The received header bytes are what was signed."),
    (signatures_of_other_kinds, "A signature over one kind of object is none over another."),
)


def traps() -> list[dict[str, Any]]:
    return [{"trap": make.__name__, "why": why, "cases": list(make())} for make, why in TRAPS]


def as_text() -> str:
    return json.dumps(traps(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
