"""Durable workflows: work in steps, each remembered, that goes on after a crash where it stopped.

A workflow is a function that does nothing by itself but ask its `Run` for steps and for sleep. What
a step returned is stored; when the process dies, another one calls the function again and gets the
stored results back up to where it was. So the function must ask for the same steps in the same
order whenever it is given the same results; and a step may run twice, when the process dies after
its work and before its result is stored. Work is therefore safe to repeat: a ledger entry has an
id, an outside call has an idempotency key.

`WorkflowBook` starts, lists, replays and cancels from any process, `server.kit.workflow_engine`
carries out. Both keep their books with DBOS, apart from ours: in a SQLite file of their own beside
ours, or in a PostgreSQL schema. Nothing there is needed to know who owns what.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import URL, make_url

from server.kit.db import from_microseconds
from server.kit.errors import Conflict, NotFound, Unavailable

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions, WorkflowStatus

JsonValue: TypeAlias = "bool | int | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
T = TypeVar("T", bound=JsonValue)

SCHEMA = "workflow"
"""Of the tables in PostgreSQL."""
QUEUE = "tallystick"
APPLICATION = "tallystick"
VERSION = "1"
"""Of all workflows together. It changes when a process must not carry on what an older one began;
a workflow whose steps change gets a new name instead."""
LIST_MAX = 500
_KEY_MAX = 128


class WorkflowsUnavailable(Unavailable):
    code, title = "workflows_unavailable", "The books of the workflows cannot be reached"


class WorkflowRunning(Conflict):
    """It has not failed, so there is nothing to replay."""

    code, title = "workflow_running", "The workflow is under way or has ended well"


class WorkflowFailed(Exception):
    """Ends a workflow as a dead letter. The text is kept and shown: no secrets."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step's work is tried within one run of the step, and how long between.

    These waits end with the process; longer ones belong into the workflow, as `Run.sleep`.
    """

    on: tuple[type[Exception], ...] = ()
    attempts: int = 1
    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 10.0

    def delay_s(self, attempt: int, chance: float) -> float:
        """Return the wait after a failed attempt, counted from 1.

        Between a half and the whole of what grows by ``factor``; ``chance`` from 0 to 1 says where,
        so that many who failed together do not come back together.
        """
        whole = min(self.first_s * self.factor ** (attempt - 1), self.longest_s)
        return whole * (1 + chance) / 2


ONCE = Retry()


class Run(Protocol):
    """What a workflow may ask for."""

    async def step(
        self,
        name: str,
        work: Callable[[], Awaitable[T]],
        *,
        retry: Retry = ONCE,
        timeout_s: float = 60,
    ) -> T:
        """Do work once and remember its result, or return the result that is remembered.

        Raises:
            WorkflowFailed: the work failed for good, now or when it was done.
        """
        ...

    async def sleep(self, pause: timedelta) -> None:
        """Wait. A restart shortens or lengthens nothing: the end was stored at the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class Workflow:
    """A kind of workflow. ``name`` and the order of its steps stay as long as one is under way."""

    name: str
    body: Callable[[Run, str], Awaitable[str]]
    """Is given the key; returns a word for how it ended."""
    failed: Callable[[str, str], Awaitable[None]] | None = None
    """Told the key and the reason when it becomes a dead letter; may come more than once."""


class RunState(StrEnum):
    WAITING = "waiting"
    """For a process that takes it."""
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


_STATES = {
    "ENQUEUED": RunState.WAITING,
    "DELAYED": RunState.WAITING,
    "PENDING": RunState.RUNNING,
    "SUCCESS": RunState.DONE,
    "ERROR": RunState.DEAD,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": RunState.DEAD,
    "CANCELLED": RunState.CANCELLED,
}
_DEAD = [name for name, state in _STATES.items() if state is RunState.DEAD]


@dataclass(frozen=True, slots=True)
class RunView:
    """A workflow as an operator sees it. ``reason`` says why it is dead."""

    workflow: str
    key: str
    state: RunState
    reason: str | None
    executor: str | None
    started_at: datetime
    changed_at: datetime
    attempts: int
    """How often a process took it up."""


@dataclass(frozen=True, slots=True)
class StepView:
    number: int
    name: str
    failed: bool
    began_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class WorkflowPlace:
    """Where the books are, for a database of ours."""

    url: str = field(repr=False)

    @classmethod
    def beside(cls, database_url: str) -> "WorkflowPlace":
        """Return the place that belongs to a database of ours.

        SQLite: ``…/tallystick.sqlite`` has ``…/tallystick-workflows.sqlite``, a file of its own, so
        that neither waits for the other's writer. PostgreSQL: the same database, own schema.
        """
        url = make_url(database_url)
        if url.get_backend_name() == "sqlite":
            path = Path(url.database or "")
            beside = path.with_name(f"{path.stem}-workflows{path.suffix}")
            return cls(f"sqlite:///{beside}")
        url = url.set(drivername="postgresql+psycopg", query=_psycopg_query(url))
        return cls(url.render_as_string(hide_password=False))

    @property
    def sqlite_path(self) -> Path | None:
        url = make_url(self.url)
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _psycopg_query(url: URL) -> Mapping[str, Any]:
    """Return the options of an asyncpg address in the words of the other driver."""
    query = dict(url.query)
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")
    ours = {"prepared_statement_cache_size", "prepared_statement_name_func", "command_timeout"}
    return {name: value for name, value in query.items() if name not in ours}


class WorkflowBook:
    """Starts workflows and looks after them, wherever they are carried out.

    Calls are made outside any database transaction. Nothing is connected before the first of them.
    """

    def __init__(self, place: WorkflowPlace) -> None:
        self._place = place
        self._opening = asyncio.Lock()
        self._client: DBOSClient | None = None

    async def start(self, workflow: str, key: str) -> None:
        """Start a workflow unless one with this key was ever started.

        Raises:
            WorkflowsUnavailable: it could not be written down; start it again later.
        """
        assert 0 < len(key) <= _KEY_MAX, key
        options: EnqueueOptions = {
            "workflow_name": workflow,
            "queue_name": QUEUE,
            "workflow_id": run_id(workflow, key),
            "app_version": VERSION,
            "application_name": APPLICATION,
        }
        await self._call(lambda client: client.enqueue(options, key))

    async def find(self, workflow: str, key: str) -> RunView | None:
        """Return a workflow, or None when it was never started."""
        wanted = [run_id(workflow, key)]
        found = await self._call(lambda client: client.list_workflows(workflow_ids=wanted))
        return _view(found[0]) if found else None

    async def dead_letters(
        self, *, workflow: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[RunView]:
        """Return the workflows that failed beyond their retries, newest first."""
        found = await self._call(
            lambda client: client.list_workflows(
                name=workflow,
                status=_DEAD,
                sort_desc=True,
                limit=min(limit, LIST_MAX),
                offset=offset,
                load_input=False,
            )
        )
        return [_view(one) for one in found]

    async def steps(self, workflow: str, key: str) -> list[StepView]:
        """Return the steps that are remembered, in order; what they returned stays inside."""
        wanted = run_id(workflow, key)
        found = await self._call(lambda client: client.list_workflow_steps(wanted))
        return [
            StepView(
                number=one["function_id"],
                name=one["function_name"].removeprefix("DBOS."),
                failed=one["error"] is not None,
                began_at=_at(one["started_at_epoch_ms"]),
                ended_at=_at(one["completed_at_epoch_ms"]),
            )
            for one in found
        ]

    async def replay(self, workflow: str, key: str, *, done_too: bool = False) -> None:
        """Run a dead or cancelled workflow again from its first step, under its old key.

        Raises:
            NotFound: it was never started.
            WorkflowRunning: it is not dead.
        """
        found = await self.find(workflow, key)
        if found is None:
            raise NotFound("There is no workflow with this key.")
        ended = {RunState.DEAD, RunState.CANCELLED} | ({RunState.DONE} if done_too else set())
        if found.state not in ended:
            raise WorkflowRunning(f"This workflow is {found.state.value}, so nothing is replayed.")
        wanted = run_id(workflow, key)
        await self._call(lambda client: client.rewind_workflow(wanted, queue_name=QUEUE))

    async def cancel(self, workflow: str, key: str) -> None:
        """End a workflow before its next step. What it did stays done; nothing is compensated."""
        wanted = run_id(workflow, key)
        await self._call(lambda client: client.cancel_workflow(wanted))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.destroy)

    async def _call(self, work: "Callable[[DBOSClient], Any]") -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(_connect, self._place)
        client = self._client
        try:
            return await asyncio.to_thread(work, client)
        except Exception as error:
            from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

            if isinstance(error, DBAPIError):
                raise WorkflowsUnavailable(
                    "The books of the workflows cannot be reached at the moment.",
                    fix="Try again; a server that runs workflows makes them at its start.",
                ) from error
            raise


def run_id(workflow: str, key: str) -> str:
    return f"{workflow}/{key}"


def prepare_books(place: WorkflowPlace) -> None:
    """Make or update the tables; blocks. For whoever may change the schema, such as `migrate`."""
    from dbos import DBOS  # noqa: PLC0415 - half a second

    quieten()
    prepare_file(place)
    DBOS.migrate(place.url, schema=SCHEMA)


def prepare_file(place: WorkflowPlace) -> None:
    """Let readers and the writer of a SQLite file go on beside each other."""
    import sqlite3  # noqa: PLC0415
    from contextlib import closing  # noqa: PLC0415

    if place.sqlite_path is not None:
        with closing(sqlite3.connect(place.sqlite_path, timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        place.sqlite_path.chmod(0o600)


def quieten() -> None:
    """Send the library's warnings where our log goes, and nothing below them anywhere."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        # Without a handler it would bring one of its own that prints to the terminal.
        logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_worth_telling)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Leave out what the engine has logged itself, and what every stop of a server brings."""
    usual = ("Exception encountered in asynchronous workflow", "Asyncio task cancelled for")
    return not str(record.msg).startswith(usual)


def _connect(place: WorkflowPlace) -> "DBOSClient":
    from dbos import DBOSClient  # noqa: PLC0415 - half a second

    quieten()
    return DBOSClient(
        system_database_url=place.url,
        dbos_system_schema=SCHEMA,
        serializer=json_serializer(),
        system_database_pool_size=2,
        application_name=APPLICATION,
        lazy=True,
        retry_connection_errors=False,
    )


def json_serializer() -> Any:
    """Return what writes arguments, results and errors as JSON; the library's own way is pickle."""
    from dbos import DBOSPortableJSONSerializer  # noqa: PLC0415

    return DBOSPortableJSONSerializer()


def _view(status: "WorkflowStatus") -> RunView:
    workflow, _, key = status.workflow_id.partition("/")
    state = _STATES[status.status]
    reason = None
    if state is RunState.DEAD:
        reason = str(status.error) if status.error is not None else "taken up too often"
    created, updated = _at(status.created_at), _at(status.updated_at)
    assert created is not None
    return RunView(
        workflow=workflow,
        key=key,
        state=state,
        reason=reason,
        executor=status.executor_id,
        started_at=created,
        changed_at=updated or created,
        attempts=status.recovery_attempts or 0,
    )


def _at(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_microseconds(milliseconds * 1000)
