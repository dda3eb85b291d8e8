"""What anybody can send to a server: bodies, texts of bytes, proofs of possession."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from server.fx.rate_file import RateFileInvalid, read_rate_file
from server.fx.rates import is_rate
from server.identity.errors import ProofInvalid, ProofOutOfTime
from server.identity.proofs import CallFacts, verify_proof
from server.kit import strict_json
from server.kit.errors import BodyTooLarge, InvalidRequest
from server.kit.schema import from_base64url, to_base64url
from server.offline.batch import read_batch
from server.offline.ceremony import read_proposal
from server.offline.errors import CeremonyRefused
from server.offline.schemas import SyncRequest
from server.payments import StripeGateway
from server.payments.adapters.stripe_reading import read_event
from server.payments.banks.camt import parse_statements
from server.payments.banks.errors import StatementInvalid
from server.payments.banks.references import find_references, is_reference
from server.payments.banks.schemas import DepositNotice, Notice
from server.payments.gateway import GatewayEvent, WebhookRefused
from sim.stripe.webhooks import sign
from tests.factories.rates import rate_file

_WEBHOOK_SECRET: Final = "whsec_fuzz"
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
CALL: Final = CallFacts("POST", "https://example.org/v1/offline/sync", b"{}")


def body(data: bytes) -> None:
    try:
        request = strict_json.decode(data, SyncRequest)
    except (InvalidRequest, BodyTooLarge):
        return
    batch = read_batch(request.records)
    assert len(batch.results) == len(request.records)


def base64url(data: bytes) -> None:
    text = data.decode("latin-1")
    try:
        assert to_base64url(from_base64url(text, field="text")) == text
    except InvalidRequest:
        return


def proof(data: bytes) -> None:
    try:
        verify_proof(
            data.decode("latin-1"), CALL, access_token=None, now=NOW, window=timedelta(seconds=60)
        )
    except (ProofInvalid, ProofOutOfTime):
        return


def proposal(data: bytes) -> None:
    try:
        assert read_proposal(data).payload == data
    except CeremonyRefused:
        return


def rates(data: bytes) -> None:
    try:
        sheet = read_rate_file(data)
    except RateFileInvalid:
        return
    assert sheet.rates
    assert all(map(is_rate, sheet.rates.values()))
    assert read_rate_file(rate_file(sheet.on, **sheet.rates)) == sheet


def card_webhook(data: bytes) -> None:
    """A webhook of the card company: a length, the signature header, the body."""
    size = data[0] if data else 0
    header, told = data[1 : 1 + size].decode("latin-1"), data[1 + size :]
    try:
        hint = read_event(told)
    except ValueError:
        hint = None
    signed = sign(_WEBHOOK_SECRET, told, int(NOW.timestamp()))
    assert _read_webhook(told, signed) == hint
    if header != signed:
        assert _read_webhook(told, header) is None, "nobody can guess a signature"
    if hint is not None:
        assert all(text.isascii() for text in (hint.id, hint.type, hint.payment or ""))


def _read_webhook(told: bytes, header: str) -> GatewayEvent | None:
    try:
        return _card_gateway().read_webhook(told, header, NOW)
    except WebhookRefused:
        return None


@lru_cache
def _card_gateway() -> StripeGateway:
    return StripeGateway("sk_test_fuzz", webhook_secrets=[_WEBHOOK_SECRET, "whsec_other"])


def bank_statement(data: bytes) -> None:
    try:
        statements = parse_statements(data)
    except StatementInvalid:
        return
    for statement in statements:
        if statement.opening is not None and statement.closing is not None:
            booked = sum(line.amount for line in statement.lines if line.booked)
            assert statement.opening + booked == statement.closing


def bank_notice(data: bytes) -> None:
    try:
        notice = strict_json.decode(data, Notice)
    except (InvalidRequest, BodyTooLarge):
        return
    if isinstance(notice, DepositNotice):
        assert all(is_reference(found) for found in find_references(notice.reference))
