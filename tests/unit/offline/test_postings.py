"""Every movement is balanced by its shape; here: that it goes the right way, and in order."""

from uuid import UUID

import pytest

from server.ledger import AccountKind, Operation
from server.offline.postings import NOBODY, SOURCES, Book, Leg, Recovery, order_entries

USER = UUID(int=7)
BOOK = Book(1, "EUR")


def test_issuing_moves_available_money_to_the_float() -> None:
    entry = BOOK.issue(USER, b"v" * 32, 100)
    assert (entry.debit.kind, entry.credit.kind) == (
        AccountKind.USER_AVAILABLE,
        AccountKind.HOUSE_OFFLINE_FLOAT,
    )
    assert (entry.debit.owner, entry.credit.owner, entry.amount) == (USER, None, 100)


@pytest.mark.parametrize("leg", [*Leg, *Recovery])
def test_a_leg_that_falls_moves_the_same_accounts_back(leg: Leg | Recovery) -> None:
    user = USER if leg in {Leg.CREDIT, Leg.DEBT, *Recovery} else NOBODY
    rise = BOOK.change(leg, user, 40, subject="root", revision=1)
    fall = BOOK.change(leg, user, -15, subject="root", revision=2)
    assert (rise.debit, rise.credit) == (fall.credit, fall.debit)
    assert (rise.amount, fall.amount) == (40, 15)
    assert rise.id != fall.id


def test_every_source_of_a_credit_and_the_credit_itself_meet_in_clearing() -> None:
    clearing = AccountKind.HOUSE_OFFLINE_CLEARING
    for leg in SOURCES:
        assert BOOK.change(leg, NOBODY, 1, subject="r", revision=1).credit.kind is clearing
    assert BOOK.change(Leg.CREDIT, USER, 1, subject="r", revision=1).debit.kind is clearing


def test_the_same_movement_has_the_same_id_and_another_tenant_another() -> None:
    first = BOOK.change(Leg.FUND, USER, 5, subject="r", revision=1)
    assert first.id == BOOK.change(Leg.FUND, USER, 5, subject="r", revision=1).id
    assert first.id != BOOK.change(Leg.FUND, USER, 5, subject="r", revision=2).id
    assert first.id != Book(2, "EUR").change(Leg.FUND, USER, 5, subject="r", revision=1).id


def test_money_is_released_and_credited_before_it_is_debited_and_held_last() -> None:
    hold = BOOK.hold(USER, 10, subject="r", revision=2)
    entries = [
        hold,
        BOOK.change(Recovery.RECOVERED, USER, 5, subject="s", revision=1),
        BOOK.change(Leg.BACKING, NOBODY, 30, subject="r", revision=1),
        BOOK.change(Leg.FUND, USER, 5, subject="r", revision=1),
        BOOK.change(Leg.CREDIT, USER, 35, subject="r", revision=1),
        BOOK.release(USER, UUID(int=9)),
    ]
    ordered = order_entries(entries)
    assert ordered[0].operation is Operation.RELEASE
    assert ordered[-1] is hold
    floored = {AccountKind.USER_AVAILABLE, AccountKind.HOUSE_OFFLINE_FLOAT}
    posts = [entry for entry in ordered if entry.operation is Operation.POST]
    gives = [entry.debit.kind in floored for entry in posts]
    assert gives == sorted(gives)


def test_collateral_fills_a_balance_before_others_draw_on_it_and_secures_a_debt_after() -> None:
    cushion = BOOK.change(Recovery.CUSHIONED, USER, 40, subject="s", revision=1)
    reduced = BOOK.change(Leg.CREDIT, USER, -50, subject="r", revision=1)
    secured = BOOK.change(Recovery.SECURED, USER, 20, subject="s", revision=1)
    freed = BOOK.change(Recovery.CUSHIONED, USER, -20, subject="s", revision=2)
    assert order_entries([secured, reduced, cushion]) == [cushion, reduced, secured]
    assert order_entries([secured, freed]) == [freed, secured]
