"""Faults planted into the wallet, to show that the schedules would find them.

Each is a mistake that somebody could make, as a patch of one or two functions. Most of them work
well as long as nothing breaks.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

import pytest

from client_sdk.core import Input, State
from client_sdk.errors import WalletError
from client_sdk.flows import recovery
from client_sdk.flows.engine import Engine, Outcome, Work
from client_sdk.flows.paying import Payer
from client_sdk.flows.receiving import Payee, Received
from client_sdk.flows.syncing import Syncer
from client_sdk.holdings import Interval
from client_sdk.records import Exchange, Role
from client_sdk.store.guard import Guard
from offline_protocol.cose import seal
from offline_protocol.frames import FrameKind, pack
from offline_protocol.transfers import Transfer

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def sign_before_reserving(patch: Patch) -> None:
    """Signatures are made first, and the reservation is written after them."""
    reserve_within = Engine._reserve_within

    def changed(self: Engine, tx: Any, exchange: Exchange, work: Work, cert: bytes) -> Exchange:
        locked = reserve_within(self, tx, exchange, work, cert)
        for draft in locked.drafts:
            seal(Transfer.from_payload(draft.payload), self._book.signer)
        return locked

    patch.setattr(Engine, "_reserve_within", changed)


def draw_numbers_anew_after_a_crash(patch: Patch) -> None:
    """A restart that finds something reserved and not signed gives it new numbers."""
    sign = Engine._sign

    def changed(self: Engine, exchange: Exchange, work: Work) -> Exchange:
        book, name = self._book, b"tried" + exchange.id
        if exchange.role is Role.RECEIVE:
            return sign(self, exchange, work)
        first = book.number(b"next_sequence", 1)
        again = book.number(name)
        with book.store.write("tried") as tx:
            tx.put("single", name, 1)
            if again:
                tx.put("single", b"next_sequence", first + len(exchange.drafts))
        if again:
            made = enumerate(drafts_of(exchange), start=first)
            anew = (replace(transfer, sequence=number).to_payload() for number, transfer in made)
            drafts = zip(exchange.drafts, anew, strict=True)
            exchange = replace(
                exchange, drafts=tuple(replace(old, payload=new) for old, new in drafts)
            )
        return sign(self, exchange, work)

    patch.setattr(Engine, "_sign", changed)


def count_numbers_apart(patch: Patch) -> None:
    """The next sequence number is written in a transaction of its own, after the reservation."""
    reserve = Engine._reserve

    def changed(self: Engine, exchange: Exchange, work: Work) -> Exchange:
        before = self._book.number(b"next_sequence", 1)
        locked = reserve(self, exchange, work)
        after = self._book.number(b"next_sequence", 1)
        with self._book.store.write("number") as tx:
            tx.put("single", b"next_sequence", before)
        for transfer in drafts_of(locked):
            seal(transfer, self._book.signer)
        with self._book.store.write("number") as tx:
            tx.put("single", b"next_sequence", after)
        return locked

    patch.setattr(Engine, "_reserve", changed)


def say_paid_before_storing(patch: Patch) -> None:
    """The receipt goes out first; the payment is written when the next one comes."""
    take = Payee.take_payment

    def changed(self: Payee, *arguments: Any) -> Received:
        store: Any = self._book.store
        if store._connection.in_transaction:
            store._connection.execute("COMMIT")
        store._connection.execute("BEGIN IMMEDIATE")
        store._transaction = lambda _: nullcontext()
        return take(self, *arguments)

    patch.setattr(Payee, "take_payment", changed)


def free_after_a_while(patch: Patch) -> None:
    """A payment that nobody has confirmed for a minute counts as failed."""
    recover = recovery.recover

    def changed(book: Any, engine: Engine, payee: Payee) -> None:
        recover(book, engine, payee)
        for exchange in book.exchanges(role=Role.PAY, only_open=True):
            overdue = book.now() - exchange.updated_at >= 60
            if exchange.state in {State.SENT, State.IN_DOUBT} and overdue:
                give_back_to_self(book, exchange)

    patch.setattr("client_sdk.offline_wallet.recover", changed)


def free_when_the_link_ends(patch: Patch) -> None:
    """A broken connection counts as a payment that was not made."""
    link_lost = Payer.link_lost

    def changed(self: Payer, exchange_id: bytes, refusal: str = "") -> Exchange:
        after = link_lost(self, exchange_id, refusal)
        if after.state is State.IN_DOUBT:
            give_back_to_self(self._book, after)
            return self._book.exchange(exchange_id)
        return after

    patch.setattr(Payer, "link_lost", changed)


def sign_again_when_sending_again(patch: Patch) -> None:
    """Bytes are not kept: each time the payment is shown it is made anew, with the present time."""
    hand_over = Payer.hand_over

    def changed(self: Payer, exchange_id: bytes) -> tuple[Exchange, bytes]:
        exchange, frame = hand_over(self, exchange_id)
        if exchange.role is not Role.PAY or exchange.state is State.RETURNED:
            return exchange, frame
        made = tuple(
            seal(replace(transfer, time=self._book.now()), self._book.signer)
            for transfer in drafts_of(exchange)
        )
        body = self._engine._payment_of(exchange, made).encode()
        return exchange, pack(FrameKind.PAYMENT, body)

    patch.setattr(Payer, "hand_over", changed)


def return_into_the_old_piece(patch: Patch) -> None:
    """A returned payment frees what was signed away, as if it had never been."""

    def changed(self: Engine, exchange: Exchange, _: Work) -> Exchange:
        give_back_to_self(self._book, exchange)
        return self._book.exchange(exchange.id)

    patch.setattr(Engine, "_store_return", changed)


def swallow_a_second_tap(patch: Patch) -> None:
    """A payment that was stored before is refused when it is shown again."""
    again = Payee._answer_again

    def changed(self: Payee, exchange: Exchange) -> Received:
        if exchange.state is State.STORED:
            return again(self, exchange)
        raise WalletError("This payment was taken already.", code="taken_already")

    patch.setattr(Payee, "_answer_again", changed)


def sign_another_receipt(patch: Patch) -> None:
    """Each time the payment is shown again a receipt is made anew."""
    again = Payee._answer_again

    def changed(self: Payee, exchange: Exchange) -> Received:
        if exchange.state is State.RECEIPTED:
            with self._book.store.write("again") as tx:
                self._book.put_exchange(tx, replace(exchange, state=State.STORED))
            later = replace(exchange, state=State.STORED, receipt=b"", memo=exchange.memo)
            self._book.clock.advance(1)  # type: ignore[attr-defined]
            return self.finish(later)
        return again(self, exchange)

    patch.setattr(Payee, "_answer_again", changed)


def trust_every_file(patch: Patch) -> None:
    """The guard never looks at the witness."""
    look = Guard._look

    def changed(self: Guard) -> None:
        look(self)
        self._restored = False

    patch.setattr(Guard, "_look", changed)
    patch.setattr(Guard, "confirm", lambda _: None)


def tell_the_witness_first(patch: Patch) -> None:
    """The witness is moved before the file is written: a crash in between locks people out."""
    reserve_within = Engine._reserve_within

    def changed(self: Engine, tx: Any, exchange: Exchange, work: Work, cert: bytes) -> Exchange:
        locked = reserve_within(self, tx, exchange, work, cert)
        self._book.guard.confirm()
        return locked

    patch.setattr(Engine, "_reserve_within", changed)


def forget_events_in_a_crash(patch: Patch) -> None:
    """The cursor moves on before what it stands for is stored."""
    take = Syncer._take

    def changed(self: Syncer, rows: Any, answer: Any, report: Any, waiting: Any) -> None:
        with self._book.store.write("cursor") as tx:
            tx.put("single", b"cursor", answer["cursor"])
        take(self, rows, answer, report, waiting)

    patch.setattr(Syncer, "_take", changed)


def take_the_same_piece_twice(patch: Patch) -> None:
    """What is left of a holding is written after the reservation, on its own."""
    reserve = Engine._reserve

    def changed(self: Engine, exchange: Exchange, work: Work) -> Exchange:
        book = self._book
        before = [book.holding(one.holding) for one in work.planned]
        locked = reserve(self, exchange, work)
        after = [book.holding(one.holding) for one in work.planned]
        for state in (before, after):
            with book.store.write("rest") as tx:
                for holding in state:
                    assert holding is not None
                    book.put_holding(tx, holding)
        return locked

    patch.setattr(Engine, "_reserve", changed)


def lose_the_signed_bytes(patch: Patch) -> None:
    """The state says "sent" before the bytes are stored."""
    apply = Engine.apply

    def changed(
        self: Engine, exchange: Exchange, happened: Input, work: Work | None = None
    ) -> Outcome:
        if exchange.state is State.LOCKED and happened is Input.CONTINUE:
            early = replace(exchange, state=State.SENT)
            with self._book.store.write("early") as tx:
                self._book.put_exchange(tx, early)
        return apply(self, exchange, happened, work)

    patch.setattr(Engine, "apply", changed)


def drafts_of(exchange: Exchange) -> list[Transfer]:
    return [Transfer.from_payload(draft.payload) for draft in exchange.drafts]


def give_back_to_self(book: Any, exchange: Exchange) -> None:
    """Free again, under its old parent, what an exchange had signed away."""
    with book.store.write("freed") as tx:
        for draft, transfer in zip(exchange.drafts, drafts_of(exchange), strict=True):
            holding = book.holding(draft.holding)
            free = (*holding.free, Interval(transfer.lo, transfer.hi))
            book.put_holding(tx, replace(holding, free=free))
        book.put_exchange(tx, replace(exchange, state=State.RETURNED))


PLANTS: Final[tuple[Plant, ...]] = (
    sign_before_reserving,
    draw_numbers_anew_after_a_crash,
    count_numbers_apart,
    say_paid_before_storing,
    free_after_a_while,
    free_when_the_link_ends,
    sign_again_when_sending_again,
    return_into_the_old_piece,
    swallow_a_second_tap,
    sign_another_receipt,
    trust_every_file,
    tell_the_witness_first,
    forget_events_in_a_crash,
    take_the_same_piece_twice,
    lose_the_signed_bytes,
)
