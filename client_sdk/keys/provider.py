"""What the wallet asks of a key store, and what it may ask of one that can do more.

`KeyProvider` is all that a wallet needs. The other protocols are looked for on the same object: a
provider that has their method is used for it, one that has not is used without.

All calls are short and blocking. A phone whose key store answers later, by a callback, waits for
the answer inside the call; so the wallet belongs into a thread of its own there, away from the
thread that draws the screen.
"""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from offline_protocol.keys import Signer

FILE_KEY_BYTES: Final = 32


class KeyProvider(Protocol):
    """What a phone's key store offers the wallet.

    The wallet seals its file under a random key. It hands that key to `wrap` once, stores what
    comes back, and gives it to `unwrap` at every opening. Device keys are made and used here too:
    the wallet keeps only an opaque handle.
    """

    def wrap(self, file_key: bytes) -> bytes:
        """Bytes that only this provider turns back into the file key (32 bytes)."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """The file key.

        Raises:
            WrongPassphrase: this provider cannot open it.
            KeysError: the key store is locked, away or without the key.
        """
        ...

    def make_device_key(self) -> bytes:
        """A new signing key; returns the handle that names it.

        The handle lies in the sealed wallet file and may hold what the provider likes: for
        software keys it is the seed, for hardware a name and the public key.
        """
        ...

    def signer(self, handle: bytes) -> Signer:
        """The key behind a handle.

        It gives its public key without touching the hardware, so that a wallet whose key is gone
        can still be opened and looked at.
        """
        ...


@runtime_checkable
class DeletesKeys(Protocol):
    """A provider whose keys lie outside the wallet file and can be destroyed for good."""

    def delete_device_key(self, handle: bytes) -> None:
        """Destroy a key; deleting it twice is no error."""
        ...


@dataclass(frozen=True, kw_only=True)
class Spending:
    """A payment about to be reserved and signed.

    Attributes:
        amount: minor units.
        payee_name: certified name of the payee, empty if it has none.
    """

    amount: int
    currency: str
    payee_name: str


@runtime_checkable
class AsksPerson(Protocol):
    """A provider that may want to see a person before value leaves."""

    def presence(self, spending: Spending) -> None:
        """Return when the payment may be made: at once below the provider's own threshold.

        Called after everything else about the payment was checked and before anything is
        reserved or signed.

        Raises:
            PersonRefused: no finger, wrong PIN, or the person said no.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """A statement of the hardware's maker about one key, to be judged by the issuer.

    Attributes:
        form: names the format, such as "android-key" or "apple-appattest".
        statement: the bytes, for most formats a certificate chain.
    """

    form: str
    statement: bytes


@runtime_checkable
class AttestsKeys(Protocol):
    """A provider whose hardware can vouch for its keys."""

    def attestation(self, handle: bytes, challenge: bytes) -> Attestation:
        """The statement that this key was made in hardware, over the issuer's challenge."""
        ...
