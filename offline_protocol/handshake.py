"""Noise_NK_25519_ChaChaPoly_SHA256: a private channel between payer and payee.

The request shows the payee's session key; the payer initiates and knows it, which is the NK pattern
(Noise, revision 34, section 7.5). The prologue is the request id, so a channel belongs to one
request. It keeps others from reading along; the safety of money never rests on it.

Nothing here reads or writes: bytes go in and out, and private keys are given. An ephemeral key must
be 32 fresh random bytes for every handshake.
"""

import hashlib
import hmac
from dataclasses import dataclass

from nacl import bindings
from nacl.exceptions import CryptoError

from offline_protocol.errors import HandshakeFailed, SessionBroken

_PROTOCOL_NAME = b"Noise_NK_25519_ChaChaPoly_SHA256"
_KEY_BYTES = 32
_TAG_BYTES = 16
_NONCE_MOST = 2**64 - 2  # Noise section 5.1 keeps the last one for re-keying
MESSAGE_BYTES_MAX = 65_535
_CODE_DIGITS = 6


def session_public_key(private_key: bytes) -> bytes:
    """The X25519 public key that a request shows."""
    return bytes(bindings.crypto_scalarmult_base(private_key))


class CipherState:
    """One direction of a channel. Messages are read in the order in which they were written."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._nonce = 0

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Encrypt the next message; it grows by 16 bytes.

        Raises:
            SessionBroken: too long, or 2^64 messages have been written.
        """
        if len(plaintext) + _TAG_BYTES > MESSAGE_BYTES_MAX:
            raise SessionBroken(f"a message has at most {MESSAGE_BYTES_MAX - _TAG_BYTES} bytes")
        nonce = self._next_nonce()
        ciphertext = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            plaintext, associated, nonce, self._key
        )
        self._nonce += 1
        return bytes(ciphertext)

    def decrypt(self, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Decrypt the next message. A refused one uses up no number.

        Raises:
            SessionBroken: forged, doubled, lost, out of order or too long.
        """
        if not _TAG_BYTES <= len(ciphertext) <= MESSAGE_BYTES_MAX:
            raise SessionBroken(f"a message of {len(ciphertext)} bytes")
        nonce = self._next_nonce()
        try:
            plaintext = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
                ciphertext, associated, nonce, self._key
            )
        except CryptoError as error:
            raise SessionBroken("the message does not belong here") from error
        self._nonce += 1
        return bytes(plaintext)

    def _next_nonce(self) -> bytes:
        if self._nonce > _NONCE_MOST:
            raise SessionBroken("the channel is used up; start a new one")
        return bytes(4) + self._nonce.to_bytes(8, "little")


@dataclass(frozen=True)
class Channel:
    """The end of a handshake: a cipher for each direction, and a code to compare."""

    sending: CipherState
    receiving: CipherState
    handshake_hash: bytes

    @property
    def code(self) -> str:
        """Six digits that are the same on both devices and that people may compare."""
        number = int.from_bytes(hashlib.sha256(b"tallystick/1/code" + self.handshake_hash).digest())
        return f"{number % 10**_CODE_DIGITS:0{_CODE_DIGITS}d}"


class _Symmetric:
    """The SymmetricState of Noise section 5.2."""

    def __init__(self, prologue: bytes) -> None:
        # The name has exactly 32 bytes, so it is the first hash itself.
        self.hash = self._chaining_key = _PROTOCOL_NAME
        self._cipher: CipherState | None = None
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, private_key: bytes, public_key: bytes) -> None:
        try:
            shared = bindings.crypto_scalarmult(private_key, public_key)
        except CryptoError as error:
            raise HandshakeFailed("the other side's key is of small order") from error
        self._chaining_key, key = _hkdf(self._chaining_key, shared)
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        assert self._cipher is not None, "NK mixes a key in before the first payload"
        ciphertext = self._cipher.encrypt(plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        assert self._cipher is not None, "NK mixes a key in before the first payload"
        try:
            plaintext = self._cipher.decrypt(ciphertext, self.hash)
        except SessionBroken as error:
            raise HandshakeFailed(
                "the message was made for other keys or another request"
            ) from error
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        first, second = _hkdf(self._chaining_key, b"")
        return CipherState(first), CipherState(second)


class Initiator:
    """The payer: writes the first message, reads the second."""

    def __init__(self, *, prologue: bytes, remote_static: bytes, ephemeral: bytes) -> None:
        """Take the request id, the request's session key and a fresh private key."""
        self._remote_static = remote_static
        self._ephemeral = ephemeral
        self._symmetric = _Symmetric(prologue)
        self._symmetric.mix_hash(remote_static)
        self._written = False
        self._channel: Channel | None = None

    def write_message(self, payload: bytes = b"") -> bytes:
        """First message: e, es.

        Raises:
            HandshakeFailed: the payee's key is of small order.
        """
        assert not self._written, "the payer writes one message"
        self._written = True
        public_key = session_public_key(self._ephemeral)
        self._symmetric.mix_hash(public_key)
        self._symmetric.mix_key(self._ephemeral, self._remote_static)
        return public_key + self._symmetric.encrypt_and_hash(payload)

    def read_message(self, message: bytes) -> bytes:
        """Second message: e, ee; the channel is open after it.

        Raises:
            HandshakeFailed: it is not the payee's answer. Start again from the beginning.
        """
        assert self._written, "the payer writes first"
        assert self._channel is None, "the payer reads one message"
        remote_ephemeral = _ephemeral_of(message)
        self._symmetric.mix_hash(remote_ephemeral)
        self._symmetric.mix_key(self._ephemeral, remote_ephemeral)
        payload = self._symmetric.decrypt_and_hash(message[_KEY_BYTES:])
        sending, receiving = self._symmetric.split()
        self._channel = Channel(sending, receiving, self._symmetric.hash)
        return payload

    @property
    def channel(self) -> Channel:
        assert self._channel is not None, "the handshake is not finished"
        return self._channel


class Responder:
    """The payee: reads the first message, writes the second."""

    def __init__(self, *, prologue: bytes, static: bytes, ephemeral: bytes) -> None:
        """Take the request id, the private key behind the request's session key and a fresh one."""
        self._static = static
        self._ephemeral = ephemeral
        self._symmetric = _Symmetric(prologue)
        self._symmetric.mix_hash(session_public_key(static))
        self._remote_ephemeral: bytes | None = None
        self._channel: Channel | None = None

    def read_message(self, message: bytes) -> bytes:
        """First message: e, es.

        Raises:
            HandshakeFailed: it was made for another request or key. Take a new Responder.
        """
        assert self._remote_ephemeral is None, "the payee reads one message"
        self._remote_ephemeral = _ephemeral_of(message)
        self._symmetric.mix_hash(self._remote_ephemeral)
        self._symmetric.mix_key(self._static, self._remote_ephemeral)
        return self._symmetric.decrypt_and_hash(message[_KEY_BYTES:])

    def write_message(self, payload: bytes = b"") -> bytes:
        """Second message: e, ee; the channel is open after it.

        Raises:
            HandshakeFailed: the payer's key is of small order.
        """
        assert self._remote_ephemeral is not None, "the payee reads first"
        assert self._channel is None, "the payee writes one message"
        public_key = session_public_key(self._ephemeral)
        self._symmetric.mix_hash(public_key)
        self._symmetric.mix_key(self._ephemeral, self._remote_ephemeral)
        message = public_key + self._symmetric.encrypt_and_hash(payload)
        receiving, sending = self._symmetric.split()
        self._channel = Channel(sending, receiving, self._symmetric.hash)
        return message

    @property
    def channel(self) -> Channel:
        assert self._channel is not None, "the handshake is not finished"
        return self._channel


def _ephemeral_of(message: bytes) -> bytes:
    if not _KEY_BYTES + _TAG_BYTES <= len(message) <= MESSAGE_BYTES_MAX:
        raise HandshakeFailed(f"a handshake message of {len(message)} bytes")
    return message[:_KEY_BYTES]


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Two outputs of the HKDF in Noise section 4.3."""
    extracted = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(extracted, b"\x01", "sha256")
    return first, hmac.digest(extracted, first + b"\x02", "sha256")
