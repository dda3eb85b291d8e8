"""One uploaded batch inside one transaction: judged, stored, settled, answered."""

from collections.abc import Collection
from dataclasses import dataclass, field

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.cose import Signed
from offline_protocol.errors import ProtocolError
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer, TransferKind
from server.identity import DeviceView
from server.kit.auth import Caller
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.offline.admission import Admission
from server.offline.batch import Batch
from server.offline.conflicts import Detective
from server.offline.domain import OfflinePolicy
from server.offline.events import Event, EventType, events_after, tell
from server.offline.issuer_keys import IssuerKeys
from server.offline.owners import Owners
from server.offline.receipts import judge_receipts
from server.offline.records import insert_transfers, issued_ids
from server.offline.schemas import SyncAnswer
from server.offline.settlement import Settler
from server.offline.trees import Judge
from server.offline.trust import certify, missing_sequences, refusal_of, trust_row
from server.offline.waiting import Waiting, insert_waiting, take_waiting


@dataclass(slots=True)
class SyncBatch:
    """One batch of one device inside one transaction."""

    tx: Tx
    keys: IssuerKeys
    policy: OfflinePolicy
    caller: Caller
    device: DeviceView
    judge: Judge
    batch: Batch
    events: list[Event] = field(default_factory=list)

    @property
    def tenant(self) -> int:
        return self.caller.tenant

    async def run(self, cursor: int) -> SyncAnswer:
        owners = Owners(self.tx, self.tenant)
        now = int(self.tx.now.timestamp())
        admission = Admission(self.tenant, self.judge, now, owners)
        waiting, receipts = await self._admit(admission)
        await insert_transfers(self.tx, self.tenant, admission.fresh)
        turned_away = await self._wait(waiting)
        self._answer_transfers(admission, turned_away)
        await self._answer_issued()
        roots = {root for root, _ in admission.fresh}
        await self._settle(admission, owners, roots)
        self._tell_parties(admission, owners)
        self.events += await judge_receipts(
            self.tx,
            self.tenant,
            batch=self.batch,
            waited=receipts,
            owners=owners,
            device=self.device,
            policy=self.policy,
        )
        certificate, missing = await self._certify(owners)
        await tell(self.tx, self.tenant, self.events)
        return await self._answer(cursor, certificate, missing)

    async def _admit(
        self, admission: Admission
    ) -> tuple[list[Signed[Transfer]], list[Signed[Receipt]]]:
        """Let in what can be, and then what had waited for that, until nothing moves."""
        queue = self.batch.all_transfers
        waiting: list[Signed[Transfer]] = []
        receipts: list[Signed[Receipt]] = []
        while queue:
            seen = len(admission.fresh)
            await admission.load(self.tx, queue)
            waiting = admission.decide([*waiting, *queue])
            fresh = {node.transfer.id for _, node in admission.fresh[seen:]}
            queue, more = await take_waiting(self.tx, self.tenant, fresh)
            receipts += more
        return waiting, receipts

    async def _wait(self, waiting: list[Signed[Transfer]]) -> Collection[bytes]:
        """Keep what has to wait; return the envelopes for which there is no room."""
        parents: dict[bytes, list[Waiting]] = {}
        for each in waiting:
            parents.setdefault(each.body.parent, []).append(each)
        left = await insert_waiting(
            self.tx,
            self.tenant,
            parents,
            uploader=self.device.key.id,
            most=self.policy.waiting_per_device_max,
        )
        return {each.envelope for each in left}

    def _answer_transfers(self, admission: Admission, turned_away: Collection[bytes]) -> None:
        answered: set[bytes] = set()
        for index, transfer in self.batch.transfers.items():
            refusal = admission.verdict_on(transfer)
            if refusal is not None:
                self.batch.refused(index, refusal.code, refusal.message)
            elif transfer.id in admission.known or transfer.id in answered:
                self.batch.duplicate(index)
            elif transfer.envelope in turned_away:
                self.batch.refused(
                    index,
                    "too_many_waiting",
                    "too many records of this device wait for others; send those first",
                )
            elif admission.grove.tree_with(transfer.id) is None:
                self.batch.waiting(index, "kept until the record that it builds on arrives")
            else:
                self.batch.stored(index)
                answered.add(transfer.id)

    async def _answer_issued(self) -> None:
        """Vouchers and certificates are known here; one that is not was never issued."""
        known = await issued_ids(self.tx, self.tenant, [o.id for o in self.batch.issued.values()])
        for index, record in self.batch.issued.items():
            if record.id in known:
                self.batch.duplicate(index)
            else:
                self.batch.refused(
                    index, f"{_word(record)}_unknown", "this server has not issued it"
                )

    async def _settle(self, admission: Admission, owners: Owners, roots: set[bytes]) -> None:
        detective = Detective(self.tx, self.tenant, admission.grove, owners)
        for index, proof in self.batch.proofs.items():
            try:
                is_news = await detective.accept_proof(proof, self.keys.key_set.body)
            except ProtocolError as error:
                self.batch.refused(index, error.code, error.message)
                continue
            if is_news:
                self.batch.stored(index)
            else:
                self.batch.duplicate(index)
        await detective.inspect([node for _, node in admission.fresh], roots)
        settler = Settler(self.tx, self.tenant, self.policy, admission.grove, owners)
        await settler.settle(roots)
        self.events += detective.events + settler.events

    def _tell_parties(self, admission: Admission, owners: Owners) -> None:
        """Tell both ends of a transfer that it is known, unless they uploaded it themselves."""
        for _, node in admission.fresh:
            transfer = node.transfer
            body = {
                "transfer_id": to_base64url(transfer.id),
                "parent": to_base64url(transfer.body.parent),
                "kind": transfer.body.kind.name.lower(),
                "object": to_base64url(transfer.envelope),
            }
            ends = {node.signer.id}
            if transfer.body.kind is not TransferKind.CLAIM:
                ends.add(node.payee.id)
            self.events += [
                Event(EventType.TRANSFER_KNOWN, owners.user_of(key), body, key)
                for key in sorted(ends - {self.device.key.id})
            ]

    async def _certify(self, owners: Owners) -> tuple[Signed[DeviceCertificate] | None, list[int]]:
        row = await trust_row(self.tx, self.tenant, self.device)
        row.synced_at = self.tx.now
        missing = await missing_sequences(self.tx, self.tenant, self.device.key.id, self.policy)
        refusal = refusal_of(self.device, row, missing)
        if refusal is not None:
            if refusal != row.refusal:
                row.refusal = refusal
                self.events.append(Event.no_certificate(self.device, refusal))
            await self.tx.session.flush()
            return None, missing
        row.refusal = None
        user = await owners.user(self.device.user_id)
        certificate = await certify(
            self.tx, self.tenant, self.keys, self.policy, device=self.device, user=user
        )
        return certificate, missing

    async def _answer(
        self, cursor: int, certificate: Signed[DeviceCertificate] | None, missing: list[int]
    ) -> SyncAnswer:
        rows, more = await events_after(
            self.tx,
            self.tenant,
            user_id=self.caller.user_id,
            device_key=self.device.key.id,
            cursor=cursor,
        )
        return SyncAnswer(
            results=self.batch.answer(),
            events=[{**row.body, "seq": row.seq, "type": row.type, "at": row.at} for row in rows],
            cursor=rows[-1].seq if rows else cursor,
            more=more,
            certificate=None if certificate is None else to_base64url(certificate.envelope),
            key_set=to_base64url(self.keys.key_set.envelope),
            server_time=int(self.tx.now.timestamp()),
            missing_sequences=missing,
        )


def _word(record: object) -> str:
    assert isinstance(record, Signed)
    return "certificate" if isinstance(record.body, DeviceCertificate) else "voucher"
