"""People for the tests of payments, and what they wish."""

from uuid import UUID, uuid5

from server.identity.models import ContactRow, UserRow
from server.kit.auth import Caller
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, balance
from server.payments.cards.schemas import TopUpCreate

NAMES = UUID("1d0f2a5c-0c0f-5a7e-9f3f-5a3a0b5f2c11")


async def join(uow: UnitOfWork, name: str = "ada", *, confirmed: bool = True) -> Caller:
    user = uuid5(NAMES, name)

    async def command(tx: Tx) -> None:
        tx.session.add(
            UserRow(
                tenant=1,
                id=user,
                username=name,
                display_name=name,
                role="user",
                password_hash="none",
                created_at=tx.now,
            )
        )
        await tx.session.flush()
        tx.session.add(
            ContactRow(
                tenant=1,
                id=uuid5(NAMES, f"phone/{name}"),
                user_id=user,
                kind="phone",
                address_index=user.bytes * 2,
                address_sealed=b"",
                confirmed_at=tx.now if confirmed else None,
                created_at=tx.now,
            )
        )

    await uow.run(command)
    return Caller(tenant=1, user_id=user, session_id=user, role="user")


async def available(uow: UnitOfWork, caller: Caller, currency: str = "EUR") -> int:
    ref = AccountRef(AccountKind.USER_AVAILABLE, currency, caller.user_id)
    return (await uow.read(lambda tx: balance(tx, ref))).available


def wish(card: str = "sandbox-ok", amount: int = 2_500, currency: str = "EUR") -> TopUpCreate:
    return TopUpCreate(amount=amount, currency=currency, card=card)
