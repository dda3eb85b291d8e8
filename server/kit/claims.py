"""Idempotency for batches: what `server.kit.idempotency.once` does for one request.

The difference: the answer is known before the work. It is stored with the key at once, and changed
within the same transaction where the work came out otherwise.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, update

from server.kit.bulk import id_value, insert_rows, rows_of_pairs
from server.kit.db import to_microseconds
from server.kit.errors import IdempotencyConflict
from server.kit.idempotency import IdempotencyRow, key_conflict
from server.kit.unit_of_work import Tx

_TABLE = IdempotencyRow.__tablename__
_COLUMNS = ("tenant", "owner", "operation", "key", "fingerprint", "answer", "at")
_Place = tuple[UUID, str]


class Claim(NamedTuple):
    """A key, the request it stands for, and the answer it will have unless it has one already."""

    owner: UUID
    key: str
    digest: bytes
    answer: bytes


async def claim_many(
    tx: Tx, *, tenant: int, operation: str, claims: Sequence[Claim]
) -> list[bytes | IdempotencyConflict | None]:
    """Claim keys for an operation (a constant of the caller); answer in the order of the claims.

    None: the key is new, and the work is to be done in this transaction. Bytes: the answer that the
    key was given before. Of equal keys in one call the first is new; the others get its answer.
    Waits for other transactions that are claiming the same keys.
    """
    first: dict[_Place, Claim] = {}
    for claim in claims:
        first.setdefault((claim.owner, claim.key), claim)
    known = await _claim(tx, tenant, operation, first)
    answers: list[bytes | IdempotencyConflict | None] = []
    for claim in claims:
        place = (claim.owner, claim.key)
        earlier = first[place]
        digest, answer = known.get(place, (earlier.digest, earlier.answer))
        if digest != claim.digest:
            answers.append(key_conflict())
        elif place in known or earlier is not claim:
            answers.append(answer)
        else:
            answers.append(None)
    return answers


async def change_answers(
    tx: Tx, *, tenant: int, operation: str, answers: Iterable[tuple[UUID, str, bytes]]
) -> None:
    """Give keys that this transaction has claimed another answer; each comes with its owner."""
    changes = [{"of": owner, "named": key, "said": said} for owner, key, said in answers]
    if not changes:
        return
    statement = (
        update(IdempotencyRow.__table__)  # type: ignore[arg-type]
        .where(
            IdempotencyRow.tenant == tenant,
            IdempotencyRow.operation == operation,
            IdempotencyRow.owner == bindparam("of"),
            IdempotencyRow.key == bindparam("named"),
        )
        .values(answer=bindparam("said"))
    )
    await tx.connection.execute(statement, changes)


async def _claim(
    tx: Tx, tenant: int, operation: str, first: dict[_Place, Claim]
) -> dict[_Place, tuple[bytes, bytes]]:
    """Store what is new; return digest and answer of what is not."""
    if tx.dialect == "postgresql":
        new = await _insert_new(tx, tenant, operation, [first[place] for place in sorted(first)])
        return await _stored(tx, tenant, operation, [one for one in first if one not in new])
    # The transaction holds the only right to write, so nothing can come between the two.
    known = await _stored(tx, tenant, operation, first)
    now = to_microseconds(tx.now)
    rows = [
        (tenant, claim.owner.bytes, operation, claim.key, claim.digest, claim.answer, now)
        for place, claim in first.items()
        if place not in known
    ]
    await insert_rows(tx, _TABLE, _COLUMNS, rows)
    return known


async def _insert_new(tx: Tx, tenant: int, operation: str, claims: Sequence[Claim]) -> set[_Place]:
    """Insert what is not there yet. In one order, so that two batches never wait in a ring."""
    statement = (
        f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)}) "  # noqa: S608 - constants
        "SELECT $1, owner, $2, key, fingerprint, answer, $3 "
        "FROM unnest($4::uuid[], $5::text[], $6::bytea[], $7::bytea[]) "
        "AS claim (owner, key, fingerprint, answer) ON CONFLICT DO NOTHING RETURNING owner, key"
    )
    columns = [list(column) for column in zip(*claims, strict=True)]
    inserted: Iterable[Sequence[Any]] = await tx.connection.exec_driver_sql(
        statement, (tenant, operation, to_microseconds(tx.now), *columns)
    )
    return {(UUID(int=owner.int), key) for owner, key in inserted}


async def _stored(
    tx: Tx, tenant: int, operation: str, places: Iterable[_Place]
) -> dict[_Place, tuple[bytes, bytes]]:
    rows = await rows_of_pairs(
        tx,
        _TABLE,
        "owner, key, fingerprint, answer",
        tenant=tenant,
        pair={"owner": "uuid", "key": "text"},
        values=[(id_value(tx, owner), key) for owner, key in places],
        where=f"operation = '{operation}'",
    )
    return {(_uuid(owner), key): (digest, answer) for owner, key, digest, answer in rows}


def _uuid(stored: Any) -> UUID:
    return UUID(bytes=stored) if isinstance(stored, bytes) else UUID(int=stored.int)
