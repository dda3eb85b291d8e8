"""Authenticated encryption of rows: XChaCha20-Poly1305 under the file key.

The associated data binds a payload to its table, its row key and the columns that lie in the
clear, so that no row can be moved, swapped or relabelled without being noticed.
"""

import hashlib
from typing import Final

import cbor2
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from client_sdk.ambient import Entropy

NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16

Value = int | str | bytes | bool | None | list["Value"] | dict[str, "Value"]
"""What a row's payload may hold."""


def seal(plain: bytes, *, context: bytes, key: bytes, entropy: Entropy) -> bytes:
    """Nonce and ciphertext; the 24-byte nonce is drawn anew each time."""
    nonce = entropy(NONCE_BYTES)
    sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, nonce, key)
    return nonce + sealed


def unseal(sealed: bytes, *, context: bytes, key: bytes) -> bytes | None:
    """The plaintext, or None when key, context or bytes are not those of sealing."""
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    if len(rest) < TAG_BYTES:
        return None
    try:
        plain: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(rest, context, nonce, key)
    except CryptoError:
        return None
    return plain


class Sealer:
    def __init__(self, file_key: bytes, entropy: Entropy) -> None:
        self._key = file_key
        self._entropy = entropy

    def seal(self, value: Value, context: bytes) -> bytes:
        return seal(cbor2.dumps(value), context=context, key=self._key, entropy=self._entropy)

    def unseal(self, sealed: bytes, context: bytes) -> Value:
        """The value sealed under this context.

        Raises:
            ValueError: the bytes were not sealed by this key for this context.
        """
        plain = unseal(sealed, context=context, key=self._key)
        if plain is None:
            raise ValueError("sealed for another place, or damaged")
        value: Value = cbor2.loads(plain)
        return value

    def index(self, value: bytes) -> bytes:
        """A name for a value that can be looked up without showing the value in the file."""
        return hashlib.blake2b(value, key=self._key, digest_size=16, person=b"tally/index").digest()
