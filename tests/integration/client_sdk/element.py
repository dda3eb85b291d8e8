"""A secure element in software: P-256 only, on its own thread, with a person and a maker."""

import datetime as dt
import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

Answer = Future[bytes]
CHALLENGE = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
NOON = dt.datetime(2027, 1, 15, 12, tzinfo=dt.UTC)
_ECDSA = ec.ECDSA(hashes.SHA256())


class PretendElement:
    """What the platform's half does, in one thread of its own.

    Attributes:
        says: the person's answers; without one, yes.
        asked: what the person was shown.
        broken: whether every call fails.
        maker: whose key vouches for the element's keys.
    """

    def __init__(self) -> None:
        self.says: list[bytes] = []
        self.asked: list[str] = []
        self.broken = False
        self.maker = ec.generate_private_key(ec.SECP256R1())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="element")
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._sealing: dict[str, AESGCM] = {}

    def close(self) -> None:
        self._thread.shutdown()

    def make_key(self, name: str, answer: Answer) -> None:
        def make() -> bytes:
            self._keys[name] = ec.generate_private_key(ec.SECP256R1())
            return _info(self._keys[name])

        self._later(make, answer)

    def sign(self, name: str, message: bytes, answer: Answer) -> None:
        self._later(lambda: self._keys[name].sign(message, _ECDSA), answer)

    def seal(self, name: str, plain: bytes, answer: Answer) -> None:
        def seal() -> bytes:
            self._sealing.setdefault(name, AESGCM(AESGCM.generate_key(256)))
            nonce = hashlib.sha256(plain + b"nonce").digest()[:12]
            return nonce + self._sealing[name].encrypt(nonce, plain, name.encode())

        self._later(seal, answer)

    def unseal(self, name: str, sealed: bytes, answer: Answer) -> None:
        def unseal() -> bytes:
            return self._sealing[name].decrypt(sealed[:12], sealed[12:], name.encode())

        self._later(unseal, answer)

    def attest(self, name: str, challenge: bytes, answer: Answer) -> None:
        def attest() -> bytes:
            maker = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The maker")])
            certificate = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
                .issuer_name(maker)
                .public_key(self._keys[name].public_key())
                .serial_number(1)
                .not_valid_before(NOON)
                .not_valid_after(NOON + dt.timedelta(days=1))
                .add_extension(x509.UnrecognizedExtension(CHALLENGE, challenge), critical=False)
                .sign(self.maker, hashes.SHA256())
            )
            return certificate.public_bytes(Encoding.DER)

        self._later(attest, answer)

    def delete_key(self, name: str, answer: Answer) -> None:
        def delete() -> bytes:
            self._keys.pop(name, None)
            return b""

        self._later(delete, answer)

    def confirm(self, words: str, answer: Answer) -> None:
        def confirm() -> bytes:
            self.asked.append(words)
            return self.says.pop(0) if self.says else b"yes"

        self._later(confirm, answer)

    def _later(self, work: Callable[[], bytes], answer: Answer) -> None:
        def call_back() -> None:
            try:
                if self.broken:
                    raise OSError("no answer from the chip")  # noqa: TRY301 -- as a chip would
                answer.set_result(work())
            except (KeyError, OSError) as error:
                answer.set_exception(error)

        self._thread.submit(call_back)


def _info(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
