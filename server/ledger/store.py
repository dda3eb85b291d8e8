"""How each database is asked for what posting needs; the rules live elsewhere.

Statements go to the driver as they are: posting is the hot path, and its few statements differ
between the two databases in every line. Times are microseconds, ids are UUID here and 16 bytes in
SQLite.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from server.ledger.chart import AccountRef
from server.ledger.domain import Account, Entry, Hold, Operation
from server.ledger.errors import Refusal

DUE_MAX = 1000
"""Expired holds that one batch ends on the way; the others wait for the next."""


class Known(NamedTuple):
    """What is stored about an id that was used before."""

    fingerprint: bytes
    reason: Refusal | None


class Store(Protocol):
    """Reads and writes for one tenant in one transaction."""

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        """Lock accounts in the order given, then read which entries are known.

        The second read sees all that was committed while the first one waited. Accounts that do
        not exist are left out.
        """
        ...

    async def open(self, refs: Sequence[AccountRef], now: int) -> None:
        """Open accounts, unless somebody else just did."""
        ...

    async def holds(
        self, ids: Sequence[UUID], accounts: Sequence[UUID], due_at: int
    ) -> dict[UUID, Hold]:
        """Return holds by id, and the open ones of accounts that are due."""
        ...

    async def write(self, entries: Sequence[Entry]) -> None:
        """Insert entries in order; the database posts them."""
        ...


ENTRY_COLUMNS = (
    "tenant, id, operation, kind, outcome, reason, debit, credit, asset, amount, debit_version, "
    "credit_version, hold, chain, expires_at, effective_at, at, fingerprint, memo"
)
ACCOUNT_COLUMNS = "id, asset, floor, posted, held, version, at, closed_at"
HOLD_COLUMNS = "id, debit, credit, amount, taken, state, expires_at"


_OPERATIONS = {operation: operation.value for operation in Operation}
_REASONS = {None: None} | {reason: reason.value for reason in Refusal}


def entry_columns(entry: Entry) -> tuple[Any, ...]:
    """Return the columns after the tenant."""
    id_, operation, kind, reason, *rest = entry
    outcome = "applied" if reason is None else "refused"
    return (id_, _OPERATIONS[operation], kind, outcome, _REASONS[reason], *rest)


def account_of(key: UUID, row: Sequence[Any]) -> Account:
    _, asset, floor, posted, held, version, at, closed_at, *_ = row
    return Account(key, asset, floor, posted, held, version, at, closed_at is not None)


def refusal_of(text: str | None) -> Refusal | None:
    return None if text is None else Refusal(text)
