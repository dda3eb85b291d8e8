"""Puts frames together again from the parts of a fountain, whatever else the camera sees.

Parts are equations over two elements: the sum of these pieces is that. They are solved by Gaussian
elimination as they come, so the work for a part is bounded, and so is the memory.
"""

from typing import Final

from offline_protocol.errors import MalformedFrame
from offline_protocol.fountain import Key, Part, check_of, pieces_in
from offline_protocol.frames import TEXT_PREFIX, from_text

COLLECTIONS_MAX: Final = 8
"""Frames that are pieced together side by side."""
PATIENCE: Final = 3
"""New parts in a row of another frame, until that is what the other device shows now."""


class _Collection:
    """What is known about one frame: linear equations between its pieces, in echelon form."""

    def __init__(self, key: Key) -> None:
        self.count, self._length, self._check = key
        self._size = -(-self._length // self.count)
        self._rows: dict[int, tuple[int, int]] = {}
        """By the highest piece in it: the pieces of a sum, and the sum."""

    @property
    def rank(self) -> int:
        return len(self._rows)

    def add(self, part: Part) -> bool:
        """Take a part; tell whether it said anything new."""
        subset = pieces_in(part.number, part.count, part.check)
        total = int.from_bytes(part.data, "big")
        while subset:
            highest = subset.bit_length() - 1
            row = self._rows.get(highest)
            if row is None:
                self._rows[highest] = subset, total
                return True
            subset, total = subset ^ row[0], total ^ row[1]
        return False

    def frame(self) -> bytes:
        """The frame, once the rank is the count.

        Raises:
            MalformedFrame: it is not the frame that the parts were named after.
        """
        pieces: list[int] = []
        for highest in range(self.count):
            subset, total = self._rows[highest]
            for index, piece in enumerate(pieces):
                if subset >> index & 1:
                    total ^= piece
            pieces.append(total)
        joined = b"".join(piece.to_bytes(self._size, "big") for piece in pieces)
        frame = joined[: self._length]
        if check_of(frame) != self._check:
            raise MalformedFrame("the parts do not fit together; scan again")
        return frame


class PartCollector:
    """Puts frames together from parts, in any order, however often seen, with foreign ones between.

    Parts of several frames are kept apart. When there are too many of them, the one of which least
    is known is forgotten first, so that codes held in between throw nothing away.

    Attributes:
        progress: independent parts that are here, and how many are needed (0 before the first),
            of the frame that is being shown. Both are equal only when it is complete. It falls
            only when the other device has begun to show something else, or when the
            parts proved false.
    """

    def __init__(self) -> None:
        self.progress = (0, 0)
        self._collections: dict[Key, _Collection] = {}
        self._shown: Key | None = None
        self._rival: Key | None = None
        self._rival_parts = 0

    def add(self, text: str) -> bytes | None:
        """Take the text of one code; the frame when nothing is missing any more.

        Raises:
            MalformedFrame: not a text of ours, or parts that do not fit together. What was
                collected of other frames is kept.
        """
        if text.startswith(TEXT_PREFIX):
            frame = from_text(text)
            self._shown, self.progress = None, (1, 1)
            return frame
        part = Part.from_text(text)
        collection = self._collection(part.key)
        self._follow(part.key, new=collection.add(part))
        if collection.rank < collection.count:
            if part.key == self._shown:
                self.progress = collection.rank, collection.count
            return None
        self._forget(part.key)
        frame = collection.frame()
        self._shown, self.progress = None, (collection.count, collection.count)
        return frame

    def _collection(self, key: Key) -> _Collection:
        found = self._collections.get(key)
        if found is None:
            if len(self._collections) >= COLLECTIONS_MAX:
                others = (other for other in self._collections if other != self._shown)
                del self._collections[min(others, key=lambda k: self._collections[k].rank)]
            found = self._collections[key] = _Collection(key)
        return found

    def _follow(self, key: Key, *, new: bool) -> None:
        """Decide which frame is being shown: a stray code does not change that, a series does."""
        if self._shown is None:
            self._shown = key
        if key == self._shown:
            self._rival, self._rival_parts = None, 0
        elif new:
            self._rival_parts = self._rival_parts + 1 if key == self._rival else 1
            self._rival = key
            if self._rival_parts >= PATIENCE:
                self._shown, self._rival = key, None

    def _forget(self, key: Key) -> None:
        del self._collections[key]
        if key == self._shown:
            self._shown, self.progress = None, (0, 0)
