"""What a device uploads, read strictly. Pure; one bad record spoils no other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.cose import Body, Signed, object_id, unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.fraud import FraudProof
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer
from offline_protocol.vouchers import Voucher
from server.kit.errors import InvalidRequest
from server.kit.schema import from_base64url, to_base64url
from server.offline.schemas import RECORD_TEXT_MAX, RecordResult, RecordUpload

Known = Signed[Voucher] | Signed[DeviceCertificate]


@dataclass(slots=True)
class Batch:
    """The records of one request by kind, and a place for what becomes of each."""

    results: list[RecordResult | None]
    ids: list[bytes | None]
    transfers: dict[int, Signed[Transfer]] = field(default_factory=dict)
    receipts: dict[int, Signed[Receipt]] = field(default_factory=dict)
    proofs: dict[int, FraudProof] = field(default_factory=dict)
    issued: dict[int, Known] = field(default_factory=dict)
    """Objects that only we can have made."""

    @property
    def all_transfers(self) -> list[Signed[Transfer]]:
        """The transfers to judge: uploaded by themselves, or inside a proof."""
        inside = [each for proof in self.proofs.values() for each in (proof.first, proof.second)]
        distinct = {each.envelope: each for each in (*self.transfers.values(), *inside)}
        return list(distinct.values())

    def again(self) -> "Batch":
        """Return the same records without any answer but to those that could not be read."""
        read = {*self.transfers, *self.receipts, *self.proofs, *self.issued}
        answers = [None if i in read else result for i, result in enumerate(self.results)]
        return replace(self, results=answers)

    def stored(self, index: int) -> None:
        self.results[index] = RecordResult(id=self._name(index), status="stored")

    def duplicate(self, index: int) -> None:
        self.results[index] = RecordResult(id=self._name(index), status="duplicate")

    def waiting(self, index: int, detail: str) -> None:
        self.results[index] = RecordResult(
            id=self._name(index), status="waiting", code="parent_unknown", detail=detail
        )

    def turned_away(self, index: int) -> None:
        """Say that a record would have to wait and was not kept: it is to come again."""
        self.results[index] = RecordResult(
            id=self._name(index),
            status="waiting",
            code="too_many_waiting",
            detail="not kept: too many records of this device wait for others; send those first",
        )

    def refused(self, index: int, code: str, detail: str) -> None:
        self.results[index] = RecordResult(
            id=self._name(index), status="refused", code=code, detail=detail
        )

    def answer(self) -> list[RecordResult]:
        """Return what became of each record, in the order of the request."""
        assert all(self.results), "every record has its answer"
        return [result for result in self.results if result is not None]

    def _name(self, index: int) -> str | None:
        identity = self.ids[index]
        return None if identity is None else to_base64url(identity)


def read_batch(uploads: Sequence[RecordUpload]) -> Batch:
    """Read every record; what cannot be read is refused in its place."""
    batch = Batch([None] * len(uploads), [None] * len(uploads))
    for index, upload in enumerate(uploads):
        try:
            data = from_base64url(upload.object, field="object", size_max=RECORD_TEXT_MAX)
            _read(batch, index, upload.kind, data)
        except ProtocolError as error:
            batch.refused(index, error.code, error.message)
        except InvalidRequest as error:
            batch.refused(index, error.code, error.detail)
    return batch


def _read(batch: Batch, index: int, kind: str, data: bytes) -> None:
    record: Signed[Body] | None = None
    match kind:
        case "transfer":
            record = batch.transfers[index] = unseal(Transfer, data)
        case "receipt":
            record = batch.receipts[index] = unseal(Receipt, data)
        case "voucher":
            record = batch.issued[index] = unseal(Voucher, data)
        case "certificate":
            record = batch.issued[index] = unseal(DeviceCertificate, data)
        case "fraud_proof":
            batch.proofs[index] = FraudProof.decode(data)
    batch.ids[index] = object_id(FraudProof.NAME, data) if record is None else record.id
