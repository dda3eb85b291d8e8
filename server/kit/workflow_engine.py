"""Carries out durable workflows in this process.

DBOS lives on an event loop in a thread of its own; the functions of the workflows run there, while
the work of their steps runs on the application's loop, where the database connections and clients
belong. So the library costs the start of a server nothing, and its threads touch nothing of ours.

Every process has an executor's name, and says from time to time that it is alive. What a process
that fell silent had begun is taken over by the others. One that was only slow then does some step
a second time, which is what steps have to bear anyway.
"""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import String, delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, UtcTime
from server.kit.errors import TallyError
from server.kit.telemetry import correlation_id, get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflows import (
    APPLICATION,
    ONCE,
    QUEUE,
    SCHEMA,
    VERSION,
    JsonValue,
    Retry,
    Workflow,
    WorkflowFailed,
    WorkflowPlace,
    json_serializer,
    prepare_file,
    quieten,
    run_id,
)

T = TypeVar("T", bound=JsonValue)

BEAT_EVERY_S = 5.0
SILENT_AFTER = timedelta(seconds=30)
"""A process that said nothing for so long is taken for dead."""
_FORGOTTEN_AFTER = timedelta(days=7)
_STEPS_AT_ONCE = 32
_TAKEN_UP_MAX = 500
"""A workflow that so many processes took up and did not end is dead: it may be what kills them."""
_STOPPING_S = 10.0
_POLL_S = 0.5
_log = get_logger(__name__)


class WorkflowExecutorRow(Base):
    """A process that carries out workflows, and when it was last heard of."""

    __tablename__ = "workflow_executor"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    beat_at: Mapped[datetime] = mapped_column(UtcTime)


class WorkflowEngine:
    """One a process: the library behind it keeps one set of global state."""

    def __init__(
        self,
        uow: UnitOfWork,
        place: WorkflowPlace,
        workflows: Sequence[Workflow],
        *,
        executor: str,
        prepare: bool = True,
    ) -> None:
        """``executor`` names this process among all that share the books, across its restarts.

        Of two at the same time with one name each does what the other began as well: needless, not
        harmful. With ``prepare`` the tables are made and brought up to date at the start.
        """
        self._uow = uow
        self._place = place
        self._workflows = workflows
        self._executor = executor
        self._prepare = prepare
        self._steps = asyncio.Semaphore(_STEPS_AT_ONCE)
        self._closing = False
        self._under_way: set[asyncio.Task[Any]] = set()
        self._thread: threading.Thread | None = None
        self._beating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin in the background and return at once; a start that fails is tried again."""
        assert self._thread is None, "an engine is opened once"
        self._app_loop = asyncio.get_running_loop()
        self._opened = self._app_loop.create_future()
        self._engine_loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="workflows", daemon=True)
        self._thread.start()
        self._beating = asyncio.create_task(self._beat())

    async def opened(self) -> None:
        """Wait until workflows are carried out."""
        await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Stop taking up work, let steps under way end for some seconds, and end.

        What is cut off is carried on by the next process, as after a crash.
        """
        self._closing = True
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_STOPPING_S / 2)
        if self._thread is not None:
            with suppress(RuntimeError):  # the thread has ended by itself, and its loop with it
                self._engine_loop.call_soon_threadsafe(self._stop.set)
            await asyncio.to_thread(self._thread.join, _STOPPING_S)
            if self._thread.is_alive():
                _log.warning("workflows_not_stopped", executor=self._executor)

    def _main(self) -> None:
        asyncio.set_event_loop(self._engine_loop)
        try:
            with suppress(asyncio.CancelledError):  # closed before it had begun
                self._engine_loop.run_until_complete(self._live())
        finally:
            self._engine_loop.run_until_complete(self._engine_loop.shutdown_asyncgens())
            self._engine_loop.close()

    async def _live(self) -> None:
        pause_s = 1.0
        while not self._stop.is_set():
            try:
                await self._in_app(self._say_alive)
                await self._launch()
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
                _log.error("workflows_not_started", exc_info=error)
                self._destroy()
            await _until(self._stop, pause_s)
            pause_s = min(pause_s * 2, 60)
        else:
            return
        _log.info("workflows_started", executor=self._executor)
        self._app_loop.call_soon_threadsafe(_done, self._opened)
        await self._stop.wait()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._destroy()

    async def _launch(self) -> None:
        """Start the library on the loop of this thread, which it then uses for all workflows."""
        from dbos import DBOS  # noqa: PLC0415 - half a second

        quieten()
        if self._prepare:
            prepare_file(self._place)
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._place.url,
                "dbos_system_schema": SCHEMA,
                "application_version": VERSION,
                "executor_id": self._executor,
                "serializer": json_serializer(),
                "run_migrations": self._prepare,
                "log_level": "WARNING",
                "sys_db_pool_size": 5,
                "max_executor_threads": 16,
                # Nobody waits for messages, so a connection of its own for them is saved.
                "use_listen_notify": False,
                "enable_otlp": False,
            }
        )
        for workflow in self._workflows:
            DBOS.workflow(name=workflow.name, max_recovery_attempts=_TAKEN_UP_MAX)(
                self._function(workflow)
            )
        DBOS.launch()
        await DBOS.register_queue_async(QUEUE, polling_interval_sec=_POLL_S)

    def _destroy(self) -> None:
        from dbos import DBOS  # noqa: PLC0415

        DBOS.destroy(destroy_registry=True)

    def _function(self, workflow: Workflow) -> Callable[[str], Awaitable[str]]:
        async def carry_out(key: str) -> str:
            try:
                return await workflow.body(_EngineRun(self, workflow.name, key), key)
            except Exception as error:
                if _is_of_the_library(error):
                    raise
                reason = _reason(error)
                _log.error("workflow_dead", workflow=workflow.name, key=key, reason=reason)
                if workflow.failed is not None:
                    told = workflow.failed
                    await self._in_app(lambda: told(key, reason))
                raise WorkflowFailed(reason) from None

        return carry_out

    async def perform(
        self, name: str, work: Callable[[], Awaitable[T]], retry: Retry, timeout_s: float
    ) -> T:
        """Do a step's work on the application's loop, with its retries."""

        async def tries() -> T:
            attempt = 1
            while True:
                try:
                    async with self._steps, asyncio.timeout(timeout_s):
                        return await work()
                except Exception as error:  # noqa: BLE001 - sorted on the next lines
                    last = attempt >= retry.attempts or isinstance(error, WorkflowFailed)
                    if last or not isinstance(error, retry.on):
                        _log.error("step_failed", step=name, attempt=attempt, exc_info=error)
                        # What is kept of it is in the books of the library, which anybody may show.
                        raise WorkflowFailed(_reason(error)) from None
                    _log.warning("step_tried", step=name, attempt=attempt, error=_reason(error))
                await asyncio.sleep(retry.delay_s(attempt, random.random()))  # noqa: S311
                attempt += 1

        done: T = await self._in_app(tries)
        return done

    async def _in_app(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            if self._closing:
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task is not None
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            return await work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._app_loop))

    async def _beat(self) -> None:
        await self.opened()
        while True:
            try:
                await self._say_alive()
                await self.take_over()
            except Exception as error:  # noqa: BLE001 - the next beat may succeed
                _log.error("workflow_beat_failed", exc_info=error)
            await asyncio.sleep(BEAT_EVERY_S)

    async def _say_alive(self) -> None:
        async def write(tx: Tx) -> None:
            insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
            row = insert(WorkflowExecutorRow).values(id=self._executor, beat_at=tx.now)
            await tx.connection.execute(
                row.on_conflict_do_update(index_elements=["id"], set_={"beat_at": tx.now})
            )
            await tx.connection.execute(
                delete(WorkflowExecutorRow).where(
                    WorkflowExecutorRow.beat_at < tx.now - _FORGOTTEN_AFTER
                )
            )

        await self._uow.run(write)

    async def take_over(self) -> list[str]:
        """Let live processes carry on what silent ones had begun; return the silent ones."""

        async def silent(tx: Tx) -> list[str]:
            return list(
                await tx.connection.scalars(
                    select(WorkflowExecutorRow.id).where(
                        WorkflowExecutorRow.beat_at < tx.now - SILENT_AFTER,
                        WorkflowExecutorRow.id != self._executor,
                    )
                )
            )

        names = await self._uow.read(silent)
        if names:
            await asyncio.to_thread(_recover, names)
        return names


class _EngineRun:
    """The `Run` of a workflow that this process carries out."""

    def __init__(self, engine: WorkflowEngine, workflow: str, key: str) -> None:
        self._engine = engine
        self._id = run_id(workflow, key)

    async def step(
        self,
        name: str,
        work: Callable[[], Awaitable[T]],
        *,
        retry: Retry = ONCE,
        timeout_s: float = 60,
    ) -> T:
        from dbos import DBOS, PortableWorkflowError  # noqa: PLC0415

        async def perform() -> T:
            correlation_id.set(self._id)
            return await self._engine.perform(name, work, retry, timeout_s)

        try:
            return await DBOS.run_step_async({"name": name}, perform)
        except PortableWorkflowError as error:
            # A failure that was remembered, from before a restart.
            raise WorkflowFailed(error.message) from None

    async def sleep(self, pause: timedelta) -> None:
        from dbos import DBOS  # noqa: PLC0415

        await DBOS.sleep_async(pause.total_seconds())


def _recover(executors: list[str]) -> None:
    """Put what these executors had begun back into the queue; blocks.

    The public ``resume_workflow`` does not ask who owns a workflow, so two that take over at the
    same time would take it from each other; this asks in the same statement.
    """
    from dbos import DBOS  # noqa: PLC0415

    found = DBOS._recover_pending_workflows(executors)  # noqa: SLF001
    if found:
        _log.warning("workflows_taken_over", executors=executors, workflows=len(found))


def _is_of_the_library(error: Exception) -> bool:
    """Tell what the library says to a workflow, such as that it was cancelled, from failures."""
    from dbos import error as library  # noqa: PLC0415

    return isinstance(error, library.DBOSException)


def _reason(error: Exception) -> str:
    """Return what may be kept and shown of an error: foreign texts may hold anything."""
    if isinstance(error, WorkflowFailed):
        return str(error)
    if isinstance(error, TallyError):
        return f"{error.code}: {error.detail}"
    return type(error).__name__


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
