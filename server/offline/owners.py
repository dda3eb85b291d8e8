"""Whose device keys are: what this room asks of identity, asked once for each command."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from offline_protocol.transfers import TransferKind
from server.identity import DeviceView, UserView, devices_by_keys, users_by_id
from server.kit.unit_of_work import Tx
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
        await self.learn_keys({key for tree in trees for key in keys_in(tree)})

    async def learn_keys(self, keys: Collection[bytes]) -> None:
        """Ask for the devices with these keys; a key that nobody enrolled stays unknown."""
        missing = set(keys) - self.devices.keys()
        if missing:
            self.devices |= await devices_by_keys(self.tx, self.tenant, missing)

    def user_of(self, key: bytes) -> UUID:
        return self.devices[key].user_id

    async def user(self, user: UUID) -> UserView:
        """Return what identity tells about a user who owns a device."""
        await self.learn_users([user])
        return self.users[user]

    async def learn_users(self, users: Iterable[UUID]) -> None:
        """Ask for people; users who own devices stay."""
        missing = set(users) - self.users.keys()
        if missing:
            self.users |= await users_by_id(self.tx, self.tenant, missing)

    def users_in(self, tree: Tree) -> set[UUID]:
        """Return everybody who ever owned part of a tree."""
        return {self.user_of(key) for key in keys_in(tree)}

    def claimants_in(self, tree: Tree) -> set[UUID]:
        """Return everybody who claimed part of a tree."""
        return {
            self.user_of(node.signer.id)
            for node in tree.nodes.values()
            if node.transfer.body.kind is TransferKind.CLAIM
        }


def keys_in(tree: Tree) -> set[bytes]:
    """Return the ids of all device keys that ever owned part of a tree."""
    owners = {tree.voucher.body.holder.id}
    # A claim goes to the issuer's own key, which is nobody's device.
    owners.update(
        node.payee.id
        for node in tree.nodes.values()
        if node.transfer.body.kind is not TransferKind.CLAIM
    )
    return owners
