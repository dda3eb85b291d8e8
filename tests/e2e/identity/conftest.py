from collections.abc import Callable
from typing import Any

import argon2
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from server.kit.crypto import Vault
from server.kit.messaging import Message, deliver_messages
from server.kit.unit_of_work import UnitOfWork
from tests.factories.identity import Deliver, Person
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

Work = list[tuple[str, tuple[object, ...]]]


def watch_argon2(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Return the list to which each use of Argon2 will be added: its name and arguments."""
    work: Work = []

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(argon2.PasswordHasher, name)

        def call(*args: object) -> Any:
            work.append((name, args))
            return real(*args)

        return call

    for name in ("hash", "verify"):
        monkeypatch.setattr(argon2.PasswordHasher, name, watched(name))
    return work


@pytest.fixture
def deliver(uow: UnitOfWork, messages: KeptMessages) -> Deliver:
    """Send what waits; return everything that was ever sent."""

    async def run() -> list[Message]:
        while await deliver_messages(uow, messages, Vault(b"m" * 32)):
            pass
        return messages.sent

    return run


@pytest.fixture
def ada(client: AsyncTestClient[Litestar], clock: ManualClock, deliver: Deliver) -> Person:
    return Person(client, clock, deliver)


@pytest.fixture
def eve(client: AsyncTestClient[Litestar], clock: ManualClock, deliver: Deliver) -> Person:
    return Person(client, clock, deliver, "eve", "+905329999999", "eve@example.org")
