"""A partner bank for the tests of this slice: its secret, its notices, what it holds for us."""

import itertools
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from server.kit.auth import Caller
from server.kit.clock import Clock
from server.kit.crypto import Vault
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, balance, trial_balance
from server.payments.banks.desk import open_breaks
from server.payments.banks.instructions import deposit_instructions
from server.payments.banks.notices import receive_notice
from server.payments.banks.partners import Bank, BankDetails, RailKind, add_bank
from server.payments.banks.schemas import Notice
from server.payments.banks.signatures import WEBHOOK, sign

VAULT = Vault(b"m" * 32)
WINDOW = timedelta(minutes=5)
IBAN = "DE89370400440532013000"
PAYER = {"name": "Grace Hopper", "iban": "FR1420041010050500013M02606"}


@dataclass
class Partner:
    """A bank with an API, unless said otherwise."""

    uow: UnitOfWork
    clock: Clock
    bank: Bank
    secret: str
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def reference(self, caller: Caller, currency: str = "EUR") -> str:
        found = await self.uow.run(lambda tx: deposit_instructions(tx, 1, caller.user_id, currency))
        return next(each.reference for each in found if each.bank.id == self.bank.id)

    def deposit(self, reference: str, amount: int = 2_500, **changes: Any) -> dict[str, Any]:
        number = next(self.numbers)
        return {
            "type": "deposit",
            "delivery_id": f"d-{number}",
            "transaction_id": f"T{number}",
            "amount": amount,
            "currency": "EUR",
            "booked_on": "2026-03-02",
            "reference": reference,
        } | changes

    def reversal(self, original: str, amount: int = 2_500, **changes: Any) -> dict[str, Any]:
        number = next(self.numbers)
        return {
            "type": "deposit_reversed",
            "delivery_id": f"d-{number}",
            "transaction_id": f"T{number}",
            "original_transaction_id": original,
            "amount": amount,
            "currency": "EUR",
            "reason": "fraud",
        } | changes

    async def tell(
        self,
        document: dict[str, Any],
        *,
        secret: str | None = None,
        skew: timedelta = timedelta(0),
        signature: str | None = None,
    ) -> tuple[str, bool]:
        """Deliver a notice; return what came of it, and whether it was known before."""
        body = json.dumps(document).encode()
        at = self.clock.now() + skew
        signed = sign((secret or self.secret).encode(), WEBHOOK, body, at=at)
        return await receive_notice(
            self.uow,
            VAULT,
            tenant=1,
            bank_id=self.bank.id,
            signature=signature or signed,
            body=body,
            notice=msgspec.json.decode(body, type=Notice),
            window=WINDOW,
        )

    async def holds(self, currency: str = "EUR") -> int:
        """Return what our books say that the bank holds for us."""
        ref = AccountRef(AccountKind.BANK_MONEY, currency, self.bank.id)
        return (await self.uow.read(lambda tx: balance(tx, ref))).shown

    async def breaks(self) -> list[str]:
        return [row.kind for row in await self.uow.read(lambda tx: open_breaks(tx, 1))]


async def make_partner(
    uow: UnitOfWork,
    clock: Clock,
    name: str = "First Bank",
    *,
    rail: RailKind = RailKind.API,
    api_url: str | None = "http://127.0.0.1:9",
    accounts: dict[str, str] | None = None,
) -> Partner:
    details = BankDetails(
        name=name,
        country="DE",
        holder="Tallystick Ltd",
        accounts=accounts or {"EUR": IBAN, "TRY": "TR330006100519786457841326"},
        rail=rail,
        api_url=api_url if rail is RailKind.API else None,
    )
    bank, secret = await uow.run(lambda tx: add_bank(tx, VAULT, 1, details))
    return Partner(uow, clock, bank, secret)


async def shown(
    uow: UnitOfWork, kind: AccountKind, currency: str = "EUR", owner: UUID | None = None
) -> int:
    ref = AccountRef(kind, currency, owner)
    return (await uow.read(lambda tx: balance(tx, ref))).shown


async def assert_balanced(uow: UnitOfWork) -> None:
    assert (await uow.read(lambda tx: trial_balance(tx, 1))).balanced
