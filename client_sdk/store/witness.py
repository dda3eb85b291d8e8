"""The witness: what lies outside the wallet file and says how far it had come.

A wallet file that is put back from a copy looks as good as any other, but it has forgotten what
was signed since, and would sign the same value away again. The witness remembers the number of the
last reservation and a random token drawn for it; a copy of the file does not bring it along.

`FileWitness` is the best that software can do. Secure hardware may offer more through the method
`witness` of its key provider.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol, runtime_checkable

from client_sdk.errors import StoreFull, StoreReadOnly
from client_sdk.store.lock import FULL

TOKEN_BYTES: Final = 16
INSTALL_BYTES: Final = 16
_MAGIC: Final = b"tally/w1"
_NUMBER_BYTES: Final = 8
_SUM_BYTES: Final = 16
_BODY_BYTES: Final = len(_MAGIC) + 2 * _NUMBER_BYTES + TOKEN_BYTES
_SLOT_BYTES: Final = 4096
"""Slots lie in blocks of their own: a torn write of one leaves the other readable."""
_SLOTS: Final = 2


class Mark(NamedTuple):
    """How far a wallet has come: its reservations so far, and a token drawn for the last one."""

    number: int
    token: bytes


class Witness(Protocol):
    """Memory that a copy of the wallet file does not bring along."""

    def read(self) -> Mark | None:
        """The newest mark; None when this place has never seen the wallet."""
        ...

    def advance(self, before: Mark | None, after: Mark) -> bool:
        """Replace `before` by `after`, durably and in one step.

        Returns:
            Whether `before` stood there; if not, nothing has changed.

        Raises:
            StoreError: it cannot be written; the mark is the old or the new one.
        """
        ...


@runtime_checkable
class KeepsWitness(Protocol):
    """A key provider that has a better place for the witness than a file."""

    def witness(self, install: bytes) -> Witness | None:
        """The witness of one installation of a wallet (16 bytes name it).

        None means that there is none and old copies are not noticed: for tests only.
        """
        ...


def default_folder() -> Path:
    """Where witnesses lie: `tallystick` in the user's state directory (XDG_STATE_HOME)."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "tallystick"


class FileWitness:
    """A witness in a file of its own, far from the wallet.

    The file names its own number in the file system (inode): put back by a backup, which makes a
    new file, it counts as missing. Two slots are written in turn, so one of them is always whole.

    Args:
        folder: made when it is not there.
        install: names the installation, 16 bytes.
    """

    def __init__(self, folder: Path, install: bytes) -> None:
        self.path = folder / f"{install.hex()}.witness"
        self._install = install

    def read(self) -> Mark | None:
        with self._clear_errors():
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            with _closing(descriptor):
                found = self._newest(descriptor)
        return None if found is None else found[1]

    def advance(self, before: Mark | None, after: Mark) -> bool:
        with self._clear_errors():
            fresh = before is None and self._make()
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            with _closing(descriptor):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                found = self._newest(descriptor)
                if (None if found is None else found[1]) != before:
                    return False
                slot = 0 if found is None else (found[0] + 1) % _SLOTS
                os.pwrite(descriptor, self._encode(after, descriptor), slot * _SLOT_BYTES)
                os.fsync(descriptor)
            if fresh:
                _sync_folder(self.path.parent)
        return True

    def _make(self) -> bool:
        """Make the file in its full length, so that no later write needs room."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags, 0o600)
        except FileExistsError:
            return False
        with _closing(descriptor):
            os.pwrite(descriptor, bytes(_SLOTS * _SLOT_BYTES), 0)
            os.fsync(descriptor)
        return True

    def _newest(self, descriptor: int) -> tuple[int, Mark] | None:
        slots = ((slot, self._decode(descriptor, slot)) for slot in range(_SLOTS))
        whole = [(slot, mark) for slot, mark in slots if mark is not None]
        return max(whole, key=lambda found: found[1].number, default=None)

    def _encode(self, mark: Mark, descriptor: int) -> bytes:
        place = os.fstat(descriptor).st_ino
        numbers = (part.to_bytes(_NUMBER_BYTES, "big") for part in (place, mark.number))
        body = _MAGIC + b"".join(numbers) + mark.token
        return body + self._sum(body)

    def _decode(self, descriptor: int, slot: int) -> Mark | None:
        data = os.pread(descriptor, _BODY_BYTES + _SUM_BYTES, slot * _SLOT_BYTES)
        body, check = data[:_BODY_BYTES], data[_BODY_BYTES:]
        if check != self._sum(body):
            return None
        head, middle = len(_MAGIC), len(_MAGIC) + _NUMBER_BYTES
        if int.from_bytes(body[head:middle], "big") != os.fstat(descriptor).st_ino:
            return None  # a copy of a witness is no witness
        number = int.from_bytes(body[middle : middle + _NUMBER_BYTES], "big")
        return Mark(number, body[-TOKEN_BYTES:])

    def _sum(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self._install, digest_size=_SUM_BYTES).digest()

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = StoreFull if error.errno in FULL else StoreReadOnly
            raise kind(
                f"The wallet's witness {self.path} cannot be used: {error.strerror}.",
                fix="Make the file and its folder writable, with some free space; nothing was "
                "signed.",
            ) from error


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    with _closing(descriptor):
        os.fsync(descriptor)
