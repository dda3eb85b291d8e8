"""What changed a user's available balance, newest first, over all currencies."""

import msgspec

from server.kit.auth import Caller
from server.kit.errors import InvalidRequest
from server.kit.schema import Page, from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, StatementLine, accounts_of, statement
from server.payments.schemas import HistoryItem

_CURSOR_BYTES_MAX = 512
_Place = tuple[StatementLine, str]


async def page(tx: Tx, caller: Caller, *, cursor: str | None, limit: int) -> Page[HistoryItem]:
    """Return the next items before a cursor, and the cursor for those before them.

    The cursor holds, for each currency, the version up to which the next page reaches; items that
    come in meanwhile therefore never shift a page.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    upto = await _versions(tx, caller)
    if cursor is not None:
        marks = _read(cursor)
        upto = {code: min(version, marks.get(code, 0)) for code, version in upto.items()}
    found: list[_Place] = []
    for code, version in upto.items():
        ref = AccountRef(AccountKind.USER_AVAILABLE, code, caller.user_id, caller.tenant)
        first = max(0, version - limit)
        lines = await statement(tx, ref, after_version=first, limit=version - first)
        found += [(line, code) for line in lines]
    found.sort(key=lambda place: (place[0].at, place[1], place[0].version), reverse=True)
    for line, code in found[:limit]:
        upto[code] = line.version - 1
    more = any(upto.values())
    return Page(
        items=[_item(line, code) for line, code in found[:limit]],
        next_cursor=to_base64url(msgspec.json.encode(upto)) if more else None,
    )


async def _versions(tx: Tx, caller: Caller) -> dict[str, int]:
    balances = await accounts_of(tx, caller.tenant, caller.user_id)
    return {
        each.ref.asset: each.version
        for each in balances
        if each.ref.kind is AccountKind.USER_AVAILABLE
    }


def _item(line: StatementLine, currency: str) -> HistoryItem:
    return HistoryItem(
        id=line.entry,
        at=line.at,
        kind=line.kind,
        currency=currency,
        amount=line.delta,
        balance=line.balance,
    )


def _read(cursor: str) -> dict[str, int]:
    try:
        data = from_base64url(cursor, field="cursor", size_max=_CURSOR_BYTES_MAX)
        marks = msgspec.json.decode(data, type=dict[str, int])
    except (msgspec.DecodeError, InvalidRequest):
        marks = {"": -1}
    if any(version < 0 for version in marks.values()):
        raise InvalidRequest(
            "The cursor is not one that this list gave.",
            fix="Use next_cursor of the page before, or leave it out to begin.",
        )
    return marks
