"""Receipts: kept as evidence for the payer, who hears of those that never reached the phone."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from offline_protocol.cose import Signed
from offline_protocol.errors import BadSignature, ProtocolError, ReceiptRefused
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer
from server.identity import DeviceView
from server.kit.unit_of_work import Tx
from server.offline.batch import Batch
from server.offline.domain import OfflinePolicy
from server.offline.records import Grove, find_transfers, insert_receipts, known_receipts
from server.offline.trees import Judge, read_transfer
from server.offline.waiting import Waiting, insert_waiting


def check_ahead(judge: Judge, batch: Batch, grove: Grove) -> None:
    """Let the judge see the signatures of receipts whose transfers are at hand."""
    for receipt in batch.receipts.values():
        for name in receipt.body.transfer_ids:
            tree = grove.tree_with(name)
            node = None if tree is None else tree.nodes.get(name)
            if node is not None:
                with suppress(BadSignature):
                    judge.check_receipt(receipt, node.payee)


@dataclass(slots=True)
class ReceiptDesk:
    """The receipts of one batch inside one transaction.

    A receipt is good when the payee of every transfer in it signed it, over their sum. ``told``
    is what payers are to hear: the transfer of theirs, its signer's key, and the receipt.
    """

    tx: Tx
    tenant: int
    batch: Batch
    judge: Judge
    grove: Grove
    device: DeviceView
    policy: OfflinePolicy
    told: dict[bytes, tuple[bytes, Signed[Receipt]]] = field(default_factory=dict)

    async def run(self, waited: Sequence[Signed[Receipt]]) -> None:
        """Judge and store the batch's receipts and those that had waited."""
        # By envelope: a forged copy must not stand in the way of the true one.
        offered = {each.envelope: each for each in (*waited, *self.batch.receipts.values())}
        if not offered:
            return
        known = await known_receipts(self.tx, self.tenant, {each.id for each in offered.values()})
        fresh = [each for each in offered.values() if each.id not in known]
        about = await self._transfers({name for each in fresh for name in each.body.transfer_ids})
        good: dict[bytes, tuple[Signed[Receipt], bytes]] = {}
        waiting: dict[bytes, list[Waiting]] = {}
        refusals: dict[bytes, ProtocolError] = {}
        for receipt in fresh:
            names = receipt.body.transfer_ids
            missing = next((name for name in names if name not in about), None)
            if missing is not None:
                waiting.setdefault(missing, []).append(receipt)
                continue
            try:
                self._check(receipt, [about[name][0] for name in names])
            except ProtocolError as error:
                refusals[receipt.envelope] = error
                continue
            good[receipt.id] = (receipt, about[names[0]][0].payee.id)
            self.told |= {
                name: (about[name][1], receipt)
                for name in names
                if about[name][1] != self.device.key.id
            }
        await insert_receipts(self.tx, self.tenant, good)
        left = await insert_waiting(
            self.tx,
            self.tenant,
            waiting,
            uploader=self.device.key.id,
            most=self.policy.waiting_per_device_max,
        )
        _answer(self.batch, known, refusals, good, {each.envelope for each in left})

    async def _transfers(self, names: Collection[bytes]) -> dict[bytes, tuple[Transfer, bytes]]:
        """Return the transfers that are known, each with the id of its signer's key."""
        found: dict[bytes, tuple[Transfer, bytes]] = {}
        for name in names:
            tree = self.grove.tree_with(name)
            if tree is not None and name in tree.nodes:
                node = tree.nodes[name]
                found[name] = (node.transfer.body, node.signer.id)
        stored = await find_transfers(self.tx, self.tenant, set(names) - found.keys())
        return found | {
            name: (read_transfer(row.envelope).body, row.signer) for name, row in stored.items()
        }

    def _check(self, receipt: Signed[Receipt], about: Sequence[Transfer]) -> None:
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
                self.judge.check_receipt(receipt, payee)
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
        if receipt.envelope in refusals:
            error = refusals[receipt.envelope]
            batch.refused(index, error.code, error.message)
        elif receipt.id in known or receipt.id in answered:
            batch.duplicate(index)
        elif receipt.id in good:
            batch.stored(index)
            answered.add(receipt.id)
        elif receipt.envelope in turned_away:
            batch.turned_away(index)
        else:
            batch.waiting(index, "kept until the transfers that it is about arrive")
