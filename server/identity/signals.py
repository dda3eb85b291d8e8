"""Signals: what risk rules will want to know, kept even when the caller's answer is no."""

from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.identity.counters import count_up, subject_of
from server.identity.models import SignalRow
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx

_PER_HOUR: Final = 20
_log = get_logger(__name__)


class Signal(StrEnum):
    TOKEN_WRONG_KEY = "token_wrong_key"  # noqa: S105 - a name
    PROOF_REPLAYED = "proof_replayed"
    REFRESH_WRONG_KEY = "refresh_wrong_key"
    REFRESH_REUSED = "refresh_reused"
    DEVICE_KEY_TAKEN = "device_key_taken"
    DEVICE_HELD = "device_held"


async def record_signal(
    tx: Tx,
    tenant: int,
    signal: Signal,
    *,
    user_id: UUID | None,
    session_id: UUID | None = None,
    detail: dict[str, str] | None = None,
) -> None:
    """Store a signal; of one kind, a session stores no more than a few an hour."""
    subject = subject_of(f"{signal}/{user_id}/{session_id}")
    seen = await count_up(tx, tenant, "signal", subject, window=timedelta(hours=1))
    if seen.count > _PER_HOUR:
        return
    tx.session.add(
        SignalRow(
            tenant=tenant,
            id=tx.ids.uuid(),
            kind=signal,
            user_id=user_id,
            session_id=session_id,
            at=tx.now,
            detail=detail or {},
        )
    )
    await tx.session.flush()
    _log.warning("risk_signal", kind=signal.value, session_id=str(session_id))
