"""HTTP of sessions and of one's own account."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from server.identity import accounts, sessions, sign_in
from server.identity.calls import call_facts, proof_header
from server.identity.desk import Desk
from server.identity.errors import (
    ContactUnconfirmed,
    DeviceInactive,
    NameInvalid,
    ProofInvalid,
    ProofOutOfTime,
    ProofReplayed,
    RefreshTokenInvalid,
    SessionEnded,
    SignInFailed,
)
from server.identity.permissions import may
from server.identity.refresh import refresh_session
from server.identity.schemas import (
    AccountView,
    LanguageChoice,
    NameChange,
    RefreshCreate,
    SessionCreate,
    SessionTokens,
    SessionView,
)
from server.identity.settings import Installation
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.clock import Clock
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import NotFound, Unauthenticated, Unavailable
from server.kit.schema import Page

AnyRequest = Request[Any, Any, Any]
OPEN: Final = {OPEN_ROUTE: True}
OWN_ACCOUNT: Final = [may("own_account")]


@post(
    "/sessions",
    summary="Sign in",
    status_code=201,
    opt=OPEN,
    tags=["Sessions"],
    responses=refusals(*BODY_REFUSALS, SignInFailed, ContactUnconfirmed, NameInvalid, Unavailable),
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
        *BODY_REFUSALS,
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
    responses=refusals(*BODY_REFUSALS, Unauthenticated, NotFound, NameInvalid),
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


@put(
    "/me/language",
    summary="Choose your language",
    guards=OWN_ACCOUNT,
    tags=["Account"],
    status_code=204,
    responses=refusals(*BODY_REFUSALS, Unauthenticated),
)
async def choose_language(
    desk: NamedDependency[Desk],
    caller: NamedDependency[Caller],
    data: JSONBody[LanguageChoice],
) -> None:
    """Choose the language of papers and messages that are made for you."""
    await accounts.choose_language(desk, caller, data.language)


SESSION_HANDLERS: Final = (
    create_session,
    create_refresh,
    list_sessions,
    rename_session,
    end_session,
    end_all_sessions,
    show_account,
    choose_language,
)
