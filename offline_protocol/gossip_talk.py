"""The order in which two devices exchange evidence, and how many bytes it may take. No I/O.

    payer                                   payee
    NEWS                           ->
                                   <-       NEWS
    gifts, TAGS                    ->
                                   <-       gifts, TAGS, WANT
    RECORDS, WANT                  ->
                                   <-       proofs, RECORDS
    proofs, end of the connection  ->

Gifts are what the other side's NEWS shows to be missing: KEY_SET, REVOCATION, POLICY, FRAUD_PROOF.
Proofs are those that the records have just made. Each side says in NEWS how many bytes of frames it
takes; who sends more, or out of order, is left.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from offline_protocol.errors import MalformedFrame, ProtocolError, UnknownIssuerKey
from offline_protocol.frames import FrameKind, pack, unpack
from offline_protocol.fraud import FraudProof
from offline_protocol.gossip import (
    PROOFS_MAX,
    SPENDS_MAX,
    TAGS_MAX,
    WANTS_MAX,
    News,
    Spend,
    Tag,
    read_spends,
    read_tags,
    write_spends,
    write_tags,
)

BUDGET_MIN: Final = 512
"""Bytes below which no evidence is exchanged: NEWS always fits in it."""
ITEMS_MAX: Final = 64
"""Gifts and proofs taken in one meeting."""

GIFTS: Final = frozenset(
    {FrameKind.KEY_SET, FrameKind.REVOCATION, FrameKind.POLICY, FrameKind.FRAUD_PROOF}
)
_PROOFS: Final = frozenset({FrameKind.FRAUD_PROOF})
_GIFTS_SHARE: Final = 5 / 8
_TAGS_SHARE: Final = 3 / 4
"""Gifts may fill so much of the budget, gifts and tags together so much; records have the rest."""
_LEAST_FRAME: Final = 3
"""An empty TAGS, WANT or RECORDS."""

# What each side waits for, in order, and what may come before it.
_LEADER: Final = (
    (FrameKind.NEWS, frozenset[FrameKind]()),
    (FrameKind.TAGS, GIFTS),
    (FrameKind.WANT, frozenset[FrameKind]()),
    (FrameKind.RECORDS, _PROOFS),
)
_FOLLOWER: Final = (
    (FrameKind.NEWS, frozenset[FrameKind]()),
    (FrameKind.TAGS, GIFTS),
    (FrameKind.RECORDS, frozenset[FrameKind]()),
    (FrameKind.WANT, frozenset[FrameKind]()),
)


class Shelf(Protocol):
    """What a device knows, keeps and tells.

    Whatever is given to it was read strictly and not yet verified. It refuses what is forged by
    raising, and passes in silence over what is old.
    """

    def news(self, budget: int) -> News: ...

    def gifts(self, peer: News) -> Iterable[tuple[FrameKind, bytes]]:
        """What the other side lacks, the most useful first; pieces of a list in their order."""
        ...

    def take(self, kind: FrameKind, body: bytes) -> None:
        """Verify and keep a gift."""
        ...

    def tags(self) -> Sequence[Tag]:
        """What was signed away as far as this device has seen or heard, newest first."""
        ...

    def hear(self, tags: Sequence[Tag]) -> Sequence[Tag]:
        """Remember tags; those whose transfers would contradict what this device has seen."""
        ...

    def spends(self, tag: Tag) -> Sequence[Spend]:
        """The transfers behind a tag that this device told."""
        ...

    def confront(self, spends: Sequence[Spend]) -> Sequence[FraudProof]:
        """Compare with what was seen; the proofs that come of it, which are kept."""
        ...


def is_unknown_issuer(error: BaseException | None) -> bool:
    """Whether something was refused for a key that our key set does not list, perhaps yet.

    That is no fault of who passes it on: a newer key set may not have had room in this meeting.
    """
    while error is not None and not isinstance(error, UnknownIssuerKey):
        error = error.__cause__
    return error is not None


class GossipTalk:
    """One side of one meeting.

    Attributes:
        sent: bytes of frames handed out so far.
        received: bytes of frames taken so far.
    """

    def __init__(self, shelf: Shelf, *, budget: int, leads: bool) -> None:
        """Begin with nothing said.

        Args:
            shelf: what this device knows.
            budget: bytes of frames that this side sends and takes, at least `BUDGET_MIN`.
            leads: whether this side speaks first.
        """
        assert budget >= BUDGET_MIN, "a smaller budget is no exchange"
        self.sent = self.received = 0
        self._shelf = shelf
        self._budget = self._limit = budget
        self._leads = leads
        self._awaited = list(_LEADER if leads else _FOLLOWER)
        self._after = frozenset[FrameKind]() if leads else _PROOFS
        self._given = self._items = 0
        self._peer = News(0, 0, 0, 0)
        self._wants: Sequence[Tag] = ()
        self._told: frozenset[Tag] = frozenset()
        self._wanted: frozenset[Tag] = frozenset()
        self._minted: list[FraudProof] = []

    @property
    def done(self) -> bool:
        """Whether everything that has to come has come."""
        return not self._awaited

    def begin(self) -> list[bytes]:
        """What to send before anything has come."""
        return [self._news()] if self._leads else []

    def take(self, frame: bytes) -> list[bytes]:
        """Take one frame; what to send then.

        Raises:
            ProtocolError: it is malformed, forged, out of order or over the budget. End the talk.
        """
        self.received += len(frame)
        if self.received > self._budget:
            raise MalformedFrame(f"more than the {self._budget} bytes that were asked for")
        kind, body = unpack(frame)
        awaited, before = self._awaited[0] if self._awaited else (None, self._after)
        if kind in before:
            self._items += 1
            if self._items > ITEMS_MAX:
                raise MalformedFrame("too many frames of evidence")
            try:
                self._shelf.take(kind, body)
            except ProtocolError as error:
                if not is_unknown_issuer(error):
                    raise
            return []
        if kind is not awaited:
            raise MalformedFrame(f"a {kind.name} frame out of order")
        del self._awaited[0]
        return self._advance(kind, body)

    def _advance(self, kind: FrameKind, body: bytes) -> list[bytes]:
        match kind:
            case FrameKind.NEWS:
                return self._meet(News.decode(body))
            case FrameKind.TAGS:
                heard = read_tags(body, most=TAGS_MAX)
                self._wants = self._shelf.hear(heard)
                return [] if self._leads else [*self._gifts_and_tags(), self._want()]
            case FrameKind.WANT:
                wanted = read_tags(body, most=WANTS_MAX)
                return self._answer(wanted)
            case _:
                return self._confront(read_spends(body))

    def _meet(self, peer: News) -> list[bytes]:
        if peer.budget < BUDGET_MIN:
            raise MalformedFrame(f"a budget of {peer.budget} bytes is no exchange")
        self._peer = peer
        self._limit = min(self._budget, peer.budget)
        return self._gifts_and_tags() if self._leads else [self._news()]

    def _news(self) -> bytes:
        return self._counted(FrameKind.NEWS, self._shelf.news(self._budget).encode())

    def _gifts_and_tags(self) -> list[bytes]:
        """Gifts as far as they fit, then tags as far as they fit."""
        frames: list[bytes] = []
        dropped: set[FrameKind] = set()
        for kind, body in self._shelf.gifts(self._peer):
            if self._given == ITEMS_MAX:
                break
            # Of a list in pieces a later one is of no use without the one before.
            if kind is FrameKind.REVOCATION and kind in dropped:
                continue
            if not self._fits(2 + len(body), _GIFTS_SHARE):
                dropped.add(kind)
                continue
            frames.append(self._counted(kind, body))
            self._given += 1
        tags = list(self._shelf.tags()[:TAGS_MAX])
        while tags and not self._fits(2 + len(write_tags(tags)), _TAGS_SHARE):
            del tags[-max(1, len(tags) // 8) :]
        self._told = frozenset(tags)
        return [*frames, self._counted(FrameKind.TAGS, write_tags(tags))]

    def _want(self) -> bytes:
        wants = list(self._wants[:WANTS_MAX])
        while wants and not self._fits(2 + len(write_tags(wants)) + _LEAST_FRAME):
            wants.pop()
        self._wanted = frozenset(wants)
        return self._counted(FrameKind.WANT, write_tags(wants))

    def _answer(self, wanted: Sequence[Tag]) -> list[bytes]:
        """Hand out the transfers behind tags that were told here, and no others.

        Before that proofs, if this side has made some and does not speak last.
        """
        frames = [] if self._leads else self._proofs(spare=_LEAST_FRAME)
        spends: list[Spend] = []
        left = 2 * _LEAST_FRAME if self._leads else 0
        for tag in wanted:
            for spend in self._shelf.spends(tag) if tag in self._told else ():
                grown = 2 + len(write_spends([*spends, spend]))
                if len(spends) < SPENDS_MAX and self._fits(grown + left):
                    spends.append(spend)
        frames.append(self._counted(FrameKind.RECORDS, write_spends(spends)))
        return [*frames, self._want()] if self._leads else frames

    def _confront(self, spends: Sequence[Spend]) -> list[bytes]:
        """Make proofs of what was asked for; what was not asked for is not looked at."""
        answers = [spend for spend in spends if spend.tag in self._wanted]
        self._minted = list(self._shelf.confront(answers))
        return self._proofs() if self._leads else []

    def _proofs(self, spare: int = 0) -> list[bytes]:
        frames = []
        for proof in self._minted[:PROOFS_MAX]:
            body = proof.encode()
            if self._given < ITEMS_MAX and self._fits(2 + len(body) + spare):
                self._given += 1
                frames.append(self._counted(FrameKind.FRAUD_PROOF, body))
        return frames

    def _fits(self, size: int, share: float = 1) -> bool:
        # Whatever is sent, the frames that have to follow need their room.
        return self.sent + size <= self._limit * share

    def _counted(self, kind: FrameKind, body: bytes) -> bytes:
        frame = pack(kind, body)
        self.sent += len(frame)
        return frame
