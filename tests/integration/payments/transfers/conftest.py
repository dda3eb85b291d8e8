"""People with money and phone numbers, and the service that they send it with."""

from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import select

from server.identity.addresses import address_index
from server.identity.confirmations import _confirm
from server.identity.desk import Desk
from server.identity.domain import ContactKind
from server.identity.models import ContactRow, UserRow
from server.identity.notices import seal_address
from server.identity.passwords import PasswordKeeper
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, balance, post_many, trial_balance
from server.payments.transfers import Transfers, contact_confirmed
from server.payments.transfers.schemas import TransferCreate, TransferView
from server.settings import Settings


@dataclass
class Town:
    """The service, and the people who use it."""

    uow: UnitOfWork
    transfers: Transfers
    desk: Desk
    joined: int = 0
    keys: int = 0

    async def join(
        self,
        name: str,
        money: int = 0,
        *,
        currency: str = "EUR",
        confirmed: tuple[str, ...] = ("phone", "email"),
        role: str = "user",
        phone: str | None = None,
    ) -> Caller:
        self.joined += 1
        addresses = {
            ContactKind.PHONE: phone or f"+90532123{self.joined:04d}",
            ContactKind.EMAIL: f"{name}@example.com",
        }

        async def command(tx: Tx) -> UUID:
            user = UserRow(
                tenant=1,
                id=tx.ids.uuid(),
                username=name,
                display_name=f"{name.title()} Example",
                role=role,
                password_hash="none",
                created_at=tx.now,
            )
            tx.session.add(user)
            await tx.session.flush()
            for kind, address in addresses.items():
                contact_id = tx.ids.uuid()
                tx.session.add(
                    ContactRow(
                        tenant=1,
                        id=contact_id,
                        user_id=user.id,
                        kind=kind,
                        address_index=address_index(self.desk.vault, kind, address),
                        address_sealed=seal_address(tx, self.desk, contact_id, address),
                        confirmed_at=tx.now if kind.value in confirmed else None,
                        created_at=tx.now,
                    )
                )
            await tx.session.flush()
            return user.id

        user_id = await self.uow.run(command)
        caller = Caller(tenant=1, user_id=user_id, session_id=user_id, role=role)
        if money:
            await self.fund(caller, money, currency)
        return caller

    async def confirm(self, caller: Caller, kind: ContactKind = ContactKind.PHONE) -> None:
        """Confirm a contact as the right code does."""

        async def command(tx: Tx) -> None:
            contact = next(
                row for row in (await _contacts(tx, caller.user_id)) if row.kind == kind.value
            )
            await _confirm(tx, self.desk, contact)

        await self.uow.run(command)

    async def fund(self, caller: Caller, amount: int, currency: str = "EUR") -> None:
        entry_id = self.desk.vault.blind_index(f"{caller.user_id}/{self.keys}", "fund")[:16]
        self.keys += 1
        entry = EntryRequest(
            id=UUID(bytes=entry_id),
            kind="test.fund",
            debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, currency, None),
            credit=AccountRef(AccountKind.USER_AVAILABLE, currency, caller.user_id),
            amount=amount,
        )
        (outcome,) = await self.uow.run(lambda tx: post_many(tx, [entry]))
        outcome.raise_for_refusal()

    async def send(
        self,
        caller: Caller,
        to: str,
        amount: int,
        *,
        key: str | None = None,
        currency: str = "EUR",
        note: str | None = None,
    ) -> TransferView:
        self.keys += 1
        data = TransferCreate(to=to, amount=amount, currency=currency, note=note)
        return await self.transfers.send(caller, data, key=key or f"key-{self.keys}")

    async def has(self, caller: Caller, currency: str = "EUR") -> int:
        ref = AccountRef(AccountKind.USER_AVAILABLE, currency, caller.user_id)
        return (await self.uow.read(lambda tx: balance(tx, ref))).available

    async def waiting(self, currency: str = "EUR") -> int:
        ref = AccountRef(AccountKind.HOUSE_PENDING_TRANSFERS, currency, None)
        return (await self.uow.read(lambda tx: balance(tx, ref))).available

    async def check_books(self) -> None:
        trial = await self.uow.read(lambda tx: trial_balance(tx, 1))
        assert trial.balanced


async def _contacts(tx: Tx, user_id: UUID) -> list[ContactRow]:
    rows = await tx.session.scalars(select(ContactRow).where(ContactRow.user_id == user_id))
    return list(rows)


@pytest.fixture
def town(uow: UnitOfWork) -> Town:
    vault, settings = Vault(b"m" * 32), Settings()
    desk = Desk(uow, vault, settings, PasswordKeeper(vault), contact_confirmed=contact_confirmed)
    return Town(uow, Transfers(uow, vault=vault, settings=settings), desk)
