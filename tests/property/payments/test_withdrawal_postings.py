"""What withdrawals post, against a model of four numbers."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from server.ledger import AccountKind, AccountRef, EntryRequest, Operation
from server.payments.payouts.postings import Movement

BANK = UUID(int=7)
SOURCE = AccountRef(AccountKind.BANK_MONEY, "EUR", BANK)
FEES = AccountRef(AccountKind.HOUSE_FEES, "EUR")


def movement(amount: int, fee: int, number: int = 1) -> Movement:
    return Movement(
        tenant=1,
        withdrawal=UUID(int=number),
        user=uuid5(BANK, str(number)),
        source=SOURCE,
        amount=amount,
        fee=fee,
    )


class Books:
    """Applies entries without any rule but the arithmetic of holds."""

    def __init__(self) -> None:
        self.posted: dict[UUID, int] = {}
        self.held: dict[UUID, tuple[UUID, UUID, int]] = {}
        self.seen: set[UUID] = set()

    def apply(self, entries: Sequence[EntryRequest]) -> None:
        for entry in entries:
            assert entry.id not in self.seen
            self.seen.add(entry.id)
            pair = (entry.debit.id, entry.credit.id)
            if entry.operation is Operation.HOLD:
                self.held[entry.id] = (*pair, entry.amount)
                continue
            if entry.hold is not None:
                debit, credit, amount = self.held.pop(entry.hold)
                assert (debit, credit) == pair
                assert entry.operation is Operation.RELEASE or entry.amount == amount
            if entry.operation in {Operation.POST, Operation.CAPTURE}:
                self.posted[pair[0]] = self.posted.get(pair[0], 0) - entry.amount
                self.posted[pair[1]] = self.posted.get(pair[1], 0) + entry.amount

    def of(self, account: AccountRef) -> int:
        return self.posted.get(account.id, 0)


amounts = st.integers(1, 10**12)
fees = st.integers(0, 10**12)
endings = st.sampled_from(["paid", "refused", "returned"])


@given(amount=amounts, fee=fees, ending=endings)
def test_every_ending_moves_what_it_should_and_leaves_no_hold(
    amount: int, fee: int, ending: str
) -> None:
    books, one = Books(), movement(amount, fee)
    books.apply(one.hold())
    assert sum(held for _, _, held in books.held.values()) == amount + fee
    if ending == "refused":
        books.apply(one.release())
    else:
        books.apply(one.capture("OUT-1"))
    if ending == "returned":
        books.apply(one.come_back("IN-1"))
    user = AccountRef(AccountKind.USER_AVAILABLE, "EUR", one.user)
    assert not books.held
    assert sum(books.posted.values()) == 0
    out = amount if ending == "paid" else 0
    cost = 0 if ending == "refused" else fee
    assert (books.of(user), books.of(SOURCE), books.of(FEES)) == (-out - cost, out, cost)


@given(amount=amounts, fee=fees, outside=st.none() | st.text(min_size=1, max_size=20))
def test_the_same_movement_is_the_same_entries_for_ever(
    amount: int, fee: int, outside: str | None
) -> None:
    def all_of(one: Movement) -> list[bytes]:
        entries = [*one.hold(), *one.capture(outside), *one.release(), *one.come_back(outside)]
        return [entry.fingerprint for entry in entries]

    assert all_of(movement(amount, fee)) == all_of(movement(amount, fee))
    first, second = movement(amount, fee), movement(amount, fee, 2)
    assert not {e.id for e in first.hold()} & {e.id for e in second.hold()}


@given(amount=amounts, fee=st.integers(1, 10**12))
def test_amount_and_fee_are_one_chain_and_only_the_amount_names_the_outside(
    amount: int, fee: int
) -> None:
    one = movement(amount, fee)
    for entries in (one.hold(), one.capture("OUT-1"), one.release()):
        (chain,) = {entry.chain for entry in entries}
        assert chain is not None
        assert len(entries) == 2
    named = [e for e in one.capture("OUT-1") if e.memo and "external_id" in e.memo]
    assert [e.credit for e in named] == [SOURCE]
    assert all(entry.chain is None for entry in movement(amount, 0).hold())
