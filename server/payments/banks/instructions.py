"""Deposit instructions: which account to pay into, and the reference that names the user."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.payments.banks.claims import claim
from server.payments.banks.errors import BankUnavailable
from server.payments.banks.models import BankReferenceRow
from server.payments.banks.partners import Bank, all_banks
from server.payments.banks.references import make_reference

_ENTROPY_BYTES = 8
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Instruction:
    bank: Bank
    currency: str
    account: str
    reference: str


async def deposit_instructions(tx: Tx, tenant: int, user: UUID, currency: str) -> list[Instruction]:
    """Return how a user pays a currency in, one for each bank; references are made once and stay.

    Raises:
        UnknownCurrency: this server does not count it.
        BankUnavailable: no active bank holds it.
    """
    asset(currency)
    banks = [
        bank for bank in await all_banks(tx, tenant) if bank.active and currency in bank.accounts
    ]
    if not banks:
        raise BankUnavailable(
            f"No partner bank takes {currency} at present.", fix="Add money from a card."
        )
    return [
        Instruction(
            bank, currency, bank.accounts[currency], await _reference(tx, bank, currency, user)
        )
        for bank in banks
    ]


async def _reference(tx: Tx, bank: Bank, currency: str, user: UUID) -> str:
    where = (
        BankReferenceRow.tenant == bank.tenant,
        BankReferenceRow.bank == bank.id,
        BankReferenceRow.currency == currency,
        BankReferenceRow.user_id == user,
    )
    # A second try is for a reference that somebody else has, which luck hardly ever brings.
    for _ in range(_ATTEMPTS):
        known = await tx.session.scalar(select(BankReferenceRow.reference).where(*where))
        if known is not None:
            return known
        await claim(
            tx,
            BankReferenceRow,
            {
                "tenant": bank.tenant,
                "bank": bank.id,
                "currency": currency,
                "user_id": user,
                "reference": make_reference(tx.ids.token(_ENTROPY_BYTES)),
                "made_at": tx.now,
            },
        )
    raise AssertionError("several random references were taken")
