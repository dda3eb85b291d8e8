"""A call as a proof has to fit it: method, address as the client sees it, body."""

from urllib.parse import quote

from server.identity.errors import ProofInvalid
from server.identity.proofs import CallFacts
from server.identity.settings import Installation
from server.kit.auth import Connection


def proof_header(connection: Connection) -> str | None:
    """Return the one DPoP header of a call.

    Raises:
        ProofInvalid: there are several.
    """
    headers = connection.headers.getall("dpop", [])
    if len(headers) > 1:
        raise ProofInvalid("There is more than one DPoP header.", fix="Send one.")
    return headers[0] if headers else None


def call_facts(connection: Connection, settings: Installation, body: bytes) -> CallFacts:
    """Return what a proof has to fit.

    Scheme and host are those of the setting ``public_url``: behind a proxy the request does not
    know them, and its Host header is its sender's to choose. Without the setting, the request's.
    """
    scheme, host = connection.scope["scheme"], connection.headers.get("host", "")
    base = settings.public_url or f"{scheme}://{host}"
    raw = connection.scope.get("raw_path")
    # Some servers put the query here too, though ASGI leaves it out.
    path = raw.partition(b"?")[0].decode("ascii", "replace") if raw else None
    path = path or quote(connection.scope["path"])
    query = connection.scope.get("query_string", b"").decode("ascii", "replace")
    address = base.rstrip("/") + path + (f"?{query}" if query else "")
    return CallFacts(str(connection.scope.get("method", "")), address, body)
