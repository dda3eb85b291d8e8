"""Withdrawals through our partner banks, by HTTP or by files as each of them takes orders."""

from uuid import UUID

from server.kit.unit_of_work import Tx
from server.payments.banks.accounts import BANK_RAIL, known_account
from server.payments.banks.bank_api import BankUnreachable
from server.payments.banks.carrying import Carrier
from server.payments.banks.models import BankOrderRow
from server.payments.banks.orders import BankOrder, OrderState, Purpose, place_order
from server.payments.payouts import (
    PayoutAnswer,
    PayoutOrder,
    PayoutStatus,
    RailUnavailable,
)

_STATUS = {
    OrderState.NEW: PayoutStatus.ACCEPTED,
    OrderState.SENT: PayoutStatus.ACCEPTED,
    OrderState.PAID: PayoutStatus.PAID,
    OrderState.REFUSED: PayoutStatus.REFUSED,
    # It was paid; that it came back is booked on its own (see `orders.settle_order`).
    OrderState.RETURNED: PayoutStatus.PAID,
}


class BankRail:
    """A `PayoutRail`. ``destination`` is what `payable_account` said: account and paying bank."""

    name = BANK_RAIL

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        if not await self._carrier.uow.run(lambda tx: self._place(tx, order)):
            return PayoutAnswer(PayoutStatus.REFUSED, reason="account_currency")
        try:
            return _answer(await self._carrier.carry(order.id))
        except BankUnreachable as error:
            raise RailUnavailable(str(error)) from error

    async def find(self, order: PayoutOrder) -> PayoutAnswer | None:
        try:
            row = await self._carrier.look_up(order.id)
        except BankUnreachable as error:
            raise RailUnavailable(str(error)) from error
        return None if row is None else _answer(row)

    async def _place(self, tx: Tx, order: PayoutOrder) -> bool:
        """Store the order; False when the account takes another currency, now and for ever."""
        tenant, vault = self._carrier.tenant, self._carrier.vault
        account, bank = map(UUID, order.destination.split("/"))
        known = await known_account(tx, vault, tenant, account)
        if known.currency != order.currency:
            return False
        placed = BankOrder(
            tenant=tenant,
            id=order.id,
            bank=bank,
            purpose=Purpose.PAYOUT,
            subject=account,
            amount=order.amount,
            currency=order.currency,
            reference=order.reference,
            payee=known.payee,
            user_id=known.user_id,
        )
        await place_order(tx, vault, placed)
        return True


def _answer(row: BankOrderRow) -> PayoutAnswer:
    return PayoutAnswer(_STATUS[OrderState(row.state)], row.external_id, row.reason)
