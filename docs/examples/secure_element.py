"""Keys in a phone's secure element: the Android Keystore, or the Secure Enclave of an iPhone.

Such an element makes P-256 keys and nothing else, lets none of them out, and answers later, on a
thread of the system, perhaps after the person has put a finger on the phone. `Element` is what the
few lines of Kotlin or Swift on the other side have to offer; `ElementKeys` is the bridge that makes
a key provider of it. The wallet waits inside these calls: give it a thread of its own.

    keys = ElementKeys(element, ask_above=2000)
    wallet = BlockingWallet.create("wallet.db", keys=keys)
"""

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from client_sdk.keys import Attestation, Spending
from client_sdk.keys.errors import KeyGone, PersonRefused, TokenFailed
from offline_protocol.keys import PublicKey, Signer

ANSWER_SECONDS = 60
POINT_BYTES = 65  # uncompressed; the end of a SubjectPublicKeyInfo on P-256
FILE_KEY_NAME = "tallystick/file-key"

Answer = Future[bytes]
"""The platform's callback sets its result or its exception, from any thread."""


class Element(Protocol):
    """The platform's side. Keys have names; an unknown one is answered with KeyError."""

    def make_key(self, name: str, answer: Answer) -> None:
        """A new P-256 key for signing; answers its SubjectPublicKeyInfo."""

    def sign(self, name: str, message: bytes, answer: Answer) -> None:
        """ECDSA over SHA-256; answers in DER, as both platforms do."""

    def seal(self, name: str, plain: bytes, answer: Answer) -> None:
        """Encrypts with AES-GCM under a key that is made at the first use of its name."""

    def unseal(self, name: str, sealed: bytes, answer: Answer) -> None: ...

    def attest(self, name: str, challenge: bytes, answer: Answer) -> None:
        """The maker's statement about a key, over a challenge."""

    def delete_key(self, name: str, answer: Answer) -> None: ...

    def confirm(self, words: str, answer: Answer) -> None:
        """Shows words and waits for finger or face; answers b"yes" or anything else."""


class ElementKeys:
    """A key provider on top of a secure element.

    Args:
        element: the platform's side.
        ask_above: payments over this amount, in minor units, need the person.
    """

    def __init__(self, element: Element, *, ask_above: int = 0) -> None:
        self._element = element
        self._ask_above = ask_above

    def wrap(self, file_key: bytes) -> bytes:
        return _wait(lambda answer: self._element.seal(FILE_KEY_NAME, file_key, answer))

    def unwrap(self, wrapped: bytes) -> bytes:
        return _wait(lambda answer: self._element.unseal(FILE_KEY_NAME, wrapped, answer))

    def make_device_key(self) -> bytes:
        name = f"tallystick/device/{secrets.token_hex(8)}"
        info = _wait(lambda answer: self._element.make_key(name, answer))
        point = info[-POINT_BYTES:]
        compressed = bytes([2 + (point[-1] & 1)]) + point[1:33]
        return compressed + name.encode()

    def signer(self, handle: bytes) -> Signer:
        return _ElementSigner(self._element, PublicKey(handle[:33]), handle[33:].decode())

    def delete_device_key(self, handle: bytes) -> None:
        _wait(lambda answer: self._element.delete_key(handle[33:].decode(), answer))

    def attestation(self, handle: bytes, challenge: bytes) -> Attestation:
        name = handle[33:].decode()
        statement = _wait(lambda answer: self._element.attest(name, challenge, answer))
        return Attestation(form="example-element", statement=statement)

    def presence(self, spending: Spending) -> None:
        if spending.amount <= self._ask_above:
            return
        whom = spending.payee_name or "somebody without a name"
        words = f"Pay {spending.amount} {spending.currency} to {whom}?"
        if _wait(lambda answer: self._element.confirm(words, answer)) != b"yes":
            raise PersonRefused("The payment was not confirmed on this device.")


class _ElementSigner:
    def __init__(self, element: Element, public_key: PublicKey, name: str) -> None:
        self._element = element
        self._public_key = public_key
        self._name = name

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        der = _wait(lambda answer: self._element.sign(self._name, message, answer))
        r, s = decode_dss_signature(der)
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        self._public_key.verify(message, signature)
        return signature


def _wait(start: Callable[[Answer], None]) -> bytes:
    """Turn an answer that comes later into one that is waited for."""
    answer: Answer = Future()
    start(answer)
    try:
        return answer.result(ANSWER_SECONDS)
    except TimeoutError:
        raise PersonRefused("Nobody answered the phone's question in time.") from None
    except KeyError:
        raise KeyGone("The secure element does not hold this wallet's key.") from None
    except OSError as error:
        raise TokenFailed(f"The secure element failed: {error}.") from error
