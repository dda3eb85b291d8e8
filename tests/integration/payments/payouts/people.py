"""Desks, people and money for the tests of withdrawals."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID, uuid5

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflows import WorkflowBook, WorkflowPlace
from server.ledger import AccountKind, AccountRef, EntryRequest, balance, post_many
from server.payments.payouts import PayableAccount, PayoutDesk, PayoutRail
from server.payments.payouts.domain import Pace
from server.payments.payouts.schemas import WithdrawalCreate
from tests.integration.payments.people import NAMES, join

BANK = uuid5(NAMES, "the bank")
ACCOUNT = uuid5(NAMES, "an account")
FOREIGN = uuid5(NAMES, "an account of somebody else")
FAST = Pace(
    first=timedelta(seconds=0.02),
    factor=2,
    longest=timedelta(seconds=0.1),
    silent_max=6,
    quiet=timedelta(seconds=60),
)


async def payable(tx: Tx, tenant: int, user_id: UUID, bank_account: UUID) -> PayableAccount:  # noqa: ARG001
    if bank_account == FOREIGN:
        raise NotFound("You have no bank account with this id.")
    return PayableAccount(
        currency="EUR",
        label="DE89••••3000",
        rail="http",
        destination=f"{bank_account}/{BANK}",
        source=AccountRef(AccountKind.BANK_MONEY, "EUR", BANK, tenant),
    )


def desk_of(
    uow: UnitOfWork, url: str, rails: Mapping[str, PayoutRail], *, pace: Pace = FAST
) -> PayoutDesk:
    book = WorkflowBook(WorkflowPlace.beside(url))
    return PayoutDesk(uow, book, payable, rails, pace)


def wish(amount: int = 2_500, account: UUID = ACCOUNT, currency: str = "EUR") -> WithdrawalCreate:
    return WithdrawalCreate(amount=amount, currency=currency, bank_account=account)


async def rich(uow: UnitOfWork, amount: int = 100_000, name: str = "ada") -> Caller:
    """Return somebody whose money lies with the bank."""
    caller = await join(uow, name)
    user = AccountRef(AccountKind.USER_AVAILABLE, "EUR", caller.user_id)
    entry = EntryRequest(
        id=uuid5(NAMES, f"riches/{name}"),
        kind="test.deposit",
        debit=AccountRef(AccountKind.BANK_MONEY, "EUR", BANK),
        credit=user,
        amount=amount,
    )
    (outcome,) = await uow.run(lambda tx: post_many(tx, [entry]))
    outcome.raise_for_refusal()
    return caller


async def shown(uow: UnitOfWork, caller: Caller) -> tuple[int, int, int, int]:
    """Return posted and held of the user, what the bank should hold for us, and our fees."""
    user = AccountRef(AccountKind.USER_AVAILABLE, "EUR", caller.user_id)
    bank = AccountRef(AccountKind.BANK_MONEY, "EUR", BANK)
    fees = AccountRef(AccountKind.HOUSE_FEES, "EUR")

    async def query(tx: Tx) -> tuple[int, int, int, int]:
        own = await balance(tx, user)
        return (
            own.posted,
            own.held,
            (await balance(tx, bank)).shown,
            (await balance(tx, fees)).shown,
        )

    return await uow.read(query)
