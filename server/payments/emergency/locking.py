"""Locking and unlocking: between what a user may spend and what they put out of their own reach.

The emergency balance is an account of its own, with a floor of zero; no payment, withdrawal or debt
names it. Locking is quick. Unlocking asks for a fresh sign-in: whoever holds a phone that was
left unlocked, or a stolen access token, cannot reach the money without the password.
"""

from datetime import timedelta
from typing import Literal, cast
from uuid import UUID, uuid5

from server.identity import signed_in_at
from server.kit.auth import Caller
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, Outcome, balance, post_many
from server.payments.emergency.errors import SignInAgain
from server.payments.emergency.schemas import EmergencyMove, EmergencyView

FRESH_FOR = timedelta(minutes=10)
"""How long after signing in a session may unlock."""
_NAMESPACE = UUID("5e0c6bd2-5d0c-5a3e-8e1c-2f6a5d7f9b40")
Direction = Literal["lock", "unlock"]


async def lock_money(
    uow: UnitOfWork, caller: Caller, data: EmergencyMove, *, key: str
) -> EmergencyView:
    """Move money from the available to the emergency balance, once for each key.

    Raises:
        InsufficientFunds: less than that is available.
        UnknownCurrency: this server does not know the currency.
        IdempotencyConflict: the key was used for something else.
    """
    return _told(await uow.run(lambda tx: _move(tx, caller, data, "lock", key)))


async def unlock_money(
    uow: UnitOfWork, caller: Caller, data: EmergencyMove, *, key: str
) -> EmergencyView:
    """Move money back to the available balance, once for each key.

    Raises:
        SignInAgain: the session began more than ``FRESH_FOR`` ago.
        InsufficientFunds: less than that is locked.
        UnknownCurrency: this server does not know the currency.
        IdempotencyConflict: the key was used for something else.
    """

    async def command(tx: Tx) -> EmergencyView | Outcome:
        began = await signed_in_at(tx, caller)
        if began is None or began <= tx.now - FRESH_FOR:
            raise SignInAgain(
                "Unlocking needs a session that has just begun.",
                fix="Sign in with POST /v1/sessions, and unlock with the token of that answer "
                f"within {FRESH_FOR // timedelta(minutes=1)} minutes.",
            )
        return await _move(tx, caller, data, "unlock", key)

    return _told(await uow.run(command))


def _told(answer: EmergencyView | Outcome) -> EmergencyView:
    """Return the answer, or raise what was refused once that has been committed."""
    if isinstance(answer, EmergencyView):
        return answer
    answer.raise_for_refusal()
    raise AssertionError("an entry that was applied has a view")


async def _move(
    tx: Tx, caller: Caller, data: EmergencyMove, direction: Direction, key: str
) -> EmergencyView | Outcome:
    """Move money, or return the refusal: it is kept too, so a late retry does not turn it round."""
    asset(data.currency)
    request = _posting(caller, data, direction, key)

    async def work() -> EmergencyView | None:
        (outcome,) = await post_many(tx, [request])
        if not outcome.applied:
            return None
        emergency = await balance(tx, _ref(caller, AccountKind.USER_EMERGENCY, data.currency))
        available = await balance(tx, _ref(caller, AccountKind.USER_AVAILABLE, data.currency))
        return EmergencyView(
            entry=request.id,
            direction=direction,
            amount=data.amount,
            currency=data.currency,
            emergency=emergency.available,
            available=available.available,
            as_of=tx.now,
        )

    answer: EmergencyView | None = await once(
        tx,
        tenant=caller.tenant,
        owner=caller.user_id,
        operation=f"emergency.{direction}",
        key=key,
        digest=fingerprint(data),
        answer_type=cast("type[EmergencyView | None]", EmergencyView | None),
        work=work,
    )
    if answer is not None:
        return answer
    (refused,) = await post_many(tx, [request])
    return refused


def _posting(caller: Caller, data: EmergencyMove, direction: Direction, key: str) -> EntryRequest:
    available = _ref(caller, AccountKind.USER_AVAILABLE, data.currency)
    emergency = _ref(caller, AccountKind.USER_EMERGENCY, data.currency)
    locking = direction == "lock"
    name = f"{direction}/{caller.tenant}/{caller.user_id}/{key}"
    return EntryRequest(
        id=uuid5(_NAMESPACE, name),
        kind=f"emergency.{direction}",
        debit=available if locking else emergency,
        credit=emergency if locking else available,
        amount=data.amount,
    )


def _ref(caller: Caller, kind: AccountKind, currency: str) -> AccountRef:
    return AccountRef(kind, currency, caller.user_id, caller.tenant)
