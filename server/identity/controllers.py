"""HTTP of the identity room: its routes put together, the published keys, the page of a link."""

import base64
import hashlib
import re
from importlib import resources
from typing import Final

from litestar import MediaType, Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from litestar.types import ControllerRouterHandler

from server.identity.desk import ContactHook, Desk
from server.identity.device_controllers import DEVICE_HANDLERS
from server.identity.notices import CONFIRM_PATH
from server.identity.passwords import PasswordKeeper
from server.identity.registration_controllers import REGISTRATION_HANDLERS
from server.identity.session_controllers import SESSION_HANDLERS
from server.identity.settings import Installation
from server.identity.signing_keys import published_keys
from server.kit.auth import OPEN_ROUTE
from server.kit.crypto import Vault
from server.kit.unit_of_work import UnitOfWork

OPEN: Final = {OPEN_ROUTE: True}


def provide_desk(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    settings: NamedDependency[SkipValidation[Installation]],
    contact_confirmed: NamedDependency[SkipValidation[ContactHook]],
) -> Desk:
    return Desk(uow, vault, settings, PasswordKeeper(vault), contact_confirmed=contact_confirmed)


@get(
    "/.well-known/jwks.json",
    summary="Keys that access tokens are signed with",
    opt=OPEN,
    tags=["Sessions"],
    cache_control=CacheControlHeader(max_age=300, public=True),
    dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
)
async def show_signing_keys(desk: NamedDependency[Desk]) -> dict[str, list[dict[str, str]]]:
    """Show the JWK Set (RFC 7517): the key in use, and those before it whose tokens still live."""
    return await published_keys(desk)


_PAGE: Final = resources.files("server.identity").joinpath("confirm_email.html").read_text("utf-8")


def _hash_of(element: str) -> str:
    match = re.search(rf"<{element}>(.*?)</{element}>", _PAGE, re.DOTALL)
    assert match is not None, element
    digest = hashlib.sha256(match.group(1).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_PAGE_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; connect-src 'self'; "
    f"script-src {_hash_of('script')}; style-src {_hash_of('style')}; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@get(CONFIRM_PATH, include_in_schema=False, opt=OPEN, media_type=MediaType.HTML)
async def show_confirm_page() -> Response[str]:
    """Show the page of the link in the e-mail: looking at it uses nothing up."""
    return Response(_PAGE, headers=_PAGE_HEADERS, media_type=MediaType.HTML)


IDENTITY_ROUTES: Final[list[ControllerRouterHandler]] = [
    Router(
        "/v1",
        route_handlers=[
            *REGISTRATION_HANDLERS,
            *SESSION_HANDLERS,
            *DEVICE_HANDLERS,
        ],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        cache_control=CacheControlHeader(no_store=True),
    ),
    show_signing_keys,
    show_confirm_page,
]
