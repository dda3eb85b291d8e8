"""Statements: every step of a user's offline money, the newest first.

Nothing is computed here. Steps come from two places, each in the order of its own: what the user's
devices signed (stored transfers), and what the user was told (events, which carry the ids of the
ledger entries that moved the money).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, and_, or_, select

from server.kit.db import from_microseconds, to_microseconds
from server.kit.errors import InvalidRequest
from server.kit.money import Money
from server.kit.schema import Page, from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.offline.events import EventType
from server.offline.models import EventRow, TransferRow, TrustRow, VoucherRow
from server.offline.oversight_schemas import StatementLine
from server.offline.trust_models import BoundKeyRow

_CURSOR_BYTES_MAX = 512
_Body = Mapping[str, Any]
_Keys = Select[tuple[bytes]]


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where the next page begins: before this event, and before this transfer of this time."""

    event: _Number | None = None
    transfer_at: _Number | None = None
    transfer: str | None = None


async def statement_page(
    tx: Tx, tenant: int, user: UUID, *, cursor: str | None, limit: int
) -> Page[StatementLine]:
    """Return the next steps before a cursor, and the cursor for those before them.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    mark = _read(cursor)
    keys = _keys_of(tenant, user)
    transfers = await _signed(tx, tenant, keys, mark, limit + 1)
    events = await _told(tx, tenant, user, keys, mark=mark, limit=limit + 1)
    lines: list[StatementLine] = []
    while len(lines) < limit and (transfers or events):
        # What a batch brought comes before what it led to, so going back the events come first.
        if events and (not transfers or events[0][0].at >= transfers[0][0].received_at):
            row, transfer = events.pop(0)
            mark.event = row.seq
            line = _event_line(row, transfer)
        else:
            signed, currency = transfers.pop(0)
            mark.transfer_at = to_microseconds(signed.received_at)
            mark.transfer = to_base64url(signed.id)
            line = _transfer_line(signed, currency)
        if line is not None:
            lines.append(line)
    more = bool(transfers or events)
    return Page(items=lines, next_cursor=_write(mark) if more else None)


async def _signed(
    tx: Tx, tenant: int, keys: _Keys, mark: _Cursor, limit: int
) -> list[tuple[TransferRow, str]]:
    """Return what the user's devices signed, the newest first, with its currency."""
    query = (
        select(TransferRow, VoucherRow.currency)
        .join(
            VoucherRow,
            (VoucherRow.tenant == TransferRow.tenant) & (VoucherRow.id == TransferRow.root),
        )
        .where(TransferRow.tenant == tenant, TransferRow.signer.in_(keys))
        .order_by(TransferRow.received_at.desc(), TransferRow.id.desc())
        .limit(limit)
    )
    if mark.transfer_at is not None and mark.transfer is not None:
        at = from_microseconds(mark.transfer_at)
        identity = from_base64url(mark.transfer, field="cursor")
        query = query.where(
            or_(
                TransferRow.received_at < at,
                and_(TransferRow.received_at == at, TransferRow.id < identity),
            )
        )
    return [(row, currency) for row, currency in await tx.session.execute(query)]


def _keys_of(tenant: int, user: UUID) -> _Keys:
    """Return a query for the ids of all keys of the user's devices."""
    own = select(TrustRow.key_id).where(TrustRow.tenant == tenant, TrustRow.user_id == user)
    bound = select(BoundKeyRow.key_id).where(
        BoundKeyRow.tenant == tenant, BoundKeyRow.owner.in_(own)
    )
    keys = own.union_all(bound).subquery()
    return select(keys.c.key_id)


async def _told(
    tx: Tx, tenant: int, user: UUID, keys: _Keys, *, mark: _Cursor, limit: int
) -> list[tuple[EventRow, TransferRow | None]]:
    """Return what the user was told that belongs in a statement, the newest first."""
    query = (
        select(EventRow, TransferRow)
        .outerjoin(
            TransferRow,
            (TransferRow.tenant == EventRow.tenant) & (TransferRow.id == EventRow.transfer),
        )
        .where(EventRow.tenant == tenant, EventRow.user_id == user)
        .where(
            or_(
                EventRow.type.in_(sorted(kind.value for kind in _LINES)),
                # What one signed oneself stands in the statement by itself.
                and_(
                    EventRow.type == EventType.TRANSFER_KNOWN.value,
                    TransferRow.signer.not_in(keys),
                ),
            )
        )
        .order_by(EventRow.seq.desc())
        .limit(limit)
    )
    if mark.event is not None:
        query = query.where(EventRow.seq < mark.event)
    return [(event, transfer) for event, transfer in await tx.session.execute(query)]


_SIGNED = MappingProxyType(
    {
        "pay": ("paid", "Paid offline"),
        "return": ("given_back", "Given back offline"),
        "claim": ("claimed", "Claimed for the account"),
    }
)


def _transfer_line(row: TransferRow, currency: str) -> StatementLine:
    step, text = _SIGNED[row.kind]
    return StatementLine(
        at=row.received_at,
        step=step,
        text=f"{text}, too late: it moves nothing" if row.late else text,
        amount=row.lo - row.hi,
        currency=currency,
        voucher_id=to_base64url(row.root),
        transfer_id=to_base64url(row.id),
    )


def _event_line(row: EventRow, transfer: TransferRow | None) -> StatementLine | None:
    if row.type == EventType.TRANSFER_KNOWN.value:
        return None if transfer is None else _received(row.at, transfer)
    step, text, amount = _LINES[EventType(row.type)](row.body)
    return StatementLine(
        at=row.at,
        step=step,
        text=text,
        amount=amount,
        currency=row.body.get("currency"),
        voucher_id=row.body.get("voucher_id"),
        conflict_id=row.body.get("conflict_id") or row.body.get("proof_id"),
        owed=row.body.get("outstanding"),
        entries=[UUID(each) for each in row.body.get("entries", ())],
    )


def _received(at: datetime, transfer: TransferRow) -> StatementLine:
    back = transfer.kind == "return"
    return StatementLine(
        at=at,
        step="received_back" if back else "received",
        text="Came back offline" if back else "Received offline, known from the other side",
        amount=transfer.hi - transfer.lo,
        voucher_id=to_base64url(transfer.root),
        transfer_id=to_base64url(transfer.id),
    )


_Line = tuple[str, str, int | None]
"""The step, its text, and the amount."""


def _issued(body: _Body) -> _Line:
    return "issued", "Moved to a device", -body["amount"]


def _credited(body: _Body) -> _Line:
    if body["final"]:
        return "credited", "Credited", body["amount"]
    return "credited_provisional", "Credited; part of it waits for claim-by", body["amount"]


def _reduced(body: _Body) -> _Line:
    return "reduced", "A credit fell: the units belong to somebody else", -body["amount"]


def _final(body: _Body) -> _Line:
    return "final", "The whole credit is final", body["amount"]


def _closed(body: _Body) -> _Line:
    return "voucher_closed", "The voucher was closed; this is what you have of it", body["amount"]


def _conflict(body: _Body) -> _Line:
    what = "A copied device was found" if body["kind"] == "clone" else "A double spending was found"
    part = "; your device signed it" if body["role"] == "offender" else "; you were paid with it"
    return "conflict_found", what + part, body["amount"] or None


def _debt(body: _Body) -> _Line:
    charged, taken = body.get("charged", 0), body.get("taken", 0)
    left = Money(body.get("outstanding", 0), body["currency"])
    if charged > 0:
        step, text = "debt_charged", f"A debt of {Money(charged, body['currency'])} was charged"
    elif charged < 0:
        step, text = "debt_released", f"{Money(-charged, body['currency'])} of a debt was released"
    else:
        step, text = "debt_recovered", "Taken for a debt" if taken > 0 else "Given back of a debt"
    return step, f"{text}; {left} is owed now", -taken


def _dispute(body: _Body) -> _Line:
    return f"dispute_{body['step']}", body["text"], None


def _collateral(body: _Body) -> _Line:
    if body["amount"] > 0:
        return "collateral_set_aside", "Set aside as collateral", -body["amount"]
    return "collateral_taken_back", "Taken back from collateral", -body["amount"]


_LINES: Mapping[EventType, Callable[[_Body], _Line]] = MappingProxyType(
    {
        EventType.VOUCHER_ISSUED: _issued,
        EventType.CREDITED: _credited,
        EventType.CREDIT_REDUCED: _reduced,
        EventType.CREDIT_FINAL: _final,
        EventType.VOUCHER_CLOSED: _closed,
        EventType.FORK_FOUND: _conflict,
        EventType.DEBT_CHARGED: _debt,
        EventType.DISPUTE_STEP: _dispute,
        EventType.COLLATERAL_CHANGED: _collateral,
    }
)


def _write(mark: _Cursor) -> str:
    return to_base64url(msgspec.json.encode(mark))


def _read(cursor: str | None) -> _Cursor:
    if cursor is None:
        return _Cursor()
    try:
        data = from_base64url(cursor, field="cursor", size_max=_CURSOR_BYTES_MAX)
        mark = msgspec.json.decode(data, type=_Cursor)
        if mark.transfer is not None:
            from_base64url(mark.transfer, field="cursor", size_max=32)
    except (msgspec.DecodeError, InvalidRequest):
        raise InvalidRequest(
            "The cursor is not one that this list gave.",
            fix="Use next_cursor of the page before, or leave it out to begin.",
        ) from None
    return mark
