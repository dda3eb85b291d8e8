"""Counting against the limits, in the transaction that moves the money.

Lock, read, decide, write, as the ledger does: counters are locked in one order, so that two batches
never wait for each other in a ring, and stay locked until the caller's transaction ends. A batch of
hundreds costs as many statements as one use.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import chain as joined
from itertools import groupby
from typing import Any
from uuid import UUID

from server.fx import last_mids
from server.kit.bulk import id_value
from server.kit.unit_of_work import Tx
from server.payments.limits.domain import (
    Counter,
    LimitKind,
    LimitPolicy,
    LimitUse,
    PastUse,
    Used,
    decide,
    taken_back,
)
from server.payments.limits.errors import LimitExceeded
from server.payments.limits.levels import levels_of
from server.payments.limits.policy import policy_in_force

_COLUMNS = "kind, unit, user_id, day, day_used, month, month_used"
_KINDS = {kind.value: kind for kind in LimitKind}
_AT_ONCE = 4_096
_REPLACE = """
    ON CONFLICT (tenant, user_id, kind, unit) DO UPDATE SET day = excluded.day,
      day_used = excluded.day_used, month = excluded.month, month_used = excluded.month_used
"""
_SQLITE_WRITE = f"""
    INSERT INTO limit_used (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) {_REPLACE}
"""  # noqa: S608 - constants
# One row of lists: a thousand rows would each cost a step of the driver.
_POSTGRES_LOCK = """
    SELECT array_agg(user_id), array_agg(day), array_agg(day_used), array_agg(month),
      array_agg(month_used)
    FROM limit_lock($1, $2, $3, $4)
"""
_POSTGRES_OPEN = f"""
    INSERT INTO limit_used (tenant, {_COLUMNS})
    SELECT $1, $2, $3, user_id, 0, 0, 0, 0 FROM unnest($4::uuid[]) AS fresh (user_id)
    ON CONFLICT (tenant, user_id, kind, unit) DO NOTHING
"""  # noqa: S608 - constants
# Goes by the key of each row, whatever the planner thinks of the table: it is the conflict's index.
_POSTGRES_WRITE = f"""
    INSERT INTO limit_used (tenant, {_COLUMNS})
    SELECT $1, $2, $3, *
    FROM unnest($4::uuid[], $5::int[], $6::bigint[], $7::int[], $8::bigint[]) {_REPLACE}
"""  # noqa: S608 - constants


async def use_limits(tx: Tx, tenant: int, uses: Sequence[LimitUse]) -> list[LimitExceeded | None]:
    """Count what the limits allow; return None or the refusal for each use, in order.

    Call it in the transaction that moves the money, before `post_many`. Each use is decided on what
    the ones before it left. If the money is refused afterwards, either let the transaction fail, or
    call `give_back` for that use in the same transaction.
    """
    return await _count(tx, tenant, uses, enforce=True)


async def count_uses(tx: Tx, tenant: int, uses: Sequence[LimitUse]) -> None:
    """Count money that moved anyway, over the limit too, such as a deposit that a bank reported."""
    await _count(tx, tenant, uses, enforce=False)


async def give_back(tx: Tx, tenant: int, uses: Sequence[PastUse]) -> None:
    """Take earlier uses out of the counters again: money that was returned or refused later.

    ``at`` is the time (`Tx.now`) of the transaction that counted. On the same day both counters go
    down, later in the same month that of the month, and after that none. What was converted comes
    back at the rate of its own time, rounded down; part of an amount may be given back. In the
    transaction that counted it, a use comes back whole.
    """
    for at, group in _by_time(uses).items():
        policy = await policy_in_force(tx, tenant, at=at)
        mids = await _mids(tx, tenant, policy, [past.use for past in group], at=at)
        used = await _lock(tx, tenant, _counters(policy, [past.use for past in group]))
        changed = taken_back(policy, group, mids=mids, used=used, whole=at == tx.now)
        await _write(tx, tenant, changed)


async def used_of(tx: Tx, tenant: int, user_id: UUID, policy: LimitPolicy) -> dict[Counter, Used]:
    """Return a user's counters as they are stored, without locking them."""
    rows: Iterable[Sequence[Any]] = await tx.connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM limit_used WHERE tenant = "  # noqa: S608 - constants
        + ("$1 AND user_id = $2" if tx.dialect == "postgresql" else "? AND user_id = ?"),
        (tenant, id_value(tx, user_id)),
    )
    total = f"*{policy.base_currency}"
    counters = dict(_counted(row) for row in rows if row[0] in _KINDS)
    return {c: used for c, used in counters.items() if c.unit == total or c.unit[0] != "*"}


async def _count(
    tx: Tx, tenant: int, uses: Sequence[LimitUse], *, enforce: bool
) -> list[LimitExceeded | None]:
    if not uses:
        return []
    policy = await policy_in_force(tx, tenant)
    levels = await levels_of(tx, tenant, (use.user_id for use in uses))
    mids = await _mids(tx, tenant, policy, uses)
    used = await _lock(tx, tenant, _counters(policy, uses))
    answers, changed = decide(
        policy, uses, levels=levels, mids=mids, used=used, now=tx.now, enforce=enforce
    )
    await _write(tx, tenant, changed)
    return answers


async def _mids(
    tx: Tx,
    tenant: int,
    policy: LimitPolicy,
    uses: Iterable[LimitUse],
    *,
    at: datetime | None = None,
) -> Mapping[str, Fraction]:
    foreign = {use.currency for use in uses} - {policy.base_currency}
    if not foreign:
        return {}
    return await last_mids(tx, tenant, {*foreign, policy.base_currency}, at=at)


def _counters(policy: LimitPolicy, uses: Iterable[LimitUse]) -> list[Counter]:
    return sorted(set(joined.from_iterable(policy.counters(uses))))


def _by_time(uses: Sequence[PastUse]) -> dict[datetime, list[PastUse]]:
    groups: dict[datetime, list[PastUse]] = {}
    for past in uses:
        groups.setdefault(past.at, []).append(past)
    return groups


async def _lock(tx: Tx, tenant: int, counters: list[Counter]) -> dict[Counter, Used]:
    if tx.dialect == "sqlite":
        # The write transaction is the lock.
        return {
            counter: used
            for at in range(0, len(counters), _AT_ONCE)
            for counter, used in await _read_sqlite(tx, tenant, counters[at : at + _AT_ONCE])
        }
    found: dict[Counter, Used] = {}
    for (kind, unit), group in groupby(counters, key=_kind_and_unit):
        wanted = list(group)
        users = [UUID(int=counter.user) for counter in wanted]
        locked = await _lock_postgres(tx, tenant, kind, unit, users)
        if missing := [user for user in users if Counter(kind, unit, user.int) not in locked]:
            await tx.connection.exec_driver_sql(_POSTGRES_OPEN, (tenant, kind, unit, missing))
            locked = await _lock_postgres(tx, tenant, kind, unit, users)
        found |= locked
    return found


async def _lock_postgres(
    tx: Tx, tenant: int, kind: LimitKind, unit: str, users: list[UUID]
) -> dict[Counter, Used]:
    found = await tx.connection.exec_driver_sql(_POSTGRES_LOCK, (tenant, kind, unit, users))
    columns = found.one()
    if columns[0] is None:
        return {}
    return {
        Counter(kind, unit, row[0].int): Used._make(row[1:]) for row in zip(*columns, strict=True)
    }


async def _read_sqlite(tx: Tx, tenant: int, counters: list[Counter]) -> list[tuple[Counter, Used]]:
    slots = 1 << (len(counters) - 1).bit_length()
    marks = ", ".join(["(?, ?, ?)"] * slots)
    flat = [
        value
        for kind, unit, user in counters
        for value in (kind.value, unit, user.to_bytes(16, "big"))
    ]
    padding = [None] * (3 * (slots - len(counters)))
    rows = await tx.connection.exec_driver_sql(
        f"WITH wanted (k, n, u) AS (VALUES {marks}) SELECT {_COLUMNS} "  # noqa: S608 - marks
        "FROM wanted CROSS JOIN limit_used WHERE tenant = ? AND user_id = u AND kind = k "
        "AND unit = n",
        (*flat, *padding, tenant),
    )
    return [_counted(row) for row in rows]


async def _write(tx: Tx, tenant: int, changed: Mapping[Counter, Used]) -> None:
    if not changed:
        return
    if tx.dialect == "sqlite":
        await tx.connection.exec_driver_sql(
            _SQLITE_WRITE,
            [
                (tenant, counter.kind.value, counter.unit, counter.user.to_bytes(16, "big"), *used)
                for counter, used in changed.items()
            ],
        )
        return
    for (kind, unit), group in groupby(sorted(changed), key=_kind_and_unit):
        counters = list(group)
        figures: Iterable[tuple[int, ...]] = zip(*map(changed.__getitem__, counters), strict=True)
        users = [UUID(int=counter.user) for counter in counters]
        await tx.connection.exec_driver_sql(
            _POSTGRES_WRITE, (tenant, kind, unit, users, *map(list, figures))
        )


def _kind_and_unit(counter: Counter) -> tuple[LimitKind, str]:
    return counter[:2]


def _counted(row: Sequence[Any]) -> tuple[Counter, Used]:
    user = int.from_bytes(row[2], "big") if isinstance(row[2], bytes) else row[2].int
    return Counter(_KINDS[row[0]], row[1], user), Used(row[3], row[4], row[5], row[6])
