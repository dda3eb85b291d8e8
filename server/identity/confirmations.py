"""Showing that a phone number or an e-mail address is one's own.

Answers never say whether an address is known: limits are counted for each address that is asked
about, and an unknown one is refused in the words of a wrong code.
"""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from server.identity.addresses import address_index, normalise_email, normalise_phone
from server.identity.counters import count_up, too_many
from server.identity.desk import Desk
from server.identity.domain import ContactKind, make_code
from server.identity.errors import CodeInvalid, LinkInvalid
from server.identity.models import ConfirmationRow, ContactRow, UserRow
from server.identity.notices import open_address, send_code, send_link
from server.identity.statements import upsert
from server.identity.tokens import token_digest
from server.kit.errors import InvalidRequest, TooManyRequests
from server.kit.schema import from_base64url
from server.kit.unit_of_work import Tx

LINK_BYTES: Final = 32
_CLAIMS_MAX: Final = 3
_DAY: Final = timedelta(days=1)


async def message_allowed(
    tx: Tx, desk: Desk, kind: ContactKind, index: bytes
) -> TooManyRequests | None:
    """Count a message to an address; return the refusal when there were too many, too quickly."""
    gap = await count_up(tx, desk.tenant, f"{kind}_gap", index, window=desk.policy.resend_after)
    if gap.count > 1:
        return too_many(tx, gap.until, "A message was sent there less than a minute ago.")
    allowed = (
        desk.policy.phone_messages_per_day
        if kind is ContactKind.PHONE
        else desk.policy.email_messages_per_day
    )
    day = await count_up(tx, desk.tenant, f"{kind}_day", index, window=_DAY)
    if day.count > allowed:
        return too_many(tx, day.until, "Too many messages were sent there today.")
    return None


async def issue_confirmation(tx: Tx, desk: Desk, contact: ContactRow, username: str) -> None:
    """Send a fresh code or link; the one before is good no longer."""
    address = open_address(desk, contact)
    if contact.kind == ContactKind.PHONE:
        code = make_code(tx.ids.token(8))
        digest, life = _code_digest(desk, contact.id, code), desk.policy.phone_code_life
        await send_code(tx, desk, address, username, code)
    else:
        token = tx.ids.token(LINK_BYTES)
        digest, life = token_digest(token), desk.policy.email_link_life
        await send_link(tx, desk, address, username, token)
    fresh = {"digest": digest, "tries": 0, "expires_at": tx.now + life}
    statement = upsert(tx, ConfirmationRow).values(
        tenant=desk.tenant, contact_id=contact.id, **fresh
    )
    await tx.connection.execute(
        statement.on_conflict_do_update(
            index_elements=[ConfirmationRow.tenant, ConfirmationRow.contact_id], set_=fresh
        )
    )


async def resend(desk: Desk, kind: ContactKind, text: str) -> None:
    """Send a fresh code or link to an address, if anybody waits for one there.

    Raises:
        TooManyRequests: less than a minute after the last, or too many today; counted for unknown
            addresses too.
    """
    address = (
        normalise_phone(text, desk.settings.phone_region)
        if kind is ContactKind.PHONE
        else normalise_email(text)
    )
    index = address_index(desk.vault, kind, address)

    async def command(tx: Tx) -> TooManyRequests | None:
        if refusal := await message_allowed(tx, desk, kind, index):
            return refusal
        for contact, username in await _claims(tx, desk, kind, index):
            await issue_confirmation(tx, desk, contact, username)
        return None

    if refusal := await desk.uow.run(command):
        raise refusal


async def confirm_phone(desk: Desk, phone: str, code: str) -> None:
    """Confirm a number by the code that was sent there.

    Raises:
        CodeInvalid: wrong, expired, used, tried too often, or nobody waits for a code there.
        TooManyRequests: too many codes were tried for the number today.
    """
    number = normalise_phone(phone, desk.settings.phone_region)
    index = address_index(desk.vault, ContactKind.PHONE, number)

    async def command(tx: Tx) -> CodeInvalid | TooManyRequests | None:
        tried = await count_up(tx, desk.tenant, "phone_tries", index, window=_DAY)
        if tried.count > desk.policy.phone_code_tries_per_day:
            return too_many(tx, tried.until, "Too many codes were tried for this number today.")
        for contact in await _awaiting_code(tx, desk, index):
            if await _is_code(tx, desk, contact.id, code):
                await _confirm(tx, desk, contact)
                return None
        return _wrong_code()

    try:
        refusal = await desk.uow.run(command)
    except IntegrityError:
        # Somebody else confirmed the same address at the same moment.
        refusal = _wrong_code()
    if refusal:
        raise refusal


async def confirm_email(desk: Desk, token_text: str) -> None:
    """Confirm an e-mail address by the token of the link that was sent there.

    Raises:
        LinkInvalid: it is unknown, expired or used.
    """
    try:
        token = from_base64url(token_text, field="token", size_max=LINK_BYTES)
    except InvalidRequest:
        raise _wrong_link() from None

    async def command(tx: Tx) -> bool:
        taken = await tx.connection.execute(
            delete(ConfirmationRow)
            .where(
                ConfirmationRow.tenant == desk.tenant,
                ConfirmationRow.digest == token_digest(token),
                ConfirmationRow.expires_at > tx.now,
            )
            .returning(ConfirmationRow.contact_id)
        )
        contact_id = taken.scalar_one_or_none()
        if contact_id is None:
            return False
        contact = await tx.session.get_one(ContactRow, (desk.tenant, contact_id))
        assert contact.kind == ContactKind.EMAIL, "a code's digest is no hash of a link's token"
        await _confirm(tx, desk, contact)
        return True

    try:
        confirmed = await desk.uow.run(command)
    except IntegrityError:
        confirmed = False
    if not confirmed:
        raise _wrong_link()


async def _claims(
    tx: Tx, desk: Desk, kind: ContactKind, index: bytes
) -> Sequence[tuple[ContactRow, str]]:
    """Return who waits for this address to be confirmed: the newest few, with their usernames."""
    rows = await tx.session.execute(
        select(ContactRow, UserRow.username)
        .join(UserRow, (UserRow.tenant == ContactRow.tenant) & (UserRow.id == ContactRow.user_id))
        .where(
            ContactRow.tenant == desk.tenant,
            ContactRow.kind == kind,
            ContactRow.address_index == index,
            ContactRow.confirmed_at.is_(None),
        )
        .order_by(ContactRow.created_at.desc(), ContactRow.id.desc())
        .limit(_CLAIMS_MAX)
    )
    return [(contact, username) for contact, username in rows]


async def _awaiting_code(tx: Tx, desk: Desk, index: bytes) -> Sequence[ContactRow]:
    """Return who was sent a code that is still good.

    However many claim the number after them: the limits on messages bound how many these are.
    """
    rows = await tx.session.scalars(
        select(ContactRow)
        .join(
            ConfirmationRow,
            (ConfirmationRow.tenant == ContactRow.tenant)
            & (ConfirmationRow.contact_id == ContactRow.id),
        )
        .where(
            ContactRow.tenant == desk.tenant,
            ContactRow.kind == ContactKind.PHONE,
            ContactRow.address_index == index,
            ContactRow.confirmed_at.is_(None),
            ConfirmationRow.expires_at > tx.now,
        )
        .order_by(ContactRow.id)
    )
    return rows.all()


async def _is_code(tx: Tx, desk: Desk, contact_id: UUID, code: str) -> bool:
    """Take one of the code's tries and compare."""
    taken = await tx.connection.execute(
        update(ConfirmationRow)
        .where(
            ConfirmationRow.tenant == desk.tenant,
            ConfirmationRow.contact_id == contact_id,
            ConfirmationRow.tries < desk.policy.phone_code_tries_max,
            ConfirmationRow.expires_at > tx.now,
        )
        .values(tries=ConfirmationRow.tries + 1)
        .returning(ConfirmationRow.digest)
    )
    digest = taken.scalar_one_or_none()
    return digest is not None and hmac.compare_digest(digest, _code_digest(desk, contact_id, code))


async def _confirm(tx: Tx, desk: Desk, contact: ContactRow) -> None:
    """Give the address to this person; nobody else's claim to it stands any longer."""
    contact.confirmed_at = tx.now
    await tx.session.flush()
    await tx.session.execute(
        delete(ConfirmationRow).where(
            ConfirmationRow.tenant == contact.tenant, ConfirmationRow.contact_id == contact.id
        )
    )
    await tx.session.execute(
        delete(ContactRow).where(
            ContactRow.tenant == contact.tenant,
            ContactRow.kind == contact.kind,
            ContactRow.address_index == contact.address_index,
            ContactRow.confirmed_at.is_(None),
        )
    )
    if desk.contact_confirmed is not None:
        await desk.contact_confirmed(
            tx, contact.tenant, ContactKind(contact.kind), contact.address_index
        )


def _code_digest(desk: Desk, contact_id: UUID, code: str) -> bytes:
    # Keyed: six digits could be found from a plain hash at once.
    return desk.vault.blind_index(f"{contact_id}/{code}", "identity.phone_code")


def _wrong_code() -> CodeInvalid:
    return CodeInvalid(
        "The code is wrong, used or too old, or was tried too often.",
        fix="Ask for a new one with POST /v1/contacts/phone/resend.",
    )


def _wrong_link() -> LinkInvalid:
    return LinkInvalid(
        "The link is unknown, used or too old.",
        fix="Ask for a new one with POST /v1/contacts/email/resend.",
    )
