"""What a user sees of their limits: what was used, what is left, and until when."""

from collections.abc import Iterator
from uuid import UUID

from server.kit.unit_of_work import Tx
from server.payments.limits.domain import Counter, LimitKind, LimitPolicy, Used, rolled
from server.payments.limits.levels import levels_of
from server.payments.limits.policy import policy_in_force
from server.payments.limits.schemas import LimitsView, LimitView
from server.payments.limits.usage import used_of


async def limits_view(tx: Tx, tenant: int, user_id: UUID) -> LimitsView:
    """Return the limits of a user as they stand at this moment."""
    policy = await policy_in_force(tx, tenant)
    levels = await levels_of(tx, tenant, [user_id])
    level = levels.get(user_id, policy.level_default)
    used = await used_of(tx, tenant, user_id, policy)
    day, month = policy.period(tx.now)
    views: list[LimitView] = []
    for counter in _counters(policy, user_id.int, level):
        now = rolled(used.get(counter, Used(day, 0, month, 0)), day, month)
        views += _both(policy, counter, level, now)
    return LimitsView(level=level, time_zone=str(policy.time_zone), limits=views)


def _counters(policy: LimitPolicy, user: int, level: int) -> Iterator[Counter]:
    for kind in LimitKind:
        yield Counter(kind, f"*{policy.base_currency}", user)
        for of_level, of_kind, currency in sorted(policy.caps, key=str):
            if (of_level, of_kind) == (level, kind) and currency is not None:
                yield Counter(kind, currency, user)


def _both(policy: LimitPolicy, counter: Counter, level: int, now: Used) -> Iterator[LimitView]:
    caps = policy.caps_of(level, counter)
    ends = policy.resets_at(now.day, now.month)
    rows = (
        ("day", caps.day, now.day_used, ends[0]),
        ("month", caps.month, now.month_used, ends[1]),
    )
    for period, cap, used, resets_at in rows:
        yield LimitView(
            kind=counter.kind.value,
            period=period,  # type: ignore[arg-type]
            currency=counter.currency,
            all_currencies=counter.unit.startswith("*"),
            limit=cap,
            used=used,
            left=None if cap is None else max(0, cap - used),
            resets_at=resets_at,
        )
