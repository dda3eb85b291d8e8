"""The whole server in this process, for wallets that know nothing of its event loop.

It runs in a thread with a loop of its own, as it would on another machine; the wallets' transport
hands requests over and waits for the answers.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import httpx
from litestar import Litestar

from client_sdk.testing import SetClock
from server.app import Ports, create_app
from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.messaging import Message, deliver_messages
from server.kit.unit_of_work import UnitOfWork
from server.offline.jobs import close_due_roots
from server.offline.report import OfflineReport, offline_report
from server.settings import Settings
from tests.factories.identity import Person as Customer
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

T = TypeVar("T")
URL = "http://testserver.local"
TENANT = 1


class SharedClock(SetClock):
    """The wallets' clock, which moves the server's along."""

    def __init__(self, server: ManualClock) -> None:
        self._server = server
        super().__init__(int(server.now().timestamp()))

    def advance(self, seconds: int) -> None:
        super().advance(seconds)
        self._server.advance(timedelta(seconds=seconds))


@dataclass
class RealServer:
    """The application in its thread."""

    settings: Settings
    clock: ManualClock = field(default_factory=ManualClock)
    messages: KeptMessages = field(default_factory=KeptMessages)
    joined: int = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stop = asyncio.Event()
        up = threading.Event()
        self._life = asyncio.run_coroutine_threadsafe(self._live(up), self._loop)
        while not up.wait(0.05):
            if self._life.done():
                self._life.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._life.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _live(self, up: threading.Event) -> None:
        app: Litestar = create_app(
            self.settings, Ports(clock=self.clock, messages=self.messages, background=False)
        )
        engine = create_engine(self.settings.resolved_database_url)
        self.uow = UnitOfWork(engine, clock=self.clock, ids=SystemIds(self.clock))
        transport = httpx.ASGITransport(cast("Any", app))
        async with (
            app.lifespan(),
            httpx.AsyncClient(transport=transport, base_url=URL) as self.client,
        ):
            up.set()
            await self._stop.wait()
        await engine.dispose()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def register(self, name: str) -> Customer:
        """A new customer with a name nobody has."""
        self.joined += 1
        number = self.joined
        customer = Customer(
            self.client,
            self.clock,
            self._deliver,
            f"{name}_{number:04d}",
            f"+90532123{number:04d}",
            f"{name}{number}@example.com",
        )
        self.run(customer.join())
        return customer

    async def _deliver(self) -> list[Message]:
        while await deliver_messages(self.uow, self.messages, Vault(b"m" * 32)):
            pass
        return self.messages.sent

    def close_due(self) -> None:
        self.run(close_due_roots(self.uow))

    def report(self) -> OfflineReport:
        return self.run(self.uow.read(lambda tx: offline_report(tx, TENANT)))


class Wire(httpx.AsyncBaseTransport):
    """One wallet's way to the server.

    Attributes:
        fault: "lost" loses the next request, "unanswered" the answer to it; both for good.
    """

    def __init__(self, server: RealServer) -> None:
        self._server = server
        self.fault = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.fault == "lost":
            raise httpx.ConnectError("The request was lost.")
        response = self._server.run(self._pass_on(request))
        if self.fault == "unanswered":
            raise httpx.ReadError("The answer was lost.")
        return httpx.Response(
            response.status_code, headers=response.headers, content=response.content
        )

    async def _pass_on(self, request: httpx.Request) -> httpx.Response:
        return await self._server.client.request(
            request.method, request.url, headers=request.headers, content=request.content
        )


@contextmanager
def real_server(database_url: str, folder: Path) -> Iterator[RealServer]:
    settings = Settings(
        data_dir=folder / "data",
        database_url=database_url,
        migrate_at_start=False,
        master_key=b"m" * 32,
    )
    with RealServer(settings) as server:
        yield server
