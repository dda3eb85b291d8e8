"""What the limits take and give over HTTP."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from server.kit.schema import Schema
from server.payments.limits.policy import Level, LimitsDocument

Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=500, examples=["documents were checked"])
]


class LimitView(Schema):
    """A limit and what of it is left, in minor units of ``currency``.

    With ``all_currencies`` everything counts, converted into this currency.
    """

    kind: Literal["transfer", "deposit", "withdrawal"]
    period: Literal["day", "month"]
    currency: str
    all_currencies: bool
    limit: int | None
    """None where there is no limit."""
    used: int
    left: int | None
    resets_at: datetime


class LimitsView(Schema):
    """Your limits. Days and months begin at midnight in ``time_zone``."""

    level: int
    time_zone: str
    limits: list[LimitView]


class RulesVersion(Schema):
    """A version of the limits; number 0 is the built-in one."""

    version: int
    in_force: bool
    effective_at: datetime | None
    reason: str
    changed_by: str
    changed_at: datetime | None
    rules: LimitsDocument


class RulesChange(Schema):
    """The whole new limits, and the version that they replace."""

    rules: LimitsDocument
    reason: Reason
    replaces: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, examples=[0])]
    effective_at: (
        Annotated[datetime, msgspec.Meta(tz=True, examples=["2026-12-01T00:00:00Z"])] | None
    ) = None


class LevelSet(Schema):
    """The level that a person gets."""

    level: Level
    reason: Reason


class LevelView(Schema):
    username: str
    level: int
