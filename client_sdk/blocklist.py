"""What this wallet refuses: the issuer's revocation list, and keys that it has proofs about.

The list is kept with the signed pieces that led to it, so that it can be passed on to devices that
were offline for longer.
"""

from client_sdk.errors import StoreCorrupt
from client_sdk.store.sqlite import Store, StoreTx
from offline_protocol.constants import REVOKED_PREFIX_BYTES
from offline_protocol.revocation import Revoked
from offline_protocol.revocation_trail import Piece, Trail

_EPOCH, _TIME = b"revocation_epoch", b"revocation_time"
_ENTRIES, _TRAIL = b"revocation_entries", b"revocation_trail"


class Blocklist:
    """Reads are cached: the list may have a hundred thousand entries."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listed = Revoked()
        self._trail = Trail()
        self._all: tuple[int, int, frozenset[bytes]] = (0, 0, frozenset())

    @property
    def epoch(self) -> int:
        """Epoch of the issuer's list; 0 before the first."""
        return self._number(_EPOCH)

    @property
    def time(self) -> int:
        """Unix seconds at which the issuer last said that this list is the newest; 0 if never."""
        return self._number(_TIME)

    def listed(self) -> Revoked:
        """The issuer's list."""
        epoch = self.epoch
        if self._listed.epoch != epoch:
            entries, step = self._store.get("single", _ENTRIES), REVOKED_PREFIX_BYTES
            if not isinstance(entries, bytes) or len(entries) % step:
                raise StoreCorrupt("The row of the revocation list holds something else.")
            prefixes = (entries[at : at + step] for at in range(0, len(entries), step))
            self._listed = Revoked(epoch, frozenset(prefixes))
        return self._listed

    def everything(self) -> frozenset[bytes]:
        """Entries of the list, and ids of keys that this wallet has proofs about."""
        epoch, convicted = self.epoch, self._store.count("revoked", flag=0)
        if self._all[:2] != (epoch, convicted):
            own = frozenset(row.key for row in self._store.rows("revoked"))
            self._all = (epoch, convicted, self.listed().prefixes | own)
        return self._all[2]

    def trail(self) -> Trail:
        """What can be passed on."""
        found = self._store.get("single", _TRAIL)
        if not isinstance(found, list):
            return Trail()
        envelopes = [piece for piece in found if isinstance(piece, bytes)]
        if envelopes != [piece.envelope for piece in self._trail.pieces]:
            self._trail = Trail.read(envelopes)
        return self._trail

    def keep(self, tx: StoreTx, revoked: Revoked, piece: Piece, *, time: int) -> None:
        """Replace the list by a newer one that has been checked."""
        trail = self.trail().extended(piece)
        tx.put("single", _TRAIL, [each.envelope for each in trail.pieces])
        if revoked.epoch != self.epoch:
            tx.put("single", _ENTRIES, b"".join(sorted(revoked.prefixes)))
            tx.put("single", _EPOCH, revoked.epoch)
        self.confirm(tx, time)

    def confirm(self, tx: StoreTx, time: int) -> None:
        """The issuer had nothing newer than this list at this time."""
        if time > self.time:
            tx.put("single", _TIME, time)

    def put_time_right(self, tx: StoreTx, server_time: int) -> None:
        """Nothing was said later than now: a clock that was wrong once made the list look young."""
        if self.time > server_time:
            tx.put("single", _TIME, server_time)

    def _number(self, name: bytes) -> int:
        value = self._store.get("single", name)
        return value if isinstance(value, int) else 0
