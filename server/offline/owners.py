"""Whose device keys are: what this room asks of identity, asked once for each command."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from server.identity import DeviceView, UserView, users_by_id
from server.kit.unit_of_work import Tx
from server.offline.bound_owners import devices_of
from server.offline.records import slices
from server.offline.trees import Tree


@dataclass(slots=True)
class Owners:
    """Devices by the id of their key, and their users."""

    tx: Tx
    tenant: int
    devices: dict[bytes, DeviceView] = field(default_factory=dict)
    users: dict[UUID, UserView] = field(default_factory=dict)

    async def learn(self, trees: Iterable[Tree]) -> None:
        """Ask for the devices behind every key of these trees."""
        await self.learn_keys({key for tree in trees for key in tree.owners})

    async def learn_keys(self, keys: Collection[bytes]) -> None:
        """Ask for the devices with these keys; a key that nobody enrolled stays unknown.

        A further key of a device stands for the device.
        """
        missing = set(keys) - self.devices.keys()
        if missing:
            self.devices |= await devices_of(self.tx, self.tenant, missing)

    def user_of(self, key: bytes) -> UUID:
        return self.devices[key].user_id

    async def user(self, user: UUID) -> UserView:
        """Return what identity tells about a user who owns a device."""
        await self.learn_users([user])
        return self.users[user]

    async def learn_users(self, users: Iterable[UUID]) -> None:
        """Ask for people; users who own devices stay."""
        for names in slices(sorted(set(users) - self.users.keys())):
            self.users |= await users_by_id(self.tx, self.tenant, names)

    def users_in(self, tree: Tree) -> set[UUID]:
        """Return everybody who ever owned part of a tree."""
        return {self.user_of(key) for key in tree.owners}

    def claimants_in(self, tree: Tree) -> set[UUID]:
        """Return everybody who claimed part of a tree."""
        return {self.user_of(key) for key in tree.claimants}
