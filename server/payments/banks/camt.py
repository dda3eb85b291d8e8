"""Account statements as banks send them: CAMT.053 (ISO 20022), versions 02 to 08. Pure.

Amounts become minor units exactly, or the statement is refused: no decimals are dropped. When it
has an opening and a closing balance, its booked entries have to lead from the one to the other.
An entry that the bank booked for a whole batch becomes one line for each payment that it details.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from lxml import etree

from server.kit.money import AMOUNT_MAX, ASSETS
from server.payments.banks.errors import StatementInvalid
from server.payments.banks.xml_reading import all_at, read_xml, text_at

LINES_MAX: Final = 200_000
TEXT_MAX: Final = 500
ID_MAX: Final = 35
_AMOUNT: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,5})?", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One payment on a statement. ``amount`` is in minor units, above zero when money came in."""

    external_id: str
    """The bank's own reference, or what stands in for it: statement and place."""
    amount: int
    currency: str
    booked: bool
    """False while the bank only expects it."""
    booked_on: date
    end_to_end_id: str | None
    is_return: bool
    """Something earlier is taken back: a reversal, or a payment that came back."""
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    id: str
    account: str
    currency: str
    first_day: date | None
    last_day: date | None
    opening: int | None
    closing: int | None
    lines: tuple[Line, ...]


class _Balance(NamedTuple):
    amount: int
    currency: str
    day: date | None


def parse_statements(data: bytes) -> list[Statement]:
    """Return every statement of a file.

    Raises:
        StatementInvalid: it is no CAMT.053, has an amount that cannot be told exactly, or does not
            add up.
    """
    root = read_xml(data, root="BkToCstmrStmt")
    statements = [_statement(element) for element in all_at(root, "Stmt")]
    if not statements:
        raise StatementInvalid("The file has no statement.")
    if sum(len(statement.lines) for statement in statements) > LINES_MAX:
        raise StatementInvalid(f"The file has more than {LINES_MAX} payments.")
    if len({statement.id for statement in statements}) != len(statements):
        raise StatementInvalid("Two statements of the file have the same id.")
    return statements


def minor_units(text: str | None, currency: str) -> int:
    """Return an amount exactly in minor units.

    Raises:
        StatementInvalid: it is no plain decimal, too large, or finer than the currency's unit.
    """
    if text is None or not _AMOUNT.fullmatch(text):
        raise StatementInvalid(f"{_shown(text)} is not an amount.")
    if currency not in ASSETS:
        raise StatementInvalid(f"{_shown(currency)} is not a currency of this server.")
    whole, _, decimals = text.partition(".")
    scale = ASSETS[currency].scale
    if decimals[scale:].strip("0"):
        raise StatementInvalid(f"{text} {currency} is not a whole number of minor units.")
    amount: int = int(whole) * 10**scale + int(decimals[:scale].ljust(scale, "0") or "0")
    if amount > AMOUNT_MAX:
        raise StatementInvalid(f"{text} {currency} is too large.")
    return amount


def _statement(element: etree._Element) -> Statement:
    id_ = _identifier(text_at(element, "Id"))
    if id_ is None:
        raise StatementInvalid("A statement has no id.")
    account = text_at(element, "Acct/Id/IBAN") or text_at(element, "Acct/Id/Othr/Id")
    if account is None:
        raise StatementInvalid(f"Statement {id_} names no account.")
    opening, closing = _balance(element, "OPBD", "PRCD"), _balance(element, "CLBD")
    begun, ended = text_at(element, "FrToDt/FrDtTm"), text_at(element, "FrToDt/ToDtTm")
    lines: list[Line] = []
    for place, entry in enumerate(all_at(element, "Ntry"), 1):
        lines += _entry(entry, f"{id_}/{place}")
    named = [balance.currency for balance in (opening, closing) if balance]
    days = [line.booked_on for line in lines if line.booked]
    days += [_date(text) for text in (begun, ended) if text]
    days += [closing.day] if closing and closing.day else []
    currencies = {line.currency for line in lines} | set(named)
    stated = text_at(element, "Acct/Ccy")
    if len(currencies | ({stated} if stated else set())) != 1:
        raise StatementInvalid(f"Statement {id_} is not in exactly one currency.")
    statement = Statement(
        id=id_,
        account=account,
        currency=stated or currencies.pop(),
        first_day=min(days, default=None),
        last_day=max(days, default=None),
        opening=opening.amount if opening else None,
        closing=closing.amount if closing else None,
        lines=tuple(lines),
    )
    _check_sums(statement)
    return statement


def _check_sums(statement: Statement) -> None:
    if statement.opening is None or statement.closing is None:
        return
    moved = sum(line.amount for line in statement.lines if line.booked)
    if statement.opening + moved != statement.closing:
        raise StatementInvalid(
            f"Statement {statement.id} does not add up: its entries do not lead from the opening "
            "to the closing balance.",
            fix="Ask the bank for the whole statement.",
        )


def _balance(element: etree._Element, *codes: str) -> _Balance | None:
    for balance in all_at(element, "Bal"):
        if text_at(balance, "Tp/CdOrPrtry/Cd") in codes:
            amount, currency = _amount(balance)
            day = text_at(balance, "Dt/Dt") or text_at(balance, "Dt/DtTm")
            return _Balance(amount * _sign(balance), currency, _date(day) if day else None)
    return None


def _entry(entry: etree._Element, place: str) -> list[Line]:
    """Return the payments of an entry: those it details with amounts that sum to it, or itself."""
    amount, currency = _amount(entry)
    sign = _sign(entry)
    status = text_at(entry, "Sts/Cd") or text_at(entry, "Sts")
    booked_on = _day(entry)
    own = _identifier(text_at(entry, "AcctSvcrRef")) or place
    reversal = text_at(entry, "RvslInd") == "true"
    details = all_at(entry, "NtryDtls/TxDtls")
    parts = _parts(details, amount, currency)
    lines = []
    for number, (part, value) in enumerate(parts, 1):
        single = len(parts) == 1
        reference = None if part is None else _identifier(text_at(part, "Refs/AcctSvcrRef"))
        if reference is None:
            reference = own if single else f"{own[: ID_MAX - 7]}#{number}"
        lines.append(
            Line(
                external_id=reference,
                amount=value * sign,
                currency=currency,
                booked=status == "BOOK",
                booked_on=booked_on,
                end_to_end_id=None if part is None else text_at(part, "Refs/EndToEndId"),
                is_return=reversal or (part is not None and bool(all_at(part, "RtrInf"))),
                text=_text(entry, part),
            )
        )
    return lines


def _parts(
    details: list[etree._Element], amount: int, currency: str
) -> list[tuple[etree._Element | None, int]]:
    if len(details) <= 1:
        return [(details[0] if details else None, amount)]
    values = []
    for detail in details:
        found = detail.find("{*}Amt")
        if found is None:
            found = detail.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
        if found is None or found.get("Ccy") != currency:
            raise StatementInvalid("A payment of a batch has no amount in the entry's currency.")
        values.append(minor_units((found.text or "").strip(), currency))
    if sum(values) != amount:
        raise StatementInvalid("The payments of a batch do not sum to its entry.")
    return list(zip(details, values, strict=True))


def _amount(element: etree._Element) -> tuple[int, str]:
    found = element.find("{*}Amt")
    if found is None:
        raise StatementInvalid("An entry or balance has no amount.")
    currency = found.get("Ccy") or ""
    return minor_units((found.text or "").strip(), currency), currency


def _sign(element: etree._Element) -> int:
    mark = text_at(element, "CdtDbtInd")
    if mark not in {"CRDT", "DBIT"}:
        raise StatementInvalid(f"{_shown(mark)} says neither credit nor debit.")
    return 1 if mark == "CRDT" else -1


def _day(entry: etree._Element) -> date:
    for path in ("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"):
        text = text_at(entry, path)
        if text is not None:
            return _date(text)
    raise StatementInvalid("An entry has no date.")


def _date(text: str) -> date:
    """Return the day of an ISO date or time, as the bank counts days."""
    found = _DAY.match(text)
    try:
        if found:
            return date.fromisoformat(found[0])
    except ValueError:
        pass
    raise StatementInvalid(f"{_shown(text)} is not a date.")


def _text(entry: etree._Element, part: etree._Element | None) -> str:
    told = []
    if part is not None:
        told = [item.text or "" for item in all_at(part, "RmtInf/Ustrd")]
        told.append(text_at(part, "RmtInf/Strd/CdtrRefInf/Ref") or "")
    told.append(text_at(entry, "AddtlNtryInf") or "")
    return " ".join(item.strip() for item in told if item.strip())[:TEXT_MAX]


def _identifier(text: str | None) -> str | None:
    if text is None or text == "NOTPROVIDED":
        return None
    if len(text) > ID_MAX or not text.isprintable():
        raise StatementInvalid(f"{_shown(text)} is too long for an id.")
    return text


def _shown(text: str | None) -> str:
    return repr((text or "")[:40])
