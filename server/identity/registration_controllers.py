"""HTTP of registration and of confirming phone numbers and e-mail addresses."""

from typing import Final

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from server.identity import confirmations, registration
from server.identity.desk import Desk
from server.identity.domain import ContactKind
from server.identity.errors import (
    CodeInvalid,
    EmailInvalid,
    LinkInvalid,
    NameInvalid,
    PasswordWeak,
    PhoneInvalid,
    UsernameInvalid,
)
from server.identity.schemas import (
    Accepted,
    EmailAddress,
    EmailConfirmation,
    PhoneAddress,
    PhoneConfirmation,
    RegistrationCreate,
)
from server.kit.auth import OPEN_ROUTE
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import TooManyRequests, Unavailable

OPEN: Final = {OPEN_ROUTE: True}


@post(
    "/registrations",
    summary="Register",
    status_code=202,
    opt=OPEN,
    tags=["Registration"],
    responses=refusals(
        *BODY_REFUSALS,
        UsernameInvalid,
        PhoneInvalid,
        EmailInvalid,
        NameInvalid,
        PasswordWeak,
        Unavailable,
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
    responses=refusals(*BODY_REFUSALS, CodeInvalid, PhoneInvalid, TooManyRequests),
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
    responses=refusals(*BODY_REFUSALS, PhoneInvalid, TooManyRequests),
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
    responses=refusals(*BODY_REFUSALS, LinkInvalid),
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
    responses=refusals(*BODY_REFUSALS, EmailInvalid, TooManyRequests),
)
async def resend_link(desk: NamedDependency[Desk], data: JSONBody[EmailAddress]) -> Accepted:
    """Ask for a new link, at most once a minute. The old one is good no longer."""
    await confirmations.resend(desk, ContactKind.EMAIL, data.email)
    return Accepted()


REGISTRATION_HANDLERS: Final = (
    create_registration,
    confirm_phone,
    resend_code,
    confirm_email,
    resend_link,
)
