"""`apply` against a model that is too simple to be wrong."""

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.ledger import EntryRequest, Operation
from server.ledger.domain import HoldState
from tests.unit.ledger.books import ANNA, BERK, CAROL, GATEWAY, Books, capture, hold, move, release

REFS = (GATEWAY, ANNA, BERK, CAROL)


@dataclass
class Model:
    """Balances and what is left of holds; floors for everybody but the gateway."""

    posted: dict[UUID, int] = field(default_factory=lambda: {ref.id: 0 for ref in REFS})
    holds: dict[UUID, tuple[UUID, int]] = field(default_factory=dict)

    def available(self, account: UUID) -> int:
        return self.posted[account] - sum(
            rest for who, rest in self.holds.values() if who == account
        )

    def take(self, request: EntryRequest) -> bool:
        debit, credit, amount = request.debit.id, request.credit.id, request.amount
        if request.operation in {Operation.CAPTURE, Operation.RELEASE}:
            assert request.hold is not None
            _, rest = self.holds.get(request.hold, (debit, 0))
            if rest == 0 or amount > rest:
                return False
            left = 0 if request.operation is Operation.RELEASE else rest - amount
            self.holds[request.hold] = (debit, left)
        elif (
            request.debit is not GATEWAY or request.operation is Operation.HOLD
        ) and self.available(debit) < amount:
            return False
        if request.operation is Operation.HOLD:
            self.holds[request.id] = (debit, amount)
        else:
            self.posted[debit] -= amount
            self.posted[credit] += amount
        return True


@st.composite
def programs(draw: st.DrawFn) -> list[list[EntryRequest]]:
    """Batches of posts, holds, captures, releases, some of them chained."""
    placed: list[EntryRequest] = []
    batches = []
    amounts = st.integers(1, 60)
    chains = st.sampled_from([None, None, 1, 2])
    for number in range(draw(st.integers(1, 4))):
        batch: list[EntryRequest] = []
        for _ in range(draw(st.integers(0, 8))):
            in_chain = draw(chains)
            chain = None if in_chain is None else UUID(int=1000 * number + in_chain)
            what = draw(st.sampled_from(["fund", "move", "move", "hold", "capture", "release"]))
            debit, credit = draw(st.permutations(REFS[1:]))[:2]
            amount = draw(amounts)
            if what == "fund":
                batch.append(move(GATEWAY, credit, amount, chain=chain))
            elif what == "hold":
                batch.append(hold(debit, credit, amount, chain=chain))
                placed.append(batch[-1])
            elif what == "move" or not placed:
                batch.append(move(debit, credit, amount, chain=chain))
            elif what == "capture":
                batch.append(capture(draw(st.sampled_from(placed)), amount, chain=chain))
            else:
                batch.append(release(draw(st.sampled_from(placed)), chain=chain))
        batches.append(batch)
    return batches


def _groups(batch: list[EntryRequest]) -> list[list[EntryRequest]]:
    groups: dict[UUID, list[EntryRequest]] = {}
    for request in batch:
        groups.setdefault(request.chain or request.id, []).append(request)
    return list(groups.values())


@given(programs())
def test_decisions_are_those_of_the_model(batches: list[list[EntryRequest]]) -> None:
    books, model = Books(*REFS), Model()
    for batch in batches:
        expected: dict[UUID, bool] = {}
        for group in _groups(batch):
            trial = Model(dict(model.posted), dict(model.holds))
            applied = all(trial.take(request) for request in group)
            model = trial if applied else model
            expected |= {request.id: applied for request in group}
        entries = books.decide(*batch).entries
        assert {entry.id: entry.reason is None for entry in entries} == expected
        for ref in REFS:
            account = books.account(ref)
            assert account.posted == model.posted[ref.id]
            assert account.posted - account.held == model.available(ref.id)


@given(programs())
def test_the_books_balance_whatever_happens(batches: list[list[EntryRequest]]) -> None:
    books = Books(*REFS)
    for batch in batches:
        entries = books.decide(*batch).entries
        accounts = books.state.accounts.values()
        assert sum(account.posted for account in accounts) == 0
        assert all(a.floor is None or a.posted - a.held >= a.floor for a in accounts)
        open_holds = [h for h in books.state.holds.values() if h.state is HoldState.OPEN]
        for account in accounts:
            assert account.held == sum(h.rest for h in open_holds if h.debit == account.id)
        for chain in {entry.chain for entry in entries} - {None}:
            applied = {entry.reason is None for entry in entries if entry.chain == chain}
            assert len(applied) == 1


@given(programs(), st.data())
def test_versions_and_times_of_an_account_only_grow(
    batches: list[list[EntryRequest]], data: st.DataObject
) -> None:
    books = Books(*REFS)
    versions: dict[UUID, int] = {}
    times: dict[UUID, int] = {}
    for batch in batches:
        books.advance(data.draw(st.integers(-5, 5)))
        for entry in books.decide(*batch).entries:
            for account, version in (
                (entry.debit, entry.debit_version),
                (entry.credit, entry.credit_version),
            ):
                if version is not None:
                    assert version == versions.get(account, 0) + 1
                    assert entry.at >= times.get(account, entry.at)
                    versions[account], times[account] = version, entry.at
