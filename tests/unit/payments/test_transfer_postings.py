"""What transfers post: every way that money takes sums to zero and ends where it should."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.kit.money import AMOUNT_MAX, ASSETS
from server.ledger import AccountKind, EntryRequest
from server.payments.transfers import postings

AMOUNTS = st.integers(1, AMOUNT_MAX)
CURRENCIES = st.sampled_from(sorted(ASSETS))
SENDER, RECEIVER, TRANSFER, REFUND = (UUID(int=number) for number in range(1, 5))


def balances(entries: list[EntryRequest]) -> dict[UUID, int]:
    """Return what entries leave on accounts, credit-positive."""
    sums: dict[UUID, int] = {}
    for entry in entries:
        sums[entry.debit.id] = sums.get(entry.debit.id, 0) - entry.amount
        sums[entry.credit.id] = sums.get(entry.credit.id, 0) + entry.amount
    assert sum(sums.values()) == 0
    return {account: left for account, left in sums.items() if left}


@given(AMOUNTS, CURRENCIES)
def test_a_transfer_takes_from_one_and_gives_to_the_other(amount: int, currency: str) -> None:
    entry = postings.for_transfer(
        tenant=1, transfer=TRANSFER, sender=SENDER, receiver=RECEIVER, amount=amount,
        currency=currency,
    )  # fmt: skip
    assert (entry.debit.owner, entry.credit.owner) == (SENDER, RECEIVER)
    assert sorted(balances([entry]).values()) == [-amount, amount]
    assert entry.id == TRANSFER


@given(
    AMOUNTS, CURRENCIES, st.sampled_from(["claimed", "returned", "cancelled"]), st.integers(0, 9)
)
def test_nothing_stays_with_the_house_once_a_waiting_transfer_has_ended(
    amount: int, currency: str, ending: postings.Ending, attempt: int
) -> None:
    to = RECEIVER if ending == "claimed" else SENDER
    begin = postings.for_pending(
        tenant=1, transfer=TRANSFER, sender=SENDER, amount=amount, currency=currency
    )
    end = postings.for_ending(
        tenant=1, transfer=TRANSFER, ending=ending, attempt=attempt, to=to, amount=amount,
        currency=currency,
    )  # fmt: skip
    assert begin.credit == end.debit
    assert begin.credit.kind is AccountKind.HOUSE_PENDING_TRANSFERS
    left = balances([begin, end])
    assert set(left.values()) == ({-amount, amount} if to == RECEIVER else set())


@given(AMOUNTS, CURRENCIES, st.data())
def test_refunds_undo_a_transfer_bit_by_bit(
    amount: int, currency: str, data: st.DataObject
) -> None:
    sent = postings.for_transfer(
        tenant=1, transfer=TRANSFER, sender=SENDER, receiver=RECEIVER, amount=amount,
        currency=currency,
    )  # fmt: skip
    back = data.draw(st.integers(1, amount))
    refund = postings.for_refund(
        tenant=1, refund=REFUND, transfer=TRANSFER, sender=SENDER, receiver=RECEIVER, amount=back,
        currency=currency,
    )  # fmt: skip
    left = balances([sent, refund])
    assert left.get(sent.credit.id, 0) == amount - back
    assert refund.memo == {"transfer": str(REFUND), "refund_of": str(TRANSFER)}


def test_each_try_and_each_ending_has_an_id_of_its_own() -> None:
    ids = {
        postings.for_ending(
            tenant=1, transfer=transfer, ending=ending, attempt=attempt, to=SENDER, amount=1,
            currency="EUR",
        ).id
        for transfer in (TRANSFER, REFUND)
        for ending in ("claimed", "returned", "cancelled")
        for attempt in range(3)
    }  # fmt: skip
    assert len(ids) == 18
    assert not ids & {TRANSFER, REFUND}
