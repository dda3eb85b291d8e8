"""The ledger on real databases against a reference of a few lines, one step after another.

Steps are what callers do: single requests that share a commit, chains, holds that end in each of
their ways, time that passes, and requests that come again, unchanged or changed.
"""

import asyncio
import itertools
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from server.kit.db import create_engine
from server.kit.errors import IdempotencyConflict
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    Operation,
    Outcome,
    balance,
    expire_holds,
    post_many,
)
from server.ledger.poster import Poster
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import verified

_tenants = itertools.count(5_000)
_numbers = itertools.count(1)
PEOPLE = st.sampled_from([1, 2, 3])
AMOUNTS = st.integers(1, 60)


class Reference:
    """What everybody has, and what is set aside: [owner, receiver, rest, expires at]."""

    def __init__(self) -> None:
        self.posted = {1: 0, 2: 0, 3: 0}
        self.holds: dict[UUID, list[int]] = {}

    def available(self, who: int, now: int) -> int:
        held = sum(h[2] for h in self.holds.values() if h[0] == who and h[3] > now)
        return self.posted[who] - held

    def move(self, one: int, other: int, amount: int, now: int) -> bool:
        if one and self.available(one, now) < amount:
            return False
        if one:
            self.posted[one] -= amount
        self.posted[other] += amount
        return True

    def hold(self, id_: UUID, wanted: list[int], now: int) -> bool:
        if self.available(wanted[0], now) < wanted[2]:
            return False
        self.holds[id_] = wanted
        return True

    def capture(self, id_: UUID, amount: int, now: int) -> bool:
        one, other, rest, until = self.holds.get(id_, [0, 0, 0, 0])
        if rest < amount or until <= now:
            return False
        self.holds[id_][2] -= amount
        self.posted[one] -= amount
        self.posted[other] += amount
        return True

    def release(self, id_: UUID, now: int) -> bool:
        _, _, rest, until = self.holds.get(id_, [0, 0, 0, 0])
        if rest == 0 or until <= now:
            return False
        self.holds[id_][2] = 0
        return True


class LedgerMachine(RuleBasedStateMachine):
    """One tenant's books. ``url`` is set by the test."""

    url: str

    @initialize()
    def open(self) -> None:
        self.clock = ManualClock()
        self.start = self.clock.now()
        self.runner = asyncio.Runner()
        self.engine = create_engine(self.url, pool_size=4)
        self.uow = UnitOfWork(self.engine, clock=self.clock, ids=SystemIds(self.clock))
        self.poster = Poster(self.uow)
        self.tenant = next(_tenants)
        self.model = Reference()
        self.known: list[tuple[EntryRequest, bool]] = []
        self.placed: list[EntryRequest] = []

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._close())
            self.runner.close()

    async def _close(self) -> None:
        await verified(self.uow)
        await self.engine.dispose()

    @property
    def now(self) -> int:
        return (self.clock.now() - self.start) // timedelta(seconds=1)

    def _request(self, debit: int, credit: int, amount: int, **fields: object) -> EntryRequest:
        return EntryRequest(
            id=UUID(int=(self.tenant << 64) | next(_numbers)),
            kind="test",
            debit=self._account(debit),
            credit=self._account(credit),
            amount=amount,
            **fields,  # type: ignore[arg-type]
        )

    def _account(self, who: int) -> AccountRef:
        if not who:
            return AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR", None, self.tenant)
        return AccountRef(AccountKind.USER_AVAILABLE, "EUR", UUID(int=who), self.tenant)

    def _post(self, requests: list[EntryRequest], expected: list[bool]) -> None:
        """Post requests that came at the same moment, in this order."""

        async def together() -> list[Outcome]:
            return await asyncio.gather(*(self.poster.post(request) for request in requests))

        outcomes = self.runner.run(together())
        assert [outcome.applied for outcome in outcomes] == expected
        self.known += zip(requests, expected, strict=True)

    @rule(who=PEOPLE, amount=AMOUNTS)
    def fund(self, who: int, amount: int) -> None:
        self.model.move(0, who, amount, self.now)
        self._post([self._request(0, who, amount)], [True])

    @rule(pairs=st.lists(st.tuples(st.permutations([1, 2, 3]), AMOUNTS), min_size=1, max_size=5))
    def pay(self, pairs: list[tuple[list[int], int]]) -> None:
        expected = [self.model.move(a, b, amount, self.now) for (a, b, _), amount in pairs]
        self._post([self._request(a, b, amount) for (a, b, _), amount in pairs], expected)

    @rule(pairs=st.lists(st.tuples(st.permutations([1, 2, 3]), AMOUNTS), min_size=2, max_size=4))
    def pay_all_or_nothing(self, pairs: list[tuple[list[int], int]]) -> None:
        before = dict(self.model.posted)
        applied = all(self.model.move(a, b, amount, self.now) for (a, b, _), amount in pairs)
        chain = UUID(int=(self.tenant << 64) | next(_numbers))
        requests = [self._request(a, b, amount, chain=chain) for (a, b, _), amount in pairs]
        if not applied:
            self.model.posted = before
        outcomes = self.runner.run(self.poster.post_chain(requests))
        assert [outcome.applied for outcome in outcomes] == [applied] * len(requests)

    @rule(order=st.permutations([1, 2, 3]), amount=AMOUNTS, lasts=st.sampled_from([5, 10, 30]))
    def set_aside(self, order: list[int], amount: int, lasts: int) -> None:
        until = self.now + lasts
        request = self._request(
            order[0],
            order[1],
            amount,
            operation=Operation.HOLD,
            expires_at=self.start + timedelta(seconds=until),
        )
        expected = self.model.hold(request.id, [order[0], order[1], amount, until], self.now)
        self.placed.append(request)
        self._post([request], [expected])

    @rule(data=st.data(), amount=AMOUNTS, give_back=st.booleans())
    def end_hold(self, data: st.DataObject, amount: int, *, give_back: bool) -> None:
        if not self.placed:
            return
        held = data.draw(st.sampled_from(self.placed))
        operation = Operation.RELEASE if give_back else Operation.CAPTURE
        request = EntryRequest(
            id=UUID(int=(self.tenant << 64) | next(_numbers)),
            kind="test",
            debit=held.debit,
            credit=held.credit,
            amount=0 if give_back else amount,
            operation=operation,
            hold=held.id,
        )
        expected = (
            self.model.release(held.id, self.now)
            if give_back
            else self.model.capture(held.id, amount, self.now)
        )
        self._post([request], [expected])

    @rule(seconds=st.sampled_from([5, 10]), sweep=st.booleans())
    def let_time_pass(self, seconds: int, *, sweep: bool) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        if sweep:
            self.runner.run(expire_holds(self.uow, tenant=self.tenant))

    @rule(data=st.data())
    def come_again(self, data: st.DataObject) -> None:
        if not self.known:
            return
        request, applied = data.draw(st.sampled_from(self.known))
        (outcome,) = self.runner.run(self.uow.run(lambda tx: post_many(tx, [request])))
        assert (outcome.applied, outcome.replayed) == (applied, True)

    @rule(data=st.data())
    def come_again_changed(self, data: st.DataObject) -> None:
        if not self.known:
            return
        request, _ = data.draw(st.sampled_from(self.known))
        changed = EntryRequest(
            id=request.id, kind="other", debit=request.debit, credit=request.credit, amount=1
        )
        with pytest.raises(IdempotencyConflict):
            self.runner.run(self.poster.post(changed))

    @invariant()
    def everybody_has_what_the_reference_says(self) -> None:
        if not hasattr(self, "model"):
            return

        async def read() -> None:
            for who in self.model.posted:
                found = await self.uow.read(lambda tx, w=who: balance(tx, self._account(w)))  # type: ignore[misc]
                assert found.posted == self.model.posted[who]
                assert found.available == self.model.available(who, self.now)

        self.runner.run(read())


@pytest.mark.slow
def test_the_ledger_does_what_the_reference_does(database: Database) -> None:
    machine = type("Machine", (LedgerMachine,), {"url": database.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
