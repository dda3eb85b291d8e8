import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import argon2
import pytest
from httpx import ASGITransport, AsyncClient
from litestar import Litestar

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
async def client(app: Litestar) -> AsyncIterator[AsyncClient]:
    """A client in the loop of the test.

    Litestar's own hands every call to a thread and waits for it, so with it calls that are
    gathered run one after the other and show nothing about races.
    """
    up, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        # In a task of its own: set-up and clean-up of a fixture may run in two.
        async with app.lifespan():
            up.set()
            await stop.wait()

    life = asyncio.create_task(live())
    await up.wait()
    transport = ASGITransport(cast("Any", app))
    async with AsyncClient(transport=transport, base_url="http://testserver.local") as client:
        yield client
    stop.set()
    await life


@pytest.fixture
def deliver(uow: UnitOfWork, messages: KeptMessages) -> Deliver:
    """Send what waits; return everything that was ever sent."""

    async def run() -> list[Message]:
        while await deliver_messages(uow, messages, Vault(b"m" * 32)):
            pass
        return messages.sent

    return run


@pytest.fixture
def ada(client: AsyncClient, clock: ManualClock, deliver: Deliver) -> Person:
    return Person(client, clock, deliver)


@pytest.fixture
def eve(client: AsyncClient, clock: ManualClock, deliver: Deliver) -> Person:
    return Person(client, clock, deliver, "eve", "+905329999999", "eve@example.org")
