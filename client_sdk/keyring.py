"""The wallet's keys: the one it was enrolled with, and further ones, each for one payment.

A payee sees the key that asks or pays. With one key payees who compare notes know that they saw the
same person; with another key for each request and each load they do not. The issuer certifies
further keys in batches and knows whose they are. Sequence numbers are counted for each key.
"""

from dataclasses import replace
from typing import Final

from client_sdk.keys import KeyProvider
from client_sdk.keys.errors import KeysError
from client_sdk.records import OwnKey
from client_sdk.store.sqlite import Store, StoreTx
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.cose import Signed, seal, unseal
from offline_protocol.key_bindings import KeyBinding
from offline_protocol.keys import PublicKey, Signer

POOL_KEYS: Final = 16
"""Further keys that nobody has seen are kept in this number."""
POOL_LEAST: Final = 4
"""With fewer of them more are made."""
FIRST_SEQUENCE: Final = 1
_PREFIX: Final = b"key/"


class Keyring:
    """Further keys of one wallet, in its store and nowhere else.

    Nothing is cached: what a write that failed had changed would count otherwise.
    """

    def __init__(self, store: Store, keys: KeyProvider) -> None:
        self._store = store
        self._keys = keys

    def owns(self, key: PublicKey) -> bool:
        return self._store.get("single", _PREFIX + key.raw) is not None

    def known(self) -> list[PublicKey]:
        """All of them, certified or not."""
        return [key for key, _ in self._all()]

    def signer(self, key: PublicKey) -> Signer:
        """The signer of a key that this wallet owns."""
        return self._keys.signer(self._one(key).handle)

    def certificate(self, key: PublicKey) -> Signed[DeviceCertificate] | None:
        """The newest certificate of a further key."""
        own = self._one(key) if self.owns(key) else None
        return None if own is None or not own.certificate else _read(own.certificate)

    def sequence(self, key: PublicKey) -> int:
        """The number of the key's next signature."""
        return self._one(key).sequence

    def unused(self, now: int, *, lasting: int = 0) -> list[Signed[DeviceCertificate]]:
        """Certificates of keys that nobody has seen, good for so many seconds from now on."""
        found = (_read(own.certificate) for _, own in self._all() if own.fresh)
        return [each for each in found if each.body.valid_to > now + lasting]

    def idle(self) -> list[PublicKey]:
        """Certified keys that nobody has seen, also those whose certificate has ended."""
        return [key for key, own in self._all() if own.fresh]

    def make(self, tx: StoreTx, count: int) -> list[PublicKey]:
        """Make further keys; they are of use once they are certified.

        Fewer where the key provider has no room for more.
        """
        made = []
        for _ in range(count):
            try:
                handle = self._keys.make_device_key()
            except KeysError:
                break
            key = self._keys.signer(handle).public_key
            own = OwnKey(handle=handle, certificate=b"", used=False, sequence=FIRST_SEQUENCE)
            _put(tx, key, own)
            made.append(key)
        return made

    def uncertified(self) -> list[PublicKey]:
        """Keys that were made and never certified: an interrupted call."""
        return [key for key, own in self._all() if not own.certificate]

    def keep(self, tx: StoreTx, certificate: Signed[DeviceCertificate]) -> None:
        """Keep a certificate that was checked."""
        key = certificate.body.device_key
        _put(tx, key, replace(self._one(key), certificate=certificate.envelope))

    def use(self, tx: StoreTx, key: PublicKey) -> None:
        """From now on somebody may have seen this key."""
        if self.owns(key):
            _put(tx, key, replace(self._one(key), used=True))

    def count(self, tx: StoreTx, key: PublicKey, signatures: int) -> None:
        """Give so many numbers of a key away."""
        own = self._one(key)
        _put(tx, key, replace(own, used=True, sequence=own.sequence + signatures))

    def forget_all(self, tx: StoreTx) -> None:
        """None of them may sign any more: this wallet gets a new first key."""
        for key in self.known():
            tx.delete("single", _PREFIX + key.raw)

    def bind(self, owner: PublicKey, bound: PublicKey, issuer: bytes) -> Signed[KeyBinding]:
        """The word of a further key that it belongs to this device."""
        return seal(KeyBinding(owner, bound, issuer), self.signer(bound))

    def _one(self, key: PublicKey) -> OwnKey:
        return OwnKey.from_value(self._store.get("single", _PREFIX + key.raw))

    def _all(self) -> list[tuple[PublicKey, OwnKey]]:
        rows = self._store.rows_under("single", _PREFIX)
        return [
            (PublicKey(row.key.removeprefix(_PREFIX)), OwnKey.from_value(row.payload))
            for row in rows
        ]


def _put(tx: StoreTx, key: PublicKey, own: OwnKey) -> None:
    tx.put("single", _PREFIX + key.raw, own.to_value())


def _read(envelope: bytes) -> Signed[DeviceCertificate]:
    return unseal(DeviceCertificate, envelope)
