"""Cleaning: what has expired goes, and accounts that nobody confirmed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from server.identity.models import (
    ConfirmationRow,
    ContactRow,
    CounterRow,
    DeviceChallengeRow,
    GuessRow,
    ProofNonceRow,
    RefreshTokenRow,
    SessionRow,
    SigningKeyRow,
    UserRow,
)
from server.identity.settings import DEFAULT_POLICY, IdentityPolicy
from server.identity.signing_keys import key_use
from server.kit.db import Base
from server.kit.unit_of_work import Tx, UnitOfWork

_SLACK: Final = timedelta(minutes=1)
_Expiry = tuple[type[Base], InstrumentedAttribute[datetime], timedelta]


async def purge(uow: UnitOfWork, policy: IdentityPolicy = DEFAULT_POLICY) -> int:
    """Delete what nobody needs any longer; return how many rows went.

    Most calls find nothing that has been due for a minute and write nothing. Safe to run often and
    in several processes at once.
    """
    if not await uow.read(lambda tx: _is_due(tx, policy)):
        return 0
    return await uow.run(lambda tx: _sweep(tx, policy))


def _expiries(policy: IdentityPolicy) -> Sequence[_Expiry]:
    """Return (table, its time, how long the rows stay after that)."""
    nothing = timedelta(0)
    return (
        (ProofNonceRow, ProofNonceRow.expires_at, nothing),
        (DeviceChallengeRow, DeviceChallengeRow.expires_at, nothing),
        (ConfirmationRow, ConfirmationRow.expires_at, nothing),
        (CounterRow, CounterRow.until, nothing),
        (GuessRow, GuessRow.forgotten_at, nothing),
        (RefreshTokenRow, RefreshTokenRow.expires_at, nothing),
        (SessionRow, SessionRow.expires_at, policy.history_kept),
        (SigningKeyRow, SigningKeyRow.created_at, key_use(policy)),
    )


async def _is_due(tx: Tx, policy: IdentityPolicy) -> bool:
    overdue = [
        exists().where(moment <= tx.now - kept - _SLACK) for _, moment, kept in _expiries(policy)
    ]
    overdue.append(exists().where(*_unverified(tx.now - _SLACK, policy)))
    return bool(await tx.session.scalar(select(or_(*overdue))))


async def _sweep(tx: Tx, policy: IdentityPolicy) -> int:
    gone = 0
    for table, moment, kept in _expiries(policy):
        gone += await _delete(tx, table, moment <= tx.now - kept)
    return gone + await _delete(tx, UserRow, *_unverified(tx.now, policy))


def _unverified(now: datetime, policy: IdentityPolicy) -> tuple[ColumnElement[bool], ...]:
    """Accounts that were opened a day ago and have nothing confirmed.

    Signing in needs a confirmed contact, so such an account never had a session, a device or money.
    """
    confirmed = exists().where(
        ContactRow.tenant == UserRow.tenant,
        ContactRow.user_id == UserRow.id,
        ContactRow.confirmed_at.is_not(None),
    )
    return UserRow.created_at <= now - policy.unverified_life, ~confirmed


async def _delete(tx: Tx, table: type[Base], *where: ColumnElement[bool]) -> int:
    result: Any = await tx.session.execute(
        delete(table).where(*where).execution_options(synchronize_session=False)
    )
    return int(result.rowcount)
