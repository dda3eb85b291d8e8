"""The built-in sandbox card gateway. It moves no real money and says so in every payment id.

It behaves as a real one does where that matters: it has a memory of its own, apart from our
database, and it is idempotent by key. The card decides what happens:

- ``sandbox-ok``: succeeds.
- ``sandbox-declined``: is declined.
- ``sandbox-pending``: is pending, and has succeeded when it is looked up.
- ``sandbox-unreachable``: never answers and charges nothing.
- ``sandbox-lost-answer``: charges, but the first answer is lost; asking again finds it.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from server.payments.gateway import GatewayPayment, GatewayUnavailable, PaymentStatus

T = TypeVar("T")

UNREACHABLE = "sandbox-unreachable"
LOST_ANSWER = "sandbox-lost-answer"
_STATUS = {
    "sandbox-ok": PaymentStatus.SUCCEEDED,
    "sandbox-pending": PaymentStatus.PENDING,
    LOST_ANSWER: PaymentStatus.SUCCEEDED,
}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (
  key TEXT PRIMARY KEY, id TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
  card TEXT NOT NULL, status TEXT NOT NULL, reason TEXT
) STRICT
"""


class SandboxGateway:
    """Keeps its payments in a SQLite file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def create_payment(
        self, *, amount: int, currency: str, card: str, idempotency_key: str
    ) -> GatewayPayment:
        if card == UNREACHABLE:
            raise GatewayUnavailable("the sandbox was told not to answer")
        status = _STATUS.get(card, PaymentStatus.DECLINED)
        reason = None
        if status is PaymentStatus.DECLINED:
            reason = "card_declined" if card == "sandbox-declined" else "card_unknown"
        row = (
            idempotency_key,
            "sandbox_" + hashlib.sha256(idempotency_key.encode()).hexdigest()[:24],
            amount,
            currency,
            card,
            status.value,
            reason,
        )

        def charge(connection: sqlite3.Connection) -> bool:
            statement = "INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
            return connection.execute(statement, row).rowcount == 1

        is_first = await self._run(charge)
        if is_first and card == LOST_ANSWER:
            raise GatewayUnavailable("the sandbox was told to lose its first answer")
        payment = await self._run(lambda connection: _find(connection, idempotency_key))
        assert payment is not None
        return payment

    async def find_payment(self, idempotency_key: str) -> GatewayPayment | None:
        def settle_and_find(connection: sqlite3.Connection) -> GatewayPayment | None:
            connection.execute(
                "UPDATE payment SET status = ? WHERE key = ? AND status = ?",
                (PaymentStatus.SUCCEEDED.value, idempotency_key, PaymentStatus.PENDING.value),
            )
            return _find(connection, idempotency_key)

        return await self._run(settle_and_find)

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
                connection.execute(_SCHEMA)
                return work(connection)

        return await asyncio.to_thread(in_thread)


def _find(connection: sqlite3.Connection, key: str) -> GatewayPayment | None:
    query = "SELECT id, status, reason FROM payment WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    return None if row is None else GatewayPayment(row[0], PaymentStatus(row[1]), row[2])
