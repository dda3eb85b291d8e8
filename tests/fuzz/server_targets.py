"""What anybody can send to a server: bodies, texts of bytes, proofs of possession."""

from datetime import UTC, datetime, timedelta
from typing import Final

from server.identity.errors import ProofInvalid, ProofOutOfTime
from server.identity.proofs import CallFacts, verify_proof
from server.kit import strict_json
from server.kit.errors import BodyTooLarge, InvalidRequest
from server.kit.schema import from_base64url, to_base64url
from server.offline.batch import read_batch
from server.offline.ceremony import read_proposal
from server.offline.errors import CeremonyRefused
from server.offline.schemas import SyncRequest

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
