"""One command, one transaction.

``run`` opens a transaction, calls the command, commits, and starts the whole command again when the
database says that it may: after a serialization failure, a deadlock or a lock that was not had in
time. A command therefore touches nothing but its transaction.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from server.kit.clock import Clock
from server.kit.db import READ_ONLY
from server.kit.errors import Unavailable
from server.kit.ids import Ids

T = TypeVar("T")
DialectName = Literal["sqlite", "postgresql"]

ATTEMPTS_MAX = 8
_RETRY_STATES = frozenset({"40001", "40P01", "55P03"})
_RETRY_SQLITE = ("database is locked", "database table is locked", "database is busy")
_BACKOFF_S = 0.01


@dataclass(frozen=True, slots=True)
class Tx:
    """An open database transaction (never a money movement)."""

    session: AsyncSession
    connection: AsyncConnection
    now: datetime
    """Read once when the transaction began."""
    ids: Ids
    dialect: DialectName


class UnitOfWork:
    """Runs commands and queries against one database."""

    def __init__(self, engine: AsyncEngine, *, clock: Clock, ids: Ids) -> None:
        self.engine = engine
        self.dialect = cast("DialectName", engine.dialect.name)
        self._clock = clock
        self._ids = ids
        # SQLite has one writer; queueing here is fair, its busy handler is not.
        self._writer = asyncio.Lock() if self.dialect == "sqlite" else nullcontext()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._turns: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(
        self, command: Callable[[Tx], Awaitable[T]], *, turn: Hashable | None = None
    ) -> T:
        """Run a command in a write transaction of its own and commit it.

        Of commands with the same ``turn`` this process runs one at a time. It is for those that
        would only wait for each other in the database, and keep its connections from all others.

        Whoever is cancelled meanwhile learns nothing; on SQLite the command is finished all the
        same, as with any request whose answer got lost.

        Raises:
            Unavailable: the database refused every attempt.
        """
        return await self._whole(self._attempts(command, turn))

    async def _attempts(self, command: Callable[[Tx], Awaitable[T]], turn: Hashable | None) -> T:
        for attempt in range(ATTEMPTS_MAX):
            try:
                waits = nullcontext() if turn is None else self._turns[turn]
                async with waits, self._writer, self._begin(read_only=False) as tx:
                    return await command(tx)
            except DBAPIError as error:
                if not _may_retry(error):
                    raise
                last = error
            await asyncio.sleep(_BACKOFF_S * 2**attempt * (0.5 + random.random()))  # noqa: S311
        raise Unavailable(
            "The database was too busy to take this.", fix="Send the same request again."
        ) from last

    async def read(self, query: Callable[[Tx], Awaitable[T]]) -> T:
        """Run a query in a transaction that writes nothing."""

        async def work() -> T:
            async with self._begin(read_only=True) as tx:
                return await query(tx)

        return await self._whole(work())

    async def drained(self) -> None:
        """Wait for what goes on although whoever asked for it is gone."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work which, on SQLite, no cancellation of the caller cuts short.

        The driver hands statements to a thread. One that is abandoned there leaves its connection
        in the pool with a transaction open, and that keeps every later writer out.
        """
        if self.dialect != "sqlite":
            return await work
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()

    @asynccontextmanager
    async def _begin(self, *, read_only: bool) -> AsyncIterator[Tx]:
        async with self.engine.connect() as connection:
            if read_only:
                options: dict[str, object] = {READ_ONLY: True}
                if self.dialect == "postgresql":
                    options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                connection = await connection.execution_options(**options)  # noqa: PLW2901
            async with connection.begin():
                session = AsyncSession(
                    bind=connection,
                    expire_on_commit=False,
                    join_transaction_mode="conditional_savepoint",
                )
                try:
                    yield Tx(session, connection, self._clock.now(), self._ids, self.dialect)
                    if not read_only:
                        await session.flush()
                finally:
                    session.expunge_all()
                    await session.close()


def _may_retry(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if state is not None:
        return state in _RETRY_STATES
    return any(phrase in str(error.orig) for phrase in _RETRY_SQLITE)
