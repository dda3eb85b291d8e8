"""Keys that remember what they ever signed, also what no file and no wire has seen."""

from dataclasses import dataclass, field
from pathlib import Path

from client_sdk.ambient import Entropy
from client_sdk.testing import QuickKeys
from offline_protocol import cbor
from offline_protocol.cose import Signed
from offline_protocol.keys import PublicKey, Signer
from offline_protocol.transfers import Transfer

_TRANSFER = b"tallystick/1/transfer"


@dataclass
class Memory:
    """Every transfer that any key signed, in the order of signing; outlives every crash."""

    signed: list[tuple[PublicKey, Signed[Transfer]]] = field(default_factory=list)

    def note(self, key: PublicKey, message: bytes) -> None:
        """Keep the transfer in a Sig_structure (RFC 9052 section 4.4); other objects are let go."""
        parts = cbor.decode(message, bytes_max=len(message)) if message[:1] == b"\x84" else None
        if type(parts) is list and parts[2] == _TRANSFER:
            payload = parts[3]
            assert isinstance(payload, bytes)
            self.signed.append((key, Signed(Transfer.from_payload(payload), b"")))


class RememberedSigner:
    def __init__(self, signer: Signer, memory: Memory) -> None:
        self._signer = signer
        self._memory = memory

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        self._memory.note(self.public_key, message)
        return self._signer.sign(message)


class RememberedKeys(QuickKeys):
    def __init__(self, memory: Memory, *, entropy: Entropy, witness_folder: Path) -> None:
        super().__init__("", entropy=entropy, witness_folder=witness_folder)
        self._memory = memory

    def signer(self, handle: bytes) -> Signer:
        return RememberedSigner(super().signer(handle), self._memory)
