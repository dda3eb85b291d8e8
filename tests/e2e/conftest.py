"""The whole application, over HTTP, in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from server.app import Ports, create_app
from server.settings import Settings
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages


@pytest.fixture
async def app(
    database: Database, tmp_path: Path, clock: ManualClock, messages: KeptMessages
) -> Litestar:
    """The whole application on the test's database, with its time and messages in the test's hand.

    Background work does not run by itself; `background` runs it when the test says so.
    """
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
    )
    return create_app(settings, Ports(clock=clock, messages=messages, background=False))


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with AsyncTestClient(app, base_url="http://testserver.local") as client:
        yield client
