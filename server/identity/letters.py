"""What other rooms write to a person, without learning the address."""

from uuid import UUID

from sqlalchemy import select

from server.identity.models import ContactRow
from server.identity.notices import address_context
from server.kit.crypto import Vault
from server.kit.messaging import Message, enqueue_message
from server.kit.unit_of_work import Tx


async def write_to_user(
    tx: Tx, vault: Vault, user_id: UUID, *, tenant: int, subject: str, text: str
) -> bool:
    """Write to the confirmed e-mail address of a person; say whether there is one."""
    contact = await tx.session.scalar(
        select(ContactRow).where(
            ContactRow.tenant == tenant,
            ContactRow.user_id == user_id,
            ContactRow.kind == "email",
            ContactRow.confirmed_at.is_not(None),
        )
    )
    if contact is None:
        return False
    address = vault.open(contact.address_sealed, address_context(tenant, contact.id)).decode()
    await enqueue_message(tx, vault, Message("email", address, text, subject), tenant=tenant)
    return True
