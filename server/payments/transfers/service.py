"""What controllers and jobs call: one for a process, since orders wait in it together."""

from collections.abc import Sequence
from uuid import UUID

from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.group_commit import GroupCommit
from server.kit.idempotency import fingerprint
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.transfers import asking, pending, recipients, scheduling
from server.payments.transfers.desk import Installation, TransferDesk
from server.payments.transfers.domain import (
    DEFAULT_POLICY,
    KeyedOrder,
    Order,
    TransferPolicy,
    clean_note,
)
from server.payments.transfers.schemas import (
    MoneyRequestCreate,
    MoneyRequestView,
    ScheduleCreate,
    ScheduleView,
    TransferCreate,
    TransferView,
)
from server.payments.transfers.sending import Answer, send_keyed
from server.payments.transfers.views import own_transfer


class Transfers:
    """Sends transfers. Those that are asked for at the same time share a transaction."""

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        vault: Vault,
        settings: Installation,
        policy: TransferPolicy = DEFAULT_POLICY,
    ) -> None:
        self.uow = uow
        self.desk = TransferDesk(vault, settings, policy)
        self._sending = GroupCommit(uow, self._send)

    async def send(self, caller: Caller, data: TransferCreate, *, key: str) -> TransferView:
        """Send money, once for a key; the answer under a key is final, also when it is a "no".

        Raises:
            RecipientUnknown, SelfTransfer, NoteInvalid, PayCodeInvalid, UnknownCurrency: the order.
            PhoneUnconfirmed: the sender has no confirmed phone number.
            TooManyPending: it would wait for somebody to register, as many others do.
            LimitExceeded, InsufficientFunds, AccountClosed: the money.
            QuoteUnknown, QuoteTaken, QuoteExpired, QuoteMismatch: the quote.
            IdempotencyConflict: the key was used for another transfer.
        """
        order = Order(
            tenant=caller.tenant,
            sender=caller.user_id,
            recipient=recipients.read(self.desk, data.to),
            amount=data.amount,
            currency=data.currency,
            note=clean_note(data.note),
            quote_id=data.quote_id,
        )
        return await self._sending.submit(KeyedOrder(order, key, fingerprint(data)))

    async def cancel(self, caller: Caller, transfer_id: UUID) -> TransferView:
        """Take back a transfer that waits for somebody. Raises as `pending.cancel` does."""

        async def command(tx: Tx) -> TransferView:
            await pending.cancel(tx, self.desk, caller.user_id, transfer_id)
            return await own_transfer(tx, self.desk, caller.user_id, transfer_id)

        return await self.uow.run(command)

    async def ask(self, caller: Caller, data: MoneyRequestCreate, *, key: str) -> MoneyRequestView:
        """Ask for money. Raises as `recipients.find_registered` and `asking.ask` do."""
        payer = None
        if data.to is not None:
            payer = await recipients.find_registered(self.uow, self.desk, caller.user_id, data.to)
        return await self.uow.run(
            lambda tx: asking.ask(tx, self.desk, caller, data, payer=payer, key=key)
        )

    async def schedule(self, caller: Caller, data: ScheduleCreate, *, key: str) -> ScheduleView:
        """Make a schedule. Raises as `recipients.find_registered` and `scheduling.plan` do."""
        receiver = await recipients.find_registered(self.uow, self.desk, caller.user_id, data.to)
        return await self.uow.run(
            lambda tx: scheduling.plan(tx, self.desk, caller, data, receiver=receiver, key=key)
        )

    async def _send(self, tx: Tx, orders: Sequence[KeyedOrder]) -> Sequence[Answer]:
        return await send_keyed(tx, self.desk, orders)
