"""Keys in a PKCS#11 token: smart cards, USB keys, TPMs and the modules of a server room.

Device keys and the key that wraps the file key are made inside the token and cannot be read out of
it, so the wallet file is of use only together with the token and its PIN. Needs the extra `pkcs11`,
and `p256` for P-256 keys.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from client_sdk.ambient import Entropy, system_entropy
from client_sdk.errors import StoreCorrupt
from client_sdk.keys.errors import TokenFailed
from client_sdk.keys.provider import FILE_KEY_BYTES
from client_sdk.keys.token import Token
from client_sdk.keys.token_signer import TokenSigner, key_of_point
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
            key = session.generateKey(
                self._wrapping_key(key_id), self._token.mechanism("AES_KEY_GEN")
            )
            return bytes(session.encrypt(key, file_key, self._gcm(key_id, nonce)))

        return key_id + nonce + self._token.use(work)

    def unwrap(self, wrapped: bytes) -> bytes:
        key_id, rest = wrapped[:ID_BYTES], wrapped[ID_BYTES:]
        nonce, sealed = rest[:NONCE_BYTES], rest[NONCE_BYTES:]

        def work(session: Any) -> bytes:
            key = self._token.find(session, self._api.CKO_SECRET_KEY, key_id)
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
            public_key = key_of_point(self._algorithm, point)
        except ProtocolError as error:
            raise TokenFailed(f"The token's new key is of no use: {error.message}.") from error
        return key_id + public_key.raw

    def signer(self, handle: bytes) -> Signer:
        return TokenSigner(self._token, handle[:ID_BYTES], PublicKey(handle[ID_BYTES:]))

    def delete_device_key(self, handle: bytes) -> None:
        def work(session: Any) -> None:
            for found in session.findObjects([(self._api.CKA_ID, handle[:ID_BYTES])]):
                session.destroyObject(found)

        self._token.use(work)

    def witness(self, install: bytes) -> TokenWitness:
        """The wallet's mark in the token, where no copy of the wallet file reaches it."""
        return TokenWitness(self._token, install)

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
            self._token.mechanism("EC_EDWARDS_KEY_PAIR_GEN" if edwards else "EC_KEY_PAIR_GEN"),
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

    def _gcm(self, key_id: bytes, nonce: bytes) -> Any:
        return self._api.AES_GCM_Mechanism(nonce, _WRAP_NAME + key_id, _TAG_BITS)
