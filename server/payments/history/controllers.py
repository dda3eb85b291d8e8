"""HTTP of the history: pages, totals of days, tables."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated, Final, Literal

from litestar import Request, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation
from litestar.response import Stream

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import refusals
from server.kit.errors import Forbidden, InvalidRequest, Unauthenticated
from server.kit.i18n import Language, Words, language_for, words_of
from server.kit.money import AMOUNT_MAX, UnknownCurrency, asset
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import UnitOfWork
from server.payments.explainers import Explainers
from server.payments.history.entries import HistoryQuery, page
from server.payments.history.schemas import HistoryItem, Totals
from server.payments.history.tables import csv_of_history
from server.payments.history.totals import day_totals, zone_named

_CURRENCY: Final = QueryParameter(pattern="^[A-Z][A-Z0-9]{2,9}$", description="This currency only")
LanguageParameter = Annotated[
    Language | None,
    QueryParameter(description="Language of titles; without it that of Accept-Language"),
]


def provide_filters(
    currency: Annotated[str | None, _CURRENCY] = None,
    direction: Annotated[
        Literal["in", "out"] | None, QueryParameter(description="Only what came in, or went out")
    ] = None,
    kind: Annotated[
        str | None,
        QueryParameter(max_length=64, description="Only kinds that begin so, such as payments"),
    ] = None,
    amount_min: Annotated[int | None, QueryParameter(ge=0, le=AMOUNT_MAX)] = None,
    amount_max: Annotated[int | None, QueryParameter(ge=0, le=AMOUNT_MAX)] = None,
    begin: Annotated[
        datetime | None, QueryParameter(description="From this moment on, with its offset")
    ] = None,
    end: Annotated[datetime | None, QueryParameter(description="Before this moment")] = None,
) -> HistoryQuery:
    """Read the filters that every form of the history takes."""
    if currency is not None:
        asset(currency)
    for name, moment in (("begin", begin), ("end", end)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequest(
                "A moment needs its offset from UTC.",
                fix="Write it as 2026-11-21T10:00:00Z or with +03:00 at the end.",
                field=name,
            )
    return HistoryQuery(currency, direction, kind, amount_min, amount_max, begin, end)


def words_for(request: Request[Caller, object, State], language: Language | None) -> Words:
    return words_of(language or language_for(request.headers.get("accept-language")))


_REFUSALS: Final = refusals(Unauthenticated, Forbidden, UnknownCurrency)


@get("/history", summary="What changed your available balance, newest first", responses=_REFUSALS)
async def show_history(
    request: Request[Caller, object, State],
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    explainers: NamedDependency[SkipValidation[Explainers]],
    filters: NamedDependency[SkipValidation[HistoryQuery]],
    cursor: Annotated[str | None, QueryParameter(max_length=512)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
    language: LanguageParameter = None,
) -> Page[HistoryItem]:
    """List changes in all your currencies; ``next_cursor`` fetches the ones before.

    With a filter a page may have few items, or none, and still a ``next_cursor``: go on with it.
    """
    words = words_for(request, language)
    return await uow.read(
        lambda tx: page(
            tx,
            caller,
            cursor=cursor,
            limit=limit,
            query=filters,
            words=words,
            explainers=explainers,
        )
    )


@get(
    "/history/export.csv",
    summary="The history as a table",
    responses=_REFUSALS,
    media_type="text/csv",
)
async def export_history(
    request: Request[Caller, object, State],
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    explainers: NamedDependency[SkipValidation[Explainers]],
    filters: NamedDependency[SkipValidation[HistoryQuery]],
    language: LanguageParameter = None,
) -> Stream:
    """Download what the filters fit as CSV, newest first; amounts are decimal numbers."""
    words = words_for(request, language)

    def rows() -> AsyncIterator[bytes]:
        return csv_of_history(uow, caller, filters, words=words, explainers=explainers)

    return Stream(
        rows(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="history.csv"'},
    )


@get("/history/totals", summary="Totals of each day, for a chart", responses=_REFUSALS)
async def show_totals(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    currency: Annotated[str, _CURRENCY],
    first: Annotated[date, QueryParameter(description="First day")],
    last: Annotated[date, QueryParameter(description="Last day")],
    zone: Annotated[str, QueryParameter(max_length=64, description="Whose days")] = "UTC",
) -> Totals:
    """Add up what came in and went out on each day, and what was there at its end."""
    found = zone_named(zone)
    return await uow.read(
        lambda tx: day_totals(tx, caller, currency=currency, first=first, last=last, zone=found)
    )


HISTORY_ROUTES: Final = [
    Router(
        "/v1",
        route_handlers=[show_history, export_history, show_totals],
        guards=[may("own_money")],
        dependencies={"filters": Provide(provide_filters, sync_to_thread=False)},
        tags=["Payments"],
    )
]
