"""People with money, and officers, over HTTP."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from server.identity import Role, set_role
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many
from tests.e2e.identity.conftest import ada, client, deliver, eve
from tests.factories.identity import Device, Person

__all__ = ["ada", "client", "deliver", "eve"]

Fund = Callable[[Device, int], Awaitable[UUID]]


@pytest.fixture
def fund(uow: UnitOfWork) -> Fund:
    """Give somebody euros; return the id of the entry."""

    async def give(device: Device, amount: int) -> UUID:
        me = UUID((await device.call("GET", "/v1/me")).json()["id"])
        request = EntryRequest(
            id=UUID(int=me.int ^ amount),
            kind="test",
            debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR"),
            credit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", me),
            amount=amount,
        )
        for outcome in await uow.run(lambda tx: post_many(tx, [request])):
            outcome.raise_for_refusal()
        return request.id

    return give


@pytest.fixture
def officer(uow: UnitOfWork, eve: Person) -> Callable[[Role], Awaitable[Device]]:
    """Make Eve an officer, signed in."""

    async def appoint(role: Role) -> Device:
        device = await eve.join()
        await uow.run(lambda tx: set_role(tx, 1, eve.username, role))
        return device

    return appoint
