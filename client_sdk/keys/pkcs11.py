"""Keys in a PKCS#11 token: smart cards, USB keys, TPMs and the modules of a server room.

Device keys and the key that wraps the file key are made inside the token and cannot be read out of
it, so the wallet file is of use only together with the token and its PIN. Needs the extra `pkcs11`,
and `p256` for P-256 keys.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from client_sdk.ambient import Entropy, system_entropy
from client_sdk.errors import StoreCorrupt
from client_sdk.keys.errors import KeyGone, TokenFailed
from client_sdk.keys.provider import FILE_KEY_BYTES
from client_sdk.keys.token import Token
from client_sdk.keys.token_witness import TokenWitness
from offline_protocol.algorithms import Algorithm
from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey, Signer

ID_BYTES: Final = 16
NONCE_BYTES: Final = 12
_TAG_BITS: Final = 128
_WRAP_NAME: Final = b"tallystick/wallet/file-key"
_LABEL: Final = "tallystick"
# Curves as object identifiers in DER: RFC 8410 section 3 and RFC 5480 section 2.1.1.1.
_ED25519: Final = bytes.fromhex("06032b6570")
_P256: Final = bytes.fromhex("06082a8648ce3d030107")
_POINT_BYTES: Final = {Algorithm.ED25519: 32, Algorithm.ESP256: 65}


class TokenKeys:
    """A key provider whose keys never leave a token; close it after the wallet.

    Args:
        module: the maker's PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so.
        token: the token's name.
        pin: the user's PIN, or what asks for it.
        serial: tells tokens of one name apart.
        algorithm: of new device keys; tokens without Ed25519 mostly have P-256.
        entropy: source of key names and nonces.

    Raises:
        MissingExtra: PyKCS11 is not installed.
        TokenMissing: the library cannot be loaded.
    """

    def __init__(
        self,
        module: Path | str,
        *,
        token: str,
        pin: str | Callable[[], str],
        serial: str | None = None,
        algorithm: Algorithm = Algorithm.ED25519,
        entropy: Entropy = system_entropy,
    ) -> None:
        self._token = Token(module, token, pin, serial=serial)
        self._api = self._token.api
        self._algorithm = algorithm
        self._entropy = entropy

    def wrap(self, file_key: bytes) -> bytes:
        key_id, nonce = self._entropy(ID_BYTES), self._entropy(NONCE_BYTES)

        def work(session: Any) -> bytes:
            key = session.generateKey(self._wrapping_key(key_id), self._mechanism("AES_KEY_GEN"))
            return bytes(session.encrypt(key, file_key, self._gcm(key_id, nonce)))

        return key_id + nonce + self._token.use(work)

    def unwrap(self, wrapped: bytes) -> bytes:
        key_id, rest = wrapped[:ID_BYTES], wrapped[ID_BYTES:]
        nonce, sealed = rest[:NONCE_BYTES], rest[NONCE_BYTES:]

        def work(session: Any) -> bytes:
            key = self._found(session, self._api.CKO_SECRET_KEY, key_id)
            return bytes(session.decrypt(key, sealed, self._gcm(key_id, nonce)))

        try:
            file_key = self._token.use(work)
        except TokenFailed as error:  # tokens have many names for a tag that does not fit
            raise StoreCorrupt(f"The wrapped file key cannot be read. {error.detail}") from error
        if len(file_key) != FILE_KEY_BYTES:
            raise StoreCorrupt("The wrapped file key has another size.")
        return file_key

    def make_device_key(self) -> bytes:
        """A new key in the token.

        Raises:
            TokenFailed: the token cannot make keys of this algorithm.
        """
        key_id = self._entropy(ID_BYTES)
        point = self._token.use(lambda session: self._generate(session, key_id))
        try:
            public_key = _public_key(self._algorithm, point)
        except ProtocolError as error:
            raise TokenFailed(f"The token's new key is of no use: {error.message}.") from error
        return key_id + public_key.raw

    def signer(self, handle: bytes) -> Signer:
        return _TokenSigner(self, handle[:ID_BYTES], PublicKey(handle[ID_BYTES:]))

    def delete_device_key(self, handle: bytes) -> None:
        def work(session: Any) -> None:
            for found in session.findObjects([(self._api.CKA_ID, handle[:ID_BYTES])]):
                session.destroyObject(found)

        self._token.use(work)

    def witness(self, install: bytes) -> TokenWitness:
        """The wallet's mark in the token, where no copy of the wallet file reaches it."""
        return TokenWitness(self._token, install)

    def sign(self, key_id: bytes, algorithm: Algorithm, message: bytes) -> bytes:
        """64 bytes made in the token; ECDSA numbers as r and s (IEEE P1363)."""

        def work(session: Any) -> bytes:
            key = self._found(session, self._api.CKO_PRIVATE_KEY, key_id)
            if algorithm is Algorithm.ED25519:
                return bytes(session.sign(key, message, self._mechanism("EDDSA")))
            digest = hashlib.sha256(message).digest()
            return bytes(session.sign(key, digest, self._mechanism("ECDSA")))

        return self._token.use(work)

    def close(self) -> None:
        """End the session with the token; it is opened again when next used."""
        self._token.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _generate(self, session: Any, key_id: bytes) -> bytes:
        """Make a pair; the public half as the token writes it."""
        api = self._api
        edwards = self._algorithm is Algorithm.ED25519
        kind = api.CKK_EC_EDWARDS if edwards else api.CKK_EC
        public, _ = session.generateKeyPair(
            [
                (api.CKA_KEY_TYPE, kind),
                (api.CKA_EC_PARAMS, _ED25519 if edwards else _P256),
                (api.CKA_VERIFY, True),
                *self._kept(key_id),
            ],
            [
                (api.CKA_KEY_TYPE, kind),
                (api.CKA_SIGN, True),
                (api.CKA_DECRYPT, False),
                (api.CKA_UNWRAP, False),
                *self._hidden(key_id),
            ],
            self._mechanism("EC_EDWARDS_KEY_PAIR_GEN" if edwards else "EC_KEY_PAIR_GEN"),
        )
        return bytes(session.getAttributeValue(public, [api.CKA_EC_POINT])[0])

    def _wrapping_key(self, key_id: bytes) -> list[tuple[int, Any]]:
        api = self._api
        return [
            (api.CKA_CLASS, api.CKO_SECRET_KEY),
            (api.CKA_KEY_TYPE, api.CKK_AES),
            (api.CKA_VALUE_LEN, FILE_KEY_BYTES),
            (api.CKA_ENCRYPT, True),
            (api.CKA_DECRYPT, True),
            *self._hidden(key_id),
        ]

    def _hidden(self, key_id: bytes) -> list[tuple[int, Any]]:
        api = self._api
        never_out = [
            (api.CKA_PRIVATE, True),
            (api.CKA_SENSITIVE, True),
            (api.CKA_EXTRACTABLE, False),
        ]
        return [*never_out, *self._kept(key_id)]

    def _kept(self, key_id: bytes) -> list[tuple[int, Any]]:
        api = self._api
        return [(api.CKA_TOKEN, True), (api.CKA_ID, key_id), (api.CKA_LABEL, _LABEL)]

    def _mechanism(self, name: str) -> Any:
        return self._api.Mechanism(getattr(self._api, f"CKM_{name}"), None)

    def _gcm(self, key_id: bytes, nonce: bytes) -> Any:
        return self._api.AES_GCM_Mechanism(nonce, _WRAP_NAME + key_id, _TAG_BITS)

    def _found(self, session: Any, kind: int, key_id: bytes) -> Any:
        found = session.findObjects([(self._api.CKA_CLASS, kind), (self._api.CKA_ID, key_id)])
        if not found:
            raise KeyGone("The token does not hold this wallet's key.")
        return found[0]


class _TokenSigner:
    """One device key of a token."""

    def __init__(self, keys: TokenKeys, key_id: bytes, public_key: PublicKey) -> None:
        self._keys = keys
        self._key_id = key_id
        self._public_key = public_key

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Sign in the token, and check: a wrong signature must not become a stored payment.

        Raises:
            KeysError: the token is away or locked, or its key is gone.
        """
        signature = self._keys.sign(self._key_id, self._public_key.algorithm, message)
        try:
            self._public_key.verify(message, signature)
        except ProtocolError as error:
            raise TokenFailed("The token's signature does not verify.") from error
        return signature


def _public_key(algorithm: Algorithm, point: bytes) -> PublicKey:
    """From CKA_EC_POINT: an OCTET STRING around the point, which some tokens leave out.

    Raises:
        ProtocolError: it is no key of this algorithm.
    """
    length = _POINT_BYTES[algorithm]
    raw = point[2:] if len(point) == length + 2 else point
    if algorithm is Algorithm.ESP256 and len(raw) == length:
        raw = bytes([2 + (raw[-1] & 1)]) + raw[1 : 1 + length // 2]
    return PublicKey(raw)
