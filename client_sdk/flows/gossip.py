"""After a payment: two devices exchange evidence over the connection that they have.

It comes when the receipt is stored on both sides. Whatever goes wrong in it, the payment stands
and nobody is told: the connection is closed as after a good end. What others can make this wallet
store, send and compute is limited for each meeting, for each peer and day, and in all.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from client_sdk.book import Book
from client_sdk.errors import WalletError
from client_sdk.flows.evidence import keep_proof
from client_sdk.flows.trusting import learn_key_set, learn_policy, learn_revocation
from client_sdk.hearsay import DAY
from client_sdk.store.sealed import Value
from client_sdk.transports.base import Link
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import FrameKind
from offline_protocol.fraud import FraudProof
from offline_protocol.gossip import PROOFS_MAX, WANTS_MAX, News, Spend, Tag, proof_prefix
from offline_protocol.gossip_talk import BUDGET_MIN, GossipTalk, is_unknown_issuer
from offline_protocol.revocation import prefix_of

TALK_SECONDS: Final = 5.0
"""How long the payer waits for evidence after its receipt."""
PEER_BYTES_PER_DAY: Final = 128 << 10
PEER_TAGS_PER_DAY: Final = 512
PEERS_PER_DAY: Final = 1_024
CONVICTED_MAX: Final = 4_096
"""Keys about which proofs are taken from others."""

_SHARE = b"share_tags"
_METER = b"gossip_meter"
_PRUNED = b"gossip_pruned"


def shares_tags(book: Book) -> bool:
    """Whether this wallet tells what it has seen; it does unless it was told not to."""
    return book.number(_SHARE, 1) == 1


def set_share_tags(book: Book, *, share: bool) -> None:
    with book.store.write("setting") as tx:
        tx.put("single", _SHARE, int(share))


@dataclass
class Meter:
    """What one day has brought: bytes and new tags, by the first bytes of the peer's key id."""

    day: int
    peers: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, book: Book) -> "Meter":
        today = book.now() // DAY
        stored = book.store.get("single", _METER)
        if not isinstance(stored, dict) or stored.get("day") != today:
            return cls(today)
        peers = stored.get("peers")
        return cls(today, dict(_counts(peers)) if isinstance(peers, dict) else {})

    def left(self, peer: bytes) -> tuple[int, int]:
        """Bytes and new tags that may still be taken from a peer today."""
        name = _peer_name(peer)
        if name not in self.peers and len(self.peers) >= PEERS_PER_DAY:
            return 0, 0
        taken, tags = self.peers.get(name, (0, 0))
        return max(0, PEER_BYTES_PER_DAY - taken), max(0, PEER_TAGS_PER_DAY - tags)

    def count(self, book: Book, peer: bytes, *, taken: int, tags: int) -> None:
        name = _peer_name(peer)
        before = self.peers.get(name, (0, 0))
        self.peers[name] = (before[0] + taken, before[1] + tags)
        peers: dict[str, Value] = {name: list(counts) for name, counts in self.peers.items()}
        with book.store.write("gossip") as tx:
            tx.put("single", _METER, {"day": self.day, "peers": peers})


class WalletShelf:
    """See `offline_protocol.gossip_talk.Shelf`.

    Attributes:
        new_tags: how many tags have come that were not known.
    """

    def __init__(self, book: Book, peer: bytes, *, tags_max: int) -> None:
        self._book = book
        self._peer = peer
        self._tags_left = tags_max
        self._today = book.now() // DAY
        self._asked: list[Tag] = []
        self.new_tags = 0

    def news(self, budget: int) -> News:
        policy = self._book.policy()
        return News(
            epoch=self._book.blocklist.epoch,
            key_set_version=self._book.key_set().version,
            policy_version=0 if policy is None else policy.version,
            budget=budget,
            proofs=tuple(sorted({proof_prefix(proof_id) for proof_id, _ in self._proofs()})),
        )

    def gifts(self, peer: News) -> Iterator[tuple[FrameKind, bytes]]:
        book = self._book
        key_set, policy = book.stored_key_set(), book.policy()
        if key_set is not None and key_set.body.version > peer.key_set_version:
            yield FrameKind.KEY_SET, key_set.envelope
        if book.blocklist.epoch > peer.epoch:
            for piece in book.blocklist.trail().since(peer.epoch):
                yield FrameKind.REVOCATION, piece.envelope
        if policy is not None and policy.version > peer.policy_version:
            envelope = book.raw(b"acceptance_policy")
            assert envelope is not None, "the policy was read from it"
            yield FrameKind.POLICY, envelope
        listed = book.blocklist.listed().prefixes if peer.epoch >= book.blocklist.epoch else ()
        for proof_id, key_id in self._proofs():
            known = proof_prefix(proof_id) in peer.proofs or prefix_of(key_id) in listed
            envelope = None if known else self._proof(proof_id)
            if envelope is not None:
                yield FrameKind.FRAUD_PROOF, envelope

    def take(self, kind: FrameKind, body: bytes) -> None:
        try:
            self._take(kind, body)
        except WalletError as error:
            if not is_unknown_issuer(error):
                raise

    def _take(self, kind: FrameKind, body: bytes) -> None:
        match kind:
            case FrameKind.KEY_SET:
                learn_key_set(self._book, body)
            case FrameKind.REVOCATION:
                learn_revocation(self._book, body)
            case FrameKind.POLICY:
                learn_policy(self._book, body)
            case _:
                self._take_proof(FraudProof.decode(body))

    def tags(self) -> Sequence[Tag]:
        if not shares_tags(self._book):
            return ()
        return self._book.hearsay.tags(self._peer, self._today)

    def hear(self, tags: Sequence[Tag]) -> Sequence[Tag]:
        hearsay = self._book.hearsay
        if tags:
            with self._book.store.write("tags") as tx:
                taken = hearsay.hear(tx, tags, self._peer, self._today, most=self._tags_left)
            self._tags_left -= taken
            self.new_tags += taken
        self._asked = hearsay.wants(tags, self._peer, self._today)[:WANTS_MAX]
        return self._asked

    def spends(self, tag: Tag) -> Sequence[Spend]:
        return self._book.hearsay.spends(tag)

    def confront(self, spends: Sequence[Spend]) -> Sequence[FraudProof]:
        made: list[FraudProof] = []
        for spend in spends:
            for rival in self._book.hearsay.rivals(spend):
                proof = rival.proves_against(spend, self._book.key_set())
                if proof is not None:
                    self._keep_first(proof)
                    made.append(proof)
                    break
        if self._asked:
            with self._book.store.write("tags") as tx:
                self._book.hearsay.mark_answered(tx, self._asked, spends, self._peer, self._today)
        return made

    def _take_proof(self, proof: FraudProof) -> None:
        if self._book.store.count("revoked", flag=0) < CONVICTED_MAX:
            self._keep_first(proof)

    def _keep_first(self, proof: FraudProof) -> None:
        """One proof about a key is enough: a cheat could make any number."""
        if self._book.store.get("revoked", proof.key.id) is None:
            keep_proof(self._book, proof)

    def _proofs(self) -> list[tuple[bytes, bytes]]:
        """Ids of proofs held and of the keys that they convict, newest first."""
        rows = self._book.store.rows("revoked", limit=PROOFS_MAX, newest=True)
        return [(row.payload, row.key) for row in rows if isinstance(row.payload, bytes)]

    def _proof(self, proof_id: bytes) -> bytes | None:
        record = self._book.store.get("record", proof_id)
        if isinstance(record, list) and record[0] == "fraud_proof" and isinstance(record[1], bytes):
            return record[1]
        return None  # an earlier release kept something else under this key


class Talk:
    """One meeting's exchange of evidence, on this wallet's side.

    Attributes:
        failed: the other side broke the order or a limit, forged something, or our disk failed.
    """

    def __init__(self, book: Book, peer: bytes, *, budget: int, leads: bool) -> None:
        """Begin; made by `open_talk`."""
        self._book = book
        self._peer = peer
        self._shelf = WalletShelf(book, peer, tags_max=Meter.of(book).left(peer)[1])
        self._talk = GossipTalk(self._shelf, budget=budget, leads=leads)
        self.failed = False

    @property
    def over(self) -> bool:
        return self.failed or self._talk.done

    def begin(self) -> list[bytes]:
        """What to send first."""
        return self._talk.begin()

    def take(self, frame: bytes) -> list[bytes]:
        """Take one frame; what to send then. After a failure nothing more."""
        if self.failed:
            return []
        try:
            return self._talk.take(frame)
        except (WalletError, ProtocolError):
            self.failed = True
            return []

    def close(self) -> None:
        """Count what has come, however the talk has ended."""
        with suppress(WalletError):
            # Read anew: other talks may have ended since this one began.
            Meter.of(self._book).count(
                self._book, self._peer, taken=self._talk.received, tags=self._shelf.new_tags
            )


def open_talk(book: Book, link: Link, peer: bytes, *, leads: bool) -> Talk | None:
    """A talk with a peer over a link; None where there is no room for one, or none today."""
    room: int = getattr(link, "evidence_bytes", 0)
    try:
        if peer == b"" or book.stored_key_set() is None:
            return None
        _prune(book)
        budget = min(room, Meter.of(book).left(peer)[0])
        return None if budget < BUDGET_MIN else Talk(book, peer, budget=budget, leads=leads)
    except WalletError:
        return None


async def lead_talk(book: Book, link: Link, peer: bytes) -> None:
    """Exchange evidence as the payer; returns when it is done, has failed or takes too long."""
    talk = open_talk(book, link, peer, leads=True)
    if talk is None:
        return
    try:
        with suppress(WalletError, TimeoutError):
            async with asyncio.timeout(TALK_SECONDS):
                frames = talk.begin()
                while frames or not talk.over:
                    for frame in frames:
                        await link.send(frame)
                    frames = [] if talk.over else talk.take(await link.receive())
    finally:
        talk.close()


def _prune(book: Book) -> None:
    """Once a day forget what has expired."""
    today = book.now() // DAY
    if book.number(_PRUNED) != today:
        with book.store.write("gossip") as tx:
            book.hearsay.prune(tx, today)
            tx.put("single", _PRUNED, today)


def _peer_name(peer: bytes) -> str:
    return prefix_of(peer).hex()


def _counts(peers: dict[str, Value]) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, counts in peers.items():
        if isinstance(counts, list) and len(counts) == 2:  # noqa: PLR2004 -- bytes and tags
            taken, tags = counts
            if isinstance(taken, int) and isinstance(tags, int):
                yield name, (taken, tags)
