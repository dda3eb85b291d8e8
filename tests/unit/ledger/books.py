"""Short ways to name accounts and write requests."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from server.kit.db import to_microseconds
from server.ledger import AccountKind, AccountRef, EntryRequest, Operation
from server.ledger.decisions import Decisions, State, apply
from server.ledger.domain import Account

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GATEWAY = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR")
FLOAT = AccountRef(AccountKind.HOUSE_OFFLINE_FLOAT, "EUR")
_numbers = count(1)


def user(number: int, asset: str = "EUR", tenant: int = 1) -> AccountRef:
    return AccountRef(AccountKind.USER_AVAILABLE, asset, UUID(int=number), tenant)


ANNA, BERK, CAROL = user(1), user(2), user(3)


def fresh_id() -> UUID:
    return UUID(int=(next(_numbers) << 64) | 0xA5)


def move(debit: AccountRef, credit: AccountRef, amount: int, **fields: Any) -> EntryRequest:
    fields.setdefault("id", fresh_id())
    return EntryRequest(kind="test", debit=debit, credit=credit, amount=amount, **fields)


def fund(ref: AccountRef, amount: int, **fields: Any) -> EntryRequest:
    source = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, ref.asset, None, ref.tenant)
    return move(source, ref, amount, **fields)


def hold(
    debit: AccountRef, credit: AccountRef, amount: int, *, for_s: float | None = None, **fields: Any
) -> EntryRequest:
    expires_at = None if for_s is None else START + timedelta(seconds=for_s)
    return move(debit, credit, amount, operation=Operation.HOLD, expires_at=expires_at, **fields)


def capture(of: EntryRequest, amount: int, **fields: Any) -> EntryRequest:
    return move(of.debit, of.credit, amount, operation=Operation.CAPTURE, hold=of.id, **fields)


def release(of: EntryRequest, **fields: Any) -> EntryRequest:
    return move(of.debit, of.credit, 0, operation=Operation.RELEASE, hold=of.id, **fields)


class Books:
    """Decides batch after batch in memory, as `post_many` would."""

    def __init__(self, *refs: AccountRef) -> None:
        self.now = to_microseconds(START)
        accounts = {
            ref.id: Account(ref.id, ref.asset, ref.kind.rule.floor, 0, 0, 0, 0, closed=False)
            for ref in refs
        }
        self.state = State(accounts, {}, self.now)

    def post(self, *requests: EntryRequest) -> list[str]:
        """Return what became of each entry: "applied" or the reason."""
        return [str(e.reason or "applied") for e in self.decide(*requests).entries]

    def decide(self, *requests: EntryRequest) -> Decisions:
        decided = apply(requests, State(self.state.accounts, self.state.holds, self.now))
        self.state = decided.state
        return decided

    def account(self, ref: AccountRef) -> Account:
        return self.state.accounts[ref.id]

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)
