"""Keys in ordinary memory."""

from typing import Final

from nacl import pwhash

from client_sdk.ambient import Entropy, system_entropy
from client_sdk.errors import StoreCorrupt, WrongPassphrase
from client_sdk.keys.provider import FILE_KEY_BYTES
from client_sdk.store.sealed import seal, unseal
from offline_protocol.keys import Signer, SoftwareSigner

SALT_BYTES: Final = 16
_WRAP_NAME: Final = b"tallystick/wallet/file-key"
_HEAD_BYTES: Final = 12 + SALT_BYTES
_ITERATIONS_MAX: Final = 16
_MEMORY_MIN: Final = 8192
_MEMORY_MAX: Final = 1 << 30


class SoftwareKeys:
    """The file key is wrapped by a passphrase, the seeds of device keys lie in the sealed file.

    Args:
        passphrase: opens the wallet; any text.
        entropy: source of salt, nonce and seeds.
        iterations: Argon2id passes (written into a new file; an existing file names its own).
        memory_bytes: Argon2id memory, likewise.
    """

    def __init__(
        self,
        passphrase: str,
        *,
        entropy: Entropy = system_entropy,
        iterations: int = 3,
        memory_bytes: int = 64 << 20,
    ) -> None:
        self._passphrase = passphrase.encode()
        self._entropy = entropy
        self._iterations = iterations
        self._memory_bytes = memory_bytes

    def wrap(self, file_key: bytes) -> bytes:
        salt = self._entropy(SALT_BYTES)
        head = self._iterations.to_bytes(4, "big") + self._memory_bytes.to_bytes(8, "big") + salt
        key = self._derive(salt, self._iterations, self._memory_bytes)
        return head + seal(file_key, context=_WRAP_NAME + head, key=key, entropy=self._entropy)

    def unwrap(self, wrapped: bytes) -> bytes:
        head, rest = wrapped[:_HEAD_BYTES], wrapped[_HEAD_BYTES:]
        if len(head) < _HEAD_BYTES:
            raise StoreCorrupt("The wallet file has lost a part of its wrapped key.")
        iterations = int.from_bytes(head[:4], "big")
        memory_bytes = int.from_bytes(head[4:12], "big")
        # A damaged or hostile file must not make the phone allocate without bound.
        if not (0 < iterations <= _ITERATIONS_MAX and _MEMORY_MIN <= memory_bytes <= _MEMORY_MAX):
            raise StoreCorrupt("The wallet file names impossible settings for its passphrase.")
        key = self._derive(head[12:], iterations, memory_bytes)
        file_key = unseal(rest, context=_WRAP_NAME + head, key=key)
        if file_key is None:
            raise WrongPassphrase("The passphrase does not open this wallet.")
        return file_key

    def make_device_key(self) -> bytes:
        return self._entropy(32)

    def signer(self, handle: bytes) -> Signer:
        return SoftwareSigner(handle)

    def _derive(self, salt: bytes, iterations: int, memory_bytes: int) -> bytes:
        return pwhash.argon2id.kdf(
            FILE_KEY_BYTES, self._passphrase, salt, opslimit=iterations, memlimit=memory_bytes
        )
