"""Carries out what the state machine of `core` says, one exchange and one input at a time.

Every effect that writes is one transaction, and the first of them records the new state. Effects
that reach outside the wallet (sending, showing, telling) are handed to the caller.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from client_sdk.book import Book
from client_sdk.core import Effect, Input, State, step
from client_sdk.errors import ExchangeStateError, NotEnrolled
from client_sdk.holdings import Interval, subtract
from client_sdk.records import Draft, Exchange, Holding, Role, Source
from client_sdk.store.sqlite import StoreTx
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.chains import Chain, Payment
from offline_protocol.constants import UINT_MAX
from offline_protocol.cose import Signed, seal, unseal
from offline_protocol.frames import FrameKind, pack
from offline_protocol.keys import PublicKey, Signer
from offline_protocol.receipts import Receipt
from offline_protocol.requests import PaymentRequest
from offline_protocol.transfers import Transfer, TransferKind

KINDS: Final = {
    Role.PAY: TransferKind.PAY,
    Role.RETURN: TransferKind.RETURN,
    Role.CLAIM: TransferKind.CLAIM,
}
HOP_BYTES_MAX: Final = 512
"""More than a transfer with its signer's certificate ever adds to a payment."""
FRAMES: Final = {Role.PAY: FrameKind.PAYMENT, Role.RETURN: FrameKind.RETURN}
_SOURCE_INPUT: Final = {
    Role.PAY: Input.SPEND,
    Role.RETURN: Input.SEND_BACK,
    Role.CLAIM: Input.CLAIM,
}


@dataclass(frozen=True)
class Planned:
    """One transfer to make: this interval of this holding goes to this key."""

    holding: bytes
    interval: Interval
    payee: PublicKey
    request_id: bytes


@dataclass
class Work:
    """What a step needs beside the exchange, and what it makes on its way."""

    planned: tuple[Planned, ...] = ()
    payment: Payment | None = None
    receipt: Signed[Receipt] | None = None
    transfers: tuple[Signed[Transfer], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The exchange as it stands now, and the effects left to the caller, in order."""

    exchange: Exchange
    todo: tuple[Effect, ...] = ()


class Engine:
    def __init__(self, book: Book) -> None:
        self._book = book
        self._writers: dict[Effect, Callable[[Exchange, Work], Exchange]] = {
            Effect.RESERVE: self._reserve,
            Effect.WITNESS: self._witness,
            Effect.SIGN: self._sign,
            Effect.STORE_BYTES: self._store_bytes,
            Effect.SAVE: self._save,
            Effect.STORE_PAYMENT: self._store_payment,
            Effect.STORE_RECEIPT: self._store_receipt,
            Effect.STORE_RETURN: self._store_return,
        }

    def apply(self, exchange: Exchange, happened: Input, work: Work | None = None) -> Outcome:
        """Let one thing happen to an exchange.

        Raises:
            ExchangeStateError: it cannot happen in this state; nothing was changed.
            WalletRestored: it would sign, and this file has forgotten what it signed.
            StoreError: a write failed; the exchange is what was last written.
        """
        target = step(exchange.state, happened)
        moved = replace(exchange, state=target.state, updated_at=self._book.now())
        work = work or Work()
        todo: list[Effect] = []
        for effect in target.effects:
            writer = self._writers.get(effect)
            if writer is None:
                todo.append(effect)
            else:
                moved = writer(moved, work)
        return Outcome(moved, tuple(todo))

    def _save(self, exchange: Exchange, _: Work) -> Exchange:
        with self._book.store.write("state") as tx:
            self._book.put_exchange(tx, exchange)
        return exchange

    # Outgoing value.

    def _reserve(self, exchange: Exchange, work: Work) -> Exchange:
        """Take the intervals and fix every byte that will be signed, in one transaction."""
        certificate = self._book.stored_certificate()
        if certificate is None:
            raise NotEnrolled("This wallet has no device certificate yet.")
        self._book.guard.prepare()
        with self._book.store.write("reserve") as tx:
            return self._reserve_within(tx, exchange, work, certificate.envelope)

    def _reserve_within(
        self, tx: StoreTx, exchange: Exchange, work: Work, certificate: bytes
    ) -> Exchange:
        book = self._book
        touched: dict[bytes, Holding] = {}
        drafts: list[Draft] = []
        signing: Counter[PublicKey] = Counter()
        for planned in work.planned:
            holding = touched.get(planned.holding) or book.holding(planned.holding)
            assert holding is not None, "what is planned was chosen among the holdings"
            chain = Chain.decode(holding.chain)
            owner = chain.owner
            number = book.next_sequence(owner) + signing[owner]
            signing[owner] += 1
            left = subtract(holding.free, planned.interval)
            touched[planned.holding] = replace(holding, free=left)
            transfer = Transfer(
                parent=planned.holding,
                lo=planned.interval.lo,
                hi=planned.interval.hi,
                payee=planned.payee,
                request_id=planned.request_id,
                sequence=number,
                time=exchange.updated_at,
                kind=KINDS[exchange.role],
            )
            drafts.append(
                Draft(
                    holding=planned.holding,
                    payload=transfer.to_payload(),
                    certificate=self._shown_with(chain),
                )
            )
        locked = replace(
            exchange,
            drafts=tuple(drafts),
            certificate=certificate,
            vouchers=tuple(sorted({holding.voucher for holding in touched.values()})),
        )
        for owner, signatures in signing.items():
            book.count_signatures(tx, owner, signatures)
        book.guard.count(tx)
        for holding in touched.values():
            book.put_holding(tx, holding)
        self._mark_sources(tx, locked, {holding.exchange for holding in touched.values()})
        book.put_exchange(tx, locked)
        return locked

    def _shown_with(self, chain: Chain) -> bytes:
        """The certificate to show for the next hop; the voucher names its holder, who needs none.

        That is 150 bytes less per chain.
        """
        if chain.voucher.body.holder == chain.owner:
            return b""
        certificate = self._book.certificate_of(chain.owner)
        assert certificate is not None, "only with a certificate is anything received"
        return certificate.envelope

    def _mark_sources(self, tx: StoreTx, outgoing: Exchange, sources: set[bytes]) -> None:
        """Move the payments that brought this value here along: spent, claimed or returned."""
        for exchange_id in sorted(sources - {b""}):
            source = self._book.find_exchange(exchange_id)
            if source is None or source.role is not Role.RECEIVE:
                continue
            if source.state is State.STORED and outgoing.role is not Role.RETURN:
                raise ExchangeStateError(
                    "The payment that brought this value is not answered yet.",
                    fix="Free some space and open the wallet again; then it is.",
                )
            state = step(source.state, _SOURCE_INPUT[outgoing.role]).state
            undone_by = outgoing.id if outgoing.role is Role.RETURN else source.undone_by
            moved = replace(
                source, state=state, undone_by=undone_by, updated_at=outgoing.updated_at
            )
            self._book.put_exchange(tx, moved)

    def _witness(self, exchange: Exchange, _: Work) -> Exchange:
        self._book.guard.confirm()
        return exchange

    def _sign(self, exchange: Exchange, work: Work) -> Exchange:
        if exchange.role is Role.RECEIVE:
            request = unseal(PaymentRequest, exchange.request).body
            receipt = Receipt(
                transfer_ids=tuple(sorted(exchange.transfers)),
                request_id=request.request_id,
                amount=exchange.amount,
                time=exchange.updated_at,
            )
            work.receipt = seal(receipt, self._book.signer_of(request.payee))
        else:
            # What is signed was fixed by `_reserve`: signing it again gives the same ids.
            work.transfers = tuple(
                seal(Transfer.from_payload(draft.payload), self._owner_of(draft))
                for draft in exchange.drafts
            )
        return exchange

    def _owner_of(self, draft: Draft) -> Signer:
        holding = self._book.holding(draft.holding)
        assert holding is not None, "holdings are never deleted"
        return self._book.signer_of(Chain.decode(holding.chain).owner)

    def _store_bytes(self, exchange: Exchange, work: Work) -> Exchange:
        if exchange.role is Role.RECEIVE:
            return self._store_own_receipt(exchange, work)
        signed = replace(exchange, transfers=tuple(t.id for t in work.transfers))
        with self._book.store.write("signed bytes") as tx:
            self._book.put_transfers(tx, work.transfers)
            self._book.put_exchange(tx, signed)
            if exchange.role in FRAMES:
                body = self._payment_of(exchange, work.transfers).encode()
                tx.put("message_out", exchange.id, pack(FRAMES[exchange.role], body))
        return signed

    def _payment_of(self, exchange: Exchange, transfers: tuple[Signed[Transfer], ...]) -> Payment:
        chains: list[Chain] = []
        for draft, transfer in zip(exchange.drafts, transfers, strict=True):
            holding = self._book.holding(draft.holding)
            assert holding is not None, "holdings are never deleted"
            chain = Chain.decode(holding.chain)
            named = chain.voucher.body.holder == chain.owner
            # The first release kept one certificate for all drafts.
            shown = b"" if named else draft.certificate or exchange.certificate
            chains.append(
                chain.extend(transfer, unseal(DeviceCertificate, shown) if shown else None)
            )
        return Payment(tuple(chains))

    def _store_receipt(self, exchange: Exchange, work: Work) -> Exchange:
        assert work.receipt is not None, "the input RECEIPT comes with a verified receipt"
        confirmed = replace(exchange, receipt=work.receipt.envelope, refusal="")
        with self._book.store.write("receipt") as tx:
            self._book.put_record(tx, "receipt", work.receipt.id, work.receipt.envelope)
            self._book.put_exchange(tx, confirmed)
        return confirmed

    def _store_return(self, exchange: Exchange, work: Work) -> Exchange:
        assert work.payment is not None, "the input RETURN comes with a verified return"
        with self._book.store.write("return") as tx:
            self._hold(tx, work.payment, source=Source.RETURNED, exchange=exchange)
            self._book.put_exchange(tx, exchange)
        return exchange

    # Incoming value.

    def _store_payment(self, exchange: Exchange, work: Work) -> Exchange:
        assert work.payment is not None, "the input PAYMENT comes with a verified payment"
        with self._book.store.write("payment") as tx:
            self._hold(tx, work.payment, source=Source.RECEIVED, exchange=exchange)
            self._book.put_exchange(tx, exchange)
        return exchange

    def _store_own_receipt(self, exchange: Exchange, work: Work) -> Exchange:
        assert work.receipt is not None, "signing comes first"
        receipted = replace(exchange, receipt=work.receipt.envelope)
        with self._book.store.write("receipt bytes") as tx:
            self._book.put_record(tx, "receipt", work.receipt.id, work.receipt.envelope)
            self._book.put_exchange(tx, receipted)
            tx.put("message_out", exchange.id, pack(FrameKind.RECEIPT, work.receipt.envelope))
        return receipted

    def _hold(self, tx: StoreTx, payment: Payment, *, source: Source, exchange: Exchange) -> None:
        for chain in payment.chains:
            self._book.put_chain(tx, chain)
            if self._book.holding(chain.tip_id) is None:
                # A payment that an earlier key made may be returned, to that key.
                retired = not self._book.owns(chain.owner)
                holding = holding_of(chain, source, exchange.id)
                self._book.put_holding(tx, holding, retired=retired)


def holding_of(chain: Chain, source: Source, exchange_id: bytes) -> Holding:
    """The whole of a chain that ends at this device."""
    voucher = chain.voucher.body
    own = chain.owner == voucher.holder
    return Holding(
        key=chain.tip_id,
        chain=chain.encode(),
        free=(Interval(chain.lo, chain.hi),),
        source=source,
        exchange=exchange_id if source is Source.RECEIVED else b"",
        voucher=chain.voucher.id,
        currency=chain.currency,
        amount=chain.amount,
        spend_by=voucher.spend_by,
        claim_by=voucher.claim_by,
        hops_used=chain.hops_used,
        hops_max=voucher.limits.hops_max,
        payment_max=voucher.limits.payment_max if own else UINT_MAX,
    )
