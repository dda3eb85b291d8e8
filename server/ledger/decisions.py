"""What becomes of a batch of requests: decided here, purely, on state that was read under locks.

Requests are taken in order, each on the state that the ones before it left. The requests of a
chain are taken where its first one stands; if one is refused, the state goes back to what it was
before the chain and all of them are refused. Expired holds end before anything else is decided.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as joined
from uuid import UUID

from server.kit.db import to_microseconds
from server.ledger.canonical import canonical
from server.ledger.domain import (
    BALANCE_MAX,
    Account,
    Entry,
    EntryRequest,
    Hold,
    HoldState,
    Operation,
    expiry_id,
)
from server.ledger.errors import Refusal

EXPIRY_KIND = "hold.expired"


@dataclass(frozen=True, slots=True)
class State:
    """Every account and hold that the requests name, and the present time in microseconds.

    ``holds`` also has the open, expired holds of the accounts, whether named or not.
    """

    accounts: Mapping[UUID, Account]
    holds: Mapping[UUID, Hold]
    now: int
    open_from: int = 0
    """Nothing takes effect before this: the days before are closed."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The entries to write, in order, and the state that they lead to."""

    entries: list[Entry]
    state: State


def apply(requests: Sequence[EntryRequest], state: State) -> Decisions:
    """Decide about requests whose ids are new and distinct. Neither argument is changed."""
    books = _Books(state)
    for hold in state.holds.values():
        books.expire(hold)
    for group in _groups(requests):
        books.take(group)
    return Decisions(books.entries, State(books.accounts, books.holds, state.now))


def _groups(requests: Sequence[EntryRequest]) -> Iterable[list[EntryRequest]]:
    chains: dict[UUID, list[EntryRequest]] = {}
    groups: list[list[EntryRequest]] = []
    for request in requests:
        if request.chain is None:
            groups.append([request])
        elif request.chain in chains:
            chains[request.chain].append(request)
        else:
            chains[request.chain] = [request]
            groups.append(chains[request.chain])
    return groups


def _problem_of(hold: Hold, request: EntryRequest, at: int) -> Refusal | None:
    """Return why a capture or release at some time finds no use for a hold."""
    if (hold.debit, hold.credit) != (request.debit.id, request.credit.id):
        return Refusal.HOLD_MISMATCH
    ran_out = hold.expires_at is not None and hold.expires_at <= at
    if hold.state is HoldState.EXPIRED or (hold.state is HoldState.OPEN and ran_out):
        return Refusal.HOLD_EXPIRED
    if hold.state is not HoldState.OPEN:
        return Refusal.HOLD_DONE
    return Refusal.HOLD_EXCEEDED if request.amount > hold.rest else None


class _Books:
    """A working copy of the state, with the entries that were decided."""

    def __init__(self, state: State) -> None:
        self.accounts = dict(state.accounts)
        self.holds = dict(state.holds)
        self.entries: list[Entry] = []
        self._now = state.now
        self._open_from = state.open_from

    def expire(self, hold: Hold) -> None:
        account = self.accounts.get(hold.debit)
        if account is None or hold.state is not HoldState.OPEN or not self._expired(hold, account):
            return
        at = max(self._now, account.at)
        self.accounts[account.id] = account._replace(held=account.held - hold.rest, at=at)
        self.holds[hold.id] = hold._replace(state=HoldState.EXPIRED)
        self.entries.append(
            Entry(
                id=expiry_id(hold.id),
                operation=Operation.EXPIRE,
                kind=EXPIRY_KIND,
                reason=None,
                debit=hold.debit,
                credit=hold.credit,
                asset=account.asset,
                amount=hold.rest,
                debit_version=None,
                credit_version=None,
                hold=hold.id,
                chain=None,
                expires_at=None,
                effective_at=at,
                at=at,
                fingerprint=hashlib.sha256(canonical(EXPIRY_KIND, hold.id)).digest(),
                memo=None,
            )
        )

    def take(self, group: Sequence[EntryRequest]) -> None:
        """Apply all requests of a group, or refuse all of them."""
        if len(group) == 1:
            if reason := self._try(group[0]):
                self._refuse(group[0], reason)
            return
        touched = set(joined.from_iterable((r.debit.id, r.credit.id) for r in group))
        accounts = {key: self.accounts[key] for key in touched}
        holds = {key: self.holds.get(key) for key in (r.hold or r.id for r in group)}
        entries_before = len(self.entries)
        for culprit in group:
            if reason := self._try(culprit):
                break
        else:
            return
        self.accounts.update(accounts)
        for key, hold in holds.items():
            if hold is None:
                self.holds.pop(key, None)
            else:
                self.holds[key] = hold
        del self.entries[entries_before:]
        for request in group:
            self._refuse(request, reason if request is culprit else Refusal.CHAIN_FAILED)

    def _try(self, request: EntryRequest) -> Refusal | None:
        debit, credit = self.accounts[request.debit.id], self.accounts[request.credit.id]
        if debit.closed or credit.closed:
            return Refusal.ACCOUNT_CLOSED
        match request.operation:
            case Operation.POST:
                return self._post(request, debit, credit)
            case Operation.HOLD:
                return self._hold(request, debit)
            case Operation.CAPTURE | Operation.RELEASE:
                return self._end_hold(request, debit, credit)
            case Operation.EXPIRE:
                raise AssertionError("requests never expire holds")

    def _post(self, request: EntryRequest, debit: Account, credit: Account) -> Refusal | None:
        if debit.floor is not None and debit.posted - debit.held - request.amount < debit.floor:
            return Refusal.INSUFFICIENT_FUNDS
        return self._move(request, debit, credit, unheld=0)

    def _hold(self, request: EntryRequest, debit: Account) -> Refusal | None:
        # A hold never draws on a credit line, also where the account has one.
        floor = max(debit.floor or 0, 0)
        if debit.posted - debit.held - request.amount < floor:
            return Refusal.INSUFFICIENT_FUNDS
        at = max(self._now, debit.at)
        expires_at = None if request.expires_at is None else to_microseconds(request.expires_at)
        if expires_at is not None and expires_at <= at:
            return Refusal.HOLD_EXPIRED
        self.accounts[debit.id] = debit._replace(held=debit.held + request.amount, at=at)
        self.holds[request.id] = Hold(
            request.id,
            debit.id,
            request.credit.id,
            request.amount,
            0,
            HoldState.OPEN,
            expires_at,
        )
        self._write(request, at, amount=request.amount)
        return None

    def _end_hold(self, request: EntryRequest, debit: Account, credit: Account) -> Refusal | None:
        assert request.hold is not None
        hold = self.holds.get(request.hold)
        if hold is None:
            return Refusal.HOLD_UNKNOWN
        at = max(self._now, debit.at, credit.at)
        if reason := _problem_of(hold, request, at):
            return reason
        if request.operation is Operation.RELEASE:
            self.accounts[debit.id] = debit._replace(held=debit.held - hold.rest, at=at)
            self.holds[hold.id] = hold._replace(state=HoldState.RELEASED)
            self._write(request, at, amount=hold.rest)
            return None
        if reason := self._move(request, debit, credit, unheld=request.amount):
            return reason
        taken = hold.taken + request.amount
        state = HoldState.CAPTURED if taken == hold.amount else HoldState.OPEN
        self.holds[hold.id] = hold._replace(taken=taken, state=state)
        return None

    def _move(
        self, request: EntryRequest, debit: Account, credit: Account, *, unheld: int
    ) -> Refusal | None:
        amount = request.amount
        if debit.posted - amount < -BALANCE_MAX or credit.posted + amount > BALANCE_MAX:
            return Refusal.BALANCE_OUT_OF_RANGE
        # Never below either account's last: the order of versions is the order of times.
        at = max(self._now, debit.at, credit.at)
        self.accounts[debit.id] = Account(
            debit.id,
            debit.asset,
            debit.floor,
            debit.posted - amount,
            debit.held - unheld,
            debit.version + 1,
            at,
            debit.closed,
        )
        self.accounts[credit.id] = Account(
            credit.id,
            credit.asset,
            credit.floor,
            credit.posted + amount,
            credit.held,
            credit.version + 1,
            at,
            credit.closed,
        )
        versions = (debit.version + 1, credit.version + 1)
        self._write(request, at, amount=amount, versions=versions)
        return None

    def _expired(self, hold: Hold, account: Account) -> bool:
        return hold.expires_at is not None and hold.expires_at <= max(self._now, account.at)

    def _refuse(self, request: EntryRequest, reason: Refusal) -> None:
        at = max(self._now, self.accounts[request.debit.id].at, self.accounts[request.credit.id].at)
        self._write(request, at, amount=request.amount, reason=reason)

    def _write(
        self,
        request: EntryRequest,
        at: int,
        *,
        amount: int,
        versions: tuple[int | None, int | None] = (None, None),
        reason: Refusal | None = None,
    ) -> None:
        effective_at = at
        if request.effective_at is not None:
            effective_at = max(to_microseconds(request.effective_at), self._open_from)
        expires_at = None if request.expires_at is None else to_microseconds(request.expires_at)
        self.entries.append(
            Entry(
                request.id,
                request.operation,
                request.kind,
                reason,
                request.debit.id,
                request.credit.id,
                request.debit.asset,
                amount,
                *versions,
                request.hold,
                request.chain,
                expires_at,
                effective_at,
                at,
                request.fingerprint,
                None if request.memo is None else request.memo_text,
            )
        )
