"""Exchanging one's own money, and asking what an exchange costs."""

from typing import NamedTuple
from uuid import UUID

from server.fx.errors import QuoteUnknown
from server.fx.events import ExchangeMade
from server.fx.postings import postings_for
from server.fx.quotes import Quote, QuoteRequest, find_quote, make_quote, take_quote
from server.fx.schemas import ExchangeCreate, ExchangeView, QuoteCreate, exchange_view
from server.identity import find_user, find_user_by_name, phone_regions
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.errors import InvalidRequest, NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import Outcome, Refusal, post_many


class ExchangeDesk(NamedTuple):
    """What the use cases work with."""

    uow: UnitOfWork
    vault: Vault
    age_max_days: int


async def ask_quote(desk: ExchangeDesk, caller: Caller, data: QuoteCreate) -> Quote:
    """Give the caller a quote.

    Raises:
        InvalidRequest: not exactly one amount is named, or payee is the caller.
        NotFound: there is no such payee.
        TallyError: what `make_quote` raises.
    """
    if (data.sell_amount is None) == (data.buy_amount is None):
        raise InvalidRequest("Name either sell_amount or buy_amount.", field="sell_amount")

    async def command(tx: Tx) -> Quote:
        payee = await _payee(tx, caller, data)
        regions = await phone_regions(
            tx, desk.vault, caller.tenant, [caller.user_id, *([payee] if payee else [])]
        )
        payer_country = regions.get(caller.user_id)
        wanted = QuoteRequest(
            user_id=caller.user_id,
            sell_currency=data.sell_currency,
            buy_currency=data.buy_currency,
            sell_amount=data.sell_amount,
            buy_amount=data.buy_amount,
            payee_id=payee,
            payer_country=payer_country,
            payee_country=regions.get(payee) if payee else payer_country,
        )
        return await make_quote(tx, caller.tenant, wanted, age_max_days=desk.age_max_days)

    return await desk.uow.run(command)


async def exchange(
    uow: UnitOfWork, caller: Caller, data: ExchangeCreate, *, key: str
) -> ExchangeView:
    """Exchange the caller's own money as a quote says, once for each key.

    A refusal leaves the quote untaken and is not remembered.

    Raises:
        QuoteUnknown: the caller has no such quote.
        QuoteTaken: it was used before.
        QuoteExpired: its time is over.
        QuoteMismatch: it was made for paying somebody else.
        InsufficientFunds: there is less than what is to be sold.
        EntryRefused: the ledger refused for another reason.
        IdempotencyConflict: the key was used for another exchange.
    """

    async def command(tx: Tx) -> ExchangeView:
        async def work() -> ExchangeView:
            quote = await take_quote(tx, caller.tenant, caller.user_id, data.quote_id)
            raise_first(await post_many(tx, postings_for(quote)))
            await emit(tx, ExchangeMade.of(quote), tenant=caller.tenant)
            return exchange_view(quote)

        return await once(
            tx,
            tenant=caller.tenant,
            owner=caller.user_id,
            operation="exchange",
            key=key,
            digest=fingerprint(data),
            answer_type=ExchangeView,
            work=work,
        )

    return await uow.run(command)


async def find_exchange(tx: Tx, caller: Caller, exchange_id: UUID) -> ExchangeView:
    """Return one of the caller's exchanges.

    Raises:
        QuoteUnknown: the caller has no such quote, or did not take it.
    """
    quote = await find_quote(tx, caller.tenant, caller.user_id, exchange_id)
    if quote.taken_at is None or quote.voided_at or quote.payee_id is not None:
        raise QuoteUnknown("You have made no exchange with this id.")
    return exchange_view(quote)


def raise_first(outcomes: list[Outcome]) -> None:
    """Raise why a chain was refused, if it was: the entry that failed, not those it took along.

    Raises:
        EntryRefused: one of its subclasses, such as `InsufficientFunds`.
    """
    for outcome in sorted(outcomes, key=lambda each: each.reason is Refusal.CHAIN_FAILED):
        outcome.raise_for_refusal()


async def _payee(tx: Tx, caller: Caller, data: QuoteCreate) -> UUID | None:
    if data.payee is not None and data.payee_id is not None:
        raise InvalidRequest("Name the payee once, by payee or by payee_id.", field="payee")
    payee: UUID | None = None
    if data.payee is not None:
        user = await find_user_by_name(tx, caller.tenant, data.payee)
        if user is None:
            raise NotFound("Nobody has this username.")
        payee = user.id
    elif data.payee_id is not None:
        payee = (await find_user(tx, caller.tenant, data.payee_id)).id
    if payee == caller.user_id:
        raise InvalidRequest("For an exchange of your own money, name no payee.", field="payee")
    return payee
