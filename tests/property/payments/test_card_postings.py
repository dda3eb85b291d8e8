"""Card movements balance, are named once and for all, and add up to what the gateway says."""

from datetime import date
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.kit.money import ASSETS
from server.ledger import AccountKind, EntryRequest, Operation, OutsideLine
from server.payments.adapters.stripe_amounts import from_stripe, to_stripe
from server.payments.cards.postings import CardBook, for_house_line
from server.payments.gateway import GatewayMovement, GatewayRefused, MovementKind

BOOK = CardBook(1, UUID(int=1), "EUR")
AMOUNTS = st.integers(1, 10**11)
LINES = st.builds(
    GatewayMovement,
    external_id=st.sampled_from(["txn_1", "txn_2"]),
    kind=st.sampled_from(MovementKind),
    presented=st.integers(-(10**11), 10**11),
    amount=st.integers(-(10**11), 10**11),
    currency=st.sampled_from(["EUR", "TRY", "JPY"]),
    fee=st.integers(-(10**6), 10**6),
)


def _at_gateway(entries: list[EntryRequest], currency: str) -> int:
    """What entries put into the gateway's account of a currency, in our favour."""
    gateway = BOOK.account(AccountKind.HOUSE_CARD_GATEWAY, currency).id
    return sum(
        entry.amount * ((entry.debit.id == gateway) - (entry.credit.id == gateway))
        for entry in entries
    )


@given(line=LINES)
def test_a_line_changes_the_gateways_account_by_what_it_says(line: GatewayMovement) -> None:
    entries = list(BOOK.movement(line))
    assert len({entry.id for entry in entries}) == len(entries)
    assert all(entry.debit.asset == entry.credit.asset for entry in entries)
    # The user's own entry (top-up, refund) stands for what was presented; a dispute has none.
    own = 0 if line.kind is MovementKind.DISPUTE else line.presented
    if line.currency == "EUR":
        own_line = line.presented if line.kind is MovementKind.DISPUTE else 0
        assert _at_gateway(entries, "EUR") == own_line - line.fee
    else:
        assert own + _at_gateway(entries, "EUR") == 0, "nothing stays in the payment's currency"
        assert _at_gateway(entries, line.currency) == line.amount - line.fee


@given(first=LINES, second=LINES)
def test_entries_of_different_lines_are_never_the_same(
    first: GatewayMovement, second: GatewayMovement
) -> None:
    ids = [{entry.id for entry in BOOK.movement(line)} for line in (first, second)]
    if first.external_id != second.external_id:
        assert not ids[0] & ids[1]
    assert {entry.id for entry in BOOK.movement(first)} == ids[0], "the same again, every time"


@given(amount=AMOUNTS, refund=st.uuids(), top_up=st.uuids())
def test_a_life_of_refunds_adds_up(amount: int, refund: UUID, top_up: UUID) -> None:
    held = BOOK.refund_hold(refund, amount)
    taken = BOOK.refund_capture(refund, amount, "re_1")
    free = BOOK.refund_release(refund)
    back = BOOK.refund_returned(refund, amount, "re_1")
    assert taken.hold == free.hold == held.id
    assert len({held.id, taken.id, free.id, back.id, BOOK.top_up(top_up, amount, "c").id}) == 5
    assert _at_gateway([taken, back], "EUR") == 0
    assert (held.operation, free.amount) == (Operation.HOLD, 0)
    assert (taken.debit, taken.credit) == (held.debit, held.credit) == (free.debit, free.credit)


@given(amount=AMOUNTS, rest=AMOUNTS)
def test_a_dispute_leaves_nothing_in_between(amount: int, rest: int) -> None:
    """Withheld, then paid by holds and debt: the disputed account is even again."""
    disputed = BOOK.account(AccountKind.HOUSE_DISPUTED).id
    total = amount + rest
    line = GatewayMovement("txn_1", MovementKind.DISPUTE, -total, -total, "EUR", 1_500)
    hold = UUID(int=9)
    entries = [
        *BOOK.movement(line),
        BOOK.dispute_capture(hold, "dp_1", amount),
        BOOK.dispute_debt("dp_1", rest),
    ]
    moved = sum(
        entry.amount * ((entry.credit.id == disputed) - (entry.debit.id == disputed))
        for entry in entries
    )
    assert moved == 0
    assert BOOK.dispute_regained("dp_1", total).amount == total


@given(amount=st.integers(0, 10**11), currency=st.sampled_from(sorted(ASSETS)))
def test_amounts_come_back_as_they_went(amount: int, currency: str) -> None:
    try:
        there = to_stripe(amount, currency)
    except GatewayRefused:
        assert currency == "BHD"
        assert amount % 10
        return
    assert from_stripe(there, currency) == amount
    assert there == amount * (100 if currency == "UGX" else 1)


@given(amount=st.integers(-(10**9), 10**9), kind=st.sampled_from(["payout", "stripe_fee", "x"]))
def test_lines_of_the_house_are_booked_where_they_are_known(amount: int, kind: str) -> None:
    line = OutsideLine("po_1", amount, "EUR", date(2026, 1, 1), kind)
    entry = for_house_line(1, line)
    assert (entry is None) == (kind == "x" or amount == 0)
    if entry is not None:
        assert _at_gateway([entry], "EUR") == amount
