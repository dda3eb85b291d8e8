"""What a bank takes back: no balance below zero, the rest is owed, and paid by later deposits."""

import asyncio
from uuid import UUID

import pytest

from server.kit.auth import Caller
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many
from server.payments.banks.errors import TransactionConflict, TransactionUnknown
from tests.integration.payments.banks.partner import Partner, assert_balanced, shown
from tests.integration.payments.people import available, join


async def spend(uow: UnitOfWork, caller: Caller, amount: int, number: int = 1) -> bool:
    """Let a user's money go; return whether it was there."""
    entry = EntryRequest(
        id=UUID(int=number),
        kind="test.spend",
        debit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", caller.user_id),
        credit=AccountRef(AccountKind.HOUSE_CAPITAL, "EUR"),
        amount=amount,
    )
    [outcome] = await uow.run(lambda tx: post_many(tx, [entry]))
    return outcome.applied


async def test_a_reversal_takes_the_money_back_once(uow: UnitOfWork, partner: Partner) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    reversal = partner.reversal(document["transaction_id"])
    assert await partner.tell(reversal) == ("reversed", False)
    assert await partner.tell(reversal) == ("reversed", True)
    assert await partner.tell(reversal | {"delivery_id": "d-more"}) == ("duplicate", False)
    assert await available(uow, ada) == await partner.holds() == 0
    assert await shown(uow, AccountKind.USER_DEBT, owner=ada.user_id) == 0
    await assert_balanced(uow)


async def test_what_was_spent_meanwhile_is_owed_and_the_next_deposit_pays_it(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    reference = await partner.reference(ada)
    document = partner.deposit(reference)
    await partner.tell(document)
    assert await spend(uow, ada, 1_000)
    await partner.tell(partner.reversal(document["transaction_id"]))
    assert await available(uow, ada) == 0
    assert await shown(uow, AccountKind.USER_DEBT, owner=ada.user_id) == 1_000
    await partner.tell(partner.deposit(reference, amount=400))
    assert await available(uow, ada) == 0
    assert await shown(uow, AccountKind.USER_DEBT, owner=ada.user_id) == 600
    await partner.tell(partner.deposit(reference, amount=1_000))
    assert await available(uow, ada) == 400
    assert await shown(uow, AccountKind.USER_DEBT, owner=ada.user_id) == 0
    await assert_balanced(uow)


async def test_parts_are_taken_back_up_to_the_whole_and_no_further(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    original = document["transaction_id"]
    for amount in (1_000, 1_500):
        assert await partner.tell(partner.reversal(original, amount)) == ("reversed", False)
    with pytest.raises(TransactionConflict):
        await partner.tell(partner.reversal(original, 1))
    assert await partner.breaks() == ["reversal_does_not_fit"]
    assert await partner.holds() == 0


async def test_many_reversals_of_one_deposit_at_once_take_no_more_than_it(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    original = document["transaction_id"]
    answers = await asyncio.gather(
        *(partner.tell(partner.reversal(original, 1_000)) for _ in range(8)),
        return_exceptions=True,
    )
    assert sum(answer == ("reversed", False) for answer in answers) == 2
    assert sum(isinstance(answer, TransactionConflict) for answer in answers) == 6
    assert await available(uow, ada) == await partner.holds() == 500


async def test_a_reversal_that_races_with_spending_never_takes_a_balance_below_zero(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    spent, *_ = await asyncio.gather(
        asyncio.gather(*(spend(uow, ada, 500, number) for number in range(1, 9))),
        partner.tell(partner.reversal(document["transaction_id"])),
    )
    left = await available(uow, ada)
    owed = await shown(uow, AccountKind.USER_DEBT, owner=ada.user_id)
    assert left == 0
    assert owed == 500 * sum(spent)
    await assert_balanced(uow)


async def test_a_reversal_that_overtakes_its_deposit_comes_right_when_it_comes_again(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    reversal = partner.reversal(document["transaction_id"], 1_000)
    for _ in range(2):
        with pytest.raises(TransactionUnknown):
            await partner.tell(reversal)
    assert await partner.breaks() == ["notice_of_unknown"]
    await partner.tell(document)
    answers = await asyncio.gather(*(partner.tell(reversal) for _ in range(8)))
    assert sorted(answers) == [("reversed", False)] + [("reversed", True)] * 7
    assert await partner.breaks() == []
    assert await available(uow, ada) == await partner.holds() == 1_500


async def test_a_notice_about_a_payment_that_nobody_ordered_is_not_known(
    partner: Partner,
) -> None:
    told = {"type": "payout", "delivery_id": "p1", "payout_id": str(UUID(int=9)), "status": "paid"}
    with pytest.raises(TransactionUnknown):
        await partner.tell(told)
    assert await partner.breaks() == ["notice_of_unknown"]
    assert await partner.holds() == 0


@pytest.mark.parametrize("change", [{"amount": 1}, {"currency": "TRY"}])
async def test_a_known_reversal_told_differently_changes_nothing(
    uow: UnitOfWork, partner: Partner, change: dict[str, object]
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    reversal = partner.reversal(document["transaction_id"], 1_000)
    await partner.tell(reversal)
    with pytest.raises(TransactionConflict):
        await partner.tell(reversal | {"delivery_id": "d-other"} | change)
    assert await available(uow, ada) == 1_500


async def test_a_reversal_under_the_deposits_own_id_is_refused_and_listed(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    original = document["transaction_id"]
    for _ in range(2):
        with pytest.raises(TransactionConflict):
            await partner.tell(partner.reversal(original, transaction_id=original))
    assert await available(uow, ada) == await partner.holds() == 2_500
    assert set(await partner.breaks()) == {"transaction_conflict"}


async def test_money_in_suspense_is_taken_back_from_there(
    uow: UnitOfWork, partner: Partner
) -> None:
    document = partner.deposit("nobody")
    await partner.tell(document)
    await partner.tell(partner.reversal(document["transaction_id"]))
    assert await shown(uow, AccountKind.HOUSE_SUSPENSE) == await partner.holds() == 0
