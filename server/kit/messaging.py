"""Messages to people: stored with the data, sealed, delivered afterwards, at least once.

`enqueue_message` runs in the transaction that causes the message. `deliver_messages` sends what is
due through the `MessageSender` port and tries again with growing delays; what failed for hours is
kept as dead for an operator. Nothing outside is called while a transaction is open.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

import msgspec
from sqlalchemy import Index, LargeBinary, String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.crypto import Vault
from server.kit.db import Base, Id, UtcTime
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork

ATTEMPTS_MAX = 12
BATCH_MAX = 50
_FIRST_DELAY = timedelta(seconds=5)
_LEASE = timedelta(minutes=2)
_NONCE_BYTES = 24
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A text for one person, over one channel."""

    channel: Literal["sms", "email"]
    to: str
    text: str
    subject: str | None = None


@runtime_checkable
class MessageSender(Protocol):
    async def send(self, message: Message) -> None:
        """Hand the message over. Any exception means that it must be tried again."""
        ...


class SpoolSender:
    """Sandbox: writes each message to a file of its own instead of sending it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    async def send(self, message: Message) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._count += 1
        existing = sum(1 for _ in self._directory.glob("*.json"))
        target = (
            self._directory
            / f"{existing + 1:06d}-{os.getpid()}-{self._count}-{message.channel}.json"
        )
        partial = target.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(
            json.dumps(asdict(message), ensure_ascii=False, indent=1), encoding="utf-8"
        )
        partial.rename(target)


def read_spool(directory: Path) -> list[Message]:
    """Return the messages in a sandbox spool, oldest first."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Message)
        for path in sorted(directory.glob("*.json"))
    ]


class OutgoingMessageRow(Base):
    __tablename__ = "outgoing_message"
    __table_args__ = (Index("ix_outgoing_message_due_at", "state", "due_at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int]
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


async def enqueue_message(tx: Tx, vault: Vault, message: Message, *, tenant: int) -> None:
    """Store a message in the caller's transaction; it is sent once that has been committed."""
    identifier = tx.ids.uuid()
    sealed = vault.seal(
        msgspec.json.encode(message), _context(tenant, identifier), nonce=tx.ids.token(_NONCE_BYTES)
    )
    tx.session.add(
        OutgoingMessageRow(
            tenant=tenant,
            id=identifier,
            sealed=sealed,
            state="waiting",
            attempts=0,
            due_at=tx.now,
            created_at=tx.now,
        )
    )
    await tx.session.flush()


async def deliver_messages(uow: UnitOfWork, sender: MessageSender, vault: Vault) -> int:
    """Send what is due; return how many were sent. A sent message leaves no trace of its text."""
    sent = 0
    for row in await uow.run(_lease):
        message = msgspec.json.decode(
            vault.open(row.sealed, _context(row.tenant, row.id)), type=Message
        )
        try:
            await sender.send(message)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
            _log.warning("message_not_sent", message_id=str(row.id), error=type(error).__name__)
            await uow.run(lambda tx, row=row: _postpone(tx, row))  # type: ignore[misc]
        else:
            await uow.run(lambda tx, row=row: _remove(tx, row))  # type: ignore[misc]
            sent += 1
    return sent


async def _lease(tx: Tx) -> Sequence[OutgoingMessageRow]:
    due = (
        select(OutgoingMessageRow)
        .where(OutgoingMessageRow.state == "waiting", OutgoingMessageRow.due_at <= tx.now)
        .order_by(OutgoingMessageRow.due_at)
        .limit(BATCH_MAX)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.session.scalars(due)).all()
    for row in rows:
        row.due_at = tx.now + _LEASE
    return rows


async def _postpone(tx: Tx, row: OutgoingMessageRow) -> None:
    attempts = row.attempts + 1
    await tx.session.execute(
        update(OutgoingMessageRow)
        .where(OutgoingMessageRow.tenant == row.tenant, OutgoingMessageRow.id == row.id)
        .values(
            attempts=attempts,
            due_at=tx.now + _FIRST_DELAY * 2**row.attempts,
            state="dead" if attempts >= ATTEMPTS_MAX else "waiting",
        )
    )


async def _remove(tx: Tx, row: OutgoingMessageRow) -> None:
    await tx.session.execute(
        delete(OutgoingMessageRow).where(
            OutgoingMessageRow.tenant == row.tenant, OutgoingMessageRow.id == row.id
        )
    )


def _context(tenant: int, identifier: UUID) -> str:
    return f"outgoing_message/{tenant}/{identifier}"
