"""What the use cases of this room work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.identity.domain import ContactKind
from server.identity.passwords import PasswordKeeper
from server.identity.settings import DEFAULT_POLICY, IdentityPolicy, Installation
from server.kit.crypto import Vault
from server.kit.unit_of_work import Tx, UnitOfWork

ContactHook = Callable[[Tx, int, ContactKind, bytes], Awaitable[None]]
"""Told in the transaction that confirms a contact: tenant, kind, blind index of the address."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Database, secrets and figures, handed to each use case as one thing."""

    uow: UnitOfWork
    vault: Vault
    settings: Installation
    passwords: PasswordKeeper
    policy: IdentityPolicy = DEFAULT_POLICY
    contact_confirmed: ContactHook | None = None

    @property
    def tenant(self) -> int:
        return self.settings.tenant
