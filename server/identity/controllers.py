"""HTTP of the identity room: registration, contacts, sessions, the account."""

import base64
import hashlib
import re
from importlib import resources
from typing import Any, Final
from uuid import UUID

from litestar import MediaType, Request, Response, Router, delete, get, patch, post
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, SkipValidation
from litestar.types import ControllerRouterHandler

from server.identity import accounts, confirmations, registration, sessions, sign_in
from server.identity.authenticator import call_facts, proof_header
from server.identity.desk import Desk
from server.identity.device_controllers import DEVICE_HANDLERS
from server.identity.documentation import refusals
from server.identity.domain import ContactKind
from server.identity.errors import (
    CodeInvalid,
    ContactUnconfirmed,
    DeviceInactive,
    EmailInvalid,
    LinkInvalid,
    NameInvalid,
    PasswordWeak,
    PhoneInvalid,
    ProofInvalid,
    ProofOutOfTime,
    ProofReplayed,
    RefreshTokenInvalid,
    SessionEnded,
    SignInFailed,
    UsernameInvalid,
)
from server.identity.notices import CONFIRM_PATH
from server.identity.passwords import PasswordKeeper
from server.identity.permissions import may
from server.identity.refresh import refresh_session
from server.identity.schemas import (
    Accepted,
    AccountView,
    EmailAddress,
    EmailConfirmation,
    NameChange,
    PhoneAddress,
    PhoneConfirmation,
    RefreshCreate,
    RegistrationCreate,
    SessionCreate,
    SessionTokens,
    SessionView,
)
from server.identity.settings import Installation
from server.identity.signing_keys import published_keys
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.clock import Clock
from server.kit.crypto import Vault
from server.kit.errors import NotFound, TooManyRequests, Unauthenticated, Unavailable
from server.kit.schema import Page
from server.kit.unit_of_work import UnitOfWork

AnyRequest = Request[Any, Any, Any]
OPEN: Final = {OPEN_ROUTE: True}
OWN_ACCOUNT: Final = [may("own_account")]


def provide_desk(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    settings: NamedDependency[SkipValidation[Installation]],
) -> Desk:
    return Desk(uow, vault, settings, PasswordKeeper(vault))


@post(
    "/registrations",
    summary="Register",
    status_code=202,
    opt=OPEN,
    tags=["Registration"],
    responses=refusals(
        UsernameInvalid, PhoneInvalid, EmailInvalid, NameInvalid, PasswordWeak, Unavailable
    ),
)
async def create_registration(
    desk: NamedDependency[Desk], data: JSONBody[RegistrationCreate]
) -> Accepted:
    """Ask for an account. The answer is the same whether or not something is taken.

    A code goes to the phone and a link to the e-mail address. Who owns an address already is told
    there that somebody tried. Accounts with nothing confirmed are deleted after 24 hours.
    """
    await registration.register(desk, data)
    return Accepted()


@post(
    "/contacts/phone/confirm",
    summary="Confirm a phone number",
    status_code=204,
    opt=OPEN,
    tags=["Registration"],
    responses=refusals(CodeInvalid, PhoneInvalid, TooManyRequests),
)
async def confirm_phone(desk: NamedDependency[Desk], data: JSONBody[PhoneConfirmation]) -> None:
    """Enter the six digits from the message: within five minutes, and with at most five tries."""
    await confirmations.confirm_phone(desk, data.phone, data.code)


@post(
    "/contacts/phone/resend",
    summary="Send another code",
    status_code=202,
    opt=OPEN,
    tags=["Registration"],
    responses=refusals(PhoneInvalid, TooManyRequests),
)
async def resend_code(desk: NamedDependency[Desk], data: JSONBody[PhoneAddress]) -> Accepted:
    """Ask for a new code, at most once a minute. The old one is good no longer."""
    await confirmations.resend(desk, ContactKind.PHONE, data.phone)
    return Accepted()


@post(
    "/contacts/email/confirm",
    summary="Confirm an e-mail address",
    status_code=204,
    opt=OPEN,
    tags=["Registration"],
    responses=refusals(LinkInvalid),
)
async def confirm_email(desk: NamedDependency[Desk], data: JSONBody[EmailConfirmation]) -> None:
    """Use up the token of the link: what stands behind its '#'. Good for 24 hours, once."""
    await confirmations.confirm_email(desk, data.token)


@post(
    "/contacts/email/resend",
    summary="Send another link",
    status_code=202,
    opt=OPEN,
    tags=["Registration"],
    responses=refusals(EmailInvalid, TooManyRequests),
)
async def resend_link(desk: NamedDependency[Desk], data: JSONBody[EmailAddress]) -> Accepted:
    """Ask for a new link, at most once a minute. The old one is good no longer."""
    await confirmations.resend(desk, ContactKind.EMAIL, data.email)
    return Accepted()


@post(
    "/sessions",
    summary="Sign in",
    status_code=201,
    opt=OPEN,
    tags=["Sessions"],
    responses=refusals(SignInFailed, ContactUnconfirmed, NameInvalid, Unavailable),
)
async def create_session(
    desk: NamedDependency[Desk], data: JSONBody[SessionCreate]
) -> SessionTokens:
    """Sign in with phone number, e-mail address or username, and password.

    Unknown, wrong and paused get the same answer. After five wrong passwords sign-in pauses for
    1, 2, 4, 8 … minutes, up to an hour.
    """
    return await sign_in.sign_in(desk, data)


@post(
    "/sessions/refresh",
    summary="Exchange a refresh token",
    status_code=200,
    opt=OPEN,
    tags=["Sessions"],
    responses=refusals(
        RefreshTokenInvalid,
        SessionEnded,
        ProofInvalid,
        ProofOutOfTime,
        ProofReplayed,
        DeviceInactive,
    ),
)
async def create_refresh(
    desk: NamedDependency[Desk],
    clock: NamedDependency[Clock],
    settings: NamedDependency[SkipValidation[Installation]],
    request: AnyRequest,
    data: JSONBody[RefreshCreate],
) -> SessionTokens:
    """Get new tokens; the refresh token is used up.

    A session that is bound to a device needs a DPoP proof of its key (without ``ath``) and gets the
    same answer again for ten seconds, should it have been lost. Any other second use of a token
    ends the session.
    """
    call = call_facts(request, settings, await request.body())
    return await refresh_session(desk, clock, data.refresh_token, call, proof_header(request))


@get(
    "/sessions",
    summary="List your sessions",
    guards=OWN_ACCOUNT,
    tags=["Sessions"],
    responses=refusals(Unauthenticated),
)
async def list_sessions(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller]
) -> Page[SessionView]:
    """List where you are signed in, the last used first. There are at most fifty."""
    return Page(items=await sessions.list_sessions(desk, caller))


@patch(
    "/sessions/{session_id:uuid}",
    summary="Rename a session",
    guards=OWN_ACCOUNT,
    tags=["Sessions"],
    responses=refusals(Unauthenticated, NotFound, NameInvalid),
)
async def rename_session(
    desk: NamedDependency[Desk],
    caller: NamedDependency[Caller],
    session_id: FromPath[UUID],
    data: JSONBody[NameChange],
) -> SessionView:
    """Give one of your sessions another name."""
    return await sessions.rename_session(desk, caller, session_id, data.name)


@delete(
    "/sessions/{session_id:uuid}",
    summary="End a session",
    guards=OWN_ACCOUNT,
    tags=["Sessions"],
    responses=refusals(Unauthenticated, NotFound),
)
async def end_session(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], session_id: FromPath[UUID]
) -> None:
    """Sign out one of your sessions; its tokens are dead at once."""
    await sessions.end_session(desk, caller, session_id)


@delete(
    "/sessions",
    summary="End all your sessions",
    guards=OWN_ACCOUNT,
    tags=["Sessions"],
    responses=refusals(Unauthenticated),
)
async def end_all_sessions(desk: NamedDependency[Desk], caller: NamedDependency[Caller]) -> None:
    """Sign out everywhere, here too."""
    await sessions.end_all_sessions(desk, caller)


@get(
    "/me",
    summary="Your account",
    guards=OWN_ACCOUNT,
    tags=["Account"],
    responses=refusals(Unauthenticated),
)
async def show_account(desk: NamedDependency[Desk], caller: NamedDependency[Caller]) -> AccountView:
    """Show your account and what of it is still unconfirmed."""
    return await accounts.own_account(desk, caller)


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
            create_registration,
            confirm_phone,
            resend_code,
            confirm_email,
            resend_link,
            create_session,
            create_refresh,
            list_sessions,
            rename_session,
            end_session,
            end_all_sessions,
            show_account,
            *DEVICE_HANDLERS,
        ],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        cache_control=CacheControlHeader(no_store=True),
    ),
    show_signing_keys,
    show_confirm_page,
]
