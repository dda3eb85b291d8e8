"""What users owe after card money was taken back, and what open disputes set aside.

A user's part is brought into one normal form, whatever came in which order: debts are paid first
from what is available and from what disputes set aside, then the open disputes set aside what is
left. So a user with a debt has nothing available, and the sums do not depend on the order in which
refunds and disputes became known.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import or_, select

from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, EntryRequest, Refusal, balance, post_many
from server.payments.cards.inserting import insert_into
from server.payments.cards.models import CardDebtorRow, CardDisputeRow
from server.payments.cards.postings import CardBook
from server.payments.gateway import DisputeStatus

_BATCH_MAX = 200
_TRIES_MAX = 8


async def lock_debtor(tx: Tx, book: CardBook) -> CardDebtorRow:
    """Return the row under which a user's part in a currency is worked out by one at a time."""
    key = (book.tenant, book.user, book.currency)
    statement = insert_into(tx, CardDebtorRow).values(
        tenant=book.tenant, user_id=book.user, currency=book.currency, owed=0, short=0
    )
    await tx.connection.execute(statement.on_conflict_do_nothing())
    return await tx.session.get_one(
        CardDebtorRow, key, with_for_update=True, populate_existing=True
    )


async def arrange(tx: Tx, book: CardBook, debtor: CardDebtorRow) -> None:
    """Bring a user's debts and disputes into their normal form; the debtor's row is locked."""
    disputes = await _open_disputes(tx, book)
    debtor.owed -= await _collect(tx, book, debtor.owed)
    if debtor.owed and any(dispute.holds for dispute in disputes):
        await release_holds(tx, book, disputes)
        debtor.owed -= await _collect(tx, book, debtor.owed)
    short = 0
    for dispute in disputes:
        want = dispute.amount - held_for(dispute)
        short += want - await _set_aside(tx, book, dispute, want)
    debtor.short = short
    await tx.session.flush()


async def release_holds(tx: Tx, book: CardBook, disputes: Sequence[CardDisputeRow]) -> None:
    """Give back all that some disputes have set aside."""
    requests = [
        book.dispute_release(UUID(hold), dispute.id)
        for dispute in disputes
        for hold, _ in dispute.holds
    ]
    for outcome in await post_many(tx, requests):
        outcome.raise_for_refusal()
    for dispute in disputes:
        dispute.holds = []


def held_for(dispute: CardDisputeRow) -> int:
    """Return how much is set aside for a dispute."""
    return sum(amount for _, amount in dispute.holds)


async def collect_card_debts(uow: UnitOfWork, *, tenant: int = 1) -> int:
    """Ask everybody who owes, or whose disputes are short, and has money; return how many."""
    asked = 0
    for user, currency in await uow.read(lambda tx: _with_money(tx, tenant)):
        book = CardBook(tenant, user, currency)

        async def command(tx: Tx, book: CardBook = book) -> None:
            await arrange(tx, book, await lock_debtor(tx, book))

        await uow.run(command)
        asked += 1
    return asked


async def _with_money(tx: Tx, tenant: int) -> list[tuple[UUID, str]]:
    query = (
        select(CardDebtorRow)
        .where(CardDebtorRow.tenant == tenant, or_(CardDebtorRow.owed > 0, CardDebtorRow.short > 0))
        .order_by(CardDebtorRow.user_id, CardDebtorRow.currency)
    )
    found = []
    for row in await tx.session.scalars(query):
        book = CardBook(tenant, row.user_id, row.currency)
        if (await balance(tx, book.available)).available > 0:
            found.append((row.user_id, row.currency))
    return found[:_BATCH_MAX]


async def _open_disputes(tx: Tx, book: CardBook) -> Sequence[CardDisputeRow]:
    query = (
        select(CardDisputeRow)
        .where(
            CardDisputeRow.tenant == book.tenant,
            CardDisputeRow.user_id == book.user,
            CardDisputeRow.currency == book.currency,
            CardDisputeRow.status == DisputeStatus.OPEN.value,
        )
        .order_by(CardDisputeRow.created_at, CardDisputeRow.id)
    )
    return (await tx.session.scalars(query)).all()


async def _set_aside(tx: Tx, book: CardBook, dispute: CardDisputeRow, want: int) -> int:
    """Set aside up to an amount of what the user has; return how much it was."""

    def request(amount: int) -> EntryRequest:
        return book.dispute_hold(tx.ids.uuid(), dispute.id, amount)

    if (placed := await _take(tx, book, want, request)) is None:
        return 0
    # A new list: a change inside of the old one would not be noticed.
    dispute.holds = [*dispute.holds, [str(placed.id), placed.amount]]
    return placed.amount


async def _collect(tx: Tx, book: CardBook, owed: int) -> int:
    placed = await _take(tx, book, owed, lambda amount: book.collect(tx.ids.uuid(), amount))
    return placed.amount if placed is not None else 0


async def _take(
    tx: Tx, book: CardBook, want: int, request: Callable[[int], EntryRequest]
) -> EntryRequest | None:
    """Post a request for as much of an amount as the user has; return it, or None.

    What was read before the account is locked may be gone. The first refusal leaves it locked, so
    the second reading holds.
    """
    for _ in range(_TRIES_MAX):
        amount = min(want, (await balance(tx, book.available)).available)
        if amount <= 0:
            return None
        entry = request(amount)
        (outcome,) = await post_many(tx, [entry])
        if outcome.applied:
            return entry
        if outcome.reason is not Refusal.INSUFFICIENT_FUNDS:
            return None
    raise AssertionError("an account that is locked does not change")


async def debt_of(tx: Tx, book: CardBook) -> int:
    """Return what the ledger says that a user owes."""
    return -(await balance(tx, book.account(AccountKind.USER_CARD_DEBT))).posted
