"""What the wallet tells its user: exchanges and balances in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from client_sdk.book import Book
from client_sdk.core import State
from client_sdk.flows.receiving import Answer
from client_sdk.flows.risk_words import say_rule
from client_sdk.records import Exchange, Role
from offline_protocol.acceptance import AcceptanceRule
from offline_protocol.cose import unseal
from offline_protocol.frames import FrameKind
from offline_protocol.requests import PaymentRequest

_PAYING: Final[Mapping[State, str]] = {
    State.IDLE: "not begun",
    State.LOCKED: "ready, not sent",
    State.SIGNED: "ready, not sent",
    State.SENT: "sent, not confirmed",
    State.IN_DOUBT: "sent, not confirmed",
    State.ACKED: "paid, confirmed by the payee",
    State.RETURNED: "returned to you",
    State.SETTLED: "paid and settled",
}
_RECEIVING: Final[Mapping[State, str]] = {
    State.OPEN: "waiting for payment",
    State.SHOWN: "waiting for payment",
    State.VERIFIED: "being checked",
    State.STORED: "paid",
    State.RECEIPTED: "paid",
    State.SPENT: "paid, and spent on",
    State.CLAIMED: "paid, and handed in for your account",
    State.RETURNED: "returned to the payer",
    State.SETTLED: "paid and settled",
}
_GIVING_BACK: Final[Mapping[State, str]] = {
    State.SENT: "returned to the payer",
    State.SETTLED: "returned and settled",
}
_CLAIMING: Final[Mapping[State, str]] = {
    State.LOCKED: "to be handed in at the next sync",
    State.SIGNED: "to be handed in at the next sync",
    State.SENT: "handed in for your account",
    State.SETTLED: "credited and settled",
}
_WORDS: Final = {
    Role.PAY: _PAYING,
    Role.RECEIVE: _RECEIVING,
    Role.RETURN: _GIVING_BACK,
    Role.CLAIM: _CLAIMING,
}


@dataclass(frozen=True, kw_only=True)
class ExchangeView:
    """One payment, return, claim or request.

    Attributes:
        id: names it in this wallet.
        request_id: the request that it answers, or empty.
        role: pay, receive, return or claim.
        state: one of `core.State`.
        words: the state for a person.
        amount: minor units.
        peer_name: certified name of the other side, if it has one.
        refusal: code of what the other side said instead of a receipt, or why a payment was
            sent back.
        transports: where the payee of a request listens.
        confirmed: a receipt was given or got.
        created_at: Unix seconds, as is `updated_at`.
    """

    id: bytes
    request_id: bytes
    role: Role
    state: State
    words: str
    amount: int
    currency: str
    peer_name: str
    memo: str
    transports: tuple[str, ...]
    refusal: str
    confirmed: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, kw_only=True)
class RequestShown:
    """A request of this wallet, and the frame to show."""

    exchange: ExchangeView
    frame: bytes


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """What became of something another device showed.

    Attributes:
        kind: what it was.
        exchange: the exchange that it belongs to.
        answer: for a payment, what was decided.
        frame: what to show in answer: a receipt or a return.
        refusal: for a refusal, its code; it decides nothing.
        convicted: for a fraud proof, the id of the convicted key.
    """

    kind: FrameKind
    exchange: ExchangeView | None = None
    answer: Answer | None = None
    frame: bytes | None = None
    refusal: str | None = None
    convicted: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What is held offline in one currency, in minor units.

    Attributes:
        spendable: can be paid with now.
        expired: held, but past spend-by; the next sync hands it in.
        unconfirmed: signed away and not confirmed by the payee.
        claimed: handed in, or about to be, and not settled.
        returning: held by a key that may not sign any more, because the file was put back from an
            old copy; it, or what is left of it, is credited to the account after claim-by.
    """

    currency: str
    spendable: int = 0
    expired: int = 0
    unconfirmed: int = 0
    claimed: int = 0
    returning: int = 0


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whom the wallet trusts, and how fresh what it knows is. Times are Unix seconds.

    Attributes:
        issuer: its name.
        root_key_id: of the pinned key.
        key_set_version: of the issuer's keys in use.
        certificate_until: None before the first sync.
        revocation_epoch: of the list of blocked devices; 0 is the empty one of the beginning.
        revocation_time: when the issuer last said that this list is the newest; 0 if never.
        list_outdated: the issuer asks for a newer list; sync while online.
        blocked: the issuer has revoked this device's own key.
    """

    issuer: str
    root_key_id: bytes
    key_set_version: int
    certificate_until: int | None
    revocation_epoch: int = 0
    revocation_time: int = 0
    list_outdated: bool = False
    blocked: bool = False


@dataclass(frozen=True, kw_only=True)
class RuleView:
    """An acceptance rule and what it says.

    Attributes:
        number: of an own rule, to remove it; None for one of the issuer's.
        rule: its conditions.
        words: for a person.
    """

    number: int | None
    rule: AcceptanceRule
    words: str


def rule_view(book: Book, rule: AcceptanceRule, number: int | None) -> RuleView:
    return RuleView(number=number, rule=rule, words=say_rule(book, rule))


def view_of(exchange: Exchange) -> ExchangeView:
    request = unseal(PaymentRequest, exchange.request).body if exchange.request else None
    return ExchangeView(
        id=exchange.id,
        request_id=request.request_id if request else b"",
        role=exchange.role,
        state=exchange.state,
        words=_WORDS[exchange.role].get(exchange.state, exchange.state.value),
        amount=exchange.amount,
        currency=exchange.currency,
        peer_name=exchange.peer_name,
        memo=exchange.memo,
        transports=request.transports if request else (),
        refusal=exchange.refusal,
        confirmed=bool(exchange.receipt),
        created_at=exchange.created_at,
        updated_at=exchange.updated_at,
    )
