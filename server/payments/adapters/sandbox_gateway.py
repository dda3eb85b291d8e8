"""The built-in sandbox card gateway. It moves no real money and says so in every payment id.

It behaves as a real one does where that matters: it has a memory of its own, apart from our
database, and it is idempotent by key. The card decides what happens:

- ``sandbox-ok``: succeeds.
- ``sandbox-declined``: is declined.
- ``sandbox-pending``: is pending, and has succeeded when it is looked up.
- ``sandbox-action``, or none: asks the payer for something, and has succeeded when it is looked up.
- ``sandbox-unreachable``: never answers and charges nothing.
- ``sandbox-lost-answer``: charges, but the first answer is lost; asking again finds it.

Refunds succeed at once. There are no fees, no disputes and no events.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from server.payments.gateway import (
    GatewayEvent,
    GatewayMovement,
    GatewayPayment,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    MovementKind,
    PaymentFacts,
    PaymentStatus,
    RefundStatus,
)

T = TypeVar("T")

UNREACHABLE = "sandbox-unreachable"
LOST_ANSWER = "sandbox-lost-answer"
_STATUS = {
    "sandbox-ok": PaymentStatus.SUCCEEDED,
    "sandbox-pending": PaymentStatus.PENDING,
    "sandbox-action": PaymentStatus.REQUIRES_ACTION,
    "": PaymentStatus.REQUIRES_ACTION,
    LOST_ANSWER: PaymentStatus.SUCCEEDED,
}
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS payment (
  key TEXT PRIMARY KEY, id TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
  card TEXT NOT NULL, status TEXT NOT NULL, reason TEXT
) STRICT
""",
    """
CREATE TABLE IF NOT EXISTS refund (
  key TEXT PRIMARY KEY, id TEXT NOT NULL, payment TEXT NOT NULL, amount INTEGER NOT NULL
) STRICT
""",
)


class SandboxGateway:
    """Keeps its payments in a SQLite file of its own."""

    name = "sandbox"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def create_payment(
        self, *, amount: int, currency: str, card: str | None, idempotency_key: str
    ) -> GatewayPayment:
        if card == UNREACHABLE:
            raise GatewayUnavailable("the sandbox was told not to answer")
        status = _STATUS.get(card or "", PaymentStatus.DECLINED)
        reason = None
        if status is PaymentStatus.DECLINED:
            reason = "card_declined" if card == "sandbox-declined" else "card_unknown"
        row = (
            idempotency_key,
            _name("sandbox", idempotency_key),
            amount,
            currency,
            card or "",
            status.value,
            reason,
        )

        def charge(connection: sqlite3.Connection) -> bool:
            statement = "INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
            return connection.execute(statement, row).rowcount == 1

        is_first = await self._run(charge)
        if is_first and card == LOST_ANSWER:
            raise GatewayUnavailable("the sandbox was told to lose its first answer")
        payment = await self._run(lambda connection: _find(connection, "key", idempotency_key))
        assert payment is not None
        return payment

    async def find_payment(
        self, idempotency_key: str, *, gateway_id: str | None = None, since: datetime | None = None
    ) -> GatewayPayment | None:
        del gateway_id, since  # it finds everything by key

        def settle_and_find(connection: sqlite3.Connection) -> GatewayPayment | None:
            connection.execute(
                "UPDATE payment SET status = ? WHERE key = ? AND status IN (?, ?)",
                (
                    PaymentStatus.SUCCEEDED.value,
                    idempotency_key,
                    PaymentStatus.PENDING.value,
                    PaymentStatus.REQUIRES_ACTION.value,
                ),
            )
            return _find(connection, "key", idempotency_key)

        return await self._run(settle_and_find)

    async def cancel_payment(self, gateway_id: str) -> GatewayPayment:
        def cancel(connection: sqlite3.Connection) -> GatewayPayment | None:
            connection.execute(
                "UPDATE payment SET status = ?, reason = ? WHERE id = ? AND status <> ?",
                (
                    PaymentStatus.DECLINED.value,
                    "canceled",
                    gateway_id,
                    PaymentStatus.SUCCEEDED.value,
                ),
            )
            return _find(connection, "id", gateway_id)

        payment = await self._run(cancel)
        if payment is None:
            raise GatewayUnavailable("the sandbox knows no such payment")
        return payment

    async def refund_payment(
        self, gateway_id: str, *, amount: int, currency: str, idempotency_key: str
    ) -> GatewayRefund:
        del currency

        def give_back(connection: sqlite3.Connection) -> GatewayRefund:
            found = [
                each for each in _refunds(connection, gateway_id) if each.key == idempotency_key
            ]
            if found:
                return found[0]
            query = "SELECT amount FROM payment WHERE id = ? AND status = ?"
            paid = connection.execute(query, (gateway_id, PaymentStatus.SUCCEEDED.value)).fetchone()
            given = sum(each.amount for each in _refunds(connection, gateway_id))
            if paid is None or given + amount > int(paid[0]):
                raise GatewayRefused("charge_already_refunded")
            identifier = _name("sandbox_refund", idempotency_key)
            connection.execute(
                "INSERT INTO refund VALUES (?, ?, ?, ?)",
                (idempotency_key, identifier, gateway_id, amount),
            )
            return GatewayRefund(identifier, amount, RefundStatus.SUCCEEDED, key=idempotency_key)

        return await self._run(give_back)

    async def payment_facts(self, gateway_id: str) -> PaymentFacts | None:
        def look(connection: sqlite3.Connection) -> PaymentFacts | None:
            payment = _find(connection, "id", gateway_id)
            if payment is None:
                return None
            query = "SELECT key, amount, currency FROM payment WHERE id = ?"
            key, amount, currency = connection.execute(query, (gateway_id,)).fetchone()
            refunds = _refunds(connection, gateway_id)
            lines = [(gateway_id, MovementKind.CHARGE, amount)]
            lines += [(each.id, MovementKind.REFUND, -each.amount) for each in refunds]
            if payment.status is not PaymentStatus.SUCCEEDED:
                lines = []
            return PaymentFacts(
                payment,
                key,
                amount,
                currency,
                refunds=refunds,
                movements=[
                    GatewayMovement(name, kind, moved, moved, currency, fee=0)
                    for name, kind, moved in lines
                ],
            )

        return await self._run(look)

    async def recent_events(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[GatewayEvent]:
        """Return nothing: the sandbox tells only when it is asked."""
        del since, until
        return ()

    async def charged(self) -> int:
        """Return how many cards were charged: what an outside statement would show."""

        def count(connection: sqlite3.Connection) -> int:
            query = "SELECT count(*) FROM payment WHERE status = ?"
            row = connection.execute(query, (PaymentStatus.SUCCEEDED.value,)).fetchone()
            return int(row[0])

        return await self._run(count)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def in_thread() -> T:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)

        return await asyncio.to_thread(in_thread)


def _name(prefix: str, key: str) -> str:
    return f"{prefix}_{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _find(connection: sqlite3.Connection, column: str, value: str) -> GatewayPayment | None:
    query = f"SELECT id, status, reason FROM payment WHERE {column} = ?"  # noqa: S608 - a constant
    row = connection.execute(query, (value,)).fetchone()
    if row is None:
        return None
    status = PaymentStatus(row[1])
    is_open = status is PaymentStatus.REQUIRES_ACTION
    return GatewayPayment(
        row[0],
        status,
        row[2],
        charge=row[0] if status is PaymentStatus.SUCCEEDED else None,
        client_secret=f"{row[0]}_secret" if is_open else None,
    )


def _refunds(connection: sqlite3.Connection, payment: str) -> list[GatewayRefund]:
    query = "SELECT id, amount, key FROM refund WHERE payment = ? ORDER BY key"
    return [
        GatewayRefund(identifier, amount, RefundStatus.SUCCEEDED, key=key)
        for identifier, amount, key in connection.execute(query, (payment,))
    ]
