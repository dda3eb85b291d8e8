"""Finding the person whom money is for: by phone, e-mail, username or id.

Only a confirmed address leads to somebody. What is found here decides about money, so it is read
from the database each time, many at once.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import select

from server.identity.addresses import address_index, identify
from server.identity.counters import count_up, too_many
from server.identity.domain import PERMISSIONS, ContactKind
from server.identity.models import ContactRow, UserRow
from server.identity.notices import address_context
from server.kit.bulk import id_value, rows_among
from server.kit.crypto import Vault
from server.kit.errors import TooManyRequests
from server.kit.messaging import Message, enqueue_message
from server.kit.unit_of_work import Tx

LOOKUPS_PER_HOUR: Final = 60
INVITATIONS_PER_DAY: Final = 20
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_MAY_HOLD_MONEY: Final = frozenset(
    role.value for role, granted in PERMISSIONS.items() if "own_money" in granted
)
_PHONE, _ADDRESS = 2, 1
_COLUMNS: Final = (
    "id, username, display_name, role, (SELECT max(CASE c.kind WHEN 'phone' THEN 2 ELSE 1 END) "
    "FROM identity_contact c WHERE c.tenant = identity_user.tenant "
    "AND c.user_id = identity_user.id AND c.confirmed_at IS NOT NULL)"
)


class Address(NamedTuple):
    """A phone number or an e-mail address in its one form, and how it is looked up."""

    kind: ContactKind
    text: str
    blind_index: bytes

    @property
    def hint(self) -> str:
        """The address with most of it hidden: +90•••67, a•••@example.com."""
        if self.kind is ContactKind.PHONE:
            return f"{self.text[:3]}•••{self.text[-2:]}"
        name, _, domain = self.text.rpartition("@")
        return f"{name[:1]}•••@{domain}"[:64]


class Payee(NamedTuple):
    """What another room may know of somebody who pays or is paid."""

    id: UUID
    username: str
    display_name: str
    may_hold_money: bool
    phone_confirmed: bool

    @property
    def masked_name(self) -> str:
        """Enough of the name to know a friend by: "A••• L•••"."""
        return " ".join(f"{word[:1]}•••" for word in self.display_name.split())


@dataclass(slots=True)
class Payees:
    """Who was found, by what they were looked for."""

    by_id: dict[UUID, Payee] = field(default_factory=dict)
    by_username: dict[str, Payee] = field(default_factory=dict)
    by_index: dict[bytes, Payee] = field(default_factory=dict)


def read_recipient(text: str, *, vault: Vault, region: str) -> Address | UUID | str | None:
    """Return what somebody typed: an address, a user's id or a username; None when it is nothing.

    Nothing is looked up.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        return UUID(text)
    found = identify(text.removeprefix("@"), region)
    if found.kind == "username":
        return found.value
    if found.kind == "unknown":
        return None
    kind = ContactKind(found.kind)
    return Address(kind, found.value, address_index(vault, kind, found.value))


async def find_payees(
    tx: Tx,
    tenant: int,
    *,
    ids: Collection[UUID] = (),
    usernames: Collection[str] = (),
    addresses: Collection[Address] = (),
) -> Payees:
    """Return the people with these ids, usernames and confirmed addresses."""
    found = Payees()
    owners: dict[bytes, UUID] = {}
    for kind in ContactKind:
        indexes = [address.blind_index for address in addresses if address.kind is kind]
        owners |= await address_owners(tx, tenant, kind, indexes)
    wanted = {*ids, *owners.values()}
    for row in await _users(tx, tenant, "id", [id_value(tx, one) for one in wanted], "uuid"):
        payee = _payee(row)
        found.by_id[payee.id] = payee
    for row in await _users(tx, tenant, "username", usernames, "text"):
        payee = _payee(row)
        found.by_username[payee.username] = payee
    found.by_index = {index: found.by_id[owner] for index, owner in owners.items()}
    return found


async def address_owners(
    tx: Tx, tenant: int, kind: ContactKind, indexes: Collection[bytes]
) -> dict[bytes, UUID]:
    """Return who has confirmed which of these addresses, by their blind indexes."""
    rows = await rows_among(
        tx,
        ContactRow.__tablename__,
        "address_index, user_id",
        tenant=tenant,
        column="address_index",
        values=indexes,
        where=f"kind = '{kind.value}' AND confirmed_at IS NOT NULL",
    )
    return {bytes(index): _uuid(owner) for index, owner in rows}


async def lookup_refusal(tx: Tx, tenant: int, user_id: UUID) -> TooManyRequests | None:
    """Count that somebody looks an address up; return the refusal when they did too often."""
    counted = await count_up(tx, tenant, "recipient_lookup", user_id.bytes * 2, window=_HOUR)
    if counted.count > LOOKUPS_PER_HOUR:
        return too_many(tx, counted.until, "Too many people were looked up in this hour.")
    return None


async def invite(
    tx: Tx, vault: Vault, tenant: int, address: Address, *, sender: UUID, text: str
) -> bool:
    """Write to somebody who is not registered; return whether that was done.

    An address is written to once a day, and for one sender only so many are.
    """
    by_sender = await count_up(tx, tenant, "invitations", sender.bytes * 2, window=_DAY)
    if by_sender.count > INVITATIONS_PER_DAY:
        return False
    counted = await count_up(tx, tenant, f"{address.kind}_invite", address.blind_index, window=_DAY)
    if counted.count > 1:
        return False
    if address.kind is ContactKind.PHONE:
        message = Message("sms", address.text, text)
    else:
        message = Message("email", address.text, text, "Money is waiting for you")
    await enqueue_message(tx, vault, message, tenant=tenant)
    return True


async def tell_user(
    tx: Tx, vault: Vault, tenant: int, user_id: UUID, *, subject: str, text: str
) -> None:
    """Write to a confirmed address of somebody, by e-mail if there is one."""
    contacts = await tx.session.scalars(
        select(ContactRow)
        .where(
            ContactRow.tenant == tenant,
            ContactRow.user_id == user_id,
            ContactRow.confirmed_at.is_not(None),
        )
        .order_by(ContactRow.kind)
    )
    contact = contacts.first()
    if contact is None:
        return
    sealed_for = address_context(tenant, contact.id)
    address = vault.open(contact.address_sealed, sealed_for).decode()
    if contact.kind == ContactKind.EMAIL:
        message = Message("email", address, text, subject)
    else:
        message = Message("sms", address, text)
    await enqueue_message(tx, vault, message, tenant=tenant)


async def _users(
    tx: Tx, tenant: int, column: str, values: Collection[Any], value_type: str
) -> list[Any]:
    return await rows_among(
        tx,
        UserRow.__tablename__,
        _COLUMNS,
        tenant=tenant,
        column=column,
        values=values,
        value_type=value_type,
    )


def _payee(row: Any) -> Payee:
    confirmed = row[4] or 0
    # Accounts of which nothing is confirmed are deleted after a day; they never have money.
    may_hold_money = row[3] in _MAY_HOLD_MONEY and confirmed >= _ADDRESS
    return Payee(_uuid(row[0]), row[1], row[2], may_hold_money, confirmed == _PHONE)


def _uuid(stored: Any) -> UUID:
    return UUID(bytes=stored) if isinstance(stored, bytes) else UUID(int=stored.int)
