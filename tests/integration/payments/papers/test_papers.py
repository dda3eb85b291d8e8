"""Invoices and statements: right in every language, signed, and only for their owner."""

import io
import subprocess
from datetime import timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko_certvalidator import ValidationContext
from pypdf import PdfReader

from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.errors import InvalidRequest, NotFound
from server.kit.i18n import Language
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many
from server.payments.history.details import Detail
from server.payments.papers import DocumentSigner, PaperDesk, Typesetter
from server.payments.papers.desk import reader_of
from server.payments.papers.errors import PeriodTooLong
from server.payments.papers.invoices import find_movement, invoice
from server.payments.papers.statements import find_period, paper
from tests.fakes.clock import ManualClock
from tests.integration.payments.people import NAMES, join

ZONE = ZoneInfo("Africa/Nairobi")
VAULT = Vault(b"k" * 32)
TRANSFER = UUID("0b1e2f30-1111-4222-8333-444455556666")
MIXED = "Çay & şeker — شاي بالنعناع, चाय #42 *not markup* $x$"


async def explain(
    _tx: Tx, _caller: Caller, ids: "list[UUID] | tuple[UUID, ...]"
) -> dict[UUID, Detail]:
    return {id_: Detail("Ayşe Öztürk (أيشة)", MIXED) for id_ in ids}


@pytest.fixture
def desk(uow: UnitOfWork) -> PaperDesk:
    signer = DocumentSigner(uow, VAULT, tenant=1, issuer="Sokoni Co-operative")
    return PaperDesk(uow, Typesetter(), signer, {"transfer": explain}, "Sokoni Co-operative")  # type: ignore[dict-item]


async def pay(uow: UnitOfWork, user: UUID, amount: int, *, number: int = 0) -> UUID:
    """Credit a user, or with an amount below zero debit them."""
    house = AccountRef(AccountKind.HOUSE_CAPITAL, "EUR")
    own = AccountRef(AccountKind.USER_AVAILABLE, "EUR", user)
    request = EntryRequest(
        id=UUID(int=NAMES.int + number + abs(amount) * 1_000_000),
        kind="payments.transfer",
        debit=house if amount > 0 else own,
        credit=own if amount > 0 else house,
        amount=abs(amount),
        memo={"transfer": str(TRANSFER)},
    )
    (outcome,) = await uow.run(lambda tx: post_many(tx, [request]))
    outcome.raise_for_refusal()
    return request.id


async def invoice_of(
    desk: PaperDesk, caller: Caller, entry: UUID, language: Language, clock: ManualClock
) -> bytes:
    async def data(tx: Tx) -> dict[str, object]:
        reader = await reader_of(tx, caller, language=language, accepted=None, zone=ZONE)
        return invoice(desk, reader, await find_movement(tx, desk, caller, entry))

    return await desk.finish("invoice.typ", await desk.uow.read(data), made_at=clock.now())


def words_in(pdf: bytes, path: Path) -> str:
    """Read the text as a reader program does, without the marks that only steer directions."""
    path.write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True)
    text = done.stdout.decode()
    return "".join(
        char
        for char in text
        if char not in "\u2066\u2067\u2068\u2069\u200e\u200f\u202a\u202b\u202c"
    )


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (Language.ENGLISH, ["Invoice", "1,234.50", "From", "Ledger entry"]),
        (Language.TURKISH, ["Fatura", "1.234,50", "Gönderen"]),
        (Language.FRENCH, ["Facture", "1 234,50", "Écriture"]),
        (Language.SPANISH, ["Factura", "1.234,50", "Importe"]),
        (Language.ARABIC, ["EUR"]),
        (Language.HINDI, ["1,234.50"]),
        (Language.SWAHILI, ["Ankara", "1,234.50", "Kiasi"]),
    ],
)
async def test_an_invoice_speaks_the_readers_language(  # noqa: PLR0917 - fixtures
    uow: UnitOfWork,
    desk: PaperDesk,
    clock: ManualClock,
    tmp_path: Path,
    language: Language,
    expected: list[str],
) -> None:
    ada = await join(uow, "ada")
    entry = await pay(uow, ada.user_id, 123_450)
    made = await invoice_of(desk, ada, entry, language, clock)
    found = " ".join(words_in(made, tmp_path / "paper.pdf").split())
    for word in expected:
        assert word in found, found
    assert str(TRANSFER) in found
    assert "*not" in found
    assert "$x$" in found or language is Language.ARABIC, found
    assert "@ada" in found
    fonts = {
        str(font["/BaseFont"])
        for page in PdfReader(io.BytesIO(made)).pages
        for font in (ref.get_object() for ref in page["/Resources"]["/Font"].values())  # type: ignore[index]
    }
    assert all("NotoSans" in font for font in fonts), fonts
    assert any("Arabic" in font for font in fonts)
    assert any("Devanagari" in font for font in fonts)


async def test_every_letter_of_every_language_is_in_the_fonts(
    uow: UnitOfWork, desk: PaperDesk, clock: ManualClock
) -> None:
    ada = await join(uow, "ada")
    entry = await pay(uow, ada.user_id, 1)
    for language in Language:
        made = await invoice_of(desk, ada, entry, language, clock)
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(made)).pages)
        assert "\ufffd" not in text
        assert "\x00" not in text


async def test_a_signature_holds_and_a_changed_letter_breaks_it(
    uow: UnitOfWork, desk: PaperDesk, clock: ManualClock
) -> None:
    ada = await join(uow, "ada")
    entry = await pay(uow, ada.user_id, 500)
    made = await invoice_of(desk, ada, entry, Language.ENGLISH, clock)
    pem = await desk.signer.certificates()
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=Sokoni Co-operative"

    async def check(pdf: bytes) -> bool:
        (signature,) = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
        assert signature.signer_cert.dump() == certificate.public_bytes(
            __import__(
                "cryptography.hazmat.primitives.serialization", fromlist=["Encoding"]
            ).Encoding.DER
        )
        trusted = ValidationContext(trust_roots=[signature.signer_cert], moment=clock.now())
        status = await async_validate_pdf_signature(signature, trusted)
        return bool(status.valid and status.intact)

    assert await check(made)
    at = made.index(b"Sokoni")
    assert not await check(made[:at] + b"Sukoni" + made[at + 6 :])


async def test_one_key_signs_until_its_year_is_over_and_stays_published(
    desk: PaperDesk, clock: ManualClock
) -> None:
    pdf = await desk.typesetter.typeset(
        "invoice.typ",
        {
            "issuer": "I",
            "title": "T",
            "number": "1",
            "lang": "en",
            "rtl": False,
            "digits": "0123456789",
            "page_text": "{page}/{pages}",
            "footer": "f",
            "kind": "k",
            "amount": "1",
            "facts": [("a", "b")],
        },
        made_at=clock.now(),
    )
    await desk.signer.sign(pdf)
    await desk.signer.sign(pdf)
    first = await desk.signer.certificates()
    assert first.count("BEGIN CERTIFICATE") == 1
    clock.advance(timedelta(days=366))
    await desk.signer.sign(pdf)
    both = await desk.signer.certificates()
    assert both.count("BEGIN CERTIFICATE") == 2
    assert both.endswith(first)


async def test_equal_papers_are_equal_bytes_before_they_are_signed(
    desk: PaperDesk, clock: ManualClock, uow: UnitOfWork
) -> None:
    ada = await join(uow, "ada")
    entry = await pay(uow, ada.user_id, 500)

    async def data(tx: Tx) -> dict[str, object]:
        reader = await reader_of(tx, ada, language=None, accepted="ar;q=0.8, fr", zone=ZONE)
        return invoice(desk, reader, await find_movement(tx, desk, ada, entry))

    found = await uow.read(data)
    assert found["lang"] == "fr"
    once = await desk.typesetter.typeset("invoice.typ", found, made_at=clock.now())
    assert once == await desk.typesetter.typeset("invoice.typ", found, made_at=clock.now())


async def test_an_invoice_is_for_its_owner_alone(uow: UnitOfWork, desk: PaperDesk) -> None:
    ada, bob = await join(uow, "ada"), await join(uow, "bob")
    entry = await pay(uow, ada.user_id, 500)
    with pytest.raises(NotFound):
        await uow.read(lambda tx: find_movement(tx, desk, bob, entry))
    with pytest.raises(NotFound):
        await uow.read(lambda tx: find_movement(tx, desk, ada, UUID(int=5)))
    assert (await uow.read(lambda tx: find_movement(tx, desk, ada, entry))).line[1].delta == 500


async def test_a_statement_adds_up_and_knows_the_readers_days(
    uow: UnitOfWork, desk: PaperDesk, clock: ManualClock, tmp_path: Path
) -> None:
    ada = await join(uow, "ada")
    start = clock.now()
    for number, amount in enumerate((10_000, 700, -2_500)):
        await pay(uow, ada.user_id, amount, number=number)
        clock.advance(timedelta(days=1))
    second = (start + timedelta(days=1)).astimezone(ZONE).date()

    async def read(tx: Tx) -> dict[str, object]:
        reader = await reader_of(tx, ada, language=Language.ENGLISH, accepted=None, zone=ZONE)
        period = await find_period(
            tx, desk, reader, currency="EUR", first=second, last=second + timedelta(days=1)
        )
        assert (period.opening, period.closing) == (10_000, 8_200)
        return paper(desk, reader, period)

    made = await desk.finish("statement.typ", await uow.read(read), made_at=clock.now())
    text = words_in(made, tmp_path / "statement.pdf")
    for shown in ("100.00", "+7.00", "-25.00", "82.00"):
        assert shown in text, text


async def test_a_period_that_no_paper_holds_is_refused(
    uow: UnitOfWork, desk: PaperDesk, clock: ManualClock
) -> None:
    ada = await join(uow, "ada")
    house = AccountRef(AccountKind.HOUSE_CAPITAL, "EUR")
    own = AccountRef(AccountKind.USER_AVAILABLE, "EUR", ada.user_id)
    requests = [
        EntryRequest(
            id=UUID(int=n + 1), kind="payments.transfer", debit=house, credit=own, amount=1
        )
        for n in range(1_001)
    ]
    await uow.run(lambda tx: post_many(tx, requests))
    day = clock.now().date()

    async def read(tx: Tx, *, back: int) -> object:
        reader = await reader_of(tx, ada, language=None, accepted=None, zone=ZONE)
        return await find_period(
            tx, desk, reader, currency="EUR", first=day, last=day - timedelta(days=back)
        )

    with pytest.raises(PeriodTooLong):
        await uow.read(lambda tx: read(tx, back=0))
    with pytest.raises(InvalidRequest):
        await uow.read(lambda tx: read(tx, back=1))
