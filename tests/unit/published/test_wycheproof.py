"""Project Wycheproof's cases, through the functions that the protocol and the wallet call."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from client_sdk.store.sealed import seal, unseal
from offline_protocol.errors import BadSignature, HandshakeFailed, ProtocolError, SessionBroken
from offline_protocol.handshake import CipherState, _hkdf, _Symmetric
from offline_protocol.keys import PublicKey
from tests.unit.published.vectors import published


def _cases(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Group and case of each test in a file."""
    for group in published("wycheproof", f"{name}_test.json")["testGroups"]:
        for case in group["tests"]:
            yield group, case


def _bytes(case: dict[str, Any], *names: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(case[name]) for name in names)


def test_ed25519() -> None:
    counts: Counter[str] = Counter()
    for group, case in _cases("ed25519"):
        message, signature = _bytes(case, "msg", "sig")
        try:
            PublicKey(bytes.fromhex(group["publicKey"]["pk"])).verify(message, signature)
        except ProtocolError:
            assert case["result"] == "invalid", case
        else:
            assert case["result"] == "valid", case
        counts[case["result"]] += 1
    assert counts == {"valid": 88, "invalid": 63}


def test_ecdsa_p256_with_r_and_s() -> None:
    counts: Counter[str] = Counter()
    for group, case in _cases("ecdsa_secp256r1_sha256_p1363"):
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        assert len(point) == 65
        key = PublicKey(bytes([2 + (point[-1] & 1)]) + point[1:33])
        message, signature = _bytes(case, "msg", "sig")
        try:
            key.verify(message, signature)
        except BadSignature:
            assert case["result"] == "invalid", case
        else:
            assert case["result"] == "valid", case
        counts[case["result"]] += 1
    assert counts == {"valid": 173, "invalid": 89}


def test_x25519_in_a_handshake() -> None:
    """A shared secret of zero is refused; whatever else comes out is the published one."""
    counts: Counter[str] = Counter()
    for _, case in _cases("x25519"):
        public, private, shared = _bytes(case, "public", "private", "shared")
        state = _Symmetric(b"")
        before = state._chaining_key
        if "ZeroSharedSecret" in case["flags"]:
            with pytest.raises(HandshakeFailed):
                state.mix_key(private, public)
            counts["refused"] += 1
            continue
        state.mix_key(private, public)
        after, key = _hkdf(before, shared)
        assert state._cipher is not None
        assert (state._chaining_key, state._cipher._key) == (after, key), case
        counts[case["result"]] += 1
    assert counts == {"valid": 264, "acceptable": 223, "refused": 31}


def test_hkdf_sha256_as_the_handshake_uses_it() -> None:
    """The handshake takes 64 bytes and gives no info: the cases that can be put that way."""
    seen = 0
    for _, case in _cases("hkdf_sha256"):
        if case["info"] or case["size"] > 64:
            continue
        salt, material, expected = _bytes(case, "salt", "ikm", "okm")
        # RFC 5869: an absent salt is as many zeros as the hash has bytes.
        out = b"".join(_hkdf(salt or bytes(32), material))
        assert out[: case["size"]] == expected, case
        seen += 1
    assert seen == 31


class _GivenNonce(CipherState):
    """A channel counts its nonces; the published cases have others as well."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        super().__init__(key)
        self._given = nonce

    def _next_nonce(self) -> bytes:
        return self._given


def test_chacha20_poly1305_in_a_channel() -> None:
    counts: Counter[str] = Counter()
    for _, case in _cases("chacha20_poly1305"):
        key, nonce, associated, message, ciphertext, tag = _bytes(case, *_SEALED)
        if "InvalidNonceSize" in case["flags"]:
            counts["no nonce of ours"] += 1
            continue
        if case["result"] == "valid":
            assert _GivenNonce(key, nonce).encrypt(message, associated) == ciphertext + tag, case
            read = _GivenNonce(key, nonce).decrypt(ciphertext + tag, associated)
            assert read == message, case
        else:
            with pytest.raises(SessionBroken):
                _GivenNonce(key, nonce).decrypt(ciphertext + tag, associated)
        if nonce[:4] == bytes(4):
            assert _counted(key, nonce).encrypt(message, associated) == ciphertext + tag, case
            counts["in the form that a channel counts"] += 1
        counts[case["result"]] += 1
    assert counts == {
        "valid": 256,
        "invalid": 60,
        "no nonce of ours": 9,
        "in the form that a channel counts": 10,
    }


_SEALED = ("key", "iv", "aad", "msg", "ct", "tag")


def _counted(key: bytes, nonce: bytes) -> CipherState:
    cipher = CipherState(key)
    cipher._nonce = int.from_bytes(nonce[4:], "little")
    return cipher


def _first(drawn: bytes, length: int) -> bytes:
    return drawn[:length]


def test_xchacha20_poly1305_in_the_wallet_file() -> None:
    counts: Counter[str] = Counter()
    for _, case in _cases("xchacha20_poly1305"):
        key, nonce, context, message, ciphertext, tag = _bytes(case, *_SEALED)
        if "InvalidNonceSize" in case["flags"]:
            counts["no nonce of ours"] += 1
            continue
        if case["result"] == "valid":
            sealed = seal(message, context=context, key=key, entropy=partial(_first, nonce))
            assert sealed == nonce + ciphertext + tag, case
            assert unseal(sealed, context=context, key=key) == message, case
        else:
            assert unseal(nonce + ciphertext + tag, context=context, key=key) is None, case
        counts[case["result"]] += 1
    assert counts == {"valid": 246, "invalid": 60, "no nonce of ours": 9}


def test_a_sealed_text_of_any_shorter_length_is_refused() -> None:
    key = bytes(32)
    sealed = seal(b"text", context=b"", key=key, entropy=bytes)
    assert [cut for cut in range(len(sealed)) if unseal(sealed[:cut], context=b"", key=key)] == []
