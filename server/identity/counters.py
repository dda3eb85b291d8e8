"""Counting in the database, in one statement each, so that parallel calls cannot share a count.

A wrong guess is counted before the password is looked at: ten guesses at once are ten guesses.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import case, delete, update

from server.identity.domain import guess_delay
from server.identity.models import CounterRow, GuessRow
from server.identity.settings import IdentityPolicy
from server.identity.statements import upsert
from server.kit.errors import TooManyRequests
from server.kit.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class Count:
    """How often in the present window, and when that ends."""

    count: int
    until: datetime


async def count_up(
    tx: Tx, tenant: int, purpose: str, subject: bytes, *, window: timedelta
) -> Count:
    """Count one more and return the sum of the window; a window begins with its first count."""
    over = CounterRow.until <= tx.now
    statement = upsert(tx, CounterRow).values(
        tenant=tenant, purpose=purpose, subject=subject, count=1, until=tx.now + window
    )
    statement = statement.on_conflict_do_update(
        index_elements=[CounterRow.tenant, CounterRow.purpose, CounterRow.subject],
        set_={
            "count": case((over, 1), else_=CounterRow.count + 1),
            "until": case((over, statement.excluded.until), else_=CounterRow.until),
        },
    )
    counted = await tx.connection.execute(statement.returning(CounterRow.count, CounterRow.until))
    count, until = counted.one()
    return Count(count, until)


def too_many(tx: Tx, until: datetime, detail: str) -> TooManyRequests:
    wait_s = max(1, ceil((until - tx.now).total_seconds()))
    return TooManyRequests(detail, fix=f"Try again in {wait_s} s.", retry_after_s=wait_s)


def subject_of(text: str) -> bytes:
    """Return the 32 bytes under which something that is no secret is counted."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Guess:
    """Whether this guess may be looked at, and whether it is the one that began a pause."""

    allowed: bool
    began_pause: bool


async def take_guess(tx: Tx, tenant: int, subject: bytes, policy: IdentityPolicy) -> Guess:
    """Count a guess that is about to be checked, as if it were wrong.

    After ``guesses_before_delay`` in a row each further one has to wait, twice as long each time.
    """
    forgotten = GuessRow.forgotten_at <= tx.now
    statement = upsert(tx, GuessRow).values(
        tenant=tenant,
        subject=subject,
        failures=1,
        paused_until=tx.now,
        forgotten_at=tx.now + policy.guess_memory,
    )
    statement = statement.on_conflict_do_update(
        index_elements=[GuessRow.tenant, GuessRow.subject],
        set_={
            "failures": case((forgotten, 1), else_=GuessRow.failures + 1),
            "forgotten_at": statement.excluded.forgotten_at,
        },
        where=GuessRow.paused_until <= tx.now,
    )
    failures = (
        await tx.connection.execute(statement.returning(GuessRow.failures))
    ).scalar_one_or_none()
    if failures is None:
        return Guess(allowed=False, began_pause=False)
    delay = guess_delay(failures, policy)
    if delay:
        await tx.connection.execute(
            update(GuessRow)
            .where(GuessRow.tenant == tenant, GuessRow.subject == subject)
            .values(paused_until=tx.now + delay)
        )
    return Guess(allowed=True, began_pause=failures == policy.guesses_before_delay)


async def forget_guesses(tx: Tx, tenant: int, subject: bytes) -> None:
    """The right password was given: begin anew."""
    await tx.connection.execute(
        delete(GuessRow).where(GuessRow.tenant == tenant, GuessRow.subject == subject)
    )
