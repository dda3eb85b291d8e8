"""Concurrent readers share a statement, each with an answer of its own.

The reading counterpart of `server.kit.group_commit`: what is asked while a read is under way waits
and goes into the next one. A read begins after it was asked for, so its answer is never older than
the question.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from server.kit.unit_of_work import Tx, UnitOfWork

Question = TypeVar("Question")
Answer = TypeVar("Answer")
BATCH_MAX = 1_000


class GroupRead(Generic[Question, Answer]):
    """Answers the questions of many callers in few transactions that write nothing.

    ``look_up`` gets some questions and returns an answer for each, in order. If it raises, all who
    asked together get the error. One event loop uses it.
    """

    def __init__(
        self,
        uow: UnitOfWork,
        look_up: Callable[[Tx, Sequence[Question]], Awaitable[Sequence[Answer]]],
    ) -> None:
        self._uow = uow
        self._look_up = look_up
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._work: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._work is None:
            # A task of its own, in no caller's context: it outlives a caller that is cancelled.
            self._work = asyncio.create_task(self._run(), context=Context())
        return await answer

    async def _run(self) -> None:
        batch: list[tuple[Question, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                await self._answer(batch)
        except BaseException:
            for _, answer in (*batch, *self._waiting):
                answer.cancel()
            self._waiting.clear()
            raise
        finally:
            self._work = None

    async def _answer(self, batch: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        questions = [question for question, _ in batch]
        try:
            found = await self._uow.read(lambda tx: self._look_up(tx, questions))
        except Exception as error:  # noqa: BLE001 - handed to those whom it concerns
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
                    answer.exception()  # a caller that left meanwhile does not miss it
            return
        for (_, answer), value in zip(batch, found, strict=True):
            if not answer.done():
                answer.set_result(value)
