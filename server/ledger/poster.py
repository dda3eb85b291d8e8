"""Single movements of many callers, posted together.

A transaction for each movement is as slow as the disk is at making it durable, and one account
that everybody pays is slower still: whoever wants it waits for all the others' commits. A batch
locks such an account once for all its movements.
"""

from collections.abc import Sequence
from itertools import groupby

from server.kit.errors import TallyError
from server.kit.group_commit import BATCH_MAX, WAITING_MAX, GroupCommit
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger.domain import EntryRequest, Outcome
from server.ledger.entries import post_groups

_Command = tuple[EntryRequest, ...]


class Poster:
    """Posts for everybody who has one movement to make and nothing else to write with it.

    Each call has its own outcome, its own refusal and its own conflict, and returns after its
    movement is durable.
    """

    def __init__(
        self, uow: UnitOfWork, *, batch_max: int = BATCH_MAX, waiting_max: int = WAITING_MAX
    ) -> None:
        self._group = GroupCommit[_Command, list[Outcome]](
            uow, _post, batch_max=batch_max, waiting_max=waiting_max
        )

    async def post(self, request: EntryRequest) -> Outcome:
        """Apply one request and return its outcome; a refusal is an outcome too.

        Raises:
            IdempotencyConflict: its id came with another request before.
            Unavailable: too many wait, or the database was lost; the same request may come again.
            ValueError: its memo is too long.
        """
        (outcome,) = await self.post_chain([request])
        return outcome

    async def post_chain(self, requests: Sequence[EntryRequest]) -> list[Outcome]:
        """Apply requests that belong together, as `post_many` does; give them a common ``chain``.

        Raises:
            IdempotencyConflict: an id came with another request before; nothing was written.
            Unavailable, ValueError: as `post`; also for several tenants at once.
        """
        if not requests:
            return []
        if len({request.debit.tenant for request in requests}) > 1:
            raise ValueError("what belongs together is for one tenant")
        for request in requests:
            # Now, and not while accounts are locked; and a bad memo is its caller's alone.
            request.fingerprint  # noqa: B018 - computed once and kept
        return await self._group.submit(tuple(requests))

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        await self._group.drained()


async def _post(tx: Tx, commands: Sequence[_Command]) -> Sequence[list[Outcome] | TallyError]:
    answers: dict[int, list[Outcome] | TallyError] = {}
    # In the order of tenants: two processes never wait for each other in a ring.
    places = sorted(range(len(commands)), key=lambda place: commands[place][0].debit.tenant)
    for _, same in groupby(places, key=lambda place: commands[place][0].debit.tenant):
        mine = list(same)
        posted = await post_groups(tx, [commands[place] for place in mine])
        answers.update(zip(mine, posted, strict=True))
    return [answers[place] for place in range(len(commands))]
