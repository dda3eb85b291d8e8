"""Files that want to do harm, or that say something in two ways, are refused."""

import pytest

from server.payments.banks.camt import parse_statements
from server.payments.banks.errors import StatementInvalid
from server.payments.banks.xml_reading import XML_BYTES_MAX

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
ENTRY = (
    '<Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
    "<BookgDt><Dt>2026-03-02</Dt></BookgDt><AcctSvcrRef>T1</AcctSvcrRef>{details}</Ntry>"
)
BALANCE = (
    "<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    '<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    "<Dt><Dt>2026-03-02</Dt></Dt></Bal>"
)


def statement(*parts: str, id_: str = "S1", account: str = "<IBAN>DE1</IBAN>") -> str:
    return f"<Stmt><Id>{id_}</Id><Acct><Id>{account}</Id></Acct>{''.join(parts)}</Stmt>"


def file(*statements: str, head: str = "", namespace: str = NAMESPACE) -> bytes:
    body = "".join(statements)
    return (
        f'{head}<Document xmlns="{namespace}"><BkToCstmrStmt>{body}</BkToCstmrStmt></Document>'
    ).encode()


def entry(details: str = "", **changes: str) -> str:
    text = ENTRY.format(details=details)
    for name, value in changes.items():
        text = text.replace(*{"amount": ("1.00", value), "status": ("BOOK", value)}[name])
    return text


def balance(code: str, amount: str, currency: str = "EUR") -> str:
    return BALANCE.format(code=code, amount=amount, currency=currency)


def part(amount: str, reference: str) -> str:
    return (
        f"<TxDtls><Refs><AcctSvcrRef>{reference}</AcctSvcrRef></Refs>"
        f'<AmtDtls><TxAmt><Amt Ccy="EUR">{amount}</Amt></TxAmt></AmtDtls></TxDtls>'
    )


def test_any_namespace_will_do() -> None:
    for namespace in ("urn:x", NAMESPACE.replace("08", "02")):
        [read] = parse_statements(file(statement(entry()), namespace=namespace))
        assert [line.amount for line in read.lines] == [100]


def test_a_file_has_several_statements() -> None:
    read = parse_statements(file(statement(entry()), statement(entry(), id_="S2")))
    assert [each.id for each in read] == ["S1", "S2"]


def test_a_batch_is_one_line_for_each_payment() -> None:
    details = f"<NtryDtls>{part('0.40', 'A')}{part('0.60', 'B')}</NtryDtls>"
    [read] = parse_statements(file(statement(entry(details))))
    assert [(line.external_id, line.amount) for line in read.lines] == [("A", 40), ("B", 60)]


def test_payments_of_a_batch_without_references_have_ids_of_their_own() -> None:
    bare = '<TxDtls><Amt Ccy="EUR">0.50</Amt></TxDtls>'
    [read] = parse_statements(file(statement(entry(f"<NtryDtls>{bare}{bare}</NtryDtls>"))))
    assert [line.external_id for line in read.lines] == ["T1#1", "T1#2"]


def test_what_is_pending_counts_for_no_balance() -> None:
    parts = (balance("OPBD", "5.00"), balance("CLBD", "5.00"), entry(status="PDNG"))
    [read] = parse_statements(file(statement(*parts)))
    assert [line.booked for line in read.lines] == [False]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<",
        b"\xff\xfe<\x00",
        b"<Document/>",
        b'<?xml version="1.0" encoding="UTF-7"?><Document/>',
        file(),
        file(statement()),
        file(statement(entry(), account="")),
        file(statement(entry(), id_="x" * 36)),
        file(statement(entry()), statement(entry())),
        file(statement(entry(amount="1.001"))),
        file(statement(entry(amount="-1.00"))),
        file(statement(entry(amount="1e2"))),
        file(statement(entry().replace("CRDT", "BOTH"))),
        file(statement(entry().replace("2026-03-02", "2026-02-30"))),
        file(statement(entry().replace("<BookgDt><Dt>2026-03-02</Dt></BookgDt>", ""))),
        file(statement(entry().replace("EUR", "XXX"))),
        file(statement(entry(), entry().replace("EUR", "TRY"))),
        file(statement(balance("OPBD", "0.00"), balance("CLBD", "2.00"), entry())),
        file(statement(balance("CLBD", "1.00", "TRY"), entry())),
        file(statement(entry(f"<NtryDtls>{part('0.40', 'A')}{part('0.59', 'B')}</NtryDtls>"))),
    ],
)
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(StatementInvalid):
        parse_statements(data)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE Document [<!ENTITY x "y">]>',
        '<!DOCTYPE Document SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Document SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<?xml version="1.0"?>\n<!DOCTYPE Document>',
    ],
)
def test_a_document_type_is_refused(head: str) -> None:
    with pytest.raises(StatementInvalid):
        parse_statements(file(statement(entry()), head=head))


def test_a_document_type_in_another_encoding_is_refused() -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE Document><Document/>'
    with pytest.raises(StatementInvalid):
        parse_statements(text.encode("utf-16"))


def test_what_is_too_deep_or_too_long_is_refused() -> None:
    with pytest.raises(StatementInvalid):
        parse_statements(file(statement("<a>" * 10_000 + "</a>" * 10_000)))
    with pytest.raises(StatementInvalid):
        parse_statements(b" " * (XML_BYTES_MAX + 1))
