from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from server.identity.addresses import address_index
from server.identity.desk import Desk
from server.identity.domain import ContactKind
from server.identity.models import ContactRow, UserRow
from server.identity.notices import seal_address
from server.identity.passwords import PasswordKeeper
from server.kit.crypto import Vault
from server.kit.unit_of_work import Tx, UnitOfWork
from server.settings import Settings

AddUser = Callable[..., Awaitable[UUID]]


@pytest.fixture
def desk(uow: UnitOfWork) -> Desk:
    vault = Vault(b"m" * 32)
    return Desk(uow, vault, Settings(), PasswordKeeper(vault))


@pytest.fixture
def add_user(desk: Desk) -> AddUser:
    """Store a person with a phone number and an e-mail address, confirmed unless said otherwise."""

    async def add(
        username: str = "ada", *, confirmed: tuple[str, ...] = ("phone", "email")
    ) -> UUID:
        async def command(tx: Tx) -> UUID:
            user = UserRow(
                tenant=1,
                id=tx.ids.uuid(),
                username=username,
                display_name=username.title(),
                role="user",
                password_hash="none",
                created_at=tx.now,
            )
            tx.session.add(user)
            await tx.session.flush()
            for kind, address in (
                (ContactKind.PHONE, f"+9053{int.from_bytes(username.encode()) % 10**8:08d}"),
                (ContactKind.EMAIL, f"{username}@example.com"),
            ):
                contact_id = tx.ids.uuid()
                tx.session.add(
                    ContactRow(
                        tenant=1,
                        id=contact_id,
                        user_id=user.id,
                        kind=kind,
                        address_index=address_index(desk.vault, kind, address),
                        address_sealed=seal_address(tx, desk, contact_id, address),
                        confirmed_at=tx.now if kind in confirmed else None,
                        created_at=tx.now,
                    )
                )
            return user.id

        return await desk.uow.run(command)

    return add
