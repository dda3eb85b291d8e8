"""A small HTTP server that keeps to the contract the wallet relies on, and fails on command.

It checks proofs of possession and idempotency keys for real, signs real vouchers and certificates,
and remembers what it was sent, so that tests can look at it from the other side.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.api.encoding import to_bytes, to_text
from client_sdk.testing import Issuer, SetClock
from offline_protocol.cose import unseal
from offline_protocol.keys import PublicKey
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer

USER_ID = UUID(int=7)
PASSWORD = "plum radio under seven"
PROOF_WINDOW_SECONDS = 60

Answer = tuple[int, dict[str, Any]]


class Refused(Exception):
    def __init__(self, status: int, code: str, **extra: Any) -> None:
        super().__init__(code)
        self.answer: Answer = (
            status,
            {"status": status, "code": code, "detail": f"{code}.", "fix": None, **extra},
        )


class ContractServer:
    """State of the server, and what goes wrong next.

    Attributes:
        failures: for each coming request to a path: "drop" (handled, the answer is lost), "refuse"
            (the connection ends before it is handled), or a status.
        seen: (method, path, idempotency key) of everything that was handled.
    """

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.issuer = Issuer(now=clock.now())
        self.failures: list[tuple[str, str | int]] = []
        self.seen: list[tuple[str, str, str | None]] = []
        self.records: dict[str, str] = {}
        self.uploads: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.missing: list[int] = []
        self.missing_of_keys: dict[str, list[int]] = {}
        self.loaded = 0
        self.access = "access-0"
        self.refresh = "refresh-0"
        self.token_number = 0
        self.bound = False
        self.lifetime = 900
        self._answers: dict[str, tuple[bytes, Answer]] = {}
        self._proofs: set[str] = set()
        self._device: PublicKey | None = None
        self.url = ""

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        path = path.partition("?")[0]
        key = headers.get("idempotency-key")
        self.seen.append((method, path, key))
        data = json.loads(body) if body else {}
        if path == "/v1/sessions":
            if data["password"] != PASSWORD:
                raise Refused(401, "credentials_invalid")
            return 201, self._tokens("Bearer")
        if path == "/v1/offline/key-set":
            return 200, {
                "key_set": to_text(self.issuer.key_set.envelope),
                "root_key": to_text(self.issuer.root.public_key.raw),
            }
        if path == "/v1/sessions/refresh":
            self._check_proof(method, path, headers, body, None)
            if data["refresh_token"] != self.refresh:
                raise Refused(401, "refresh_token_invalid")
            return 200, self._tokens("DPoP")
        self._check_access(method, path, headers, body)
        if key is not None:
            known = self._answers.get(key)
            if known is not None:
                if known[0] != body:
                    raise Refused(409, "idempotency_conflict")
                return known[1]
        answer = self._work(path, data)
        if key is not None:
            self._answers[key] = (body, answer)
        return answer

    def _work(self, path: str, data: dict[str, Any]) -> Answer:
        work = {
            "/v1/me": self._me,
            "/v1/devices/challenges": self._challenge,
            "/v1/devices": self._enrol,
            "/v1/top-ups": self._top_up,
            "/v1/balances": self._balances,
            "/v1/offline/vouchers": self._load,
            "/v1/offline/sync": self._sync,
        }.get(path)
        if work is None:
            raise Refused(404, "not_found")
        return 200, work(data)

    def _me(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"id": str(USER_ID)}

    def _challenge(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"challenge": to_text(bytes(32)), "expires_in": 300}

    def _enrol(self, data: dict[str, Any]) -> dict[str, Any]:
        device = PublicKey(to_bytes(data["public_key"]))
        message = b"tallystick/1/enrol" + bytes(32) + USER_ID.bytes
        device.verify(message, to_bytes(data["proof"]))
        self._device = device
        return {"device_id": "device-1", **self._tokens("DPoP")}

    def _top_up(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["card"] == "declined":
            raise Refused(422, "card_refused")
        return {"id": "top-up-1", "status": "succeeded", "reason": None, **data}

    def _balances(self, _: dict[str, Any]) -> dict[str, Any]:
        item = {"currency": "EUR", "posted": 5, "held": 1, "available": 4, "offline": 2}
        return {"items": [item]}

    def _load(self, data: dict[str, Any]) -> dict[str, Any]:
        assert self._device is not None
        self.loaded += data["amount"]
        voucher = self.issuer.voucher(
            self._device, data["amount"], data["currency"], now=self.clock.now()
        )
        return {"vouchers": [to_text(voucher.envelope)]}

    def _sync(self, data: dict[str, Any]) -> dict[str, Any]:
        assert self._device is not None
        self.uploads.append(len(data["records"]))
        results = []
        for record in data["records"]:
            known = record["object"] in self.records
            self.records[record["object"]] = record["kind"]
            kind = Transfer if record["kind"] == "transfer" else Receipt
            identity = unseal(kind, to_bytes(record["object"])).id
            status = "duplicate" if known else "stored"
            results.append({"id": to_text(identity), "status": status})
        news = [event for event in self.events if event["seq"] > data["cursor"]]
        certificate = self.issuer.certificate(self._device, now=self.clock.now(), name="device")
        missing, self.missing = self.missing, []
        of_keys, self.missing_of_keys = self.missing_of_keys, {}
        return {
            "results": results,
            "events": news[:2],
            "cursor": news[:2][-1]["seq"] if news else data["cursor"],
            "more": len(news) > 2,
            "certificate": to_text(certificate.envelope),
            "key_set": to_text(self.issuer.key_set.envelope),
            "server_time": self.clock.now(),
            "missing_sequences": missing,
            "missing_of_keys": of_keys,
        }

    def tell(self, kind: str, **body: Any) -> None:
        self.events.append({"seq": len(self.events) + 1, "type": kind, **body})

    def _tokens(self, kind: str) -> dict[str, Any]:
        self.token_number += 1
        self.bound = kind == "DPoP"
        self.access = f"access-{self.token_number}"
        self.refresh = f"refresh-{self.token_number}"
        return {
            "access_token": self.access,
            "token_type": kind,
            "expires_in": self.lifetime,
            "refresh_token": self.refresh,
            "session_id": "session-1",
        }

    def _check_access(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if token != self.access:
            raise Refused(401, "token_expired")
        if self.bound:
            assert scheme == "DPoP", "a bound token is not sent without its proof"
            self._check_proof(method, path, headers, body, token)

    def _check_proof(
        self, method: str, path: str, headers: dict[str, str], body: bytes, token: str | None
    ) -> None:
        assert self._device is not None
        claims = jwt.decode(
            headers["dpop"],
            Ed25519PublicKey.from_public_bytes(self._device.raw),
            algorithms=["EdDSA"],
            options={"verify_iat": False},
        )
        head = jwt.get_unverified_header(headers["dpop"])
        assert head["typ"] == "dpop+jwt"
        assert head["jwk"] == {"kty": "OKP", "crv": "Ed25519", "x": to_text(self._device.raw)}
        assert (claims["htm"], claims["htu"]) == (method, self.url + path)
        assert claims["bh"] == to_text(hashlib.sha256(body).digest())
        hashed = None if token is None else to_text(hashlib.sha256(token.encode()).digest())
        assert claims.get("ath") == hashed
        if abs(claims["iat"] - self.clock.now()) > PROOF_WINDOW_SECONDS:
            raise Refused(401, "proof_out_of_time", server_time=self.clock.now())
        assert claims["jti"] not in self._proofs, "a proof is used once"
        self._proofs.add(claims["jti"])


@contextmanager
def serving(state: ContractServer) -> Iterator[str]:
    """Serve on a free port; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            failure = None
            if state.failures and state.failures[0][0] == self.path:
                failure = state.failures.pop(0)[1]
            if failure == "refuse":
                self.close_connection = True
                return
            if isinstance(failure, int):
                answer: Answer = (failure, {"code": "unavailable", "detail": "Not now."})
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    answer = state.handle(self.command, self.path, headers, body)
                except Refused as refusal:
                    answer = refusal.answer
            if failure == "drop":
                self.close_connection = True
                return
            content = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_one  # noqa: N815 - names that the library calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
