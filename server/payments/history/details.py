"""Who was on the other side of a movement and why: asked of the slice that made it.

Slices say what their movements are about by an id in the entry's memo. Who wants to show more than
the movement hands in an `Explainer` for that word.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from server.kit.auth import Caller
from server.kit.unit_of_work import Tx
from server.ledger import StatementLine

_SUBJECTS: Final = (
    "transfer",
    "withdrawal",
    "refund",
    "top_up",
    "quote",
    "deposit",
    "dispute",
    "voucher",
    "subject",
)
"""Words of memos that name what a movement is about; an earlier one goes before a later one."""


class Subject(NamedTuple):
    """What a movement is about: a word such as ``transfer``, and its id."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Detail:
    """What people want to know of a movement. A counterpart is a name that they may see."""

    counterpart: str | None = None
    note: str | None = None


Explainer = Callable[[Tx, Caller, Sequence[UUID]], Awaitable[Mapping[UUID, Detail]]]
"""Returns details by the ids of subjects; those that the caller has no part in are left out."""


def subject_of(line: StatementLine) -> Subject | None:
    """Return what a movement is about, as far as its memo says."""
    memo = line.memo or {}
    for word in _SUBJECTS:
        value = memo.get(word)
        if isinstance(value, str):
            return Subject(word, value)
    return None


async def details_of(
    tx: Tx, caller: Caller, lines: Sequence[StatementLine], explainers: Mapping[str, Explainer]
) -> dict[UUID, Detail]:
    """Return what slices know of movements, by the ids of their entries."""
    asked: dict[str, dict[UUID, list[UUID]]] = {}
    for line in lines:
        subject = subject_of(line)
        if subject is not None and subject.type in explainers:
            by_id = asked.setdefault(subject.type, {})
            by_id.setdefault(UUID(subject.id), []).append(line.entry)
    found: dict[UUID, Detail] = {}
    for word, by_id in asked.items():
        explained = await explainers[word](tx, caller, list(by_id))
        for id_, detail in explained.items():
            found |= dict.fromkeys(by_id[id_], detail)
    return found
