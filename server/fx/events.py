"""Facts about exchanges that others are told. Ids and amounts only."""

from typing import ClassVar, Self
from uuid import UUID

from server.fx.quotes import Quote
from server.kit.outbox import Event


class ExchangeMade(Event, frozen=True, kw_only=True):
    """A user exchanged own money; amounts in minor units, the charge is part of what was sold."""

    topic: ClassVar[str] = "payments"
    type: ClassVar[str] = "exchange.made"
    exchange_id: UUID
    user_id: UUID
    sell_currency: str
    sell_amount: int
    charge_amount: int
    buy_currency: str
    buy_amount: int

    def key(self) -> str:
        return str(self.user_id)

    @classmethod
    def of(cls, quote: Quote) -> Self:
        return cls(
            exchange_id=quote.id,
            user_id=quote.user_id,
            sell_currency=quote.sell_currency,
            sell_amount=quote.sell_amount,
            charge_amount=quote.charge_amount,
            buy_currency=quote.buy_currency,
            buy_amount=quote.buy_amount,
        )
