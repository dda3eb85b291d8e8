"""History and papers over HTTP, as an app uses them."""

import csv
import io
import unicodedata
from typing import Any

import pytest
from cryptography import x509
from httpx import AsyncClient, Response
from pypdf import PdfReader

from tests.factories.identity import Device, Person


async def ask(
    client: AsyncClient, device: Device, method: str, path: str, **options: Any
) -> Response:
    headers = {"Authorization": f"Bearer {device.tokens['access_token']}"}
    return await client.request(
        method, path, headers=headers | options.pop("headers", {}), **options
    )


def words_in(pdf: bytes) -> str:
    """Read a paper's first page, without the marks that only steer directions."""
    text = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


@pytest.fixture
async def paid(client: AsyncClient, ada: Person, eve: Person) -> tuple[Device, Device]:
    """Ada topped up 50.00 EUR and sent 12.50 to Eve."""
    payer, payee = await ada.join(), await eve.join()
    top_up = await ask(
        client,
        payer,
        "POST",
        "/v1/top-ups",
        headers={"Idempotency-Key": "top-up"},
        json={"amount": 5_000, "currency": "EUR", "card": "sandbox-ok"},
    )
    assert top_up.status_code == 201, top_up.text
    sent = await ask(
        client,
        payer,
        "POST",
        "/v1/transfers",
        headers={"Idempotency-Key": "transfer"},
        json={"to": "eve", "amount": 1_250, "currency": "EUR", "note": "=tea"},
    )
    assert sent.status_code == 201, sent.text
    return payer, payee


async def test_both_sides_read_who_and_why_in_their_language(
    client: AsyncClient, paid: tuple[Device, Device]
) -> None:
    payer, payee = paid
    mine = (await ask(client, payer, "GET", "/v1/history")).json()["items"]
    assert [(item["title"], item["amount"]) for item in mine] == [
        ("Transfer", -1_250),
        ("Card top-up", 5_000),
    ]
    assert mine[0]["note"] == "=tea"
    assert "eve" in mine[0]["counterpart"]
    theirs = await ask(client, payee, "GET", "/v1/history", headers={"Accept-Language": "tr"})
    (item,) = theirs.json()["items"]
    assert (item["title"], item["amount"], item["note"]) == ("Transfer", 1_250, "=tea")
    assert "ada" in item["counterpart"]
    out = await ask(client, payer, "GET", "/v1/history?direction=in&language=fr")
    assert [item["title"] for item in out.json()["items"]] == ["Rechargement par carte"]


async def test_a_table_is_downloaded_and_carries_no_formula(
    client: AsyncClient, paid: tuple[Device, Device]
) -> None:
    response = await ask(client, paid[0], "GET", "/v1/history/export.csv?kind=payments.transfer")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in response.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [(row["amount"], row["note"]) for row in rows] == [("-12.50", "'=tea")]


async def test_totals_of_days_are_ready_for_a_chart(
    client: AsyncClient, paid: tuple[Device, Device]
) -> None:
    payer, _ = paid
    day = payer.clock.now().date().isoformat()
    path = f"/v1/history/totals?currency=EUR&first={day}&last={day}&zone=UTC"
    (found,) = (await ask(client, payer, "GET", path)).json()["days"]
    assert found == {"day": day, "received": 5_000, "sent": 1_250, "count": 2, "closing": 3_750}


BAD = (
    ("/v1/history?begin=2026-11-21T10:00:00", "invalid_request"),
    ("/v1/history?currency=XXX", "unknown_currency"),
    ("/v1/history?direction=up", "invalid_request"),
    ("/v1/history?language=de", "invalid_request"),
    ("/v1/history?cursor=AAAA", "invalid_request"),
    ("/v1/history/totals?currency=EUR&first=2026-01-02&last=2026-01-01", "invalid_request"),
    (
        "/v1/history/totals?currency=EUR&first=2026-01-01&last=2026-01-01&zone=../etc/passwd",
        "invalid_request",
    ),
    ("/v1/statements/EUR/statement.pdf?first=2026-01-02&last=2026-01-01", "invalid_request"),
    ("/v1/statements/XXX/statement.pdf?first=2026-01-01&last=2026-01-01", "unknown_currency"),
    ("/v1/history/00000000-0000-0000-0000-000000000001/invoice.pdf", "not_found"),
)


async def test_a_question_without_sense_gets_a_clear_no(
    client: AsyncClient, paid: tuple[Device, Device]
) -> None:
    for path, code in BAD:
        response = await ask(client, paid[0], "GET", path)
        assert 400 <= response.status_code < 500, response.text
        assert response.json()["code"] == code, path


async def test_papers_are_signed_and_in_the_language_that_was_chosen(
    client: AsyncClient, paid: tuple[Device, Device]
) -> None:
    payer, payee = paid
    chosen = await ask(client, payer, "PUT", "/v1/me/language", json={"language": "sw"})
    assert chosen.status_code == 204
    assert (await ask(client, payer, "GET", "/v1/me")).json()["language"] == "sw"
    (item, _) = (await ask(client, payer, "GET", "/v1/history")).json()["items"]
    path = f"/v1/history/{item['id']}/invoice.pdf"
    invoice = await ask(client, payer, "GET", path)
    assert invoice.status_code == 200, invoice.text
    assert invoice.headers["content-type"] == "application/pdf"
    assert invoice.headers["cache-control"] == "no-store"
    assert "Ankara" in words_in(invoice.content)
    assert PdfReader(io.BytesIO(invoice.content)).get_fields()
    theirs = await ask(client, payee, "GET", path)
    assert theirs.status_code == 200, "the receiver has a paper of their own about the same entry"
    assert "Invoice" in words_in(theirs.content)
    day = payer.clock.now().date().isoformat()
    statement = await ask(
        client, payer, "GET", f"/v1/statements/EUR/statement.pdf?first={day}&last={day}&language=en"
    )
    text = words_in(statement.content)
    assert "Closing balance" in text
    assert "37.50" in text
    published = (await client.get("/.well-known/document-certificates.pem")).content
    assert len(x509.load_pem_x509_certificates(published)) == 1
