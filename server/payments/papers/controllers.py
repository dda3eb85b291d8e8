"""HTTP of papers."""

from datetime import date
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import MediaType, Request, Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, SkipValidation
from litestar.types import ControllerRouterHandler

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.clock import Clock
from server.kit.documentation import refusals
from server.kit.errors import Forbidden, NotFound, Unauthenticated
from server.kit.i18n import Language
from server.kit.money import UnknownCurrency
from server.kit.unit_of_work import Tx
from server.payments.history.totals import zone_named
from server.payments.papers.desk import PaperDesk, reader_of
from server.payments.papers.errors import PeriodTooLong
from server.payments.papers.invoices import find_movement, invoice
from server.payments.papers.statements import find_period, paper

LanguageParameter = Annotated[
    Language | None,
    QueryParameter(
        description="Language of the paper; without it your own, or that of Accept-Language"
    ),
]
ZoneParameter = Annotated[
    str, QueryParameter(max_length=64, description="Time zone, such as Africa/Nairobi")
]
_PDF: Final = "application/pdf"
_PRIVATE: Final = CacheControlHeader(no_store=True)


@get(
    "/history/{entry_id:uuid}/invoice.pdf",
    summary="An invoice for one movement",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
    media_type=_PDF,
    cache_control=_PRIVATE,
)
async def show_invoice(
    request: Request[Any, Any, Any],
    papers: NamedDependency[SkipValidation[PaperDesk]],
    clock: NamedDependency[Clock],
    caller: NamedDependency[Caller],
    entry_id: FromPath[UUID],
    language: LanguageParameter = None,
    zone: ZoneParameter = "UTC",
) -> Response[bytes]:
    """Get a signed PDF about one item of your history."""
    found = zone_named(zone)
    accepted = request.headers.get("accept-language")

    async def data(tx: Tx) -> dict[str, object]:
        reader = await reader_of(tx, caller, language=language, accepted=accepted, zone=found)
        return invoice(papers, reader, await find_movement(tx, papers, caller, entry_id))

    made = await papers.finish("invoice.typ", await papers.uow.read(data), made_at=clock.now())
    return _download(made, f"invoice-{entry_id}.pdf")


@get(
    "/statements/{currency:str}/statement.pdf",
    summary="A statement of some days",
    responses=refusals(Unauthenticated, Forbidden, UnknownCurrency, PeriodTooLong),
    media_type=_PDF,
    cache_control=_PRIVATE,
)
async def show_statement(
    request: Request[Any, Any, Any],
    papers: NamedDependency[SkipValidation[PaperDesk]],
    clock: NamedDependency[Clock],
    caller: NamedDependency[Caller],
    currency: FromPath[str],
    first: Annotated[date, QueryParameter(description="First day")],
    last: Annotated[date, QueryParameter(description="Last day")],
    language: LanguageParameter = None,
    zone: ZoneParameter = "UTC",
) -> Response[bytes]:
    """Get a signed PDF with every line of a period, and the balance before and after."""
    found = zone_named(zone)
    accepted = request.headers.get("accept-language")

    async def data(tx: Tx) -> dict[str, object]:
        reader = await reader_of(tx, caller, language=language, accepted=accepted, zone=found)
        period = await find_period(tx, papers, reader, currency=currency, first=first, last=last)
        return paper(papers, reader, period)

    made = await papers.finish("statement.typ", await papers.uow.read(data), made_at=clock.now())
    return _download(made, f"statement-{currency}-{first}-{last}.pdf")


@get(
    "/.well-known/document-certificates.pem",
    summary="Certificates of signed papers",
    opt={OPEN_ROUTE: True},
    media_type=MediaType.TEXT,
    tags=["Payments"],
)
async def show_certificates(papers: NamedDependency[SkipValidation[PaperDesk]]) -> str:
    """Get every certificate that ever signed a paper of this server, the newest first, as PEM."""
    return await papers.signer.certificates()


def _download(made: bytes, name: str) -> Response[bytes]:
    return Response(
        made,
        media_type=_PDF,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


PAPER_ROUTES: Final[list[ControllerRouterHandler]] = [
    Router(
        "/v1",
        route_handlers=[show_invoice, show_statement],
        guards=[may("own_money")],
        tags=["Payments"],
    ),
    show_certificates,
]
