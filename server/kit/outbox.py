"""Events: facts told to others, stored in the transaction that made them true.

`emit` only inserts: no lock, no number, nothing that two transactions could wait for. The row gets
a ``place`` where it is inserted, in the order of inserting and not of committing, so no reader may
go by it. `server.kit.event_log` numbers the rows after their commit, and readers go by that number.
"""

from typing import ClassVar
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.bulk import id_value, insert_rows
from server.kit.db import Base, Id, to_microseconds
from server.kit.unit_of_work import Tx

KEY_MAX = 128
NAME_MAX = 64
BODY_BYTES_MAX = 65_536
"""What every broker takes without being told to take more."""
PARTIES = ("user_id", "sender_id", "receiver_id", "requester_id", "payer_id")
"""Fields that name the users whose own business an event is; they may read all of its fields."""
_COLUMNS = ("tenant", "id", "topic", "type", "version", "key", "body", "at")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact. Subclasses live in a room's ``events.py``; their fields are ids and amounts.

    No names, no phone numbers, no secrets: events leave the house.
    """

    topic: ClassVar[str]
    """Where it is told: the name of a stream, such as ``wallets``."""
    type: ClassVar[str]
    """What happened, in the past tense, such as ``transfer.sent``. One class has it."""
    version: ClassVar[int] = 1
    """Goes up when a field is added, removed or means something else."""

    internal: ClassVar[bool] = False
    """Whether the users that it names are not told."""

    def key(self) -> str:
        """Return what orders it: events with equal keys are told in the order of their commits.

        Usually an account's or a user's id. A class that does not say is ordered as a whole.
        """
        return self.type


class OutboxRow(Base):
    """An event that was committed, or will be, and has no number yet."""

    __tablename__ = "outbox"

    place: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    tenant: Mapped[int]
    id: Mapped[UUID] = mapped_column(Id)
    topic: Mapped[str] = mapped_column(String(NAME_MAX))
    type: Mapped[str] = mapped_column(String(NAME_MAX))
    version: Mapped[int]
    key: Mapped[str] = mapped_column(String(KEY_MAX))
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger)
    """Microseconds since 1970."""


def event_classes(base: type[Event] = Event) -> list[type[Event]]:
    """Return every kind of event that has been imported, by type."""
    found: set[type[Event]] = set()
    for kind in base.__subclasses__():
        if "type" in vars(kind):
            found.add(kind)
        found.update(event_classes(kind))
    return sorted(found, key=lambda kind: (kind.type, kind.version))


def told_to_users() -> frozenset[str]:
    """Return the types of the events that users may be told of."""
    return frozenset(
        kind.type
        for kind in event_classes()
        if not kind.internal and set(PARTIES) & set(kind.__struct_fields__)
    )


async def emit(tx: Tx, *events: Event, tenant: int) -> None:
    """Tell events if and when the caller's transaction commits; they keep their order.

    Call it after the locks of the work were taken: then of two transactions that exclude each
    other the one that commits first is told first.

    Raises:
        ValueError: a key is empty or too long, or a body is larger than brokers take.
    """
    if not events:
        return
    now = to_microseconds(tx.now)
    rows = [
        (
            tenant,
            id_value(tx, tx.ids.uuid()),
            event.topic,
            event.type,
            event.version,
            _key(event),
            _body(event),
            now,
        )
        for event in events
    ]
    await insert_rows(tx, OutboxRow.__tablename__, _COLUMNS, rows)


def _key(event: Event) -> str:
    key = event.key()
    if not 0 < len(key) <= KEY_MAX:
        raise ValueError(f"the key of {event.type} has 1 to {KEY_MAX} characters")
    return key


def _body(event: Event) -> str:
    body = msgspec.json.encode(event)
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"{event.type} has more than {BODY_BYTES_MAX} bytes")
    return body.decode()
