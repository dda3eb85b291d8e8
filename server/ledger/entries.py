"""Posting: the ledger's only verb.

Lock, read, decide, write - in that order, as separate statements. A statement that waits for a lock
does not see what was committed meanwhile except in the locked row itself, so known ids and holds
are read after the accounts are locked. Every answer is stored, also a refusal: a late retry never
turns a no into a yes.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from server.kit.db import to_microseconds
from server.kit.errors import IdempotencyConflict
from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountRef
from server.ledger.decisions import Decisions, State, apply
from server.ledger.domain import Account, EntryRequest, Operation, Outcome
from server.ledger.store import Known, Store
from server.ledger.stores import store_of

BATCH_MAX = 8000
"""Requests in one call: SQLite takes 32766 parameters, and each request names two accounts."""


async def post_many(tx: Tx, requests: Sequence[EntryRequest]) -> list[Outcome]:
    """Apply requests in order and return their outcomes, in the same order.

    Refusals are outcomes, not errors (see `Outcome.raise_for_refusal`), and are final. An id that
    was used before gives its first outcome again. Accounts are opened when they are first named.
    They stay locked until the caller's transaction ends.

    Raises:
        IdempotencyConflict: an id came with another request than the first time. Nothing of the
            batch is written.
        ValueError: the batch is too long, or for several tenants.
    """
    if not requests:
        return []
    if len(requests) > BATCH_MAX:
        raise ValueError(f"{len(requests)} requests in one batch; the most is {BATCH_MAX}")
    tenant = requests[0].debit.tenant
    if any(request.debit.tenant != tenant for request in requests):
        raise ValueError("a batch is for one tenant")
    wanted = _distinct(requests)
    store = store_of(tx, tenant)
    accounts, known = await _lock(store, wanted, to_microseconds(tx.now))
    fresh = _fresh(wanted, known)
    outcomes = {
        id_: Outcome(id_, found.reason is None, found.reason, replayed=True)
        for id_, found in known.items()
    }
    if fresh:
        decided = await _decide(store, fresh, accounts, to_microseconds(tx.now))
        await _write(store, decided)
        outcomes |= {
            entry.id: Outcome(entry.id, entry.reason is None, entry.reason)
            for entry in decided.entries
        }
    return _answers(requests, outcomes)


async def expire_due(tx: Tx, tenant: int, accounts: Sequence[UUID]) -> int:
    """End the holds of some accounts whose time ran out; return how many."""
    store = store_of(tx, tenant)
    locked, _ = await store.lock(sorted(accounts))
    decided = await _decide(store, [], locked, to_microseconds(tx.now))
    await _write(store, decided)
    return len(decided.entries)


def _distinct(requests: Sequence[EntryRequest]) -> dict[UUID, EntryRequest]:
    distinct: dict[UUID, EntryRequest] = {}
    for request in requests:
        first = distinct.setdefault(request.id, request)
        if first is not request and first.fingerprint != request.fingerprint:
            raise _conflict(request.id)
    return distinct


async def _lock(
    store: Store, requests: Mapping[UUID, EntryRequest], now: int
) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
    refs: dict[UUID, AccountRef] = {}
    for request in requests.values():
        refs[request.debit.id] = request.debit
        refs[request.credit.id] = request.credit
    ids, entries = sorted(refs), list(requests)
    accounts, known = await store.lock(ids, entries)
    if missing := [refs[key] for key in ids if key not in accounts]:
        await store.open(missing, now)
        accounts, known = await store.lock(ids, entries)
    assert len(accounts) == len(ids), "an account that was opened is there"
    return accounts, known


def _fresh(wanted: dict[UUID, EntryRequest], known: dict[UUID, Known]) -> list[EntryRequest]:
    for id_, found in known.items():
        if wanted[id_].fingerprint != found.fingerprint:
            raise _conflict(id_)
    fresh = [request for id_, request in wanted.items() if id_ not in known]
    old_chains = {chain for id_ in known if (chain := wanted[id_].chain) is not None}
    for request in fresh:
        if request.chain in old_chains:
            raise _conflict(request.id)
    return fresh


async def _decide(
    store: Store, fresh: Sequence[EntryRequest], accounts: dict[UUID, Account], now: int
) -> Decisions:
    named = [request.hold for request in fresh if request.hold is not None]
    holding = [account.id for account in accounts.values() if account.held]
    holds = {}
    if named or holding:
        due_at = max(now, *(account.at for account in accounts.values()))
        holds = await store.holds(named, holding, due_at)
    return apply(fresh, State(accounts, holds, now))


async def _write(store: Store, decided: Decisions) -> None:
    if not decided.entries:
        return
    try:
        await store.write(decided.entries)
    except IntegrityError as error:
        # The same request would have waited for the same locks and been found: this is another.
        if getattr(error.orig, "sqlstate", None) == "23505" and "entry_pkey" in str(error.orig):
            ids = [entry.id for entry in decided.entries if entry.operation is not Operation.EXPIRE]
            raise _conflict(ids[0]) from error
        raise


def _answers(requests: Sequence[EntryRequest], outcomes: dict[UUID, Outcome]) -> list[Outcome]:
    answers = []
    for request in requests:
        outcome = outcomes[request.id]
        answers.append(outcome)
        if not outcome.replayed:
            outcomes[request.id] = Outcome(
                outcome.id, outcome.applied, outcome.reason, replayed=True
            )
    return answers


def _conflict(id_: UUID) -> IdempotencyConflict:
    return IdempotencyConflict(
        "The id of a ledger entry was used before for another movement.",
        fix="Use a fresh id for a new movement; repeat a request without any change.",
        entry=str(id_),
    )
