"""Files of payment orders: pain.001 in, pain.002 out."""

from decimal import Decimal

from lxml import etree

from sim.bank.payouts import Payouts
from sim.bank.store import Json, Store

_ANSWER = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
_SCALES = {"JPY": 0, "UGX": 0, "XOF": 0, "BHD": 3}


def take_file(payouts: Payouts, data: bytes) -> str:
    """Take every order of a file; return the file's own id."""
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    message = _text(root, ".//{*}GrpHdr/{*}MsgId")
    orders = root.findall(".//{*}CdtTrfTxInf")
    stated = _text(root, ".//{*}GrpHdr/{*}NbOfTxs"), _text(root, ".//{*}GrpHdr/{*}CtrlSum")
    total = sum(Decimal(_text(order, "{*}Amt/{*}InstdAmt")) for order in orders)
    if (int(stated[0]), Decimal(stated[1])) != (len(orders), total):
        raise ValueError("the file's own sums are wrong")
    for order in orders:
        payouts.order(_order(order), file=message)
    return message


def render_answer(store: Store, message: str) -> bytes:
    """Return what the bank says of a file's orders so far."""
    root = etree.Element(f"{{{_ANSWER}}}Document", nsmap={None: _ANSWER})
    report = _add(root, "CstmrPmtStsRpt")
    _add(_add(report, "GrpHdr"), "MsgId", f"A{message[:34]}")
    _add(_add(report, "OrgnlGrpInfAndSts"), "OrgnlMsgId", message)
    payment = _add(report, "OrgnlPmtInfAndSts")
    _add(payment, "OrgnlPmtInfId", message)
    for row in store.rows("SELECT * FROM payout WHERE file = ? ORDER BY rowid", message):
        order = _add(payment, "TxInfAndSts")
        _add(order, "OrgnlEndToEndId", row["id"].replace("-", ""))
        _add(order, "TxSts", "RJCT" if row["state"] == "refused" else "ACSP")
        if row["state"] == "refused":
            _add(_add(_add(order, "StsRsnInf"), "Rsn"), "Cd", "AC04")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _order(element: etree._Element) -> Json:
    amount = element.find("{*}Amt/{*}InstdAmt")
    assert amount is not None
    currency = str(amount.get("Ccy"))
    identity = _text(element, "{*}PmtId/{*}EndToEndId")
    parts = identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:]
    return {
        "id": "-".join(parts),
        "amount": int(Decimal(amount.text or "").scaleb(_SCALES.get(currency, 2))),
        "currency": currency,
        "reference": _text(element, "{*}RmtInf/{*}Ustrd"),
        "payee": {
            "name": _text(element, "{*}Cdtr/{*}Nm"),
            "account": _text(element, "{*}CdtrAcct/{*}Id//*[last()]"),
        },
    }


def _text(element: etree._Element, path: str) -> str:
    if "//*" in path:
        found = element.find(path.partition("//*")[0])
        found = None if found is None else list(found.iter())[-1]
    else:
        found = element.find(path)
    if found is None or not found.text:
        raise ValueError(f"the file has no {path}")
    return str(found.text).strip()


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{_ANSWER}}}{name}")
    child.text = text
    return child
