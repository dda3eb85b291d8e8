"""Devices that exchange evidence, without wallets: what each knows lies in plain memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from offline_protocol import (
    Chain,
    FraudProof,
    KeySet,
    ProtocolError,
    RevocationDoesNotApply,
    Revoked,
    Signed,
    Transfer,
    object_id,
    unseal,
    verify_fraud_proof,
    verify_key_set,
)
from offline_protocol.frames import FrameKind, unpack
from offline_protocol.gossip import (
    PROOFS_MAX,
    TAGS_MAX,
    News,
    Spend,
    Tag,
    proof_prefix,
    spends_of,
)
from offline_protocol.gossip_talk import GossipTalk
from offline_protocol.revocation_trail import (
    Piece,
    SignedRevocation,
    Trail,
    read_revocation,
    take_revocation,
)
from tests.factories.protocol import Device, Issuer


@dataclass
class Pocket:
    """A shelf in memory; everything given to it is verified as a wallet would."""

    issuer: Issuer
    device: Device
    key_set: Signed[KeySet]
    revoked: Revoked = field(default_factory=Revoked)
    trail: Trail = field(default_factory=Trail)
    seen: dict[bytes, tuple[Spend, bool]] = field(default_factory=dict)
    heard: dict[Tag, None] = field(default_factory=dict)
    proofs: dict[bytes, FraudProof] = field(default_factory=dict)

    @classmethod
    def of(cls, issuer: Issuer, name: str) -> "Pocket":
        return cls(issuer, issuer.device(name), issuer.key_set)

    @property
    def convicted(self) -> set[bytes]:
        return set(self.proofs)

    def receive(self, chain: Chain) -> None:
        """See a payment to this device."""
        for spend in spends_of(chain):
            if spend.signer != self.device.key:
                mine = spend.transfer.body.payee == self.device.key
                self.seen.setdefault(spend.transfer.id, (spend, mine))

    def told_of(self, transfer: Transfer) -> bool:
        return any(tag.overlaps(Tag.of(transfer)) for tag in self.heard)

    def learn(self, signed: SignedRevocation) -> None:
        try:
            self.revoked = take_revocation(signed, self.key_set.body, self.revoked)
        except RevocationDoesNotApply:
            return
        self.trail = self.trail.extended(Piece.of(signed))

    def news(self, budget: int) -> News:
        prefixes = (proof_prefix(_id(proof)) for proof in self.proofs.values())
        named = sorted(prefixes)[:PROOFS_MAX]
        return News(self.revoked.epoch, self.key_set.body.version, 0, budget, tuple(named))

    def gifts(self, peer: News) -> Iterable[tuple[FrameKind, bytes]]:
        if self.key_set.body.version > peer.key_set_version:
            yield FrameKind.KEY_SET, self.key_set.envelope
        if self.revoked.epoch > peer.epoch:
            for piece in self.trail.since(peer.epoch):
                yield FrameKind.REVOCATION, piece.envelope
        for proof in self.proofs.values():
            if proof_prefix(_id(proof)) not in peer.proofs:
                yield FrameKind.FRAUD_PROOF, proof.encode()

    def take(self, kind: FrameKind, body: bytes) -> None:
        match kind:
            case FrameKind.KEY_SET:
                signed = unseal(KeySet, body)
                verify_key_set(signed, self.issuer.root.public_key, self.key_set.body)
                self.key_set = signed
            case FrameKind.REVOCATION:
                self.learn(read_revocation(body))
            case _:
                self._keep(FraudProof.decode(body))

    def tags(self) -> Sequence[Tag]:
        own = [spend.tag for spend, _ in reversed(self.seen.values())]
        return list(dict.fromkeys([*own, *reversed(self.heard)]))[:TAGS_MAX]

    def hear(self, tags: Sequence[Tag]) -> Sequence[Tag]:
        for tag in tags:
            self.heard.setdefault(tag)
        return [tag for tag in tags if any(tag.overlaps(s.tag) for s, _ in self.seen.values())]

    def spends(self, tag: Tag) -> Sequence[Spend]:
        return [spend for spend, _ in self.seen.values() if spend.tag == tag]

    def confront(self, spends: Sequence[Spend]) -> Sequence[FraudProof]:
        found = [
            mine.proves_against(theirs, self.key_set.body)
            for theirs in spends
            for mine, _ in self.seen.values()
        ]
        made = [proof for proof in found if proof is not None]
        for proof in made:
            self._keep(proof)
        return made

    def _keep(self, proof: FraudProof) -> None:
        conviction = verify_fraud_proof(proof, self.key_set.body)
        self.proofs.setdefault(conviction.key.id, proof)


@dataclass(frozen=True)
class Heard:
    """What went over one meeting, in bytes, and whether both sides came to its end."""

    by_leader: int
    by_follower: int
    finished: bool


def meet(leader: Pocket, follower: Pocket, *, budget: int, follower_budget: int) -> Heard:
    """Let two devices exchange evidence; whoever finds a fault leaves."""
    one = GossipTalk(leader, budget=budget, leads=True)
    other = GossipTalk(follower, budget=follower_budget, leads=False)
    try:
        to_other, to_one = one.begin(), list[bytes]()
        while to_other or to_one:
            to_one = [answer for frame in to_other for answer in other.take(frame)]
            to_other = [answer for frame in to_one for answer in one.take(frame)]
            to_one = []
    except ProtocolError:
        return Heard(one.sent, other.sent, finished=False)
    return Heard(one.sent, other.sent, finished=one.done and other.done)


def kind_of(frame: bytes) -> FrameKind:
    return unpack(frame)[0]


def _id(proof: FraudProof) -> bytes:
    return object_id(proof.NAME, proof.encode())
