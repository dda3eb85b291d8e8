"""What is written to people. Texts hold no secret but the code or link they are for."""

from uuid import UUID

from sqlalchemy import select

from server.identity.desk import Desk
from server.identity.domain import ContactKind
from server.identity.models import ContactRow
from server.identity.settings import public_address
from server.kit.messaging import Message, enqueue_message
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx

CONFIRM_PATH = "/confirm-email"


def seal_address(tx: Tx, desk: Desk, contact_id: UUID, address: str) -> bytes:
    return desk.vault.seal(
        address.encode(), address_context(desk.tenant, contact_id), nonce=tx.ids.token(24)
    )


def open_address(desk: Desk, contact: ContactRow) -> str:
    return desk.vault.open(
        contact.address_sealed, address_context(contact.tenant, contact.id)
    ).decode()


async def notify_user(tx: Tx, desk: Desk, user_id: UUID, subject: str, text: str) -> None:
    """Write to a confirmed address of a person, by e-mail if there is one."""
    contacts = await tx.session.scalars(
        select(ContactRow)
        .where(
            ContactRow.tenant == desk.tenant,
            ContactRow.user_id == user_id,
            ContactRow.confirmed_at.is_not(None),
        )
        .order_by(ContactRow.kind)
    )
    contact = contacts.first()
    if contact is not None:
        kind = ContactKind(contact.kind)
        await _send(tx, desk, kind, open_address(desk, contact), subject=subject, text=text)


async def _send(
    tx: Tx, desk: Desk, kind: ContactKind, address: str, *, subject: str, text: str
) -> None:
    if kind is ContactKind.PHONE:
        message = Message("sms", address, text)
    else:
        message = Message("email", address, text, subject)
    await enqueue_message(tx, desk.vault, message, tenant=desk.tenant)


async def send_code(tx: Tx, desk: Desk, address: str, username: str, code: str) -> None:
    minutes = int(desk.policy.phone_code_life.total_seconds() // 60)
    text = (
        f"{code} is the Tallystick code for the account @{username}. It is good for {minutes} "
        "minutes. Not your account? Tell nobody the code."
    )
    await _send(tx, desk, ContactKind.PHONE, address, subject="", text=text)


async def send_link(tx: Tx, desk: Desk, address: str, username: str, token: bytes) -> None:
    # The token stands behind '#', so it reaches no server log and no Referer header.
    link = f"{public_address(desk.settings)}{CONFIRM_PATH}#{to_base64url(token)}"
    text = (
        f"Confirm this address for the Tallystick account @{username}:\n\n{link}\n\n"
        "The link is good for 24 hours. Not your account? Then do nothing."
    )
    await _send(
        tx, desk, ContactKind.EMAIL, address, subject="Confirm your e-mail address", text=text
    )


async def send_taken(tx: Tx, desk: Desk, kind: ContactKind, address: str, username: str) -> None:
    what = "phone number" if kind is ContactKind.PHONE else "e-mail address"
    text = (
        f"Somebody tried to register at Tallystick with this {what}. It belongs to your account "
        f"@{username} already, so nothing was changed. Was it you? Then sign in."
    )
    await _send(tx, desk, kind, address, subject="You already have an account", text=text)


async def send_username_taken(tx: Tx, desk: Desk, address: str, username: str) -> None:
    text = (
        f"Your registration at Tallystick was not completed: the username @{username} belongs to "
        "somebody else. Register again with another one."
    )
    await _send(tx, desk, ContactKind.EMAIL, address, subject="Choose another username", text=text)


def address_context(tenant: int, contact_id: UUID) -> str:
    """Return what a sealed address is bound to."""
    return f"identity_contact/{tenant}/{contact_id}"
