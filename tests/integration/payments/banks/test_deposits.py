"""A deposit is booked once, for the right person, whoever says what how often."""

import asyncio
from datetime import timedelta

import pytest

from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind
from server.payments.banks.deposits import deposits_of
from server.payments.banks.errors import (
    BankSuspended,
    CurrencyNotAgreed,
    DeliveryConflict,
    SignatureExpired,
    SignatureInvalid,
    TransactionConflict,
)
from server.payments.banks.partners import rotate_secret, set_active
from server.payments.banks.references import show_reference
from tests.fakes.clock import ManualClock
from tests.integration.payments.banks.partner import (
    VAULT,
    WINDOW,
    Partner,
    assert_balanced,
    make_partner,
    shown,
)
from tests.integration.payments.people import available, join

SECOND = timedelta(seconds=1)


async def test_a_signed_deposit_credits_whom_its_reference_names(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    reference = await partner.reference(ada)
    assert await partner.tell(partner.deposit(f"for ada {reference}")) == ("credited", False)
    assert await available(uow, ada) == await partner.holds() == 2_500
    [row] = await uow.read(lambda tx: deposits_of(tx, 1, ada.user_id))
    assert (row.amount, row.state, row.over_limit) == (2_500, "credited", False)
    await assert_balanced(uow)


async def test_a_reference_stays_and_is_another_for_each_user_bank_and_currency(
    uow: UnitOfWork, clock: ManualClock, partner: Partner
) -> None:
    other = await make_partner(uow, clock, "Second Bank")
    ada, bob = await join(uow), await join(uow, "bob")
    made = [
        await bank.reference(caller, currency)
        for bank in (partner, other)
        for caller in (ada, bob)
        for currency in ("EUR", "TRY")
    ]
    assert len(set(made)) == 8
    assert await partner.reference(ada, "EUR") == made[0]


async def test_many_who_ask_for_their_first_reference_at_once_get_one(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    found = await asyncio.gather(*(partner.reference(ada) for _ in range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize("skew", [-WINDOW, WINDOW, timedelta(0)])
async def test_a_signature_within_the_window_is_taken_also_from_a_clock_ahead(
    uow: UnitOfWork, partner: Partner, skew: timedelta
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    assert await partner.tell(document, skew=skew) == ("credited", False)


@pytest.mark.parametrize("skew", [-WINDOW - SECOND, WINDOW + SECOND])
async def test_a_signature_outside_the_window_books_nothing(
    uow: UnitOfWork, partner: Partner, skew: timedelta
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    with pytest.raises(SignatureExpired):
        await partner.tell(document, skew=skew)
    assert await available(uow, ada) == 0


@pytest.mark.parametrize(
    "signature",
    ["t=1,v1=" + "0" * 64, "v1=" + "0" * 64, "t=-1,v1=00", "t=²,v1=" + "0" * 64, "x" * 200],
)
async def test_a_signature_of_nobody_books_nothing(
    uow: UnitOfWork, partner: Partner, signature: str
) -> None:
    ada = await join(uow)
    with pytest.raises(SignatureInvalid):
        await partner.tell(partner.deposit(await partner.reference(ada)), signature=signature)
    assert await available(uow, ada) == 0


async def test_another_banks_secret_is_no_secret(
    uow: UnitOfWork, clock: ManualClock, partner: Partner
) -> None:
    other = await make_partner(uow, clock, "Second Bank")
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    with pytest.raises(SignatureInvalid):
        await partner.tell(document, secret=other.secret)
    # Nor does a reference at one bank credit money that came in at another.
    assert await other.tell(other.deposit(document["reference"])) == ("suspense", False)
    assert await available(uow, ada) == 0


async def test_the_old_secret_ends_with_the_overlap_and_the_new_one_begins_at_once(
    uow: UnitOfWork, clock: ManualClock, partner: Partner
) -> None:
    ada = await join(uow)
    reference, old = await partner.reference(ada), partner.secret
    day = timedelta(days=1)
    new = await uow.run(lambda tx: rotate_secret(tx, VAULT, 1, partner.bank.id, overlap=day))
    for secret in (old, new):
        assert await partner.tell(partner.deposit(reference), secret=secret) == ("credited", False)
    clock.advance(day)
    with pytest.raises(SignatureInvalid):
        await partner.tell(partner.deposit(reference), secret=old)
    assert await partner.tell(partner.deposit(reference), secret=new) == ("credited", False)


async def test_a_stolen_secret_ends_at_once(uow: UnitOfWork, partner: Partner) -> None:
    nothing = timedelta(0)
    new = await uow.run(lambda tx: rotate_secret(tx, VAULT, 1, partner.bank.id, overlap=nothing))
    with pytest.raises(SignatureInvalid):
        await partner.tell(partner.deposit("none"))
    assert await partner.tell(partner.deposit("none"), secret=new) == ("suspense", False)


async def test_from_a_suspended_bank_nothing_is_taken_until_it_is_active_again(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await uow.run(lambda tx: set_active(tx, 1, partner.bank.id, active=False))
    with pytest.raises(BankSuspended):
        await partner.tell(document)
    assert await partner.holds() == 0
    await uow.run(lambda tx: set_active(tx, 1, partner.bank.id, active=True))
    assert await partner.tell(document) == ("credited", False)


async def test_a_delivery_that_comes_again_gets_its_first_answer(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    answers = [await partner.tell(document, skew=number * SECOND) for number in range(3)]
    assert answers == [("credited", False), ("credited", True), ("credited", True)]
    assert await available(uow, ada) == 2_500


async def test_a_delivery_id_with_another_body_conflicts_and_books_nothing(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    with pytest.raises(DeliveryConflict):
        await partner.tell(document | {"transaction_id": "T999"})
    assert await available(uow, ada) == 2_500


async def test_one_transaction_under_several_deliveries_is_booked_once(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    answers = [await partner.tell(document | {"delivery_id": f"again-{n}"}) for n in range(3)]
    assert [outcome for outcome, _ in answers] == ["credited", "duplicate", "duplicate"]
    assert await available(uow, ada) == 2_500
    assert await partner.breaks() == []


@pytest.mark.parametrize("same_delivery", [True, False])
async def test_sixty_four_at_once_book_once(
    uow: UnitOfWork, partner: Partner, *, same_delivery: bool
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    answers = await asyncio.gather(
        *(
            partner.tell(document if same_delivery else document | {"delivery_id": f"d-x{number}"})
            for number in range(64)
        )
    )
    booked = [answer for answer in answers if answer == ("credited", False)]
    assert len(booked) == 1
    assert await available(uow, ada) == await partner.holds() == 2_500
    await assert_balanced(uow)


async def test_many_deposits_at_once_and_in_any_order_are_all_booked(
    uow: UnitOfWork, partner: Partner
) -> None:
    people = [await join(uow, f"user{number}") for number in range(4)]
    references = [await partner.reference(person) for person in people]
    documents = [partner.deposit(references[n % 4], amount=n + 1) for n in range(32)]
    await asyncio.gather(*(partner.tell(document) for document in reversed(documents)))
    assert sum([await available(uow, person) for person in people]) == 32 * 33 // 2
    assert await partner.holds() == 32 * 33 // 2


@pytest.mark.parametrize(
    "change", [{"amount": 2_501}, {"currency": "TRY"}, {"reference": "somebody else"}]
)
async def test_the_same_transaction_told_differently_is_for_officers_and_not_booked(
    uow: UnitOfWork, partner: Partner, change: dict[str, object]
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada))
    await partner.tell(document)
    other = document | {"delivery_id": "d-other"} | change
    for _ in range(2):
        with pytest.raises(TransactionConflict):
            await partner.tell(other)
    assert await partner.breaks() == ["transaction_conflict"]
    assert await available(uow, ada) == await partner.holds() == 2_500
    assert await partner.holds("TRY") == 0


@pytest.mark.parametrize("currency", ["USD", "XXX"])
async def test_a_currency_that_was_not_agreed_is_for_officers_and_not_booked(
    uow: UnitOfWork, partner: Partner, currency: str
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada), currency=currency)
    with pytest.raises(CurrencyNotAgreed):
        await partner.tell(document)
    assert await partner.breaks() == ["currency_not_agreed"]
    await assert_balanced(uow)


async def test_a_reference_in_another_currency_credits_nobody(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    document = partner.deposit(await partner.reference(ada, "TRY"))
    assert await partner.tell(document) == ("suspense", False)
    assert await shown(uow, AccountKind.HOUSE_SUSPENSE) == 2_500


async def test_references_as_people_write_them_are_understood(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    reference = await partner.reference(ada)
    spellings = [
        show_reference(reference),
        show_reference(reference).lower(),
        f"Rent, ref. {'-'.join(reference)} thanks",
        f"{reference} {reference}",
        f"EREF+{reference}",
    ]
    for spelling in spellings:
        outcome, _ = await partner.tell(partner.deposit(spelling))
        assert outcome == "credited", spelling


async def test_references_that_only_look_right_credit_nobody(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    reference, other = await partner.reference(ada), await partner.reference(bob)
    wrong = "0" if reference[7] != "0" else "1"
    lookalikes = [
        "\N{CYRILLIC CAPITAL LETTER ER}" + reference[1:],
        "".join(chr(ord(letter) + 0xFEE0) for letter in reference),
        reference[:6] + "\u200b" + reference[6:],
        reference[:7] + wrong + reference[8:],
        reference[:-1],
        f"{reference} or {other}",
        "",
    ]
    for spelling in lookalikes:
        outcome, _ = await partner.tell(partner.deposit(spelling))
        assert outcome == "suspense", ascii(spelling)
    assert await available(uow, ada) == await available(uow, bob) == 0
    assert await shown(uow, AccountKind.HOUSE_SUSPENSE) == 2_500 * len(lookalikes)


async def test_money_in_a_currency_without_a_rate_or_beyond_the_limit_is_credited_and_marked(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    # Limits count in lira here, and nobody set a rate for the euro.
    told = {("TRY", 100): False, ("TRY", 10**12): True, ("EUR", 100): True}
    for currency, amount in told:
        reference = await partner.reference(ada, currency)
        document = partner.deposit(reference, amount, currency=currency)
        assert await partner.tell(document) == ("credited", False)
    rows = await uow.read(lambda tx: deposits_of(tx, 1, ada.user_id))
    assert {(row.currency, row.amount): row.over_limit for row in rows} == told
    assert await available(uow, ada, "TRY") == 100 + 10**12
    assert await available(uow, ada) == 100
