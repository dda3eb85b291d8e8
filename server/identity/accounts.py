"""People: one's own account, what other rooms may know, and roles."""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import select

from server.identity.desk import Desk
from server.identity.domain import PERMISSIONS, ContactKind, Role, UserView, normalise_username
from server.identity.models import ContactRow, UserRow
from server.identity.notices import open_address
from server.identity.schemas import AccountView, ContactView
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.i18n import Language
from server.kit.unit_of_work import Tx


async def own_account(desk: Desk, caller: Caller) -> AccountView:
    """Return the caller's account and what of it is still unconfirmed."""

    async def query(tx: Tx) -> AccountView:
        user = await tx.session.get_one(UserRow, (caller.tenant, caller.user_id))
        contacts = {
            ContactKind(contact.kind): ContactView(
                address=open_address(desk, contact), confirmed=contact.confirmed_at is not None
            )
            for contact in await _contacts(tx, caller.tenant, [caller.user_id])
        }
        return AccountView(
            id=str(user.id),
            username=user.username,
            display_name=user.display_name,
            role=user.role,
            permissions=sorted(PERMISSIONS[Role(user.role)]),
            phone=contacts.get(ContactKind.PHONE),
            email=contacts.get(ContactKind.EMAIL),
            unconfirmed=[
                kind.value
                for kind in ContactKind
                if kind not in contacts or not contacts[kind].confirmed
            ],
            language=None if user.language is None else Language(user.language),
            session_id=str(caller.session_id),
            device_id=str(caller.device_id) if caller.device_id else None,
            created_at=user.created_at,
        )

    return await desk.uow.read(query)


async def choose_language(desk: Desk, caller: Caller, language: Language | None) -> None:
    """Remember the language in which the caller wants to be spoken to."""

    async def command(tx: Tx) -> None:
        user = await tx.session.get_one(UserRow, (caller.tenant, caller.user_id))
        user.language = language

    await desk.uow.run(command)


async def language_of(tx: Tx, tenant: int, user_id: UUID) -> Language | None:
    """Return the language that a person chose, if any."""
    chosen = await tx.session.scalar(
        select(UserRow.language).where(UserRow.tenant == tenant, UserRow.id == user_id)
    )
    return None if chosen is None else Language(chosen)


async def find_user(tx: Tx, tenant: int, user_id: UUID) -> UserView:
    """Return a person.

    Raises:
        NotFound: nobody has this id.
    """
    user = await tx.session.get(UserRow, (tenant, user_id))
    if user is None:
        raise NotFound("There is no such person.")
    return _view(user, await _contacts(tx, tenant, [user_id]))


async def users_by_id(tx: Tx, tenant: int, user_ids: Collection[UUID]) -> dict[UUID, UserView]:
    """Return the people with these ids; an id that nobody has is left out."""
    if not user_ids:
        return {}
    rows = await tx.session.scalars(
        select(UserRow).where(UserRow.tenant == tenant, UserRow.id.in_(set(user_ids)))
    )
    contacts = await _contacts(tx, tenant, user_ids)
    return {
        user.id: _view(user, [row for row in contacts if row.user_id == user.id]) for user in rows
    }


async def find_user_by_name(tx: Tx, tenant: int, username: str) -> UserView | None:
    """Return the person with a username, or None.

    Raises:
        UsernameInvalid: nobody can have such a name.
    """
    user = await tx.session.scalar(
        select(UserRow).where(
            UserRow.tenant == tenant, UserRow.username == normalise_username(username)
        )
    )
    if user is None:
        return None
    return _view(user, await _contacts(tx, tenant, [user.id]))


async def set_role(tx: Tx, tenant: int, username: str, role: Role) -> UserView:
    """Give a person another role; it holds from their next call on.

    Raises:
        NotFound: nobody has this username.
        UsernameInvalid: nobody can have such a name.
    """
    user = await tx.session.scalar(
        select(UserRow)
        .where(UserRow.tenant == tenant, UserRow.username == normalise_username(username))
        .with_for_update()
    )
    if user is None:
        raise NotFound(f"Nobody has the username {username!r}.")
    user.role = role
    await tx.session.flush()
    return _view(user, await _contacts(tx, tenant, [user.id]))


async def _contacts(tx: Tx, tenant: int, user_ids: Collection[UUID]) -> list[ContactRow]:
    rows = await tx.session.scalars(
        select(ContactRow).where(ContactRow.tenant == tenant, ContactRow.user_id.in_(set(user_ids)))
    )
    return list(rows)


def _view(user: UserRow, contacts: Iterable[ContactRow]) -> UserView:
    confirmed = {contact.kind for contact in contacts if contact.confirmed_at is not None}
    return UserView(
        id=user.id,
        username=user.username,
        role=Role(user.role),
        display_name=user.display_name,
        phone_confirmed=ContactKind.PHONE in confirmed,
        email_confirmed=ContactKind.EMAIL in confirmed,
    )
