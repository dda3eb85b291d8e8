"""People who are registered, signed in and have money, without anybody having called the server."""

from typing import NamedTuple

from server.identity.addresses import address_index
from server.identity.desk import Desk
from server.identity.domain import ContactKind
from server.identity.models import ContactRow, SessionRow, UserRow
from server.identity.notices import seal_address
from server.identity.passwords import PasswordKeeper
from server.identity.session_tokens import tokens_with
from server.kit.auth import Caller
from server.kit.clock import SystemClock
from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many
from server.migrations import migrate
from server.settings import Settings

MASTER_KEY = b"m" * 32
MASTER_KEY_TEXT = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="


class Person(NamedTuple):
    """Somebody, and the access token of their session."""

    caller: Caller
    name: str
    token: str


async def sign_in_people(url: str, count: int, *, money: int) -> list[Person]:
    """Bring a database up to date and put people into it, by the real time."""
    engine = create_engine(url)
    try:
        await migrate(engine)
        uow = UnitOfWork(engine, clock=SystemClock(), ids=SystemIds(SystemClock()))
        vault = Vault(MASTER_KEY)
        desk = Desk(uow, vault, Settings(), PasswordKeeper(vault))
        return await uow.run(lambda tx: _join(tx, desk, count, money))
    finally:
        await engine.dispose()


async def _join(tx: Tx, desk: Desk, count: int, money: int) -> list[Person]:
    people = [await _sign_in(tx, desk, number) for number in range(count)]
    funds = [
        EntryRequest(
            id=tx.ids.uuid(),
            kind="test.fund",
            debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR"),
            credit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", person.caller.user_id),
            amount=money,
        )
        for person in people
    ]
    for outcome in await post_many(tx, funds):
        outcome.raise_for_refusal()
    return people


async def _sign_in(tx: Tx, desk: Desk, number: int) -> Person:
    user_id, session_id, contact_id = tx.ids.uuid(), tx.ids.uuid(), tx.ids.uuid()
    name, phone = f"person_{number}", f"+90532123{number:04d}"
    user = UserRow(
        tenant=1,
        id=user_id,
        username=name,
        display_name=name,
        role="user",
        password_hash="none",
        created_at=tx.now,
    )
    tx.session.add(user)
    await tx.session.flush()
    session = SessionRow(
        tenant=1,
        id=session_id,
        user_id=user_id,
        device_id=None,
        name="test",
        key_thumbprint=None,
        refreshable=False,
        created_at=tx.now,
        auth_at=tx.now,
        last_seen_at=tx.now,
        expires_at=tx.now + desk.policy.remembered_life,
    )
    contact = ContactRow(
        tenant=1,
        id=contact_id,
        user_id=user_id,
        kind="phone",
        address_index=address_index(desk.vault, ContactKind.PHONE, phone),
        address_sealed=seal_address(tx, desk, contact_id, phone),
        confirmed_at=tx.now,
        created_at=tx.now,
    )
    tx.session.add_all([session, contact])
    await tx.session.flush()
    tokens = await tokens_with(tx, desk, session, None)
    caller = Caller(tenant=1, user_id=user_id, session_id=session_id, role="user")
    return Person(caller, name, tokens.access_token)
