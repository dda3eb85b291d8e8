"""Registration: the answer is the same for everybody, what follows is written to the addresses.

An address counts as taken once somebody has confirmed it. A username is taken at once. Each
registration costs one hash and one check of a password, whatever it finds.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from server.identity.addresses import address_index, normalise_email, normalise_phone
from server.identity.confirmations import issue_confirmation, message_allowed
from server.identity.desk import Desk
from server.identity.domain import ContactKind, Role, clean_name, normalise_username
from server.identity.models import ContactRow, UserRow
from server.identity.notices import seal_address, send_taken, send_username_taken
from server.identity.passwords import check_password
from server.identity.schemas import RegistrationCreate
from server.identity.statements import insert_once
from server.kit.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class _Applicant:
    username: str
    display_name: str
    addresses: dict[ContactKind, str]
    indexes: dict[ContactKind, bytes]


async def register(desk: Desk, data: RegistrationCreate) -> None:
    """Open an account, or tell the owner of what is taken. The caller cannot see which.

    Raises:
        UsernameInvalid, PhoneInvalid, EmailInvalid, NameInvalid, PasswordWeak: by its form alone.
        Unavailable: too many people register or sign in at the moment.
    """
    applicant = _read(desk, data)
    check_password(
        data.password,
        length_min=desk.policy.password_length_min,
        personal=[applicant.username, *applicant.addresses.values()],
    )
    with desk.passwords.place():
        await _register(desk, applicant, data.password)


async def _register(desk: Desk, applicant: _Applicant, password: str) -> None:
    before = await desk.uow.read(lambda tx: _same_applicant(tx, desk, applicant))
    password_hash = await desk.passwords.hash(password)
    is_again = await desk.passwords.verify(password, before.password_hash if before else None)
    if before is not None and is_again:
        again_id = before.id
        await desk.uow.run(lambda tx: _remind(tx, desk, applicant, again_id))
    else:
        await desk.uow.run(lambda tx: _open_account(tx, desk, applicant, password_hash))


def _read(desk: Desk, data: RegistrationCreate) -> _Applicant:
    username = normalise_username(data.username)
    addresses = {
        ContactKind.PHONE: normalise_phone(data.phone, desk.settings.phone_region),
        ContactKind.EMAIL: normalise_email(data.email),
    }
    shown = clean_name(data.display_name, field="display_name") if data.display_name else username
    indexes = {kind: address_index(desk.vault, kind, text) for kind, text in addresses.items()}
    return _Applicant(username, shown, addresses, indexes)


async def _same_applicant(tx: Tx, desk: Desk, applicant: _Applicant) -> UserRow | None:
    """Return the account that waits for exactly these two addresses under this username.

    Whoever knows its password too is the same person asking again. Anybody else must not be: the
    owner of the addresses would confirm an account whose password somebody else chose.
    """
    user = await _user_named(tx, desk, applicant.username)
    if user is None:
        return None
    contacts = await tx.session.scalars(
        select(ContactRow).where(
            ContactRow.tenant == desk.tenant,
            ContactRow.user_id == user.id,
            ContactRow.confirmed_at.is_(None),
        )
    )
    waiting = {ContactKind(contact.kind): contact.address_index for contact in contacts}
    return user if waiting == applicant.indexes else None


async def _remind(tx: Tx, desk: Desk, applicant: _Applicant, user_id: UUID) -> None:
    contacts = await tx.session.scalars(
        select(ContactRow).where(
            ContactRow.tenant == desk.tenant,
            ContactRow.user_id == user_id,
            ContactRow.confirmed_at.is_(None),
        )
    )
    for contact in contacts:
        kind = ContactKind(contact.kind)
        if await message_allowed(tx, desk, kind, contact.address_index) is None:
            await issue_confirmation(tx, desk, contact, applicant.username)


async def _open_account(tx: Tx, desk: Desk, applicant: _Applicant, password_hash: str) -> None:
    may_write = {
        kind: await message_allowed(tx, desk, kind, index) is None
        for kind, index in applicant.indexes.items()
    }
    owners = {
        kind: await _owner_of(tx, desk, kind, index) for kind, index in applicant.indexes.items()
    }
    if any(owners.values()):
        for kind, owner in owners.items():
            if owner is not None and may_write[kind]:
                await send_taken(tx, desk, kind, applicant.addresses[kind], owner)
        return
    user_id = tx.ids.uuid()
    opened = await insert_once(
        tx,
        UserRow,
        tenant=desk.tenant,
        id=user_id,
        username=applicant.username,
        display_name=applicant.display_name,
        role=Role.USER,
        password_hash=password_hash,
        created_at=tx.now,
    )
    if not opened:
        if may_write[ContactKind.EMAIL]:
            email = applicant.addresses[ContactKind.EMAIL]
            await send_username_taken(tx, desk, email, applicant.username)
        return
    for kind, address in applicant.addresses.items():
        contact = await _add_contact(tx, desk, user_id, kind, address)
        if may_write[kind]:
            await issue_confirmation(tx, desk, contact, applicant.username)


async def _add_contact(
    tx: Tx, desk: Desk, user_id: UUID, kind: ContactKind, address: str
) -> ContactRow:
    contact_id = tx.ids.uuid()
    contact = ContactRow(
        tenant=desk.tenant,
        id=contact_id,
        user_id=user_id,
        kind=kind,
        address_index=address_index(desk.vault, kind, address),
        address_sealed=seal_address(tx, desk, contact_id, address),
        confirmed_at=None,
        created_at=tx.now,
    )
    tx.session.add(contact)
    await tx.session.flush()
    return contact


async def _user_named(tx: Tx, desk: Desk, username: str) -> UserRow | None:
    return await tx.session.scalar(
        select(UserRow).where(UserRow.tenant == desk.tenant, UserRow.username == username)
    )


async def _owner_of(tx: Tx, desk: Desk, kind: ContactKind, index: bytes) -> str | None:
    """Return the username of the person who has confirmed this address."""
    return await tx.session.scalar(
        select(UserRow.username)
        .join(
            ContactRow, (ContactRow.tenant == UserRow.tenant) & (ContactRow.user_id == UserRow.id)
        )
        .where(
            ContactRow.tenant == desk.tenant,
            ContactRow.kind == kind,
            ContactRow.address_index == index,
            ContactRow.confirmed_at.is_not(None),
        )
    )
