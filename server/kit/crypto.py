"""Secrets at rest: a vault that seals values, and blind indexes to find them again.

XChaCha20-Poly1305 (libsodium) under a key derived from the master key; the context is bound in, so
a sealed value cannot be moved to another row or column. The first byte names the key version.
"""

import hashlib
import hmac

import nacl.exceptions
from nacl import bindings

MASTER_KEY_BYTES = 32
_NONCE_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_VERSION = b"\x01"


class SealBroken(Exception):
    """A sealed value was made with another key, for another place, or was changed."""


class Vault:
    """Seals and opens values under one master key."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError(f"a master key has {MASTER_KEY_BYTES} bytes")
        self._sealing_key = _derive(master_key, b"seal")
        self._index_key = _derive(master_key, b"index")

    def seal(self, plaintext: bytes, context: str, *, nonce: bytes) -> bytes:
        """Return the sealed value. ``nonce`` is 24 random bytes that are never used again."""
        if len(nonce) != _NONCE_BYTES:
            raise ValueError(f"a nonce has {_NONCE_BYTES} bytes")
        return (
            _VERSION
            + nonce
            + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
                plaintext, _VERSION + context.encode(), nonce, self._sealing_key
            )
        )

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return the value that was sealed for this context.

        Raises:
            SealBroken: the key, the context or the bytes are not the same.
        """
        if sealed[:1] != _VERSION:
            raise SealBroken("the sealed value has an unknown version")
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                ciphertext, _VERSION + context.encode(), nonce, self._sealing_key
            )
        except (nacl.exceptions.CryptoError, ValueError, TypeError) as error:
            raise SealBroken("the sealed value does not open here") from error

    def blind_index(self, value: str, context: str) -> bytes:
        """Return 32 bytes by which a sealed value is found without being opened."""
        return hmac.digest(self._index_key, f"{context}\x00{value}".encode(), "sha256")

    def derive(self, purpose: str) -> bytes:
        """Return a key of 32 bytes for one purpose, the same at every start."""
        return hmac.digest(self._index_key, b"derive\x00" + purpose.encode(), "sha256")


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(b"tallystick/vault/" + purpose, key=master_key, digest_size=32).digest()
