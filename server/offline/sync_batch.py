"""One uploaded batch inside one transaction: judged, stored, settled, answered."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

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
from server.offline.events import Event, events_after, tell
from server.offline.history import MARK_BYTES, turn_page
from server.offline.issuer_keys import IssuerKeys
from server.offline.owners import Owners
from server.offline.receipts import ReceiptDesk
from server.offline.records import insert_transfers, issued_ids
from server.offline.schemas import Held, SyncAnswer
from server.offline.settlement import Settler
from server.offline.trees import Judge
from server.offline.trust import (
    certify,
    missing_of_further_keys,
    missing_sequences,
    refusal_of,
    trust_row,
)
from server.offline.trust_news import trust_news
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
    held: Held = field(default_factory=Held)
    events: list[Event] = field(default_factory=list)
    ahead: Admission | None = None
    """What was decided about the batch before the transaction began."""

    @property
    def tenant(self) -> int:
        return self.caller.tenant

    async def run(self, cursor: int, history: bytes | None) -> SyncAnswer:
        admission, receipts = await self._admit()
        owners = admission.owners
        await insert_transfers(self.tx, self.tenant, admission.grove, admission.fresh)
        turned_away = await self._wait(admission.waiting)
        self._answer_transfers(admission, turned_away)
        await self._answer_issued()
        roots = {root for root, _ in admission.fresh}
        await self._settle(admission, owners, roots)
        desk = ReceiptDesk(
            self.tx,
            self.tenant,
            self.batch,
            self.judge,
            admission.grove,
            self.device,
            self.policy,
        )
        await desk.run(receipts)
        await self._tell_parties(admission, owners, desk.told)
        certificate, missing, further = await self._certify(owners)
        await tell(self.tx, self.tenant, self.events)
        mark = self.tx.ids.token(MARK_BYTES)
        forgotten = turn_page(await trust_row(self.tx, self.tenant, self.device), history, mark)
        answer = await self._answer(0 if forgotten else cursor, certificate)
        return msgspec.structs.replace(
            answer,
            history=to_base64url(mark),
            reset=forgotten,
            missing_sequences=missing,
            missing_of_keys={to_base64url(key): numbers for key, numbers in further.items()},
        )

    async def _admit(self) -> tuple[Admission, list[Signed[Receipt]]]:
        """Let in what can be, and then what had waited for that, until nothing moves."""
        if self.ahead is not None and await self.ahead.carry_into(self.tx):
            admission, queue = self.ahead, self.ahead.waiting
            admission.waiting = []
        else:
            now, owners = int(self.tx.now.timestamp()), Owners(self.tx, self.tenant)
            admission = Admission(self.tenant, self.judge, now, owners)
            queue = self.batch.all_transfers
        receipts: list[Signed[Receipt]] = []
        seen = 0
        while True:
            if queue:
                await admission.load(self.tx, queue)
                admission.decide(queue)
            fresh = {node.id for _, node in admission.fresh[seen:]}
            seen = len(admission.fresh)
            queue, more = await take_waiting(self.tx, self.tenant, fresh)
            receipts += more
            if not queue:
                return admission, receipts

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
            identity = self.batch.ids[index]
            assert identity is not None
            refusal = admission.verdict_on(transfer)
            if refusal is not None:
                self.batch.refused(index, refusal.code, refusal.message)
            elif identity in admission.known or identity in answered:
                self.batch.duplicate(index)
            elif transfer.envelope in turned_away:
                self.batch.turned_away(index)
            elif admission.grove.holds(identity):
                self.batch.stored(index)
                answered.add(identity)
            else:
                self.batch.waiting(index, "kept until the record that it builds on arrives")

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
        await detective.inspect(admission.fresh)
        settler = Settler(self.tx, self.tenant, self.policy, admission.grove, owners)
        await settler.settle(roots)
        self.events += detective.events + settler.events

    async def _tell_parties(
        self,
        admission: Admission,
        owners: Owners,
        receipts: Mapping[bytes, tuple[bytes, Signed[Receipt]]],
    ) -> None:
        """Tell both ends of a transfer that it is known, unless they uploaded it themselves.

        The payer is told with the receipt, also when only that is new. A further key hears nothing:
        its device does.
        """
        left = dict(receipts)
        for _, node in admission.fresh:
            name, signer = node.id, owners.devices[node.signer.id]
            if signer.id != self.device.id:
                _, receipt = left.pop(name, (b"", None))
                self.events.append(Event.known(name, signer, receipt))
            if node.transfer.body.kind is TransferKind.CLAIM:
                continue
            payee = owners.devices[node.payee.id]
            if payee.id not in {self.device.id, signer.id}:
                self.events.append(Event.known(name, payee, None))
        await owners.learn_keys({key for key, _ in left.values()})
        for transfer_id, (key, receipt) in left.items():
            payer = owners.devices[key]
            if payer.id != self.device.id:
                self.events.append(Event.known(transfer_id, payer, receipt))

    async def _certify(
        self, owners: Owners
    ) -> tuple[Signed[DeviceCertificate] | None, list[int], dict[bytes, list[int]]]:
        """Return the device's certificate, and the holes of its first and of its further keys."""
        row = await trust_row(self.tx, self.tenant, self.device)
        row.synced_at = self.tx.now
        own = self.device.key.id
        missing = await missing_sequences(self.tx, self.tenant, own, self.policy)
        further = await missing_of_further_keys(self.tx, self.tenant, own, self.policy)
        refusal = refusal_of(self.device, row, complete=not (missing or further))
        if refusal is not None:
            if refusal != row.refusal:
                row.refusal = refusal
                self.events.append(Event.no_certificate(self.device, refusal))
            await self.tx.session.flush()
            return None, missing, further
        row.refusal = None
        user = await owners.user(self.device.user_id)
        certificate = await certify(
            self.tx, self.tenant, self.keys, self.policy, key=self.device.key, user=user
        )
        return certificate, missing, further

    async def _answer(
        self, cursor: int, certificate: Signed[DeviceCertificate] | None
    ) -> SyncAnswer:
        events, more = await events_after(
            self.tx,
            self.tenant,
            user_id=self.caller.user_id,
            device_key=self.device.key.id,
            cursor=cursor,
        )
        news = await trust_news(
            self.tx,
            self.tenant,
            self.keys,
            held_epoch=self.held.revocation_epoch,
            held_policy=self.held.acceptance_policy,
        )
        return SyncAnswer(
            results=self.batch.answer(),
            events=events,
            cursor=events[-1]["seq"] if events else cursor,
            more=more,
            certificate=None if certificate is None else to_base64url(certificate.envelope),
            key_set=to_base64url(self.keys.key_set.envelope),
            server_time=int(self.tx.now.timestamp()),
            missing_sequences=[],
            revocations=news.revocations,
            acceptance_policy=news.acceptance_policy,
        )


def _word(record: object) -> str:
    assert isinstance(record, Signed)
    return "certificate" if isinstance(record.body, DeviceCertificate) else "voucher"
