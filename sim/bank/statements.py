"""Statements of a day: CAMT.053, in the versions 02 and 08 (their status is spelt differently)."""

from datetime import date
from decimal import Decimal

from lxml import etree

from sim.bank.store import Json, Store

VERSIONS = ("02", "08")
_SCALES = {"JPY": 0, "UGX": 0, "XOF": 0, "BHD": 3}


def render(store: Store, currency: str, day: date, version: str = "08") -> bytes:
    """Return the statement of an account for one day."""
    account = store.row("SELECT * FROM account WHERE currency = ?", currency)
    if account is None:
        raise KeyError(currency)
    before = store.row(
        "SELECT coalesce(sum(amount), 0) AS amount FROM booking "
        "WHERE currency = ? AND booked = 1 AND day < ?",
        currency,
        day.isoformat(),
    )
    assert before is not None
    lines = store.rows(
        "SELECT * FROM booking WHERE currency = ? AND day = ? ORDER BY seq",
        currency,
        day.isoformat(),
    )
    opening = int(before["amount"])
    closing = opening + sum(line["amount"] for line in lines if line["booked"])
    name = f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"
    document = etree.Element(f"{{{name}}}Document", nsmap={None: name})
    root = _add(document, "BkToCstmrStmt")
    header = _add(root, "GrpHdr")
    identity = f"S{currency}{day:%Y%m%d}"
    _add(header, "MsgId", identity)
    _add(header, "CreDtTm", f"{day}T23:59:59Z")
    statement = _add(root, "Stmt")
    _add(statement, "Id", identity)
    _add(statement, "CreDtTm", f"{day}T23:59:59Z")
    period = _add(statement, "FrToDt")
    _add(period, "FrDtTm", f"{day}T00:00:00Z")
    _add(period, "ToDtTm", f"{day}T23:59:59Z")
    where = _add(statement, "Acct")
    number = str(account["number"])
    if number[:2].isalpha() and number[2:4].isdigit():
        _add(_add(where, "Id"), "IBAN", number)
    else:
        _add(_add(_add(where, "Id"), "Othr"), "Id", number)
    _add(where, "Ccy", currency)
    for code, amount in (("OPBD", opening), ("CLBD", closing)):
        balance = _add(statement, "Bal")
        _add(_add(_add(balance, "Tp"), "CdOrPrtry"), "Cd", code)
        _money(balance, amount, currency)
        _add(_add(balance, "Dt"), "Dt", day.isoformat())
    for line in lines:
        _entry(statement, line, currency, version)
    return bytes(etree.tostring(document, xml_declaration=True, encoding="UTF-8"))


def _entry(statement: etree._Element, line: Json, currency: str, version: str) -> None:
    entry = _add(statement, "Ntry")
    _add(entry, "NtryRef", str(line["seq"]))
    _money(entry, line["amount"], currency)
    if line["is_return"]:
        _add(entry, "RvslInd", "true")
    status = "BOOK" if line["booked"] else "PDNG"
    if version == "02":
        _add(entry, "Sts", status)
    else:
        _add(_add(entry, "Sts"), "Cd", status)
    _add(_add(entry, "BookgDt"), "Dt", line["day"])
    _add(_add(entry, "ValDt"), "Dt", line["day"])
    _add(entry, "AcctSvcrRef", line["transaction_id"])
    details = _add(_add(entry, "NtryDtls"), "TxDtls")
    references = _add(details, "Refs")
    _add(references, "AcctSvcrRef", line["transaction_id"])
    _add(references, "EndToEndId", line["end_to_end"] or "NOTPROVIDED")
    if line["text"]:
        _add(_add(details, "RmtInf"), "Ustrd", line["text"])


def _money(parent: etree._Element, amount: int, currency: str) -> None:
    scale = _SCALES.get(currency, 2)
    value = Decimal(abs(amount)).scaleb(-scale)
    _add(parent, "Amt", f"{value:.{scale}f}").set("Ccy", currency)
    _add(parent, "CdtDbtInd", "CRDT" if amount >= 0 else "DBIT")


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")
    child.text = text
    return child
