"""What the use cases of transfers work with."""

from dataclasses import dataclass
from typing import Protocol

from server.identity import public_address
from server.kit.crypto import Vault
from server.payments.transfers.domain import DEFAULT_POLICY, TransferPolicy


class Installation(Protocol):
    """The part of the process settings that this slice reads."""

    @property
    def tenant(self) -> int: ...

    @property
    def public_url(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def phone_region(self) -> str: ...


@dataclass(frozen=True, slots=True)
class TransferDesk:
    """Secrets and figures, handed to each use case as one thing."""

    vault: Vault
    settings: Installation
    policy: TransferPolicy = DEFAULT_POLICY

    @property
    def tenant(self) -> int:
        return self.settings.tenant

    @property
    def public_address(self) -> str:
        return public_address(self.settings)
