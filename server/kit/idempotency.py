"""Idempotency: the same key and the same request give the first answer again.

The answer is stored in the transaction that did the work, so there is no moment at which one exists
without the other. The same key with another request is a conflict. Keys never expire: a retry after
a year moves no money either.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import LargeBinary, String, insert, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime
from server.kit.errors import IdempotencyConflict, InvalidRequest
from server.kit.unit_of_work import Tx

T = TypeVar("T")
KEY_MAX = 128


class IdempotencyRow(Base):
    __tablename__ = "idempotency"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[UUID] = mapped_column(Id, primary_key=True)
    operation: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_MAX), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(UtcTime)


def fingerprint(request: object) -> bytes:
    """Return 32 bytes that two requests share only when they ask for the same thing."""
    return hashlib.sha256(msgspec.json.encode(request, order="sorted")).digest()


def check_key(key: str | None) -> str:
    """Return the key of the ``Idempotency-Key`` header.

    Raises:
        InvalidRequest: the header is missing, too long or not printable ASCII.
    """
    if not key or len(key) > KEY_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            "This request moves money and needs an Idempotency-Key header "
            f"of 1 to {KEY_MAX} printable characters.",
            fix="Make a fresh random key for each new intention; send the same key to try again.",
        )
    return key


async def once(
    tx: Tx,
    *,
    tenant: int,
    owner: UUID,
    operation: str,
    key: str,
    digest: bytes,
    answer_type: type[T],
    work: Callable[[], Awaitable[T]],
) -> T:
    """Do the work unless this key did it before; return the first answer either way.

    Two requests with one key at the same time: the second waits for the first one's transaction.

    Raises:
        IdempotencyConflict: the key was used for a request with another digest.
    """
    where = (
        IdempotencyRow.tenant == tenant,
        IdempotencyRow.owner == owner,
        IdempotencyRow.operation == operation,
        IdempotencyRow.key == key,
    )
    values = {
        "tenant": tenant,
        "owner": owner,
        "operation": operation,
        "key": key,
        "fingerprint": digest,
        "answer": None,
        "at": tx.now,
    }
    if tx.dialect == "postgresql":
        # Waits for a concurrent holder of the key; a plain SELECT would not see it.
        claim = postgres_insert(IdempotencyRow).values(values).on_conflict_do_nothing()
        claimed = (await tx.connection.execute(claim)).rowcount == 1
    else:
        claimed = await tx.session.scalar(select(IdempotencyRow.key).where(*where)) is None
        if claimed:
            await tx.connection.execute(insert(IdempotencyRow).values(values))

    row = (await tx.session.scalars(select(IdempotencyRow).where(*where))).one()
    if row.fingerprint != digest:
        raise key_conflict()
    if not claimed:
        assert row.answer is not None
        return msgspec.json.decode(row.answer, type=answer_type)
    answer = await work()
    row.answer = msgspec.json.encode(answer)
    await tx.session.flush()
    return answer


def key_conflict() -> IdempotencyConflict:
    return IdempotencyConflict(
        "This Idempotency-Key was used before for a different request.",
        fix="Use a fresh key for a new intention; repeat a request without any change.",
    )
