"""Carries a schedule out against the real wallet, and checks after every step."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from client_sdk.core import UNCONFIRMED, State
from client_sdk.errors import WalletError
from client_sdk.flows import key_pool
from client_sdk.flows.receiving import Answer
from client_sdk.flows.trusting import check_certificate, keep_certificate
from client_sdk.records import Exchange, Role
from client_sdk.testing import Crash, Fault, Issuer, SetClock, rough_pair
from client_sdk.views import ExchangeView
from client_sdk.wallet import Wallet
from offline_protocol.chains import Payment
from offline_protocol.frames import FrameKind, unpack
from tests.kill import checks
from tests.kill.checks import Broken, require
from tests.kill.model import ModelServer, shown_name
from tests.kill.person import Person, run, scratch, templates
from tests.kill.schedule import PEOPLE, Ending, Schedule, Step
from tests.kill.signing import Memory

T = TypeVar("T")

WAITS_SECONDS: Final = (60, 60, 20 * 60, 86_400, 3 * 86_400)
CLAIM_BY_SECONDS: Final = 45 * 86_400
MEETINGS_MAX: Final = 12
LATE_MAX: Final = 3
NET_FAULTS: Final = ("", "", "lost", "unanswered")

# Everything else that a wallet may answer to somebody honest is a fault of the wallet.
HARMLESS: Final = frozenset(
    {
        "insufficient_offline_funds",
        "limit_exceeded",
        "request_expired",
        "request_current",
        "certificate_expired",
        "own_request",
        "store_full",
        "server_unavailable",
        "exchange_state",
        "wallet_restored",
        "key_retired",
        "not_enrolled",
        "sign_in_needed",
    }
)
DAMAGED: Final = frozenset({Fault.TRUNCATE, Fault.CORRUPT})


@dataclass(frozen=True)
class Shown:
    """A request that anybody can read, as often as they like."""

    payee: Person
    frame: bytes
    amount: int


@dataclass(frozen=True)
class Message:
    """Bytes under way from one device to another."""

    sender: Person
    receiver: Person
    frame: bytes


@dataclass
class World:
    """Two or three people, a server, and what is under way between them.

    Attributes:
        held: vouchers that have reached a device.
        seen: how often what happened, to know what a run of schedules has covered.
    """

    folder: Path
    schedule: Schedule
    clock: SetClock = field(default_factory=SetClock)
    memory: Memory = field(default_factory=Memory)
    requests: list[Shown] = field(default_factory=list)
    under_way: list[Message] = field(default_factory=list)
    held: set[bytes] = field(default_factory=set)
    checked: int = 0
    versions: list[tuple[int, int]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.people: list[Person] = []
        self.began = self.clock.now()
        self.begin()

    def begin(self) -> None:
        """Let people with their wallets and a server be there."""
        self.issuer = Issuer()
        self.server = ModelServer(self.issuer, self.clock)
        for name in PEOPLE[: self.schedule.people]:
            person = Person(name, self.folder / name, self.server, self.clock, self.memory)
            self.people.append(person)
            for voucher in templates()[name].vouchers:
                self.server.issue(voucher)
                self.held.add(voucher.id)
            self.server.enrol(name, person.open().book.signer.public_key)

    def play(self) -> None:
        """Carry out all steps, then let everything come right.

        Raises:
            Broken: something that must hold does not.
        """
        for step in self.schedule.steps:
            self.do(step)
            self.check()
        for person in self.people:
            person.trap.disarm()
        if self.schedule.ending is Ending.MEET:
            self.meet_again()
        self.synchronise_all()
        self.check()
        checks.check_heard(self)
        self.tap_again()
        self.clock.advance(CLAIM_BY_SECONDS)
        self.synchronise_all()
        self.check()
        checks.check_verdict(self)
        self.read_late()

    def check(self) -> None:
        for person in self.people:
            wallet = person.open()
            require(
                person.forgetful or not wallet.restored, f"{person.name} is locked out for nothing"
            )
        checks.check_keys(self)
        versions = [person.version for person in self.people]
        if versions == self.versions:
            return
        self.versions = versions
        checks.check_value(self)
        checks.check_said(self)
        checks.check_confirmed(self)

    def close(self) -> None:
        for person in self.people:
            person.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return run(work)

    # Steps.

    def do(self, step: Step) -> None:
        self.seen[step.act.value] += 1
        person = self.people[step.who % len(self.people)]
        work: Callable[[Person, int, int], None] = getattr(self, f"_{step.act.value}")
        work(person, step.number, step.fate)

    def attempt(
        self, person: Person, work: Callable[[Wallet], Coroutine[Any, Any, Any]], **more: object
    ) -> Any:
        """Let a wallet do something; a crash or a harmless refusal gives None."""
        damaged = bool(more.get("damaged"))
        wallet = person.open()
        try:
            return self.run(work(wallet))
        except Crash as crash:
            self.seen[f"crash {crash}"] += 1
            person.crashed()
        except WalletError as error:
            self.seen[f"refused {error.code}"] += 1
            forgetful = any(one.forgetful for one in self.people)
            if error.code not in HARMLESS and not damaged and not forgetful:
                raise Broken(f"{person.name} refuses: {error.code}: {error.detail}") from error
        return None

    def _ask(self, person: Person, number: int, fate: int) -> None:
        amount = (number % 25) + 1 if fate % 5 else 0
        shown = self.attempt(person, lambda wallet: wallet.request_payment(amount, "EUR"))
        if shown is not None:
            self.requests.append(Shown(person, shown.frame, amount))

    def _pay(self, person: Person, number: int, fate: int) -> None:
        if not self.requests:
            return
        # Mostly the newest request, sometimes an old one again.
        asked = self.requests[-1 if fate % 3 else number % len(self.requests)]
        if person is asked.payee:
            person = self.people[(self.people.index(person) + 1) % len(self.people)]
        amount = None if asked.amount else (number % 15) + 1
        paid = self.attempt(person, lambda wallet: wallet.pay(asked.frame, amount=amount))
        if paid is not None:
            self._hand_over(person, paid.id)

    def _show(self, person: Person, number: int, _: int) -> None:
        person = self._one_of(person, self._shown)
        own = self._shown(person)
        if own:
            self._hand_over(person, own[number % len(own)].id)

    def _deliver(self, _: Person, number: int, fate: int) -> None:
        if not self.under_way:
            return
        faults = [Fault.PASS] * 6 + [Fault.LOSE, Fault.DOUBLE, Fault.DOUBLE, *DAMAGED_ORDER]
        fault = faults[fate % len(faults)]
        place = number % len(self.under_way)
        message = self.under_way[place]
        if fault is not Fault.DOUBLE:
            del self.under_way[place]
        self.seen[f"message {fault.value}"] += 1
        if fault is not Fault.LOSE:
            self.arrive(message, damaged(message.frame, fault), damaged=fault in DAMAGED)

    def arrive(self, message: Message, frame: bytes, *, damaged: bool = False) -> None:
        """One device reads what another has shown, and shows its answer."""
        person = message.receiver
        got = self.attempt(person, lambda wallet: wallet.receive(frame), damaged=damaged)
        if got is None:
            return
        if got.answer in {Answer.PAID, Answer.PAID_BEFORE}:
            self._note_said(person, got.exchange)
        if got.frame is not None:
            self._note_left(person, got.exchange.id + got.frame[:2], got.frame)
            self.under_way.append(Message(person, message.sender, got.frame))

    def _meet(self, person: Person, number: int, fate: int) -> None:
        person = self._one_of(person, self._unconfirmed)
        waiting = self._unconfirmed(person)
        if waiting:
            faults = [list(Fault)[(fate >> shift) % len(Fault)] for shift in (0, 3, 6, 9)]
            quiet = [Fault.PASS if fate & 1 << bit else fault for bit, fault in enumerate(faults)]
            self.connect(person, waiting[number % len(waiting)], quiet[:2], quiet[2:])

    def _give_back(self, person: Person, number: int, _: int) -> None:
        person = self._one_of(person, self._received)
        received = self._received(person)
        if not received:
            return
        exchange = received[number % len(received)]
        got = self.attempt(person, lambda wallet: wallet.return_payment(exchange.id))
        if got is not None:
            self._note_left(person, got.exchange.id + got.frame[:2], got.frame)
            payer = self._owner_of(exchange.peer)
            if payer is not None:
                self.under_way.append(Message(person, payer, got.frame))

    def _crash(self, person: Person, number: int, _: int) -> None:
        person.trap.crash_in(number % 8)

    def _drop(self, person: Person, _: int, __: int) -> None:
        person.drop()

    def _full(self, person: Person, number: int, fate: int) -> None:
        person.trap.fill_in(number % 5, lasting=1 + fate % 3)

    def _sync(self, person: Person, _: int, fate: int) -> None:
        self.break_network(person, NET_FAULTS[fate % len(NET_FAULTS)])
        self.attempt(person, lambda wallet: wallet.sync())
        self._note_held(person)

    def break_network(self, person: Person, fault: str) -> None:
        person.api.fault = fault

    def _load(self, person: Person, number: int, fate: int) -> None:
        if person.open().restored:
            return
        self.break_network(person, NET_FAULTS[fate % len(NET_FAULTS)])
        self.attempt(person, lambda wallet: wallet.load((number % 12) + 1, "EUR"))
        self._note_held(person)

    def _wait(self, _: Person, number: int, __: int) -> None:
        if self.clock.now() < self.began + 12 * 86_400:
            self.clock.advance(WAITS_SECONDS[number % len(WAITS_SECONDS)])

    def _copy(self, _: Person, __: int, ___: int) -> None:
        for person in self.people:
            person.copy()

    def _put_back(self, person: Person, _: int, __: int) -> None:
        person = self._one_of(person, lambda one: one.backup and one.mark() != one.backup_mark)
        if person.backup is None:
            return
        forgets = person.put_back()
        require(
            person.open().restored == forgets,
            f"{person.name}: an old copy is noticed exactly when it forgets a reservation",
        )
        self.seen["old copy noticed" if forgets else "old copy harmless"] += 1

    def _enrol(self, person: Person, _: int, __: int) -> None:
        person = self._one_of(person, lambda one: one.open().restored)
        wallet = person.open()
        if not wallet.restored:
            return
        try:
            wallet.book.renew_key()
        except Crash as crash:
            self.seen[f"crash {crash}"] += 1
            person.crashed()
            return
        except WalletError as error:
            require(error.code == "store_full", f"no new key: {error.code}")
            return
        self.certify(person)

    def certify(self, person: Person) -> None:
        """What the rest of enrolling does: the server knows the new key and certifies it."""
        book = person.open().book
        key = book.signer.public_key
        self.server.enrol(person.name, key)
        person.api.key = key
        name = shown_name(person.name)
        signed = self.issuer.certificate(key, now=self.clock.now(), name=name)
        person.trap.disarm()
        with book.store.write("certificate") as tx:
            keep_certificate(book, tx, check_certificate(book, signed.envelope))

    # The end.

    def meet_again(self) -> None:
        """Everybody meets everybody, without faults, until nobody has anything to say."""
        for _ in range(MEETINGS_MAX):
            busy = False
            for person in self.people:
                for exchange in person.open().book.exchanges():
                    if exchange.role is Role.RETURN:
                        busy |= self._show_return(person, exchange)
                for exchange in self._unconfirmed(person):
                    busy |= self.connect(person, exchange, [], [])
            self.check()
            if not busy:
                break
        checks.check_agreement(self)

    def synchronise_all(self) -> None:
        """Everybody hands everything in, and hears of what the others have handed in."""
        waiting = list(self.people)
        while waiting:
            for person in waiting:
                if person.open().book.stored_certificate() is None:
                    self.certify(person)  # a crash came between the new key and its certificate
                self.attempt(person, lambda wallet: wallet.sync())
                self._note_held(person)
            waiting = [person for person in self.people if self._has_news(person)]

    def tap_again(self) -> None:
        """Every payment is shown once more, and gets the answer that it got before."""
        waiting = self.under_way.copy()
        for person in self.people:
            for exchange in self._shown(person):
                payee = self._payee_of(exchange)
                if exchange.role is Role.PAY and payee is not None and not payee.forgetful:
                    frame = self.attempt(person, partial(Wallet.frame_of, exchange_id=exchange.id))
                    if frame is not None:
                        self.arrive(Message(person, payee, frame), frame)
        self.under_way = waiting

    def read_late(self) -> None:
        """What was still under way is read when everything is over: it changes nothing."""
        spendable = [checks.free_units(person) for person in self.people]
        for message in self.under_way[:LATE_MAX]:
            self.arrive(message, message.frame, damaged=True)
            message.receiver.drop()
        for person in self.people:
            for exchange in self._shown(person):
                self.attempt(person, lambda wallet, one=exchange: wallet.frame_of(one.id))  # type: ignore[misc]
        checks.check_keys(self)
        require(
            spendable == [checks.free_units(person) for person in self.people],
            "a closed voucher can be spent again",
        )

    def _has_news(self, person: Person) -> bool:
        book = person.open().book
        return bool(self.server.news_for(book.signer.public_key, book.number(b"cursor")))

    def _show_return(self, person: Person, exchange: Exchange) -> bool:
        """Show a return to its payer again, unless the payer has it."""
        payer = self._owner_of(exchange.peer)
        if payer is None or person.forgetful:
            return False
        frame = self.attempt(person, lambda wallet: wallet.frame_of(exchange.id))
        if frame is None:
            return False
        before = [one.state for one in payer.open().book.exchanges(role=Role.PAY)]
        self.arrive(Message(person, payer, frame), frame)
        return before != [one.state for one in payer.open().book.exchanges(role=Role.PAY)]

    # Meeting.

    def connect(
        self, payer: Person, exchange: Exchange, there: list[Fault], back: list[Fault]
    ) -> bool:
        """One connection between payer and payee; whether the payment moved on."""
        payee = self._payee_of(exchange)
        assert payee is not None
        payer_wallet, payee_wallet = payer.open(), payee.open()
        one, two = rough_pair(there, back)
        ended: dict[str, BaseException] = {}

        async def side(name: str, work: Coroutine[Any, Any, object], link: Any) -> None:
            try:
                await work
            except (Crash, WalletError) as end:
                ended[name] = end
            finally:
                await link.close()

        async def both() -> None:
            await asyncio.gather(
                side("payer", payer_wallet.resend(exchange.id, one), one),
                side("payee", payee_wallet.serve(two), two),
            )

        self.seen["meeting"] += 1
        asyncio.run(both())
        for name, person in (("payer", payer), ("payee", payee)):
            end = ended.get(name)
            if isinstance(end, Crash):
                self.seen[f"crash {end}"] += 1
                person.crashed()
            elif isinstance(end, WalletError):
                require(end.code in HARMLESS, f"{person.name} refuses: {end.code}")
        after = payer.open().book.exchange(exchange.id)
        if after.state not in UNCONFIRMED:
            self._note_answered(payee, after)
        return after.state is not exchange.state

    def _note_answered(self, payee: Person, payment: Exchange) -> None:
        """A receipt reached the payer, so the payee has said that it was paid."""
        for one in payee.open().book.exchanges(role=Role.RECEIVE):
            if set(one.transfers) == set(payment.transfers) and payment.state is State.ACKED:
                payee.said[one.id] = frozenset(one.transfers)

    # What was said and what left.

    def _hand_over(self, person: Person, exchange_id: bytes) -> None:
        frame = self.attempt(person, lambda wallet: wallet.frame_of(exchange_id))
        if frame is None:
            return
        self._note_left(person, exchange_id, frame)
        exchange = person.open().book.exchange(exchange_id)
        receiver = self._owner_of(exchange.peer)
        if receiver is not None:
            self.under_way.append(Message(person, receiver, frame))

    def _note_left(self, person: Person, name: bytes, frame: bytes) -> None:
        before = person.left.setdefault(name, frame)
        require(
            before == frame or person.forgetful, f"{person.name} sends other bytes the second time"
        )
        kind, body = unpack(frame)
        if kind in {FrameKind.PAYMENT, FrameKind.RETURN}:
            Payment.decode(body)

    def _note_said(self, person: Person, view: ExchangeView) -> None:
        exchange = person.open().book.exchange(view.id)
        person.said[view.id] = frozenset(exchange.transfers)

    def _note_held(self, person: Person) -> None:
        for voucher in self.server.vouchers:
            if person.open().book.holding(voucher) is not None:
                self.held.add(voucher)

    def _one_of(self, person: Person, fits: Callable[[Person], object]) -> Person:
        """This person, or else the first one that fits."""
        return next((one for one in [person, *self.people] if fits(one)), person)

    def _unconfirmed(self, person: Person) -> list[Exchange]:
        wallet = person.open()
        waiting = {view.id for view in run(wallet.unconfirmed())}
        found = wallet.book.exchanges(role=Role.PAY)
        return [one for one in found if one.id in waiting and self._payee_of(one)]

    def _received(self, person: Person) -> list[Exchange]:
        return [one for one in person.open().book.exchanges(role=Role.RECEIVE) if one.received]

    def _shown(self, person: Person) -> list[Exchange]:
        found = person.open().book.exchanges()
        return [
            one
            for one in found
            if one.role in {Role.PAY, Role.RETURN} and one.state is not State.RETURNED
        ]

    def _payee_of(self, exchange: Exchange) -> Person | None:
        return self._owner_of(exchange.peer)

    def _owner_of(self, key_id: bytes) -> Person | None:
        name = self.server.accounts.get(key_id)
        return next((one for one in self.people if one.name == name), None)


DAMAGED_ORDER: Final = sorted(DAMAGED)


def damaged(frame: bytes, fault: Fault) -> bytes:
    if fault is Fault.TRUNCATE:
        return frame[: len(frame) // 2]
    if fault is Fault.CORRUPT:
        middle = len(frame) // 2
        return frame[:middle] + bytes([frame[middle] ^ 1]) + frame[middle + 1 :]
    return frame


@contextmanager
def few_keys() -> Iterator[None]:
    """A wallet makes sixteen further keys at once; two do as well, and are made in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_pool, "POOL_KEYS", 2)
        patch.setattr(key_pool, "POOL_LEAST", 1)
        yield


def play(schedule: Schedule) -> World:
    """Play a schedule in a folder of its own.

    Raises:
        Broken: something that must hold does not.
    """
    folder = scratch()
    try:
        with few_keys():
            world = World(folder, schedule)
            try:
                world.play()
            finally:
                world.close()
        return world
    finally:
        shutil.rmtree(folder)
