"""Receipts: kept as evidence for the payer, who hears of those that never reached the phone."""

from collections.abc import Sequence

from offline_protocol.cose import Signed, check_signature
from offline_protocol.errors import BadSignature, ProtocolError, ReceiptRefused
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer
from server.identity import DeviceView
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.offline.batch import Batch
from server.offline.domain import OfflinePolicy
from server.offline.events import Event, EventType
from server.offline.models import TransferRow
from server.offline.owners import Owners
from server.offline.records import find_transfers, insert_receipts, known_receipts
from server.offline.trees import read_transfer
from server.offline.waiting import Waiting, insert_waiting


async def judge_receipts(
    tx: Tx,
    tenant: int,
    *,
    batch: Batch,
    waited: Sequence[Signed[Receipt]],
    owners: Owners,
    device: DeviceView,
    policy: OfflinePolicy,
) -> list[Event]:
    """Judge and store the batch's receipts and those that had waited; return what to tell payers.

    A receipt is good when the payee of every transfer in it signed it, over their sum.
    """
    offered = {each.id: each for each in (*waited, *batch.receipts.values())}
    if not offered:
        return []
    known = await known_receipts(tx, tenant, offered)
    transfers = await find_transfers(
        tx, tenant, {name for each in offered.values() for name in each.body.transfer_ids}
    )
    good: dict[bytes, tuple[Signed[Receipt], bytes]] = {}
    waiting: dict[bytes, list[Waiting]] = {}
    refusals: dict[bytes, ProtocolError] = {}
    for identity, receipt in offered.items():
        missing = [name for name in receipt.body.transfer_ids if name not in transfers]
        if identity in known:
            continue
        if missing:
            waiting.setdefault(missing[0], []).append(receipt)
            continue
        about = [transfers[name] for name in receipt.body.transfer_ids]
        try:
            _check(receipt, [read_transfer(row.envelope).body for row in about])
        except ProtocolError as error:
            refusals[identity] = error
        else:
            good[identity] = (receipt, about[0].payee)
    await insert_receipts(tx, tenant, good)
    left = await insert_waiting(
        tx, tenant, waiting, uploader=device.key.id, most=policy.waiting_per_device_max
    )
    _answer(batch, known, refusals, good, {each.id for each in left})
    await owners.learn_keys({row.signer for row in transfers.values()})
    return [
        _event(transfers[name], receipt, owners)
        for receipt, _ in good.values()
        for name in receipt.body.transfer_ids
        if transfers[name].signer != device.key.id
    ]


def _check(receipt: Signed[Receipt], about: Sequence[Transfer]) -> None:
    body = receipt.body
    if any(transfer.request_id != body.request_id for transfer in about):
        raise ReceiptRefused(
            "the receipt is for another request", number=601, code="receipt_names_request"
        )
    if sum(transfer.amount for transfer in about) != body.amount:
        raise ReceiptRefused(
            "the receipt is for another amount", number=603, code="receipt_of_amount"
        )
    for payee in {transfer.payee for transfer in about}:
        try:
            check_signature(receipt, payee)
        except BadSignature as error:
            raise ReceiptRefused(error.message, number=604, code="receipt_signed") from error


def _answer(
    batch: Batch,
    known: set[bytes],
    refusals: dict[bytes, ProtocolError],
    good: dict[bytes, tuple[Signed[Receipt], bytes]],
    turned_away: set[bytes],
) -> None:
    answered: set[bytes] = set()
    for index, receipt in batch.receipts.items():
        if receipt.id in refusals:
            error = refusals[receipt.id]
            batch.refused(index, error.code, error.message)
        elif receipt.id in known or receipt.id in answered:
            batch.duplicate(index)
        elif receipt.id in good:
            batch.stored(index)
            answered.add(receipt.id)
        elif receipt.id in turned_away:
            batch.refused(index, "too_many_waiting", "send the transfers that it is about first")
        else:
            batch.waiting(index, "kept until the transfers that it is about arrive")


def _event(row: TransferRow, receipt: Signed[Receipt], owners: Owners) -> Event:
    body = {
        "transfer_id": to_base64url(row.id),
        "parent": to_base64url(row.parent),
        "kind": row.kind,
        "object": to_base64url(row.envelope),
        "receipt": to_base64url(receipt.envelope),
    }
    return Event(EventType.TRANSFER_KNOWN, owners.user_of(row.signer), body, row.signer)
