"""A device key that stays in a PKCS#11 token."""

import hashlib
from typing import Any, Final

from client_sdk.keys.errors import TokenFailed
from client_sdk.keys.token import Token
from offline_protocol.algorithms import Algorithm
from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey

_POINT_BYTES: Final = {Algorithm.ED25519: 32, Algorithm.ESP256: 65}


class TokenSigner:
    """Signs with the private key of this id; knows its public half without the token."""

    def __init__(self, token: Token, key_id: bytes, public_key: PublicKey) -> None:
        self._token = token
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
        signature = self._token.use(lambda session: self._sign(session, message))
        try:
            self._public_key.verify(message, signature)
        except ProtocolError as error:
            raise TokenFailed("The token's signature does not verify.") from error
        return signature

    def _sign(self, session: Any, message: bytes) -> bytes:
        key = self._token.find(session, self._token.api.CKO_PRIVATE_KEY, self._key_id)
        if self._public_key.algorithm is Algorithm.ED25519:
            return bytes(session.sign(key, message, self._token.mechanism("EDDSA")))
        digest = hashlib.sha256(message).digest()
        return bytes(session.sign(key, digest, self._token.mechanism("ECDSA")))


def key_of_point(algorithm: Algorithm, point: bytes) -> PublicKey:
    """From CKA_EC_POINT: an OCTET STRING around the point, which some tokens leave out.

    Raises:
        ProtocolError: it is no key of this algorithm.
    """
    length = _POINT_BYTES[algorithm]
    raw = point[2:] if len(point) == length + 2 else point
    if algorithm is Algorithm.ESP256 and len(raw) == length:
        raw = bytes([2 + (raw[-1] & 1)]) + raw[1 : 1 + length // 2]
    return PublicKey(raw)
