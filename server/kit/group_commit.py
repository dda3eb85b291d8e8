"""Concurrent callers share a transaction, each with an answer of its own.

Making a commit durable costs about the same for one command as for a hundred. So commands that
arrive while a transaction is under way wait and share the next one. There is no timer: a lone
command starts at once, and the busier it gets, the larger the batches become.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection

from server.kit.errors import TallyError, Unavailable
from server.kit.unit_of_work import Tx, UnitOfWork

Command = TypeVar("Command")
Result = TypeVar("Result")
T = TypeVar("T")
BATCH_MAX = 1_000
WAITING_MAX = 20_000


class _Waiting(NamedTuple, Generic[Command, Result]):
    command: Command
    answer: asyncio.Future[Result]


class GroupCommit(Generic[Command, Result]):
    """Runs the commands of many callers in few transactions.

    ``handle`` gets the commands of a batch, oldest first, and returns a result or a refusal for
    each, in that order. It touches nothing but its transaction, which may be started again. If it
    raises instead, or the database refuses its work, the batch is cut in halves that are tried
    apart, so in the end only the command that is at fault gets the error.

    Nothing has to be started or stopped. One event loop uses it, and at most one batch runs at any
    time; of two submitted commands the one that came first is taken first.
    """

    def __init__(
        self,
        uow: UnitOfWork,
        handle: Callable[[Tx, Sequence[Command]], Awaitable[Sequence[Result | TallyError]]],
        *,
        batch_max: int = BATCH_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._uow = uow
        self._handle = handle
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[_Waiting[Command, Result]] = deque()
        self._batch: list[_Waiting[Command, Result]] = []
        self._work: asyncio.Task[None] | None = None

    async def submit(self, command: Command) -> Result:
        """Return the command's result after it was committed.

        A caller that is cancelled before its batch began withdraws the command; later it may be
        done or not, as with any request whose answer got lost.

        Raises:
            TallyError: the refusal that ``handle`` gave for this command.
            Unavailable: too many commands wait; or the database was lost, and whether the command
                was done is not known.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Unavailable(
                "Too many requests wait to be written.", fix="Send the same request again later."
            )
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(command, answer))
        if self._work is None:
            self._start()
        return await answer

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self._work is not None:
            await asyncio.wait([self._work])

    def _start(self) -> None:
        # A task of its own, in no caller's context: it outlives a caller that is cancelled.
        self._work = asyncio.create_task(self._run(), context=Context())
        self._work.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        self._work = None
        if work.cancelled():
            for one in (*self._batch, *self._waiting):
                one.answer.cancel()
            self._waiting.clear()
        elif self._waiting:
            self._start()

    async def _run(self) -> None:
        while self._waiting:
            self._batch = self._next_batch()
            await self._answer(self._batch)
            # Whoever was just answered may have more to ask; let it be in the next batch.
            await asyncio.sleep(0)
        self._batch = []

    def _next_batch(self) -> list[_Waiting[Command, Result]]:
        batch: list[_Waiting[Command, Result]] = []
        while self._waiting and len(batch) < self._batch_max:
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
        return batch

    async def _answer(self, batch: list[_Waiting[Command, Result]]) -> None:
        """Run a batch, or when it fails its halves, until each command has an answer."""
        left = [batch] if batch else []
        while left:
            part = left.pop()
            try:
                answers = await self._commit([one.command for one in part])
            except _Lost as error:
                for one in part:
                    _refuse(one, _lost_answer(error))
                continue
            except Exception as error:  # noqa: BLE001 - handed to whom it concerns
                if len(part) == 1:
                    _refuse(part[0], error)
                    continue
                half = len(part) // 2
                left += [part[half:], part[:half]]
                continue
            for one, answer in zip(part, answers, strict=True):
                if isinstance(answer, TallyError):
                    _refuse(one, answer)
                elif not one.answer.done():
                    one.answer.set_result(answer)

    async def _commit(self, commands: list[Command]) -> Sequence[Result | TallyError]:
        """Run commands in one transaction.

        Raises:
            _Lost: the database cannot be had, or went away; the commands may have been done.
            Exception: the work was refused, and nothing was done.
        """
        refused: Exception | None = None

        async def work(tx: Tx) -> Sequence[Result | TallyError]:
            nonlocal refused
            try:
                answers = _matching(commands, await self._handle(tx, commands))
                await tx.session.flush()
            except Exception as error:
                refused = error
                raise
            refused = None
            return answers

        try:
            return await self._uow.run(work)
        except IntegrityError:
            # Also from a check that the database makes when it commits.
            raise
        except Exception as error:
            if error is refused and not _is_outage(error):
                raise
            raise _Lost from error


class _Lost(Exception):
    """Whether a transaction was committed is not known; its cause says why."""


def _matching(commands: Sequence[object], answers: Sequence[T]) -> Sequence[T]:
    if len(answers) != len(commands):
        raise ValueError(f"{len(answers)} answers for {len(commands)} commands")
    return answers


def _is_outage(error: Exception) -> bool:
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OSError | NoConnection)


def _lost_answer(lost: _Lost) -> Unavailable:
    answer = Unavailable(
        "The database could not take this, or its answer was lost.",
        fix="Send the same request again: it is done once, however often it comes.",
    )
    answer.__cause__ = lost.__cause__
    return answer


def _refuse(one: _Waiting[Command, Result], error: Exception) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)
        one.answer.exception()  # a caller that left meanwhile does not miss it
