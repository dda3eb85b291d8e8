"""The level of a person, which decides about their limits.

Levels are given by officers at the command line, or by whatever checks documents. Who was given
none has the default level of the limits in force.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from server.kit.errors import Conflict, InvalidRequest
from server.kit.unit_of_work import Tx
from server.payments.limits.domain import LEVELS
from server.payments.limits.models import UserLevelRow

_AT_ONCE = 10_000


async def levels_of(tx: Tx, tenant: int, users: Iterable[UUID]) -> Mapping[UUID, int]:
    """Return the levels of those of the users who were given one."""
    wanted = list(dict.fromkeys(users))
    if tx.dialect == "postgresql":
        rows: Iterable[Sequence[Any]] = await tx.connection.exec_driver_sql(
            "SELECT user_id, level FROM user_levels($1, $2)", (tenant, wanted)
        )
        return {row[0]: row[1] for row in rows}
    found: dict[UUID, int] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        part = wanted[at : at + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        found_rows: Iterable[Sequence[Any]] = await tx.connection.exec_driver_sql(
            "SELECT user_id, level, max(version) FROM user_level "  # noqa: S608 - marks
            f"WHERE tenant = ? AND user_id IN ({marks}) GROUP BY user_id",
            (tenant, *(user.bytes for user in part)),
        )
        found |= {UUID(bytes=row[0]): row[1] for row in found_rows}
    return found


async def set_level(
    tx: Tx, tenant: int, user_id: UUID, level: int, *, reason: str, by: str
) -> None:
    """Give a person a level from now on; earlier ones stay on record.

    Raises:
        InvalidRequest: there is no such level.
        Conflict: somebody else gave them one at the same moment.
    """
    if level not in LEVELS:
        raise InvalidRequest(f"Levels are {LEVELS[0]} to {LEVELS[-1]}.")
    latest = await tx.session.scalar(
        select(func.coalesce(func.max(UserLevelRow.version), 0)).where(
            UserLevelRow.tenant == tenant, UserLevelRow.user_id == user_id
        )
    )
    values = {
        "tenant": tenant,
        "user_id": user_id,
        "version": (latest or 0) + 1,
        "level": level,
        "reason": reason,
        "set_by": by,
        "set_at": tx.now,
    }
    try:
        await tx.connection.execute(insert(UserLevelRow).values(values))
    except IntegrityError as error:
        raise Conflict(
            "Somebody else gave this person a level at the same moment.", fix="Look, and try again."
        ) from error
