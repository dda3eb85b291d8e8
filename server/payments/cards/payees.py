"""Bank accounts that are paid through the card company: users' accounts connected to ours.

The company has checked their owners; an officer who has seen that notes here whose they are.
"""

from uuid import UUID

import msgspec
from sqlalchemy import select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef
from server.payments.cards.errors import PayeeTaken
from server.payments.cards.models import CardPayeeRow
from server.payments.cards.schemas import CardPayeeCreate, CardPayeeView
from server.payments.payouts import PayableAccount

RAIL = "stripe"
_LISTED_MAX = 100


async def add_payee(tx: Tx, caller: Caller, data: CardPayeeCreate, *, key: str) -> CardPayeeView:
    """Note that a connected account is a user's, once for each key.

    Raises:
        NotFound: there is no such user.
        PayeeTaken: the account stands for somebody in this currency already.
        UnknownCurrency: this server does not know the currency.
        IdempotencyConflict: the key was used for another account.
    """
    asset(data.currency)

    async def work() -> CardPayeeView:
        if await find_user(tx, caller.tenant, data.user_id) is None:
            raise NotFound("There is no user with this id.")
        known = select(CardPayeeRow.id).where(
            CardPayeeRow.tenant == caller.tenant,
            CardPayeeRow.destination == data.destination,
            CardPayeeRow.currency == data.currency,
        )
        if await tx.session.scalar(known) is not None:
            raise PayeeTaken("This connected account stands for somebody already.")
        row = CardPayeeRow(
            tenant=caller.tenant,
            id=tx.ids.uuid(),
            user_id=data.user_id,
            destination=data.destination,
            currency=data.currency,
            label=data.label,
            added_by=caller.user_id,
            added_at=tx.now,
        )
        tx.session.add(row)
        await tx.session.flush()
        return msgspec.convert(row, CardPayeeView, from_attributes=True)

    return await once(
        tx,
        tenant=caller.tenant,
        owner=caller.user_id,
        operation="add_card_payee",
        key=key,
        digest=fingerprint(data),
        answer_type=CardPayeeView,
        work=work,
    )


async def payees_of(tx: Tx, caller: Caller) -> list[CardPayeeView]:
    """Return one's own bank accounts that are paid this way, the oldest first."""
    query = (
        select(CardPayeeRow)
        .where(CardPayeeRow.tenant == caller.tenant, CardPayeeRow.user_id == caller.user_id)
        .order_by(CardPayeeRow.added_at, CardPayeeRow.id)
        .limit(_LISTED_MAX)
    )
    rows = (await tx.session.scalars(query)).all()
    return [msgspec.convert(row, CardPayeeView, from_attributes=True) for row in rows]


async def card_payable_account(
    tx: Tx, tenant: int, user_id: UUID, identifier: UUID
) -> PayableAccount | None:
    """Return one of a user's accounts as withdrawals need it, or None when it is none of these."""
    row = await tx.session.get(CardPayeeRow, (tenant, identifier))
    if row is None or row.user_id != user_id:
        return None
    return PayableAccount(
        currency=row.currency,
        label=row.label,
        rail=RAIL,
        destination=row.destination,
        source=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, row.currency, None, tenant),
    )
