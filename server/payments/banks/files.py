"""Files of payment orders (pain.001.001.09) for banks that take them from a person.

A file is made for one bank and currency of the orders that wait; each order is in one file, ever. A
person takes the file to the bank and says so. The bank's statement says what was paid; its answer
(pain.002) says what was refused.
"""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from lxml import etree
from sqlalchemy import func, select

from server.kit.crypto import Vault
from server.kit.errors import NotFound
from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.payments.banks.desk import Officer, record_deed
from server.payments.banks.errors import BankSuspended, StatementInvalid
from server.payments.banks.models import BankFileRow, BankOrderRow
from server.payments.banks.orders import OrderContent, OrderState, content_of, settle_order
from server.payments.banks.partners import Bank
from server.payments.banks.payees import Payee, is_iban
from server.payments.banks.xml_reading import all_at, read_xml, text_at

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
ORDERS_MAX: Final = 5_000
_NAME_MAX: Final = 70


@dataclass(frozen=True, slots=True)
class PaymentFile:
    """A file without its content."""

    id: UUID
    bank: UUID
    name: str
    orders: int
    amount: Money
    handed_over: bool


async def make_files(tx: Tx, vault: Vault, bank: Bank, by: Officer) -> list[PaymentFile]:
    """Put the orders that wait into files, one for each currency; none when none wait.

    Raises:
        BankSuspended: nothing is sent to this bank at present.
    """
    if not bank.active:
        raise BankSuspended("Nothing is sent to this bank at present.")
    made = []
    for currency in sorted(bank.accounts):
        rows = list(
            await tx.session.scalars(
                select(BankOrderRow)
                .where(
                    BankOrderRow.tenant == bank.tenant,
                    BankOrderRow.bank == bank.id,
                    BankOrderRow.currency == currency,
                    BankOrderRow.state == OrderState.NEW.value,
                    BankOrderRow.file.is_(None),
                )
                .order_by(BankOrderRow.created_at, BankOrderRow.id)
                .limit(ORDERS_MAX)
                .with_for_update(skip_locked=True)
            )
        )
        if rows:
            made.append(await _make(tx, vault, bank, by, currency=currency, rows=rows))
    return made


async def list_files(tx: Tx, bank: Bank) -> list[PaymentFile]:
    """Return the last hundred files of a bank, the newest first."""
    rows = await tx.session.scalars(
        select(BankFileRow)
        .where(BankFileRow.tenant == bank.tenant, BankFileRow.bank == bank.id)
        .order_by(BankFileRow.made_at.desc(), BankFileRow.id.desc())
        .limit(100)
    )
    return [_view(row) for row in rows]


async def file_content(tx: Tx, vault: Vault, tenant: int, file_id: UUID) -> bytes:
    """Return the file as the bank gets it, the same bytes each time.

    Raises:
        NotFound: there is no such file.
    """
    row = await _file(tx, tenant, file_id)
    return vault.open(row.content_sealed, _context(tenant, file_id))


async def mark_handed_over(tx: Tx, tenant: int, file_id: UUID, by: Officer) -> PaymentFile:
    """Say that the bank has a file; saying it again changes nothing.

    Raises:
        NotFound: there is no such file.
    """
    row = await _file(tx, tenant, file_id)
    if row.handed_over_at is None:
        row.handed_over_at = tx.now
        await record_deed(
            tx, tenant, by, "file_handed_over", subject=f"file/{row.id}", reason="", name=_name(row)
        )
        await tx.session.flush()
    return _view(row)


async def read_response(tx: Tx, bank: Bank, data: bytes) -> int:
    """Settle what a bank refuses in its answer to a file (pain.002); return how many orders.

    What it only accepts is left for the statement to confirm.

    Raises:
        StatementInvalid: it is no pain.002, or names a file or an order that is not there.
    """
    root = read_xml(data, root="CstmrPmtStsRpt")
    refused: dict[UUID, str] = {}
    if text_at(root, "OrgnlGrpInfAndSts/GrpSts") == "RJCT":
        file_id = _uuid(text_at(root, "OrgnlGrpInfAndSts/OrgnlMsgId"))
        reason = _reason(text_at(root, "OrgnlGrpInfAndSts/StsRsnInf/Rsn/Cd"))
        orders = await tx.session.scalars(
            select(BankOrderRow.id).where(
                BankOrderRow.tenant == bank.tenant, BankOrderRow.file == file_id
            )
        )
        refused |= dict.fromkeys(orders, reason)
    for element in all_at(root, "OrgnlPmtInfAndSts/TxInfAndSts"):
        if text_at(element, "TxSts") == "RJCT":
            order = _uuid(text_at(element, "OrgnlEndToEndId"))
            refused[order] = _reason(text_at(element, "StsRsnInf/Rsn/Cd"))
    for order, reason in sorted(refused.items()):
        try:
            await settle_order(tx, bank, order, OrderState.REFUSED, reason=reason)
        except NotFound as error:
            raise StatementInvalid(
                f"The answer names an order {order} that is not ours."
            ) from error
    return len(refused)


async def _make(
    tx: Tx, vault: Vault, bank: Bank, by: Officer, *, currency: str, rows: list[BankOrderRow]
) -> PaymentFile:
    day, id_ = tx.now.date(), tx.ids.uuid()
    last = await tx.session.scalar(
        select(func.max(BankFileRow.number)).where(
            BankFileRow.tenant == bank.tenant,
            BankFileRow.bank == bank.id,
            BankFileRow.currency == currency,
            BankFileRow.day == day,
        )
    )
    orders = [(row, content_of(vault, row)) for row in rows]
    content = render_orders(bank, currency, id_, tx.now.strftime("%Y-%m-%dT%H:%M:%SZ"), orders)
    row = BankFileRow(
        tenant=bank.tenant,
        id=id_,
        bank=bank.id,
        currency=currency,
        day=day,
        number=(last or 0) + 1,
        orders=len(rows),
        amount=sum(order.amount for order in rows),
        content_sealed=vault.seal(content, _context(bank.tenant, id_), nonce=tx.ids.token(24)),
        made_at=tx.now,
        handed_over_at=None,
    )
    tx.session.add(row)
    for order in rows:
        order.file, order.state = id_, OrderState.SENT.value
    await record_deed(
        tx,
        bank.tenant,
        by,
        "file_made",
        subject=f"file/{id_}",
        reason="",
        orders=len(rows),
        amount=row.amount,
        currency=currency,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    await tx.session.flush()
    return _view(row)


def render_orders(
    bank: Bank,
    currency: str,
    file_id: UUID,
    made_at: str,
    orders: list[tuple[BankOrderRow, OrderContent]],
) -> bytes:
    """Return the file: one payment instruction, each order with its id as EndToEndId."""
    total = _decimal(sum(row.amount for row, _ in orders), currency)
    document = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    root = _add(document, "CstmrCdtTrfInitn")
    header = _add(root, "GrpHdr")
    _add(header, "MsgId", file_id.hex)
    _add(header, "CreDtTm", made_at)
    _add(header, "NbOfTxs", str(len(orders)))
    _add(header, "CtrlSum", total)
    _add(_add(header, "InitgPty"), "Nm", bank.holder)
    payment = _add(root, "PmtInf")
    _add(payment, "PmtInfId", file_id.hex)
    _add(payment, "PmtMtd", "TRF")
    # Booked one by one, so that the statement names each.
    _add(payment, "BtchBookg", "false")
    _add(payment, "NbOfTxs", str(len(orders)))
    _add(payment, "CtrlSum", total)
    _add(_add(payment, "ReqdExctnDt"), "Dt", made_at[:10])
    _add(_add(payment, "Dbtr"), "Nm", bank.holder)
    own = bank.accounts[currency]
    _account(_add(payment, "DbtrAcct"), iban=own if is_iban(own) else None, other=own)
    _agent(_add(payment, "DbtrAgt"), bank.bic, None)
    _add(payment, "ChrgBr", "SLEV")
    for row, content in orders:
        transfer = _add(payment, "CdtTrfTxInf")
        _add(_add(transfer, "PmtId"), "EndToEndId", row.id.hex)
        amount = _add(_add(transfer, "Amt"), "InstdAmt", _decimal(row.amount, currency))
        amount.set("Ccy", currency)
        _agent(_add(transfer, "CdtrAgt"), content.payee.bic, content.payee)
        _add(_add(transfer, "Cdtr"), "Nm", content.payee.name[:_NAME_MAX])
        payee = content.payee
        _account(_add(transfer, "CdtrAcct"), iban=payee.iban, other=payee.account_number)
        _add(_add(transfer, "RmtInf"), "Ustrd", content.reference)
    return bytes(etree.tostring(document, xml_declaration=True, encoding="UTF-8"))


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    child.text = text
    return child


def _account(parent: etree._Element, *, iban: str | None, other: str | None) -> None:
    identity = _add(parent, "Id")
    if iban is not None:
        _add(identity, "IBAN", iban)
    else:
        _add(_add(identity, "Othr"), "Id", other)


def _agent(parent: etree._Element, bic: str | None, payee: Payee | None) -> None:
    institution = _add(parent, "FinInstnId")
    if bic:
        _add(institution, "BICFI", bic)
    elif payee is not None and payee.routing:
        _add(_add(institution, "ClrSysMmbId"), "MmbId", payee.routing)
    else:
        _add(_add(institution, "Othr"), "Id", "NOTPROVIDED")


def _decimal(amount: int, currency: str) -> str:
    return str(Money(amount, currency)).partition(" ")[0]


def _reason(code: str | None) -> str:
    """Return an ISO 20022 reason such as AC04 as a stable word."""
    return code.lower() if code and code.isascii() and code.isalnum() else "refused_by_bank"


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(hex=text or "")
    except ValueError as error:
        raise StatementInvalid("The answer names something that is not ours.") from error


async def _file(tx: Tx, tenant: int, file_id: UUID) -> BankFileRow:
    row = await tx.session.get(BankFileRow, (tenant, file_id))
    if row is None:
        raise NotFound("There is no such file.", fix="`tallystick bank-files list` shows them.")
    return row


def _view(row: BankFileRow) -> PaymentFile:
    return PaymentFile(
        row.id,
        row.bank,
        _name(row),
        row.orders,
        Money(row.amount, row.currency),
        row.handed_over_at is not None,
    )


def _name(row: BankFileRow) -> str:
    return f"{row.day:%Y%m%d}-{row.currency}-{row.number}.pain001.xml"


def _context(tenant: int, file_id: UUID) -> str:
    return f"bank-file/{tenant}/{file_id}"
