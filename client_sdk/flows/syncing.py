"""Sync: hand in everything held, learn what happened.

Idempotent and resumable: records stay marked for upload until the server has answered for them,
and events are applied in the same transaction that moves the cursor. Incoming and outgoing records
go up alike, so that either party of a transfer settles it for both.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from client_sdk.api.documents import (
    Document,
    bytes_of,
    documents_of,
    list_of,
    number_of,
    optional_bytes,
    text_of,
    unreadable,
)
from client_sdk.api.encoding import to_text
from client_sdk.book import REFUSED, TO_UPLOAD, UPLOADED, Book, record_of
from client_sdk.core import Input, State, step
from client_sdk.errors import WalletError
from client_sdk.flows.engine import Engine
from client_sdk.flows.key_pool import fill_pool
from client_sdk.flows.paying import Payer
from client_sdk.flows.trusting import (
    WHOLE,
    IssuerRefused,
    check_certificate,
    check_key_set,
    epoch_to_name,
    keep_certificate,
    keep_key_set,
    learn_news,
)
from client_sdk.flows.uploading import UploadQueue
from client_sdk.records import Exchange, Role
from client_sdk.store.sqlite import Row, StoreTx
from client_sdk.trust import refusing
from offline_protocol.chains import Chain, Payment
from offline_protocol.cose import unseal
from offline_protocol.frames import FrameKind, pack, unpack
from offline_protocol.requests import PaymentRequest
from offline_protocol.transfers import Transfer, TransferKind

if TYPE_CHECKING:
    from client_sdk.api.client import ApiClient

BATCHES_MAX: Final = 500
DECIDED: Final = frozenset({"stored", "duplicate", "refused"})


@dataclass
class SyncReport:
    """What one sync did.

    `waiting` records lack their parent at the server and go up again next time. `events` are the
    server's, as it told them.
    """

    uploaded: int = 0
    waiting: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    events: list[Document] = field(default_factory=list)
    credited: dict[str, int] = field(default_factory=dict)
    certificate_until: int | None = None
    certificate_refused: str | None = None
    missing_sequences: list[int] = field(default_factory=list)


class Syncer:
    def __init__(self, book: Book, engine: Engine, payer: Payer, api: "ApiClient") -> None:
        self._book = book
        self._engine = engine
        self._payer = payer
        self._api = api
        self._named_epoch = WHOLE
        self._ask_whole = False
        self._missing: frozenset[int] = frozenset()

    async def run(self, report: SyncReport | None = None) -> SyncReport:
        """Exchange batches until both sides have nothing more to say.

        Args:
            report: of what this sync has done so far, to go on with.

        Raises:
            ServerUnavailable: interrupted; the next sync goes on where this one stopped.
        """
        self._hand_over_signed()
        report = report or SyncReport()
        waiting: set[bytes] = set()
        queue = UploadQueue(self._book, waiting)
        asked_again = False
        for _ in range(BATCHES_MAX):
            rows = queue.take()
            answer = await self._api.post("/v1/offline/sync", self._body(rows), repeat=True)
            self._take(rows, answer, report, waiting)
            if answer.get("reset") is True:
                queue.restart()
                continue
            if self._missing and not asked_again:
                asked_again = True
                if self._mark_missing():
                    queue.restart()
                    continue
            if not rows and answer.get("more") is not True and not self._ask_whole:
                break
        self._take_returns()
        await fill_pool(self._book, self._api)
        report.waiting = len(waiting)
        signed = self._book.stored_certificate()
        report.certificate_until = signed.body.valid_to if signed else None
        return report

    def _hand_over_signed(self) -> None:
        """What is signed leaves the device now, whether or not it was shown to anybody."""
        for exchange in self._book.exchanges(only_open=True):
            # A full disk stopped it; what an old copy had reserved is never signed.
            if exchange.state is State.LOCKED and self._book.may_sign(exchange):
                exchange = self._engine.apply(exchange, Input.CONTINUE).exchange  # noqa: PLW2901
            if exchange.state is State.SIGNED:
                self._engine.apply(exchange, Input.HAND_OVER)

    def _body(self, rows: list[Row]) -> Document:
        records = [record_of(row.payload) for row in rows]
        history = self._book.raw(b"history")
        policy = self._book.policy()
        self._named_epoch = WHOLE if self._ask_whole else epoch_to_name(self._book)
        return {
            "cursor": self._book.number(b"cursor"),
            "history": None if history is None else to_text(history),
            "held": {
                "revocation_epoch": self._named_epoch,
                "acceptance_policy": 0 if policy is None else policy.version,
            },
            "records": [{"kind": kind, "object": to_text(data)} for kind, data in records],
        }

    def _take(
        self, rows: list[Row], answer: Document, report: SyncReport, waiting: set[bytes]
    ) -> None:
        """Apply one answer, all of it in one transaction."""
        results = documents_of(answer, "results")
        if len(results) != len(rows):
            raise unreadable("results")
        events = documents_of(answer, "events")
        cursor = number_of(answer, "cursor")
        history = optional_bytes(answer, "history")
        key_set = optional_bytes(answer, "key_set")
        if key_set is not None:
            self._take_key_set(key_set)
        self._ask_whole = learn_news(self._book, answer, named=self._named_epoch)
        certificate = optional_bytes(answer, "certificate")
        checked = None if certificate is None else check_certificate(self._book, certificate)
        for event in events:
            self._take_receipt(event)
        with self._book.store.write("sync") as tx:
            if answer.get("reset") is True:
                # The server was restored from an older copy: hand in again all that it was given.
                self._book.upload_again(tx)
            for row, result in zip(rows, results, strict=True):
                self._take_result(tx, row, result, report, waiting)
            for event in events:
                self._take_event(tx, event, report)
            tx.put("single", b"cursor", cursor)
            if history is not None:
                tx.put("single", b"history", history)
            if checked is not None:
                keep_certificate(self._book, tx, checked)
        report.events += events
        report.missing_sequences = [
            number for number in list_of(answer, "missing_sequences") if isinstance(number, int)
        ]
        of_keys = answer.get("missing_of_keys")
        lists = of_keys.values() if isinstance(of_keys, dict) else ()
        self._missing = frozenset(report.missing_sequences).union(
            number
            for numbers in lists
            if isinstance(numbers, list)
            for number in numbers
            if isinstance(number, int)
        )

    def _take_key_set(self, envelope: bytes) -> None:
        root_key = self._book.root_key()
        if root_key is None:
            raise IssuerRefused("No root key is pinned.", fix="Enrol this wallet again.")
        signed = check_key_set(self._book, envelope, root_key)
        with self._book.store.write("issuer") as tx:
            keep_key_set(self._book, tx, signed)

    def _take_result(
        self, tx: StoreTx, row: Row, result: Document, report: SyncReport, waiting: set[bytes]
    ) -> None:
        status = text_of(result, "status")
        kind, data = record_of(row.payload)
        if status not in DECIDED:  # waiting for its parent, or a word of a later release
            waiting.add(row.key)
            return
        report.uploaded += 1
        if status == "refused":
            report.refused.append(
                {
                    "id": to_text(row.key),
                    "kind": kind,
                    "code": str(result.get("code") or ""),
                    "detail": str(result.get("detail") or ""),
                }
            )
        self._book.mark_record(
            tx, row.key, kind, data, REFUSED if status == "refused" else UPLOADED
        )

    def _take_event(self, tx: StoreTx, event: Document, report: SyncReport) -> None:
        """Learn one event; kinds of a later release change nothing here."""
        match event.get("type"):
            case "voucher_closed":
                self._close(tx, bytes_of(event, "voucher_id"))
            case "credited" | "credit_reduced":
                self._credit(tx, event, report)
            case "credit_final":
                self._finish(tx, bytes_of(event, "voucher_id"))
            case "transfer_known":
                self._take_transfer(tx, bytes_of(event, "object"))
            case "certificate_refused":
                report.certificate_refused = str(event.get("reason") or "")
            case _:
                return

    def _take_receipt(self, event: Document) -> None:
        """A receipt that the payee handed in confirms a payment that was in doubt here."""
        envelope = optional_bytes(event, "receipt")
        if event.get("type") != "transfer_known" or envelope is None:
            return
        try:
            self._payer.take_receipt(pack(FrameKind.RECEIPT, envelope))
        except WalletError:
            return  # for no payment of ours, or not signed by its payee: it changes nothing

    def _take_transfer(self, tx: StoreTx, envelope: bytes) -> None:
        """Keep a transfer that the server told of; whether it counts is judged by its user."""
        with refusing(IssuerRefused):
            transfer = unseal(Transfer, envelope)
        if self._book.store.get("record", transfer.id) is None:
            self._book.mark_record(tx, transfer.id, "transfer", envelope, UPLOADED)

    def _take_returns(self) -> None:
        """Take back payments that their payees returned by way of the server."""
        for exchange in self._book.exchanges(role=Role.PAY, only_open=True):
            message = returned(self._book, exchange)
            if message is None:
                continue
            try:
                self._payer.take_return(message)
            except WalletError:
                continue  # not signed by the payee: it changes nothing

    def _credit(self, tx: StoreTx, event: Document, report: SyncReport) -> None:
        currency = text_of(event, "currency")
        report.credited[currency] = report.credited.get(currency, 0) + number_of(event, "amount")

        if event.get("final") is True:
            self._finish(tx, bytes_of(event, "voucher_id"))

    def _finish(self, tx: StoreTx, voucher: bytes) -> None:
        """What was claimed of this voucher is credited for good."""
        for exchange in self._book.exchanges(only_open=True):
            claimed = exchange.role is Role.CLAIM or exchange.state is State.CLAIMED
            if claimed and voucher in exchange.vouchers:
                self._settle(tx, exchange, voucher)

    def _close(self, tx: StoreTx, voucher: bytes) -> None:
        """The server's verdict: this voucher is settled, and with it all that hangs on it."""
        for holding in self._book.holdings():
            if holding.voucher == voucher:
                self._book.put_holding(tx, replace(holding, free=()))
        for exchange in self._book.exchanges(only_open=True):
            if voucher in exchange.vouchers:
                self._settle(tx, exchange, voucher)

    def _settle(self, tx: StoreTx, exchange: Exchange, voucher: bytes) -> None:
        settled = tuple(sorted({*exchange.settled, voucher}))
        moved = replace(exchange, settled=settled, updated_at=self._book.now())
        if set(exchange.vouchers) <= set(settled):
            moved = replace(moved, state=step(exchange.state, Input.VERDICT).state)
        self._book.put_exchange(tx, moved)

    def _mark_missing(self) -> bool:
        """Mark own transfers with missing numbers for upload again; False if there are none.

        Each key counts for itself. What another key has signed under the same number goes up once
        more, too, and is a duplicate there.
        """
        found = [
            transfer
            for transfer in self._book.signed_transfers()
            if transfer.body.sequence in self._missing
        ]
        with self._book.store.write("missing") as tx:
            for transfer in found:
                self._book.mark_record(tx, transfer.id, "transfer", transfer.envelope, TO_UPLOAD)
        return bool(found)


def returned(book: Book, exchange: Exchange) -> bytes | None:
    """The return of a payment, put together from transfers learnt one by one; None if not whole."""
    frame = book.message_out(exchange.id)
    if frame is None:
        return None
    certificate = unseal(PaymentRequest, exchange.request).body.payee_certificate
    chains: list[Chain] = []
    for chain in Payment.decode(unpack(frame)[1]).chains:
        found = [
            child for child in book.children(chain.tip_id) if child.body.kind is TransferKind.RETURN
        ]
        if len(found) != 1:
            return None
        chains.append(chain.extend(found[0], certificate))
    return pack(FrameKind.RETURN, Payment(tuple(chains)).encode())
