"""The guard: a wallet file that has forgotten what was signed may not sign again.

Each reservation of value writes a new mark into the file, in its own transaction, and then into
the witness; only after that anything is signed. So for whatever was ever signed the witness is as
new as the file that signed it, and a file that is older than the witness gives itself away. After
a crash between the two writes the file is one mark ahead; nothing was signed, and the witness is
brought up to it.
"""

from pathlib import Path
from typing import Final, NamedTuple, Self

from client_sdk.ambient import Entropy
from client_sdk.errors import StoreCorrupt, WalletRestored
from client_sdk.keys import KeyProvider
from client_sdk.store.sealed import Value
from client_sdk.store.sqlite import Store, StoreTx
from client_sdk.store.witness import (
    INSTALL_BYTES,
    TOKEN_BYTES,
    FileWitness,
    KeepsWitness,
    Mark,
    Witness,
    default_folder,
)

_ROW: Final = b"guard"


class _Row(NamedTuple):
    """What the file says: its installation, its mark, and the token of the mark before."""

    install: bytes
    mark: Mark
    before: bytes

    def to_value(self) -> Value:
        return [self.install, self.mark.number, self.mark.token, self.before]

    @classmethod
    def from_value(cls, value: Value) -> Self:
        match value:
            case [bytes(install), int(number), bytes(token), bytes(before)]:
                return cls(install, Mark(number, token), before)
        raise StoreCorrupt("A row that should hold the file's mark holds something else.")

    @property
    def mark_before(self) -> Mark:
        return Mark(self.mark.number - 1, self.before)


class Guard:
    """Compares the file with its witness at opening and before every signature over value.

    A wallet in memory has no file to put back, and no guard.

    Args:
        store: the open file.
        keys: says where the witness is, if it has a place of its own.
        entropy: source of tokens.
        folder: where witnesses are kept otherwise; by default in the user's state directory.

    Raises:
        StoreError: the witness cannot be read or made.
    """

    def __init__(
        self, store: Store, keys: KeyProvider, *, entropy: Entropy, folder: Path | None = None
    ) -> None:
        self._store = store
        self._keys = keys
        self._folder = folder
        self._entropy = entropy
        self._restored = False
        self._witness: Witness | None = None
        if store.path is not None:
            self._look()

    @property
    def restored(self) -> bool:
        """Whether this file is an older copy, or its witness is not here."""
        return self._restored

    def require_whole(self) -> None:
        """Go on only if nothing was forgotten.

        Raises:
            WalletRestored: this file is an old copy, or the witness is missing.
        """
        if self._restored:
            raise WalletRestored(
                "This wallet file is an older copy, or was moved here without its witness: it may "
                "have forgotten payments, so it can be looked at and synchronised, but not pay or "
                "be paid."
            )

    def prepare(self) -> None:
        """Before a reservation: the witness stands where the file does.

        Raises:
            WalletRestored: see `require_whole`.
            StoreError: the witness cannot be written.
        """
        self.require_whole()
        self.confirm()

    def count(self, tx: StoreTx) -> None:
        """Within a reservation: draw the file's next mark."""
        if self._witness is not None:
            row = self._row()
            assert row is not None, "written at opening"
            mark = Mark(row.mark.number + 1, self._entropy(TOKEN_BYTES))
            tx.put("single", _ROW, _Row(row.install, mark, row.mark.token).to_value())

    def confirm(self) -> None:
        """After a reservation, before signing: bring the witness up to the file.

        Raises:
            WalletRestored: another copy of this wallet has gone on in the meantime.
            StoreError: the witness cannot be written; nothing was signed.
        """
        self.require_whole()
        if self._witness is None:
            return
        row = self._row()
        assert row is not None, "written at opening"
        if self._witness.read() == row.mark:
            return
        self._store.point("before witness")
        self._restored = not self._witness.advance(row.mark_before, row.mark)
        self._store.point("after witness")
        self.require_whole()

    def begin_again(self, tx: StoreTx) -> None:
        """Within the transaction that gives the wallet a new key: a new installation begins.

        The witness is made first: a crash in between leaves the file as it was.
        """
        if self._store.path is None:
            return
        install, mark = self._entropy(INSTALL_BYTES), Mark(0, self._entropy(TOKEN_BYTES))
        self._witness = self._witness_of(install)
        if self._witness is not None:
            self._witness.advance(None, mark)
            tx.put("single", _ROW, _Row(install, mark, b"").to_value())

    def look_again(self) -> None:
        """After a new installation has begun: compare anew."""
        self._restored = False
        self._look()

    def _look(self) -> None:
        row = self._row()
        # Before its first row a file has the installation and the mark that follow from its key,
        # so that an interruption between witness and row does no harm.
        install = self._store.name_of(b"install") if row is None else row.install
        self._witness = self._witness_of(install)
        if self._witness is None:
            return
        seen = self._witness.read()
        if row is not None:
            self._restored = seen not in {row.mark, row.mark_before}
            return
        first = Mark(0, self._store.name_of(b"first mark"))
        if seen is None:
            self._store.point("before witness")
            self._restored = not self._witness.advance(None, first)
            self._store.point("after witness")
        else:
            self._restored = seen != first
        if self._restored:
            return
        with self._store.write("guard") as tx:
            tx.put("single", _ROW, _Row(install, first, b"").to_value())

    def _witness_of(self, install: bytes) -> Witness | None:
        if isinstance(self._keys, KeepsWitness):
            return self._keys.witness(install)
        return FileWitness(self._folder or default_folder(), install)

    def _row(self) -> _Row | None:
        value = self._store.get("single", _ROW)
        return None if value is None else _Row.from_value(value)
