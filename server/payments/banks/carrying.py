"""Carrying orders to banks: by HTTP at once, or into a file that a person hands over.

Each order is stored before the bank is asked and settled after it answered, in transactions of
their own; a crash in between leaves an order that is asked about again under the same id.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import and_, select

from server.kit.crypto import Vault
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.banks.bank_api import BankApi, BankUnreachable, PaymentOrder, PaymentState
from server.payments.banks.models import BankOrderRow, BankRow
from server.payments.banks.orders import (
    OrderState,
    Purpose,
    content_of,
    locked_order,
    note_sent,
    settle_order,
)
from server.payments.banks.partners import Bank, RailKind, find_bank, secret_for_signing

_BATCH_MAX: Final = 50
_FINAL: Final = frozenset({OrderState.PAID, OrderState.REFUSED, OrderState.RETURNED})
_log = get_logger(__name__)


class Carrier:
    """Takes orders of one tenant to their banks."""

    def __init__(self, uow: UnitOfWork, vault: Vault, api: BankApi, *, tenant: int = 1) -> None:
        self.uow = uow
        self.vault = vault
        self.tenant = tenant
        self._api = api

    async def carry(self, order_id: UUID) -> BankOrderRow:
        """Give an order to its bank, or ask what became of it; return it as it is known then.

        Nothing is sent to a suspended bank, and nothing is asked of it. A bank that takes files
        gets the order with the next file.

        Raises:
            BankUnreachable: the bank did not answer.
            NotFound: we never placed the order.
        """

        async def begin(tx: Tx) -> tuple[BankOrderRow, Bank, bytes]:
            row = await locked_order(tx, self.tenant, order_id)
            bank = await find_bank(tx, self.tenant, row.bank)
            if self._goes_by_api(row, bank):
                # From here on the bank may know of it.
                row = await note_sent(tx, self.tenant, order_id)
            return row, bank, await secret_for_signing(tx, self.vault, bank)

        row, bank, secret = await self.uow.run(begin)
        if not self._goes_by_api(row, bank):
            return row
        assert bank.api_url is not None
        state = await self._api.pay(bank.api_url, secret, self._order(row))
        return await self._settle(bank, row, state)

    async def look_up(self, order_id: UUID) -> BankOrderRow | None:
        """Return an order as its bank knows it, or None when it never reached the bank.

        Raises:
            BankUnreachable: the bank did not answer.
        """

        async def load(tx: Tx) -> tuple[BankOrderRow, Bank, bytes] | None:
            row = await tx.session.get(BankOrderRow, (self.tenant, order_id))
            if row is None:
                return None
            bank = await find_bank(tx, self.tenant, row.bank)
            if row.state == OrderState.NEW and bank.rail is RailKind.API:
                return None
            return row, bank, await secret_for_signing(tx, self.vault, bank)

        found = await self.uow.read(load)
        if found is None:
            return None
        row, bank, secret = found
        if not self._goes_by_api(row, bank):
            return row
        assert bank.api_url is not None
        state = await self._api.look_up(bank.api_url, secret, self._order(row))
        return None if state is None else await self._settle(bank, row, state)

    async def carry_due(self) -> int:
        """Carry our own orders, verifications and returns, that are due; return how many ended."""
        ended = 0
        for order_id in await self.uow.read(self._due):
            try:
                row = await self.carry(order_id)
                ended += row.state in _FINAL
            except BankUnreachable as error:
                _log.warning("bank_unreachable", order=str(order_id), error=str(error))
            except Exception as error:  # noqa: BLE001 - one order must not stop the others
                _log.error("bank_order_failed", order=str(order_id), exc_info=error)
        return ended

    async def _due(self, tx: Tx) -> list[UUID]:
        rows = await tx.session.scalars(
            select(BankOrderRow.id)
            .join(
                BankRow,
                and_(BankRow.tenant == BankOrderRow.tenant, BankRow.id == BankOrderRow.bank),
            )
            .where(
                BankOrderRow.tenant == self.tenant,
                BankOrderRow.state.in_([OrderState.NEW.value, OrderState.SENT.value]),
                BankOrderRow.purpose != Purpose.PAYOUT.value,
                BankRow.rail == RailKind.API.value,
                BankRow.status == "active",
                BankOrderRow.retry_at <= tx.now,
            )
            .order_by(BankOrderRow.retry_at)
            .limit(_BATCH_MAX)
        )
        return list(rows)

    async def _settle(self, bank: Bank, row: BankOrderRow, state: PaymentState) -> BankOrderRow:
        if state.status == "accepted":
            return row
        end = OrderState.PAID if state.status == "paid" else OrderState.REFUSED
        return await self.uow.run(
            lambda tx: settle_order(
                tx, bank, row.id, end, external_id=state.transaction_id, reason=state.reason
            )
        )

    def _order(self, row: BankOrderRow) -> PaymentOrder:
        content = content_of(self.vault, row)
        return PaymentOrder(
            id=row.id,
            amount=row.amount,
            currency=row.currency,
            reference=content.reference,
            payee=content.payee,
        )

    @staticmethod
    def _goes_by_api(row: BankOrderRow, bank: Bank) -> bool:
        return bank.active and bank.rail is RailKind.API and row.state not in _FINAL
