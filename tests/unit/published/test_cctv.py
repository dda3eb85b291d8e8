"""Ed25519 edge cases of the C2SP community cryptography test vectors.

They are the products of odd points: small order, mixed order, not canonical, as key and as R. The
protocol's verdict is libsodium's, less the keys that it never names.
"""

from collections import Counter

from nacl import bindings
from nacl.exceptions import CryptoError

from offline_protocol.errors import BadSignature, WeakKey
from offline_protocol.keys import PublicKey
from tests.unit.published.vectors import published


def _libsodium_accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + message, key)
    except CryptoError:
        return False
    return True


def _verdict(key: bytes, message: bytes, signature: bytes) -> str:
    try:
        PublicKey(key).verify(message, signature)
    except WeakKey:
        return "weak key"
    except BadSignature:
        return "bad signature"
    return "accepted"


def test_the_verdict_is_that_of_libsodium() -> None:
    verdicts: Counter[str] = Counter()
    of_prime_order = 0
    for case in published("cctv-ed25519", "ed25519vectors.json"):
        key, signature = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"])
        message = case["msg"].encode()
        verdict = _verdict(key, message, signature)
        assert (verdict == "accepted") == _libsodium_accepts(key, message, signature), case
        verdicts[verdict] += 1
        if verdict == "accepted":
            flags = case["flags"] or []
            assert not {"low_order_A", "low_order_R", "non_canonical_A"} & set(flags), case
            of_prime_order += PublicKey(key).is_of_prime_order
    assert verdicts == {"accepted": 43, "weak key": 526, "bad signature": 345}
    assert of_prime_order == 1
