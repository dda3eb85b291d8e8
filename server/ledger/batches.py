"""Requests of several callers in one batch, and what each of them gets back."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from server.kit.errors import IdempotencyConflict
from server.ledger.domain import EntryRequest, Outcome
from server.ledger.store import Known


class Batch:
    """Groups of requests, of which some turn out to contradict what was asked before."""

    def __init__(self, groups: Sequence[Sequence[EntryRequest]]) -> None:
        self._groups = groups
        self._conflicts: dict[int, IdempotencyConflict] = {}
        self.wanted: dict[UUID, EntryRequest] = {}
        """The requests of the groups without conflict, each once, in order."""
        chains = set[UUID]()
        for place, group in enumerate(groups):
            added = self._added(group, chains)
            if isinstance(added, IdempotencyConflict):
                self._conflicts[place] = added
                continue
            self.wanted |= added
            chains |= {r.chain for r in added.values() if r.chain is not None}

    def _added(
        self, group: Sequence[EntryRequest], chains: AbstractSet[UUID]
    ) -> dict[UUID, EntryRequest] | IdempotencyConflict:
        added: dict[UUID, EntryRequest] = {}
        for request in group:
            first = self.wanted.get(request.id) or added.setdefault(request.id, request)
            if first is not request and first.fingerprint != request.fingerprint:
                return conflict(request.id)
        for request in added.values():
            if request.chain in chains:
                return conflict(request.id)
        return added

    def fresh(self, known: Mapping[UUID, Known]) -> list[EntryRequest]:
        """Return the requests to decide about, given what is known of their ids."""
        old_chains = {chain for id_ in known if (chain := self.wanted[id_].chain) is not None}
        left: dict[UUID, EntryRequest] = {}
        for place, group in enumerate(self._groups):
            if place in self._conflicts:
                continue
            for request in group:
                found = known.get(request.id)
                contradicts = found is not None and found.fingerprint != request.fingerprint
                # Nothing joins a chain later.
                if contradicts or (found is None and request.chain in old_chains):
                    self._conflicts[place] = conflict(request.id)
                    break
            else:
                left |= {request.id: request for request in group if request.id not in known}
        return list(left.values())

    def answers(
        self, outcomes: Mapping[UUID, Outcome]
    ) -> list[list[Outcome] | IdempotencyConflict]:
        seen = set[UUID]()
        answers: list[list[Outcome] | IdempotencyConflict] = []
        for place, group in enumerate(self._groups):
            if refusal := self._conflicts.get(place):
                answers.append(refusal)
                continue
            answer = []
            for request in group:
                outcome = outcomes[request.id]
                if request.id in seen and not outcome.replayed:
                    outcome = Outcome(outcome.id, outcome.applied, outcome.reason, replayed=True)
                seen.add(request.id)
                answer.append(outcome)
            answers.append(answer)
        return answers


def conflict(id_: UUID) -> IdempotencyConflict:
    """Return the refusal of a request under an id that stands for another."""
    return IdempotencyConflict(
        "The id of a ledger entry was used before for another movement.",
        fix="Use a fresh id for a new movement; repeat a request without any change.",
        entry=str(id_),
    )
