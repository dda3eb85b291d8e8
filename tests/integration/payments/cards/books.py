"""One user, one server, one card company: what they do, and what the books say afterwards."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from server.kit.auth import Caller
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, balance, post_many, trial_balance
from server.payments import StripeGateway, top_up
from server.payments.cards import (
    collect_card_debts,
    follow_payments,
    process_events,
    refund_top_up,
    resume_refunds,
    resume_top_ups,
)
from server.payments.cards.models import CardDebtorRow, CardPaymentRow, CardRefundRow
from server.payments.cards.news import keep_events
from server.payments.cards.schemas import RefundCreate, TopUpCreate, TopUpView
from server.payments.gateway import GatewayEvent
from tests.fakes.card_company import CardCompany

GATEWAY = AccountKind.HOUSE_CARD_GATEWAY
FEES = AccountKind.HOUSE_OUTSIDE_FEES
DISPUTED = AccountKind.HOUSE_DISPUTED
SUSPENSE = AccountKind.HOUSE_SUSPENSE
LOSS = AccountKind.HOUSE_CARD_LOSS
AVAILABLE = AccountKind.USER_AVAILABLE
DEBT = AccountKind.USER_CARD_DEBT


def fee(amount: int) -> int:
    """What the company takes of a charge."""
    return amount * 140 // 10_000 + 25


@dataclass
class Town:
    uow: UnitOfWork
    gateway: StripeGateway
    company: CardCompany
    ada: Caller
    made: int = 0

    async def top_up(
        self, amount: int = 10_000, card: str | None = "pm_card_visa", currency: str = "EUR"
    ) -> TopUpView:
        self.made += 1
        wish = TopUpCreate(amount=amount, currency=currency, card=card)
        return await top_up(self.uow, self.gateway, self.ada, wish, key=f"top-up {self.made}")

    async def refund(
        self, identifier: UUID, amount: int | None = None, key: str | None = None
    ) -> CardRefundRow:
        self.made += 1
        return await refund_top_up(
            self.uow,
            self.gateway,
            self.ada,
            identifier,
            RefundCreate(amount=amount),
            key=key or f"refund {self.made}",
        )

    async def work(self) -> None:
        """Run every job until nothing is due any more."""
        await process_events(self.uow)
        await resume_top_ups(self.uow, self.gateway)
        await resume_refunds(self.uow, self.gateway)
        while await follow_payments(self.uow, self.gateway):
            if not await self.due():
                break
        await collect_card_debts(self.uow)

    async def due(self) -> int:
        async def count(tx: Tx) -> int:
            query = select(CardPaymentRow).where(CardPaymentRow.due_at <= tx.now)
            return len((await tx.session.scalars(query)).all())

        return await self.uow.read(count)

    async def hear(self, *events: dict[str, Any]) -> None:
        """Take events in as if they had come by webhook, in this order."""
        hints = [hint_of(event) for event in events]
        await self.uow.run(lambda tx: keep_events(tx, 1, hints))

    def events(self) -> list[dict[str, Any]]:
        """Return all that the company has to tell, the oldest first."""
        found: list[dict[str, Any]] = self.company.get("/v1/events", limit="100")["data"]
        return found[::-1]

    async def hear_all(self) -> None:
        await self.hear(*self.events())
        await self.work()

    def intent(self, number: int = 0) -> dict[str, Any]:
        """Return a payment at the company, the latest by default."""
        found: dict[str, Any] = self.company.get("/v1/payment_intents", limit="100")["data"][number]
        return found

    def dispute(self, number: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.company.get("/v1/disputes", limit="100")["data"][number]
        return found

    async def available(self, currency: str = "EUR") -> int:
        ref = AccountRef(AVAILABLE, currency, self.ada.user_id)
        return (await self.uow.read(lambda tx: balance(tx, ref))).available

    async def spend(self, amount: int, number: int = 1) -> None:
        """Let Ada give money away."""
        entry = EntryRequest(
            id=UUID(int=number),
            kind="test.spend",
            debit=AccountRef(AVAILABLE, "EUR", self.ada.user_id),
            credit=AccountRef(AccountKind.HOUSE_CAPITAL, "EUR"),
            amount=amount,
        )

        async def command(tx: Tx) -> None:
            (outcome,) = await post_many(tx, [entry])
            outcome.raise_for_refusal()

        await self.uow.run(command)

    async def receive(self, amount: int, number: int = 2) -> None:
        """Let Ada get money from elsewhere."""
        entry = EntryRequest(
            id=UUID(int=number),
            kind="test.receive",
            debit=AccountRef(AccountKind.HOUSE_CAPITAL, "EUR"),
            credit=AccountRef(AVAILABLE, "EUR", self.ada.user_id),
            amount=amount,
        )

        async def command(tx: Tx) -> None:
            (outcome,) = await post_many(tx, [entry])
            outcome.raise_for_refusal()

        await self.uow.run(command)

    async def books(self, currency: str = "EUR") -> dict[AccountKind, int]:
        """Return what each kind of account shows, and check what must always hold."""
        trial = await self.uow.read(lambda tx: trial_balance(tx, 1))
        shown = {line.kind: line.shown for line in trial.lines if line.asset == currency}
        assert sum(line.posted for line in trial.lines if line.asset == currency) == 0

        async def debtors(tx: Tx) -> int:
            rows = await tx.session.scalars(
                select(CardDebtorRow).where(CardDebtorRow.currency == currency)
            )
            return sum(row.owed for row in rows)

        assert await self.uow.read(debtors) == shown.get(DEBT, 0)
        return {kind: value for kind, value in shown.items() if value}

    def at_company(self, currency: str = "eur") -> int:
        """Return our balance at the company, as it counts it."""
        found = self.company.get("/v1/balance")["available"]
        return sum(each["amount"] for each in found if each["currency"] == currency)


def hint_of(event: dict[str, Any]) -> GatewayEvent:
    subject = event["data"]["object"]
    is_payment = subject["object"] == "payment_intent"
    return GatewayEvent(
        id=event["id"],
        type=event["type"],
        created_at=datetime.fromtimestamp(event["created"], UTC),
        object_id=subject["id"],
        payment=subject["id"] if is_payment else subject.get("payment_intent"),
    )


LATER = timedelta(minutes=5)
