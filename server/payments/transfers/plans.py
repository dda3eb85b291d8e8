"""From an order to a plan: who receives, and what is to be posted. All refusals but of money."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from server.fx import Quote, postings_for
from server.fx.errors import QuoteMismatch
from server.identity import Address, Payee, Payees, find_payees
from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.ledger import EntryRequest
from server.payments.errors import PhoneUnconfirmed
from server.payments.limits import LimitKind, LimitUse
from server.payments.transfers import postings
from server.payments.transfers.domain import Order, TransferState, Via
from server.payments.transfers.errors import RecipientUnknown, SelfTransfer, TooManyPending


class Plan(NamedTuple):
    """A transfer that nothing but limits and the ledger can refuse any longer."""

    id: UUID
    order: Order
    via: Via
    sender: Payee
    receiver: Payee | None
    address: Address | None
    """Where the money waits for somebody; exactly when there is no receiver."""
    entries: list[EntryRequest]
    received_amount: int
    received_currency: str

    @property
    def use(self) -> LimitUse:
        order = self.order
        return LimitUse(order.sender, LimitKind.TRANSFER, order.currency, order.amount)

    @property
    def state(self) -> TransferState:
        return TransferState.PENDING if self.receiver is None else TransferState.COMPLETED


async def people_of(tx: Tx, tenant: int, orders: Sequence[Order]) -> Payees:
    """Return everybody whom some orders name, senders too."""
    recipients = [order.recipient for order in orders if order.recipient is not None]
    return await find_payees(
        tx,
        tenant,
        ids={
            *(order.sender for order in orders),
            *(one.user_id for one in recipients if one.user_id is not None),
        },
        usernames={one.username for one in recipients if one.username is not None},
        addresses={one.address for one in recipients if one.address is not None},
    )


def waits(order: Order, people: Payees) -> bool:
    """Return whether an order goes to an address that nobody has confirmed."""
    address = order.recipient.address if order.recipient is not None else None
    return address is not None and address.blind_index not in people.by_index


def plan_order(id_: UUID, order: Order, people: Payees, room: dict[UUID, int]) -> Plan:
    """Return what an order comes to. ``room`` is how many transfers of a sender may still wait.

    A second factor for transfers, once there is one, is asked for here.

    Raises:
        PhoneUnconfirmed, RecipientUnknown, SelfTransfer, TooManyPending, UnknownCurrency.
    """
    asset(order.currency)
    sender = people.by_id[order.sender]
    if not sender.phone_confirmed:
        raise PhoneUnconfirmed(
            "Sending money needs a confirmed phone number.",
            fix="Confirm it with POST /v1/contacts/phone/confirm.",
        )
    if waits(order, people):
        return _plan_pending(id_, order, sender, room)
    via, receiver = _receiver(order, people)
    if receiver.id == order.sender:
        raise SelfTransfer("You cannot send money to yourself.", fix="Choose somebody else.")
    entry = postings.for_transfer(
        tenant=order.tenant,
        transfer=id_,
        sender=order.sender,
        receiver=receiver.id,
        amount=order.amount,
        currency=order.currency,
    )
    return Plan(id_, order, via, sender, receiver, None, [entry], order.amount, order.currency)


def exchanged(plan: Plan, quote: Quote) -> Plan:
    """Return a plan as the quote that was taken for it has it.

    Raises:
        QuoteMismatch: the quote sells another amount than is to be sent.
    """
    assert plan.receiver is not None, "exchanged money does not wait"
    order = plan.order
    if (quote.sell_amount, quote.sell_currency) != (order.amount, order.currency):
        raise QuoteMismatch(
            "The quote sells another amount.",
            fix="Send the quote's sell_amount in its sell_currency.",
            sell_amount=quote.sell_amount,
            sell_currency=quote.sell_currency,
        )
    return plan._replace(
        entries=postings_for(quote, payee_id=plan.receiver.id, memo={"transfer": str(plan.id)}),
        received_amount=quote.buy_amount,
        received_currency=quote.buy_currency,
    )


def _plan_pending(id_: UUID, order: Order, sender: Payee, room: dict[UUID, int]) -> Plan:
    assert order.recipient is not None
    if order.quote_id is not None:
        raise RecipientUnknown(
            "Money that is exchanged on its way cannot wait for somebody to register.",
            fix="Send it in your own currency.",
            field="to",
        )
    if room[order.sender] <= 0:
        raise TooManyPending(
            "Too many of your transfers wait for people to register.",
            fix="Cancel one of them, or wait until one is claimed.",
        )
    room[order.sender] -= 1
    entry = postings.for_pending(
        tenant=order.tenant,
        transfer=id_,
        sender=order.sender,
        amount=order.amount,
        currency=order.currency,
    )
    named = order.recipient
    return Plan(
        id_, order, named.via, sender, None, named.address, [entry], order.amount, order.currency
    )


def _receiver(order: Order, people: Payees) -> tuple[Via, Payee]:
    """Return how and who was named.

    Raises:
        RecipientUnknown: nobody is meant, or somebody who cannot have money.
    """
    named, found = order.recipient, None
    if named is not None and named.user_id is not None:
        found = people.by_id.get(named.user_id)
    elif named is not None and named.username is not None:
        found = people.by_username.get(named.username)
    elif named is not None and named.address is not None:
        found = people.by_index.get(named.address.blind_index)
    if named is None or found is None or not found.may_hold_money:
        raise unknown_recipient()
    return named.via, found


def unknown_recipient() -> RecipientUnknown:
    """Return the one refusal for everybody who cannot be paid, whatever the reason."""
    return RecipientUnknown(
        "Nobody of this name can receive money.", fix="Check the spelling.", field="to"
    )
