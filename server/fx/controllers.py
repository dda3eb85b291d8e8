"""HTTP of the exchange of currencies."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from server.fx import errors, exchanges, officers
from server.fx.quotes import find_quote
from server.fx.rates import PIVOT, newest_rates
from server.fx.schemas import (
    ExchangeCreate,
    ExchangeView,
    QuoteCreate,
    QuoteView,
    RateSet,
    RatesView,
    RateView,
    TermsChange,
    TermsVersion,
    quote_view,
)
from server.identity import may
from server.identity.errors import UsernameInvalid
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.documents import DocumentChanged
from server.kit.errors import Forbidden, IdempotencyConflict, NotFound, Unauthenticated
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import EntryRefused, InsufficientFunds
from server.settings import Settings

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]


@get(
    "/rates",
    summary="The rates that exchanges go by",
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_rates(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
) -> RatesView:
    """List units of each currency for one euro, with day, source and age in working days.

    Nothing is exchanged by a rate that is stale.
    """
    age_max = settings.fx_rate_age_max_days

    async def look(tx: Tx) -> RatesView:
        rates = await newest_rates(tx, caller.tenant)
        views = []
        for currency, rate in sorted(rates.items()):
            age = rate.age(tx.now.date())
            views.append(
                RateView(
                    currency=currency,
                    rate=rate.text,
                    rate_date=rate.on,
                    source=rate.source,
                    age_working_days=age,
                    stale=age > age_max,
                )
            )
        return RatesView(base=PIVOT, age_max_working_days=age_max, rates=views)

    return await uow.read(look)


@post(
    "/quotes",
    summary="Ask what an exchange costs",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        UnknownCurrency,
        UsernameInvalid,
        errors.RateMissing,
        errors.RateStale,
        errors.AmountTooSmall,
        errors.AmountTooLarge,
    ),
)
async def create_quote(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
    vault: NamedDependency[Vault],
    data: JSONBody[QuoteCreate],
) -> QuoteView:
    """Get a price that holds for 30 seconds and can be used once; nothing is reserved by it.

    Name what you want to give, or what shall arrive. With a payee the price is that of a payment
    between the countries of both phone numbers.
    """
    desk = exchanges.ExchangeDesk(uow, vault, settings.fx_rate_age_max_days)
    return quote_view(await exchanges.ask_quote(desk, caller, data))


@get(
    "/quotes/{quote_id:uuid}",
    summary="Look up a quote",
    responses=refusals(Unauthenticated, Forbidden, errors.QuoteUnknown),
)
async def show_quote(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], quote_id: FromPath[UUID]
) -> QuoteView:
    """Return one of your quotes; one that was not used is forgotten a day after it ended."""
    return quote_view(
        await uow.read(lambda tx: find_quote(tx, caller.tenant, caller.user_id, quote_id))
    )


@post(
    "/exchanges",
    summary="Exchange your own money",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        IdempotencyConflict,
        errors.QuoteUnknown,
        errors.QuoteExpired,
        errors.QuoteTaken,
        errors.QuoteMismatch,
        InsufficientFunds,
        EntryRefused,
    ),
)
async def create_exchange(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[ExchangeCreate],
    idempotency_key: IdempotencyKey = None,
) -> ExchangeView:
    """Move money between your own balances as a quote of yours says, once."""
    key = check_key(idempotency_key)
    return await exchanges.exchange(uow, caller, data, key=key)


@get(
    "/exchanges/{exchange_id:uuid}",
    summary="Look up an exchange",
    responses=refusals(Unauthenticated, Forbidden, errors.QuoteUnknown),
)
async def show_exchange(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], exchange_id: FromPath[UUID]
) -> ExchangeView:
    """Return one of your exchanges; its id is that of its quote."""
    return await uow.read(lambda tx: exchanges.find_exchange(tx, caller, exchange_id))


@get(
    "/fx/terms",
    summary="The terms of exchange in force",
    guards=[may("set_fx")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_terms(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> TermsVersion:
    """Return spreads and charges; version 0 is the built-in one."""
    return await uow.read(lambda tx: officers.terms_now(tx, caller.tenant))


@get(
    "/fx/terms/versions",
    summary="All terms of exchange that were ever set",
    guards=[may("set_fx")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_terms(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    before: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> Page[TermsVersion]:
    """List stored versions, the newest first; ``next_cursor`` is the next page's ``before``."""
    return await uow.read(
        lambda tx: officers.terms_page(tx, caller.tenant, before=before, limit=limit)
    )


@put(
    "/fx/terms",
    summary="Change the terms of exchange",
    guards=[may("set_fx")],
    responses=refusals(
        *BODY_REFUSALS, Unauthenticated, Forbidden, DocumentChanged, errors.TermsInvalid
    ),
)
async def change_terms(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[TermsChange],
) -> TermsVersion:
    """Store a new version of all terms; earlier ones stay readable, quotes stay as they are."""

    async def command(tx: Tx) -> TermsVersion:
        return await officers.change_terms(
            tx,
            caller.tenant,
            data,
            by=await officers.officer_name(tx, caller),
        )

    return await uow.run(command)


@post(
    "/fx/rates",
    summary="Set a rate by hand",
    guards=[may("set_fx")],
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        UnknownCurrency,
        errors.RateInvalid,
    ),
)
async def create_rate(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
    data: JSONBody[RateSet],
) -> RateView:
    """Store a rate that you stand for; a later day's rate of the provider replaces it."""

    async def command(tx: Tx) -> RateView:
        by = await officers.officer_name(tx, caller)
        rate = await officers.set_rate_by_hand(tx, caller.tenant, data, by=by)
        age = rate.age(tx.now.date())
        return RateView(
            currency=rate.currency,
            rate=rate.text,
            rate_date=rate.on,
            source=rate.source,
            age_working_days=age,
            stale=age > settings.fx_rate_age_max_days,
        )

    return await uow.run(command)


FX_ROUTES = [
    Router(
        "/v1",
        route_handlers=[show_rates, create_quote, show_quote, create_exchange, show_exchange],
        guards=[may("own_money")],
        tags=["Exchange of currencies"],
    ),
    Router(
        "/v1",
        route_handlers=[show_terms, list_terms, change_terms, create_rate],
        tags=["Exchange of currencies"],
    ),
]
