"""Double spending and copied devices: found, proved, remembered, told to those whom it concerns.

A conflict is kept once for each key and parent (fork) or key and sequence number (clone alarm),
with evidence that convinces without us. The device is suspended at once and gets no certificate
again. What a fork costs is not decided here but by settlement.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from uuid import UUID

from sqlalchemy import select

from offline_protocol.certificates import DeviceCertificate, KeySet
from offline_protocol.cose import Signed
from offline_protocol.errors import ProtocolError
from offline_protocol.fraud import (
    CloneAlarm,
    FraudProof,
    build_clone_alarm,
    build_fraud_proof,
    find_clones,
    find_forks,
    verify_fraud_proof,
)
from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.vouchers import Voucher
from server.identity import suspend_device
from server.kit.schema import to_base64url
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.offline.events import Event, EventType
from server.offline.models import ConflictPartyRow, ConflictRow
from server.offline.owners import Owners
from server.offline.records import Grove, load_certificates, repeated_numbers
from server.offline.trees import Node, Tree
from server.offline.trust import convict

OFFENDER, VICTIM = "offender", "victim"
_log = get_logger(__name__)
Pair = tuple[Signed[Transfer], Signed[Transfer]]


class SignerUnknown(ProtocolError):
    """The evidence convicts a key that no device of this tenant has."""

    NUMBER, CODE = 482, "signer_unknown"


@dataclass(frozen=True, slots=True)
class _Finding:
    """A contradiction, where it is, and whom it concerns beside the signer."""

    id: bytes
    kind: str
    signer: PublicKey
    proof: bytes
    lo: int
    hi: int
    root: bytes | None
    currency: str | None
    victims: frozenset[UUID] = frozenset()


@dataclass(slots=True)
class Detective:
    """Looks for conflicts inside one transaction. The caller holds `lock_offline`."""

    tx: Tx
    tenant: int
    grove: Grove
    owners: Owners
    events: list[Event] = field(default_factory=list)

    async def inspect(self, fresh: Iterable[tuple[bytes, Node]]) -> None:
        """Find and remember what new records, each with its root, contradict."""
        by_root: dict[bytes, list[Node]] = {}
        for root, node in fresh:
            by_root.setdefault(root, []).append(node)
        await self.owners.learn(self.grove.trees[root] for root in by_root)
        for root in sorted(by_root):
            tree = self.grove.trees[root]
            # Elsewhere nothing is new: no branch, and nobody below one.
            for parent in sorted(tree.above(node.id for node in by_root[root])):
                children = tree.children.get(parent, ())
                if _overlap(children):
                    pairs = find_forks(child.transfer for child in children)
                    await self._remember(await self._fork(tree, pairs))
        for signer, pair in await self._clones([n for nodes in by_root.values() for n in nodes]):
            await self._remember(await self._clone(signer, pair))

    async def accept_proof(self, proof: FraudProof, key_set: KeySet) -> bool:
        """Remember a proof that somebody uploaded; return whether it was news.

        Raises:
            EvidenceRefused: it proves nothing.
            SignerUnknown: it is about a device of somebody else's.
        """
        conviction = verify_fraud_proof(proof, key_set)
        await self.owners.learn_keys({conviction.key.id})
        if conviction.key.id not in self.owners.devices:
            raise SignerUnknown("no device with the convicted key is enrolled here")
        tree = self.grove.tree_with(conviction.parent)
        return await self._remember(
            _Finding(
                id=_conflict_id("fork", conviction.key, conviction.parent),
                kind="fork",
                signer=conviction.key,
                proof=proof.encode(),
                lo=conviction.lo,
                hi=conviction.hi,
                root=None if tree is None else tree.root,
                currency=None if tree is None else tree.voucher.body.currency,
            )
        )

    async def _fork(self, tree: Tree, pairs: Sequence[Pair]) -> _Finding:
        """Return the finding about one parent; its first contradiction is the evidence."""
        pair = pairs[0]
        first, second = (transfer.body for transfer in pair)
        signer = tree.nodes[first.id].signer
        certificate, voucher = await self._names(signer, tree.voucher)
        proof = build_fraud_proof(*pair, certificate=certificate, voucher=voucher)
        victims = {
            self.owners.user_of(node.payee.id)
            for node in tree.below(*{transfer.id for pair in pairs for transfer in pair})
            if node.transfer.body.kind is not TransferKind.CLAIM
        }
        return _Finding(
            id=_conflict_id("fork", signer, first.parent),
            kind="fork",
            signer=signer,
            proof=proof.encode(),
            lo=max(first.lo, second.lo),
            hi=min(first.hi, second.hi),
            root=tree.root,
            currency=tree.voucher.body.currency,
            victims=frozenset(victims),
        )

    async def _clone(self, signer: PublicKey, pair: Pair) -> _Finding:
        certificate, voucher = await self._names(signer, None)
        alarm = build_clone_alarm(*pair, certificate=certificate, voucher=voucher)
        return _Finding(
            id=_conflict_id("clone", signer, str(pair[0].body.sequence).encode()),
            kind="clone",
            signer=signer,
            proof=alarm.encode(),
            lo=0,
            hi=0,
            root=None,
            currency=None,
        )

    async def _clones(self, fresh: Collection[Node]) -> list[tuple[PublicKey, Pair]]:
        """Find pairs of transfers to which one key gave one sequence number."""
        signers = {node.signer.id: node.signer for node in fresh}
        numbers = [(node.signer.id, node.transfer.body.sequence) for node in fresh]
        repeated = await repeated_numbers(self.tx, self.tenant, numbers)
        signed = [(signers[key], transfer) for key, transfer in repeated]
        signer_of = {transfer.id: key for key, transfer in signed}
        return [(signer_of[pair[0].id], pair) for pair in find_clones(signed)]

    async def _names(
        self, signer: PublicKey, voucher: Signed[Voucher] | None
    ) -> tuple[Signed[DeviceCertificate] | None, Signed[Voucher] | None]:
        """Return what names the signer in evidence: the voucher it holds, or a certificate."""
        if voucher is not None and voucher.body.holder == signer:
            return None, voucher
        certificates = await load_certificates(self.tx, self.tenant, [signer.id])
        if signer.id in certificates:
            return certificates[signer.id][-1], None
        held = next(
            tree.voucher for tree in self.grove.trees.values() if tree.voucher.body.holder == signer
        )
        return None, held

    async def _remember(self, finding: _Finding) -> bool:
        row = await self.tx.session.get(ConflictRow, (self.tenant, finding.id))
        is_news = row is None
        if row is None:
            device = self.owners.devices[finding.signer.id]
            row = ConflictRow(
                tenant=self.tenant,
                id=finding.id,
                kind=finding.kind,
                key_id=finding.signer.id,
                user_id=device.user_id,
                device_id=device.id,
                root=finding.root,
                currency=finding.currency,
                lo=finding.lo,
                hi=finding.hi,
                proof=finding.proof,
                found_at=self.tx.now,
            )
            self.tx.session.add(row)
            await convict(self.tx, self.tenant, device)
            await suspend_device(self.tx, self.tenant, device.id, f"offline_{finding.kind}")
            _log.warning("offline_conflict", kind=finding.kind, device_id=str(device.id))
        elif row.root is None:
            # The proof came before the voucher's records did.
            row.root, row.currency = finding.root, finding.currency
        await self.tx.session.flush()
        await self._tell_parties(row, finding)
        return is_news

    async def _tell_parties(self, row: ConflictRow, finding: _Finding) -> None:
        known = set(
            await self.tx.session.scalars(
                select(ConflictPartyRow.user_id).where(
                    ConflictPartyRow.tenant == self.tenant, ConflictPartyRow.conflict == row.id
                )
            )
        )
        offender = await self.owners.user(row.user_id)
        roles = dict.fromkeys(finding.victims, VICTIM) | {row.user_id: OFFENDER}
        for user, role in sorted(roles.items()):
            if user in known:
                continue
            self.tx.session.add(
                ConflictPartyRow(tenant=self.tenant, conflict=row.id, user_id=user, role=role)
            )
            body = {
                "proof_id": to_base64url(row.id),
                "kind": row.kind,
                "role": role,
                "amount": row.hi - row.lo,
                "currency": row.currency,
                "account": offender.display_name,
            }
            self.events.append(Event(EventType.FORK_FOUND, user, body))
        await self.tx.session.flush()


def _overlap(children: Sequence[Node]) -> bool:
    """Whether any two intervals share a unit; side by side is by far the most usual."""
    spans = sorted((node.transfer.body.lo, node.transfer.body.hi) for node in children)
    return any(hi > lo for (_, hi), (lo, _) in pairwise(spans))


def read_evidence(row: ConflictRow) -> FraudProof | CloneAlarm:
    """Return the stored evidence of a conflict."""
    return FraudProof.decode(row.proof) if row.kind == "fork" else CloneAlarm.decode(row.proof)


def _conflict_id(kind: str, signer: PublicKey, subject: bytes) -> bytes:
    return sha256(kind.encode() + b"\x00" + signer.id + subject).digest()
