"""What banks tell us: signed, within a time window, each notice taken once."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import update

from server.kit.crypto import Vault
from server.kit.errors import NotFound, TallyError
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import ExternalIdUsed
from server.payments.banks.claims import claim
from server.payments.banks.deposits import DepositFacts, book_deposit
from server.payments.banks.desk import close_listed, list_break, list_once
from server.payments.banks.errors import (
    BankSuspended,
    CurrencyNotAgreed,
    DeliveryConflict,
    TransactionConflict,
    TransactionUnknown,
)
from server.payments.banks.models import BankDeliveryRow
from server.payments.banks.orders import OrderState, settle_order
from server.payments.banks.partners import Bank, find_bank, secrets_taken
from server.payments.banks.reversals import UNKNOWN, ReversalFacts, book_reversal
from server.payments.banks.schemas import DepositNotice, Notice, PayoutNotice, ReversalNotice
from server.payments.banks.signatures import WEBHOOK, check_signature

_LOOKED_AT: Final = "Nothing was booked; our officers look at it."
_REFUSED: Final[dict[str, tuple[type[TallyError], str]]] = {
    "conflict": (
        TransactionConflict,
        f"The transaction does not agree with what was announced before. {_LOOKED_AT}",
    ),
    "currency_not_agreed": (
        CurrencyNotAgreed,
        f"You do not hold this currency for us. {_LOOKED_AT}",
    ),
    UNKNOWN: (
        TransactionUnknown,
        f"We do not know yet what the notice is about. {_LOOKED_AT}",
    ),
}


async def receive_notice(
    uow: UnitOfWork,
    vault: Vault,
    *,
    tenant: int,
    bank_id: UUID,
    signature: str | None,
    body: bytes,
    notice: Notice,
    window: timedelta,
) -> tuple[str, bool]:
    """Check and take a notice; return what came of it, and whether that was known before.

    Raises:
        SignatureInvalid: no secret of such a bank signed the body.
        SignatureExpired: the time of the signature is outside the window.
        BankSuspended: nothing is taken from this bank.
        DeliveryConflict: the delivery id was used for another notice.
        TransactionConflict: the transaction was announced before, with other facts.
        CurrencyNotAgreed: the bank does not hold the currency for us.
        TransactionUnknown: it is about a deposit or payment that we do not know.
    """

    async def load(tx: Tx) -> tuple[list[bytes], datetime]:
        try:
            bank = await find_bank(tx, tenant, bank_id)
        except NotFound:
            return [], tx.now
        return await secrets_taken(tx, vault, bank), tx.now

    secrets, now = await uow.read(load)
    check_signature(signature, secrets, WEBHOOK, body, now=now, window=window)
    # Deposits of one bank meet in its account, so they wait here and not in the database.
    turn = ("bank", bank_id)
    try:
        outcome, replayed = await uow.run(
            lambda tx: _take(
                tx, bank_id, notice, lambda bank: _act(tx, vault, bank, notice), tenant=tenant
            ),
            turn=turn,
        )
    except ExternalIdUsed:
        # The transaction's id stands for another movement in our books.
        outcome, replayed = await uow.run(
            lambda tx: _take(
                tx, bank_id, notice, lambda bank: _clash(tx, bank, notice), tenant=tenant
            ),
            turn=turn,
        )
    if outcome in _REFUSED:
        kind, detail = _REFUSED[outcome]
        again = "Send it again later" if outcome == UNKNOWN else "Sending it again changes nothing"
        raise kind(detail, fix=f"{again}; call us if that surprises you.")
    return outcome, replayed


async def _take(
    tx: Tx, bank_id: UUID, notice: Notice, act: Callable[[Bank], Awaitable[str]], *, tenant: int
) -> tuple[str, bool]:
    bank = await find_bank(tx, tenant, bank_id)
    if not bank.active:
        raise BankSuspended("Nothing is taken from this bank at present.", fix="Call us.")
    digest = hashlib.sha256(msgspec.json.encode(notice, order="sorted")).digest()
    where = (
        BankDeliveryRow.tenant == tenant,
        BankDeliveryRow.bank == bank_id,
        BankDeliveryRow.id == notice.delivery_id,
    )
    values = {
        "tenant": tenant,
        "bank": bank_id,
        "id": notice.delivery_id,
        "digest": digest,
        "outcome": "",
        "at": tx.now,
    }
    if not await claim(tx, BankDeliveryRow, values):
        known = await tx.session.get_one(
            BankDeliveryRow, (tenant, bank_id, notice.delivery_id), with_for_update=True
        )
        if known.digest != digest:
            raise DeliveryConflict(
                "This delivery id was used before for another notice.",
                fix="Give each notice an id of its own; repeat a notice without any change.",
            )
        if known.outcome != UNKNOWN:
            return known.outcome, True
    outcome = await act(bank)
    await tx.connection.execute(update(BankDeliveryRow).where(*where).values(outcome=outcome))
    await _look_after(tx, bank, notice, outcome)
    return outcome, False


async def _look_after(tx: Tx, bank: Bank, notice: Notice, outcome: str) -> None:
    """List what cannot be placed yet, once; close that when it came right later.

    Notices may overtake each other: a reversal comes before its deposit, say.
    """
    if isinstance(notice, DepositNotice):
        return
    if outcome == UNKNOWN:
        await list_once(tx, bank.tenant, bank.id, "notice_of_unknown", subject=notice.delivery_id)
    else:
        await close_listed(tx, bank.tenant, bank.id, "notice_of_unknown", notice.delivery_id)


async def _act(tx: Tx, vault: Vault, bank: Bank, notice: Notice) -> str:
    match notice:
        case DepositNotice():
            return await book_deposit(
                tx, vault, bank, msgspec.convert(notice, DepositFacts, from_attributes=True)
            )
        case ReversalNotice():
            return await book_reversal(
                tx, bank, msgspec.convert(notice, ReversalFacts, from_attributes=True)
            )
        case PayoutNotice():
            return await _settle(tx, bank, notice)


async def _settle(tx: Tx, bank: Bank, notice: PayoutNotice) -> str:
    try:
        await settle_order(
            tx,
            bank,
            notice.payout_id,
            OrderState(notice.status),
            external_id=notice.transaction_id,
            reason=notice.reason,
        )
    except NotFound:
        return UNKNOWN
    return "settled"


async def _clash(tx: Tx, bank: Bank, notice: Notice) -> str:
    await list_break(
        tx,
        bank.tenant,
        bank.id,
        "transaction_conflict",
        subject=notice.transaction_id or notice.delivery_id,
        delivery=notice.delivery_id,
    )
    return "conflict"
