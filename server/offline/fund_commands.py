"""The guarantee fund at the operator's command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from server.kit.errors import InvalidRequest
from server.kit.idempotency import check_key, fingerprint, once
from server.kit.money import AMOUNT_MAX, Money, asset
from server.kit.schema import Schema
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.audit import OPERATOR
from server.offline.events import lock_offline
from server.offline.fund import fund_currencies, fund_state, move_fund
from server.offline.policy import policy_in_force
from server.offline.policy_commands import checked_reason
from server.offline.postings import NOBODY, Book
from server.offline.settlement import run_settling


class _Said(Schema):
    text: str


async def fund_rows(tx: Tx, tenant: int) -> list[dict[str, object]]:
    """Return the fund in every currency in which it was ever used."""
    rules = await policy_in_force(tx, tenant)
    states = [
        await fund_state(tx, tenant, code, rules) for code in await fund_currencies(tx, tenant)
    ]
    return [asdict(state) | {"room": state.room, "free": state.free} for state in states]


def fund_text(rows: Sequence[Mapping[str, object]]) -> str:
    lines = []
    for row in rows:
        code = str(row["currency"])
        shown = {name: Money(amount, code) for name, amount in row.items() if type(amount) is int}
        room = f"room for {shown['room']}" if "room" in shown else "no limit on promises"
        lines.append(
            f"{code}: {shown['balance']}, promised {shown['reserved']}, "
            f"free to take out {shown['free']}, {room}"
        )
    return "\n".join(lines or ["The guarantee fund was never used."])


async def change_fund(
    uow: UnitOfWork,
    tenant: int,
    *,
    amount: str,
    currency: str,
    sign: int,
    reason: str,
    key: str,
) -> str:
    """Move an amount, written as "12.50", into the fund (sign 1) or out of it; say what is there.

    Raises:
        InvalidRequest: the amount is none of this currency, or the reason does not fit.
        UnknownCurrency: this server does not know the currency.
        FundTooLow: so much is not free.
        IdempotencyConflict: the key was used for another movement.
    """
    minor = _minor_units(amount, currency)
    reason, key = checked_reason(reason), check_key(key)
    operation = "offline.fund.in" if sign > 0 else "offline.fund.out"

    async def work(tx: Tx) -> _Said:
        book, rules = Book(tenant, currency), await policy_in_force(tx, tenant)
        state = await move_fund(
            tx,
            tenant,
            OPERATOR,
            rules,
            amount=sign * minor,
            currency=currency,
            reason=reason,
            entry=book.entry_id(operation, "operator", key),
        )
        return _Said(text=f"The guarantee fund holds {Money(state.balance, currency)} now.")

    async def command(tx: Tx) -> _Said:
        await lock_offline(tx, tenant)
        return await once(
            tx,
            tenant=tenant,
            owner=_OPERATOR_KEYS,
            operation=operation,
            key=key,
            digest=fingerprint([minor, currency, reason]),
            answer_type=_Said,
            work=lambda: work(tx),
        )

    return (await run_settling(uow, tenant, command)).text


_OPERATOR_KEYS: UUID = NOBODY
"""Owner of the idempotency keys that operators choose."""


def _minor_units(text: str, currency: str) -> int:
    scale = asset(currency).scale
    form = re.fullmatch(
        rf"([0-9]{{1,15}})(?:\.([0-9]{{{scale}}}))?" if scale else r"([0-9]{1,15})()", text
    )
    minor = 0 if form is None else int(form[1]) * 10**scale + int(form[2] or 0)
    if not 0 < minor <= AMOUNT_MAX:
        raise InvalidRequest(
            f"{text!r} is no amount of {currency}.",
            fix=f"Write it with {scale} digits behind the point, or none.",
        )
    return minor
