"""Where people are, as far as their confirmed phone numbers say."""

from collections.abc import Collection
from uuid import UUID

import phonenumbers
from sqlalchemy import select

from server.identity.domain import ContactKind
from server.identity.models import ContactRow
from server.identity.notices import address_context
from server.kit.crypto import Vault
from server.kit.unit_of_work import Tx


async def phone_regions(
    tx: Tx, vault: Vault, tenant: int, user_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Return the country (ISO 3166, two letters) of each user's confirmed phone number.

    Whoever has none is left out, and whose number belongs to no country, such as a satellite's.
    """
    rows = await tx.session.scalars(
        select(ContactRow).where(
            ContactRow.tenant == tenant,
            ContactRow.user_id.in_(set(user_ids)),
            ContactRow.kind == ContactKind.PHONE,
            ContactRow.confirmed_at.is_not(None),
        )
    )
    found: dict[UUID, str] = {}
    for row in rows:
        number = vault.open(row.address_sealed, address_context(tenant, row.id)).decode()
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
        if region is not None and region.isalpha():
            found[row.user_id] = region
    return found
