"""What other rooms are promised: people and devices by id and key, roles, suspension."""

from uuid import UUID

import pytest

from offline_protocol.keys import SoftwareSigner
from server.identity import (
    DeviceStatus,
    Role,
    device_by_id,
    devices_by_keys,
    find_user,
    find_user_by_name,
    set_role,
    suspend_device,
    users_by_id,
)
from server.identity.models import DeviceRow
from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.factories.identity import signer
from tests.integration.identity.conftest import AddUser

STRANGER = UUID(int=404)


async def _add_device(uow: UnitOfWork, user_id: UUID, key: SoftwareSigner) -> UUID:
    async def command(tx: Tx) -> UUID:
        row = DeviceRow(
            tenant=1,
            id=tx.ids.uuid(),
            user_id=user_id,
            key_id=key.public_key.id,
            public_key=key.public_key.raw,
            name="Phone",
            status="active",
            held_reason=None,
            enrolled_at=tx.now,
            changed_at=tx.now,
        )
        tx.session.add(row)
        return row.id

    return await uow.run(command)


async def test_a_person_is_found_by_id_and_by_name(uow: UnitOfWork, add_user: AddUser) -> None:
    ada = await add_user("ada")
    bob = await add_user("bob", confirmed=("email",))
    view = await uow.read(lambda tx: find_user(tx, 1, ada))
    assert (view.id, view.username, view.display_name, view.role) == (ada, "ada", "Ada", Role.USER)
    assert (view.phone_confirmed, view.email_confirmed) == (True, True)
    found = await uow.read(lambda tx: users_by_id(tx, 1, [ada, bob, STRANGER]))
    assert set(found) == {ada, bob}
    assert (found[bob].phone_confirmed, found[bob].email_confirmed) == (False, True)
    assert await uow.read(lambda tx: users_by_id(tx, 1, [])) == {}
    assert await uow.read(lambda tx: find_user_by_name(tx, 1, " ADA ")) == view
    assert await uow.read(lambda tx: find_user_by_name(tx, 1, "nobody")) is None
    with pytest.raises(NotFound):
        await uow.read(lambda tx: find_user(tx, 1, STRANGER))


async def test_a_person_of_another_tenant_is_nobody(uow: UnitOfWork, add_user: AddUser) -> None:
    ada = await add_user()
    assert await uow.read(lambda tx: users_by_id(tx, 2, [ada])) == {}
    with pytest.raises(NotFound):
        await uow.read(lambda tx: find_user(tx, 2, ada))


async def test_a_role_is_given_by_name(uow: UnitOfWork, add_user: AddUser) -> None:
    ada = await add_user()
    assert (await uow.run(lambda tx: set_role(tx, 1, "ada", Role.MERCHANT))).role is Role.MERCHANT
    assert (await uow.read(lambda tx: find_user(tx, 1, ada))).role is Role.MERCHANT
    with pytest.raises(NotFound):
        await uow.run(lambda tx: set_role(tx, 1, "nobody", Role.ADMIN))


async def test_devices_are_found_by_key_and_by_id(uow: UnitOfWork, add_user: AddUser) -> None:
    ada, key = await add_user(), signer().public_key
    device_id = await _add_device(uow, ada, signer())
    found = await uow.read(lambda tx: devices_by_keys(tx, 1, [key.id, b"\x00" * 32]))
    assert set(found) == {key.id}
    device = found[key.id]
    assert (device.id, device.user_id, device.name, device.key) == (device_id, ada, "Phone", key)
    assert device.status is DeviceStatus.ACTIVE
    assert await uow.read(lambda tx: device_by_id(tx, 1, device_id)) == device
    assert await uow.read(lambda tx: device_by_id(tx, 2, device_id)) is None
    assert await uow.read(lambda tx: device_by_id(tx, 1, STRANGER)) is None
    assert await uow.read(lambda tx: devices_by_keys(tx, 2, [key.id])) == {}
    assert await uow.read(lambda tx: devices_by_keys(tx, 1, [])) == {}


async def test_suspending_a_device_says_whether_it_changed_anything(
    uow: UnitOfWork, add_user: AddUser
) -> None:
    device_id = await _add_device(uow, await add_user(), signer())

    async def suspend(tenant: int, identifier: UUID) -> bool:
        return await uow.run(lambda tx: suspend_device(tx, tenant, identifier, "x" * 500))

    assert not await suspend(2, device_id)
    assert not await suspend(1, STRANGER)
    assert await suspend(1, device_id)
    assert not await suspend(1, device_id)
    device = await uow.read(lambda tx: device_by_id(tx, 1, device_id))
    assert device is not None
    assert device.status is DeviceStatus.SUSPENDED
