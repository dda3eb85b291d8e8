"""The part of a wallet that needs no server: asking, paying, receiving, returning, looking.

Writes happen inside short calls without a pause in between, so two payments made at the same time
never reserve the same value.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from client_sdk.ambient import Clock, Entropy, SystemClock, system_entropy
from client_sdk.book import Book
from client_sdk.core import State
from client_sdk.errors import DeviceBlocked, InvalidAmount, UnknownExchange, UnreadableMessage
from client_sdk.flows import accepting, gossip, meeting
from client_sdk.flows.accepting import Decision
from client_sdk.flows.engine import Engine
from client_sdk.flows.evidence import learn_proof
from client_sdk.flows.online import Profile
from client_sdk.flows.paying import Payer, RequestView
from client_sdk.flows.receiving import REQUEST_SECONDS, Payee
from client_sdk.flows.recovery import recover
from client_sdk.flows.serving import Confirm, Desk
from client_sdk.keys import KeyProvider, SoftwareKeys
from client_sdk.money import exponent, parse_currency
from client_sdk.records import Role
from client_sdk.store.sqlite import Hook, Store
from client_sdk.transports.base import Link, Wire
from client_sdk.transports.carriers import Dial, connect
from client_sdk.transports.session import Listener
from client_sdk.trust import read_message
from client_sdk.views import (
    Balance,
    ExchangeView,
    Incoming,
    RequestShown,
    RuleView,
    Trust,
    rule_view,
    view_of,
)
from offline_protocol.acceptance import AcceptanceRule
from offline_protocol.cose import Signed, unseal
from offline_protocol.frames import FrameKind, pack
from offline_protocol.requests import PaymentRequest
from offline_protocol.transfers import Transfer

if TYPE_CHECKING:  # an HTTP client takes longer to load than an offline command to run
    import httpx

    from client_sdk.api.client import ApiClient, Sleep


class OfflineWallet:
    """An open wallet; see `client_sdk.wallet.Wallet`."""

    def __init__(
        self,
        store: Store,
        keys: KeyProvider,
        *,
        clock: Clock,
        entropy: Entropy,
        http: "httpx.AsyncBaseTransport | None" = None,
        sleep: "Sleep" = asyncio.sleep,
        state_folder: Path | None = None,
    ) -> None:
        self.book = Book(store, keys, clock=clock, entropy=entropy, state_folder=state_folder)
        self._engine = Engine(self.book)
        self._payer = Payer(self.book, self._engine)
        self._payee = Payee(self.book, self._engine)
        self._http = http
        self._sleep = sleep
        self._api: ApiClient | None = None
        self._online_work = asyncio.Lock()
        recover(self.book, self._engine, self._payee)

    @classmethod
    async def create(
        cls,
        path: Path | str | None,
        *,
        passphrase: str | None = None,
        keys: KeyProvider | None = None,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        hook: Hook | None = None,
        http: "httpx.AsyncBaseTransport | None" = None,
        sleep: "Sleep" = asyncio.sleep,
        state_folder: Path | None = None,
    ) -> Self:
        """Make a wallet file and open it; without a path it lives in memory only.

        Args:
            path: where the file goes; it must not exist.
            passphrase: opens the file; or give `keys` instead.
            keys: a provider of keys, such as secure hardware.
            clock: the device's time.
            entropy: source of all randomness.
            hook: called around every durable write, for crash tests.
            http: replaces the network, for tests in one process.
            sleep: waits between tries of a call.
            state_folder: where the wallet's witness lies, apart from the file and from every
                backup of it; by default the user's state directory.

        Raises:
            WalletExists: a wallet lies there already.
        """
        provider = _provider(passphrase, keys, entropy)
        store = Store.create(
            None if path is None else Path(path), provider, entropy=entropy, hook=hook
        )
        return cls._on(
            store,
            provider,
            clock=clock,
            entropy=entropy,
            http=http,
            sleep=sleep,
            state_folder=state_folder,
        )

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        passphrase: str | None = None,
        keys: KeyProvider | None = None,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        hook: Hook | None = None,
        http: "httpx.AsyncBaseTransport | None" = None,
        sleep: "Sleep" = asyncio.sleep,
        state_folder: Path | None = None,
    ) -> Self:
        """Open a wallet file and finish what an interruption left half done.

        Arguments are those of `create`.

        Raises:
            WalletMissing: nothing lies there.
            WalletLocked: another process has it open.
            WrongPassphrase: the passphrase does not open it.
            StoreCorrupt: the file is damaged.
        """
        provider = _provider(passphrase, keys, entropy)
        store = Store.open(Path(path), provider, entropy=entropy, hook=hook)
        return cls._on(
            store,
            provider,
            clock=clock,
            entropy=entropy,
            http=http,
            sleep=sleep,
            state_folder=state_folder,
        )

    @classmethod
    def _on(
        cls,
        store: Store,
        keys: KeyProvider,
        *,
        clock: Clock | None,
        entropy: Entropy,
        http: "httpx.AsyncBaseTransport | None",
        sleep: "Sleep",
        state_folder: Path | None,
    ) -> Self:
        try:
            return cls(
                store,
                keys,
                clock=clock or SystemClock(),
                entropy=entropy,
                http=http,
                sleep=sleep,
                state_folder=state_folder,
            )
        except BaseException:
            store.close()
            raise

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
            self._api = None
        self.book.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Offline: being paid.

    async def request_payment(
        self,
        amount: int,
        currency: str,
        *,
        memo: str | None = None,
        transports: tuple[str, ...] = (),
        lifetime_seconds: int = REQUEST_SECONDS,
    ) -> RequestShown:
        """Ask for an amount in minor units; 0 lets the payer choose.

        Args:
            amount: minor units.
            currency: its code.
            memo: a line the payer sees.
            transports: addresses where this device listens, such as "lan:192.0.2.7:4100".
            lifetime_seconds: how long it may be paid.

        Raises:
            NotEnrolled: this wallet has no certificate yet.
            CertificateExpired: go online first.
            LimitExceeded: the device would hold more than it may.
        """
        if amount < 0:
            raise InvalidAmount("An amount is zero or more.")
        self._refuse_blocked()
        exchange, frame = self._payee.request(
            amount,
            parse_currency(currency),
            memo=memo,
            transports=transports,
            lifetime_seconds=lifetime_seconds,
        )
        return RequestShown(exchange=view_of(exchange), frame=frame)

    async def request_frame(self, request_id: bytes) -> bytes:
        """The frame of an earlier request, to be shown again.

        Raises:
            UnknownExchange: there is no such request.
        """
        return self._payee.request_frame(request_id)

    async def receive(
        self, message: bytes | str, *, accept_warnings: bool = False, give_back: bool = False
    ) -> Incoming:
        """Take whatever another device shows: a payment, a receipt, a return, or a proof.

        Args:
            message: a frame, or its text form.
            accept_warnings: take a payment although the rules warn of it. What rules refuse is
                signed back to the payer all the same.
            give_back: sign a payment back at once instead of taking it.

        Raises:
            UnreadableMessage: it is none of these.
            PaymentNeedsConfirmation: something speaks against taking the payment; nothing is
                stored. Give the same message again with `accept_warnings` or `give_back`.
            PaymentRefused: a rule is broken; the code names it.
            DoubleSpendFound: the payer signed the same value away twice.
            UnknownExchange: it belongs to no exchange of this wallet.
        """
        kind, _ = read_message(message)
        match kind:
            case FrameKind.PAYMENT:
                decision = Decision.TAKE if accept_warnings else Decision.ASK
                decision = Decision.GIVE_BACK if give_back else decision
                got = self._payee.take_payment(message, decision)
                return Incoming(
                    kind=kind, exchange=view_of(got.exchange), answer=got.answer, frame=got.frame
                )
            case FrameKind.RECEIPT:
                return await self.accept_receipt(message)
            case FrameKind.RETURN:
                return Incoming(kind=kind, exchange=view_of(self._payer.take_return(message)))
            case FrameKind.FRAUD_PROOF:
                return Incoming(kind=kind, convicted=learn_proof(self.book, message).key.id)
            case FrameKind.REFUSAL:
                return Incoming(kind=kind, refusal=self._payer.take_refusal(message).code)
            case FrameKind.REQUEST:
                raise UnreadableMessage("This is a request.", fix="Pay it with `pay`.")
            case _:
                raise UnreadableMessage(f"A {kind.name.lower()} is nothing to receive here.")

    async def accept_receipt(self, message: bytes | str) -> Incoming:
        """Take the payee's receipt: the payment is confirmed."""
        exchange = self._payer.take_receipt(message)
        return Incoming(kind=FrameKind.RECEIPT, exchange=view_of(exchange))

    async def return_payment(self, exchange_id: bytes) -> Incoming:
        """Sign a received payment back, whole; the frame goes to the payer.

        Raises:
            UnknownExchange: nothing was received under this id.
            ExchangeStateError: part of it has been spent, claimed or settled.
        """
        got = self._payee.send_back(exchange_id)
        return Incoming(
            kind=FrameKind.PAYMENT,
            exchange=view_of(got.exchange),
            answer=got.answer,
            frame=got.frame,
        )

    async def listen(
        self,
        listener: Listener,
        request_id: bytes,
        *,
        linger_seconds: float = 20.0,
        offer: bool = False,
        met: Callable[[str], None] | None = None,
        confirm: Confirm | None = None,
    ) -> ExchangeView:
        """Serve payers who come over a carrier until this request is paid.

        A payer whose connection breaks can come back; after the payment this waits until the
        payer has said that the receipt arrived, or `linger_seconds` have passed.

        Args:
            listener: open; its address is in the request.
            request_id: of the request.
            linger_seconds: how long to wait after the payment.
            offer: give the request to anybody who asks for it over this carrier.
            met: called with the six digits of each payer, to be shown.
            confirm: asked whether to take a payment that the rules warn of. Without it such a
                payment is signed back; one of which another device has merely said that its value
                was spent before is taken.

        Raises:
            UnknownExchange: there is no such request.
            StoreError: the wallet file cannot be written.
        """
        paid = await meeting.listen(
            self.book,
            self._payee,
            listener,
            request_id,
            linger_seconds=linger_seconds,
            offer=offer,
            met=met,
            confirm=confirm,
        )
        return view_of(paid)

    async def serve(self, link: Link, *, confirm: Confirm | None = None) -> None:
        """Answer a payer on one connection until it ends; `confirm` as in `listen`."""
        await Desk(self.book, self._payee, link, confirm=confirm).run()

    # Offline: paying.

    async def inspect(self, request: bytes | str) -> RequestView:
        """Check a request and say whom and what it is for, before paying.

        Raises:
            InvalidRequest: a rule about requests is broken.
        """
        return self._payer.inspect(request)

    async def peek(self, wire: Wire) -> RequestView:
        """Ask a payee who was found without a code what it asks for, and leave.

        Raises:
            InvalidRequest: a rule about requests is broken.
            LinkClosed: the payee offers no request.
        """
        return await meeting.peek(self._payer, wire)

    async def approach(self, wire: Wire) -> meeting.Approach:
        """Take the request of a payee who was found without a code, and shake hands for it.

        Before paying with its `frame` and `link`, a person compares the certified name and the six
        digits with the payee's screen.

        Raises:
            InvalidRequest: a rule about requests is broken.
            LinkClosed: the payee offers no request, or another device answered.
        """
        return await meeting.approach(self._payer, wire, self.book.entropy)

    async def pay(
        self, request: bytes | str, *, amount: int | None = None, link: Link | None = None
    ) -> ExchangeView:
        """Pay a request; over a link if there is one, else show `frame_of` the result.

        Paying a request twice gives the first payment again. Returns when the receipt is here, or
        the link has ended ("sent, not confirmed"), or at once when there is no link.

        Raises:
            InvalidRequest: a rule about requests is broken, or it has expired.
            InsufficientFunds: what can be spent offline does not reach the amount.
            LimitExceeded: more than may be paid at once.
            CertificateExpired: go online first.
        """
        self._refuse_blocked()
        prepared = self._payer.prepare(request, amount)
        if link is None:
            return view_of(prepared)
        return await self.resend(prepared.id, link)

    async def frame_of(self, exchange_id: bytes) -> bytes:
        """The bytes of a payment, to be shown; from now on it counts as sent."""
        exchange = self.book.exchange(exchange_id)
        if exchange.role is Role.RECEIVE:
            frame = self._payee.answer_of(exchange)
        else:
            _, frame = self._payer.hand_over(exchange_id)
        return frame

    async def resend(self, exchange_id: bytes, link: Link) -> ExchangeView:
        """Send the stored bytes of a payment over a link and wait for the answer."""
        return view_of(await meeting.deliver(self.book, self._payer, exchange_id, link))

    async def deliver(
        self,
        exchange_id: bytes,
        *,
        first: Sequence[str] = (),
        dials: Mapping[str, Dial] | None = None,
        met: Callable[[str], None] | None = None,
    ) -> ExchangeView:
        """Connect to where the payee of a payment waits, send the stored bytes, and wait.

        Args:
            exchange_id: of the payment.
            first: addresses to try before those that the request names.
            dials: carriers by scheme, for those that need settings of this device.
            met: called with the six digits of the session, to be shown.

        Raises:
            UnknownExchange: this is no payment of this wallet.
            LinkClosed: nobody could be reached there; nothing was sent this time.
        """
        payment = self.book.exchange(exchange_id)
        if payment.role is not Role.PAY:
            raise UnknownExchange("This is no payment to hand over.")
        request = unseal(PaymentRequest, payment.request).body
        link = await connect(
            dict.fromkeys([*first, *request.transports]),
            request_id=request.request_id,
            session_key=request.session_key,
            entropy=self.book.entropy,
            dials=dials,
        )
        try:
            if met is not None:
                met(link.code)
            return await self.resend(exchange_id, link)
        finally:
            link.abort()

    async def unconfirmed(self) -> list[ExchangeView]:
        """Payments that were sent, or are ready to be, and are not confirmed."""
        return [view_of(one) for one in self._payer.unconfirmed()]

    # What is here.

    async def balance(self) -> list[Balance]:
        """What is held offline, by currency."""
        now = self.book.now()
        sums: dict[str, Counter[str]] = defaultdict(Counter)
        for holding in self.book.holdings():
            kind = "spendable" if holding.spend_by >= now else "expired"
            kind = "returning" if self.restored else kind
            sums[holding.currency][kind] += holding.free_amount
        for holding in self.book.retired_holdings():
            if holding.claim_by >= now:  # from then on it is on the account
                sums[holding.currency]["returning"] += holding.free_amount
        for exchange in self.book.exchanges(only_open=True):
            if exchange.role is Role.PAY and exchange.state is not State.ACKED:
                sums[exchange.currency]["unconfirmed"] += exchange.amount
            elif exchange.role is Role.CLAIM:
                sums[exchange.currency]["claimed"] += exchange.amount
        return [Balance(currency=currency, **sums[currency]) for currency in sorted(sums)]

    async def history(self, *, limit: int = 100) -> list[ExchangeView]:
        """Exchanges, newest first."""
        return [view_of(one) for one in reversed(self.book.exchanges())][:limit]

    async def exchange(self, exchange_id: bytes) -> ExchangeView:
        """One exchange.

        Raises:
            UnknownExchange: there is none with this id.
        """
        return view_of(self.book.exchange(exchange_id))

    def decided_by(self, exchange_id: bytes) -> int | None:
        """When the issuer decides about a payment that nobody answers, in Unix seconds.

        The last claim-by time of its vouchers; None for what was never reserved here.

        Raises:
            UnknownExchange: there is none with this id.
        """
        drafts = self.book.exchange(exchange_id).drafts
        holdings = (self.book.holding(draft.holding) for draft in drafts)
        return max((one.claim_by for one in holdings if one is not None), default=None)

    async def profile(self) -> Profile | None:
        """Whose wallet this is; None before enrolling."""
        values = {name: self.book.text(name.encode()) for name in Profile.__annotations__}
        return (
            None if None in values.values() else Profile(**{k: v or "" for k, v in values.items()})
        )

    async def trust(self) -> Trust:
        """Whom this wallet trusts, and until when others trust it.

        Raises:
            NotEnrolled: nobody yet.
        """
        key_set, root_key = self.book.key_set(), self.book.root_key()
        assert root_key is not None, "a key set is kept after its root key"
        certificate = self.book.stored_certificate()
        return Trust(
            issuer=key_set.issuer,
            root_key_id=root_key.id,
            key_set_version=key_set.version,
            certificate_until=certificate.body.valid_to if certificate else None,
            revocation_epoch=self.book.blocklist.epoch,
            revocation_time=self.book.blocklist.time,
            list_outdated=self.book.list_outdated,
            blocked=self.book.blocked,
        )

    # What to accept, and what to tell.

    async def acceptance_rules(self) -> list[RuleView]:
        """The issuer's rules, and this wallet's own, which are numbered from 1."""
        book = self.book
        views = [rule_view(book, rule, None) for rule in accepting.issuer_rules(book)]
        own = enumerate(accepting.own_rules(book), start=1)
        return views + [rule_view(book, rule, number) for number, rule in own]

    async def add_rule(self, rule: AcceptanceRule) -> None:
        """Add an own acceptance rule; it can only make this wallet stricter.

        Raises:
            InvalidRule: there are as many as a wallet keeps.
        """
        accepting.add_rule(self.book, rule)

    async def remove_rule(self, number: int) -> None:
        """Remove an own rule.

        Raises:
            InvalidRule: there is none with this number.
        """
        accepting.remove_rule(self.book, number)

    @property
    def shares_tags(self) -> bool:
        """Whether this wallet tells devices that it meets which pieces of value it has seen."""
        return gossip.shares_tags(self.book)

    async def set_share_tags(self, *, share: bool) -> None:
        """Choose that; without it others find double spending later."""
        gossip.set_share_tags(self.book, share=share)

    def _refuse_blocked(self) -> None:
        if self.book.blocked:
            raise DeviceBlocked("The issuer has blocked this device: nobody takes its payments.")

    def scale(self, currency: str) -> int:
        """Decimals of a currency: the issuer's word, or else the common ones."""
        listed = self.book.scale(currency)
        return exponent(currency) if listed is None else listed

    @property
    def key_id(self) -> bytes:
        """Id of this device's key."""
        return self.book.signer.public_key.id

    @property
    def restored(self) -> bool:
        """Whether this file is an old copy, which signs nothing until `enrol` gives it a new key.

        It can be looked at and synchronised meanwhile.
        """
        return self.book.guard.restored

    async def signed_transfers(self) -> list[Signed[Transfer]]:
        """Every transfer that this device has ever signed."""
        return self.book.signed_transfers()

    async def fraud_proofs(self) -> list[bytes]:
        """Proofs that this wallet found or was shown, as frames."""
        return [pack(FrameKind.FRAUD_PROOF, data) for data in self.book.records_of("fraud_proof")]


def _provider(passphrase: str | None, keys: KeyProvider | None, entropy: Entropy) -> KeyProvider:
    if (passphrase is None) == (keys is None):
        raise ValueError("give either a passphrase or a key provider")
    return keys if keys is not None else SoftwareKeys(passphrase or "", entropy=entropy)
