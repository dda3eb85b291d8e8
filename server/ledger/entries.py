"""Posting: the ledger's only verb.

Lock, read, decide, write - in that order, as separate statements. A statement that waits for a lock
does not see what was committed meanwhile except in the locked row itself, so known ids and holds
are read after the accounts are locked. Every answer is stored, also a refusal: a late retry never
turns a no into a yes.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from operator import attrgetter
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from server.kit.db import to_microseconds
from server.kit.errors import IdempotencyConflict
from server.kit.unit_of_work import Tx
from server.ledger.batches import Batch, conflict
from server.ledger.book_errors import BalanceAboveCeiling, ExternalIdUsed
from server.ledger.chart import AccountRef
from server.ledger.cutoff import first_open
from server.ledger.decisions import Decisions, State, apply
from server.ledger.domain import Account, EntryRequest, Operation, Outcome
from server.ledger.store import Known, Store
from server.ledger.stores import store_of

_BY_NUMBER = attrgetter("int")
BATCH_MAX = 8000
"""Requests in one call: SQLite takes 32766 parameters, and each request names two accounts."""


async def post_many(tx: Tx, requests: Sequence[EntryRequest]) -> list[Outcome]:
    """Apply requests in order and return their outcomes, in the same order.

    Refusals are outcomes, not errors (see `Outcome.raise_for_refusal`), and are final. An id that
    was used before gives its first outcome again. Accounts are opened when they are first named.
    They stay locked until the caller's transaction ends. What should take effect on a closed day
    takes effect with the first instant that is open.

    Raises:
        IdempotencyConflict: an id came with another request than the first time. Nothing of the
            batch is written.
        BalanceAboveCeiling: an account would go above its ceiling. Nothing of the batch is written,
            and no outcome is stored.
        ExternalIdUsed: another entry books the same outside fact on the same mirror account.
        ValueError: the batch is too long, or for several tenants.
    """
    (answer,) = await post_groups(tx, [requests])
    if isinstance(answer, IdempotencyConflict):
        raise answer
    return answer


async def post_groups(
    tx: Tx, groups: Sequence[Sequence[EntryRequest]]
) -> list[list[Outcome] | IdempotencyConflict]:
    """Do what `post_many` does for several callers at once, in their order.

    A group with a conflict gets it as its answer, and nothing of it is written; the others do not
    notice. Of a request in several groups, the first one's outcome is new and the others replayed.

    Raises:
        IdempotencyConflict: an id was used for a movement between other accounts at this moment.
        ExternalIdUsed, ValueError: as `post_many`, for all groups.
    """
    count = sum(map(len, groups))
    if not count:
        return [[] for _ in groups]
    if count > BATCH_MAX:
        raise ValueError(f"{count} requests in one batch; the most is {BATCH_MAX}")
    tenant = next(request.debit.tenant for group in groups for request in group)
    if any(request.debit.tenant != tenant for group in groups for request in group):
        raise ValueError("a batch is for one tenant")
    batch = Batch(groups)
    if not batch.wanted:
        return batch.answers({})
    for request in batch.wanted.values():
        # Computed once and kept; now, and not while others wait for the accounts.
        request.fingerprint  # noqa: B018
    store, now = store_of(tx, tenant), to_microseconds(tx.now)
    accounts, known = await _lock(store, batch.wanted, now)
    fresh = batch.fresh(known) if known else list(batch.wanted.values())
    outcomes = {
        id_: Outcome(id_, found.reason is None, found.reason, replayed=True)
        for id_, found in known.items()
    }
    if fresh:
        dated = any(request.effective_at is not None for request in fresh)
        open_from = await first_open(tx, tenant) if dated else 0
        decided = await _decide(store, fresh, accounts, now, open_from)
        await _write(store, decided)
        for entry in decided.entries:
            outcomes[entry.id] = Outcome(entry.id, entry.reason is None, entry.reason)
    return batch.answers(outcomes)


async def expire_due(tx: Tx, tenant: int, accounts: Sequence[UUID]) -> int:
    """End the holds of some accounts whose time ran out; return how many."""
    store = store_of(tx, tenant)
    locked, _ = await store.lock(sorted(accounts))
    decided = await _decide(store, [], locked, to_microseconds(tx.now))
    await _write(store, decided)
    return len(decided.entries)


async def _lock(
    store: Store, requests: Mapping[UUID, EntryRequest], now: int
) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
    refs: dict[UUID, AccountRef] = {}
    for request in requests.values():
        refs[request.debit.id] = request.debit
        refs[request.credit.id] = request.credit
    ids, entries = sorted(refs, key=_BY_NUMBER), list(requests)
    accounts, known = await store.lock(ids, entries)
    if missing := [refs[key] for key in ids if key not in accounts]:
        await store.open(missing, now)
        accounts, known = await store.lock(ids, entries)
    assert len(accounts) == len(ids), "an account that was opened is there"
    return accounts, known


async def _decide(
    store: Store,
    fresh: Sequence[EntryRequest],
    accounts: dict[UUID, Account],
    now: int,
    open_from: int = 0,
) -> Decisions:
    named = [request.hold for request in fresh if request.hold is not None]
    holding = [account.id for account in accounts.values() if account.held]
    holds = {}
    if named or holding:
        due_at = max(now, *(account.at for account in accounts.values()))
        holds = await store.holds(named, holding, due_at)
    return apply(fresh, State(accounts, holds, now, open_from))


async def _write(store: Store, decided: Decisions) -> None:
    if not decided.entries:
        return
    try:
        await store.write(decided.entries)
    except (IntegrityError, sqlite3.IntegrityError) as error:
        # On SQLite the driver is asked directly, so its own error comes.
        cause = getattr(error, "orig", error)
        # The same request would have waited for the same locks and been found: this is another.
        if getattr(cause, "sqlstate", None) == "23505" and "entry_pkey" in str(cause):
            ids = [entry.id for entry in decided.entries if entry.operation is not Operation.EXPIRE]
            raise conflict(ids[0]) from error
        if "never_above_ceiling" in str(cause):
            raise BalanceAboveCeiling("An account has a ceiling below this balance.") from error
        if "external_reference" in str(cause):
            raise ExternalIdUsed(
                "Another entry books this outside fact already.",
                fix="Look the fact up by its external id.",
            ) from error
        raise
