"""Databases and the application for the tests: SQLite and PostgreSQL, both real."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.messaging import Message
from server.kit.unit_of_work import UnitOfWork
from server.migrations import migrate
from tests import postgres
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

_names = itertools.count(1)
_TEMPLATE = "tally_template"


@dataclass(frozen=True, slots=True)
class Database:
    """An empty, migrated database of the test's own."""

    url: str
    dialect: Literal["sqlite", "postgresql"]


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Witnesses of wallets go where other files of the tests go, and not into somebody's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a cluster, up to the database name."""
    with postgres.cluster() as url:
        yield url


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tally.sqlite"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _postgres_template(postgres_url: str) -> str:
    _sql(postgres_url, f"CREATE DATABASE {_TEMPLATE}")
    _migrate(f"{postgres_url}/{_TEMPLATE}")
    return _TEMPLATE


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """One database per test, on SQLite and then on PostgreSQL."""
    dialect = cast("Literal['sqlite', 'postgresql']", request.param)
    if dialect == "sqlite":
        template = cast("Path", request.getfixturevalue("_sqlite_template"))
        path = tmp_path / "tally.sqlite"
        path.write_bytes(template.read_bytes())
        yield Database(f"sqlite+aiosqlite:///{path}", dialect)
        return
    base = cast("str", request.getfixturevalue("postgres_url"))
    template_name = cast("str", request.getfixturevalue("_postgres_template"))
    name = f"tally_{next(_names)}"
    _sql(base, f"CREATE DATABASE {name} TEMPLATE {template_name} STRATEGY file_copy")
    yield Database(f"{base}/{name}", dialect)
    _sql(base, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url)
    yield engine
    await engine.dispose()


@pytest.fixture
def uow(engine: AsyncEngine, clock: ManualClock) -> UnitOfWork:
    return UnitOfWork(engine, clock=clock, ids=SystemIds(clock))


def _sql(base_url: str, statement: str) -> None:
    url = make_url(base_url)
    address = f"postgresql://{url.username}@{url.host}:{url.port}/postgres"
    subprocess.run(
        [postgres.program("psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", statement, address],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _migrate(url: str) -> None:
    async def run() -> None:
        engine = create_engine(url)
        try:
            await migrate(engine)
        finally:
            await engine.dispose()

    asyncio.run(run())


@pytest.fixture
def messages() -> KeptMessages:
    """Every message that the application sent."""
    return KeptMessages()


@pytest.fixture
def outbox(messages: KeptMessages) -> list[Message]:
    return messages.sent
