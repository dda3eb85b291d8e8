"""The company over HTTP: keys, idempotency, errors, and the faults of a network (plain ASGI)."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from sim.stripe import controls, forms, routes
from sim.stripe.errors import ApiError, invalid
from sim.stripe.store import Body, Store
from sim.stripe.webhooks import Sender

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
BODY_BYTES_MAX = 1_000_000
KEY_MAX = 255


class _Drop(Exception):
    """The connection ends without an answer."""


class StripeApp:
    """Serves one store. Requests are carried out one after the other."""

    def __init__(self, store: Store, *, api_key: str) -> None:
        self._store = store
        self._key = api_key
        self._sender = Sender(store)
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = await _read(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        try:
            status, answer, more = await self._serve(scope, headers, body)
        except _Drop:
            # More is promised than is sent, and the server closes the connection.
            await send(_start(200, [(b"content-length", b"1000")]))
            return
        self._sender.wake()
        content = answer if isinstance(answer, str) else json.dumps(answer)
        given = [(name.encode(), value.encode()) for name, value in more.items()]
        await send(_start(status, [(b"content-type", b"application/json"), *given]))
        await send({"type": "http.response.body", "body": content.encode()})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._task = asyncio.create_task(self._sender.run())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._task is not None:
                    self._task.cancel()
                    with suppress(asyncio.CancelledError):
                        await self._task
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(
        self, scope: Scope, headers: dict[str, str], body: bytes
    ) -> tuple[int, Body | str, dict[str, str]]:
        path = scope["path"]
        try:
            if path.startswith("/_control/"):
                return 200, await self._control(path.removeprefix("/_control/"), body), {}
            self._authenticate(headers)
            return self._call(scope, headers, body)
        except ApiError as error:
            return error.status, error.body, {}
        except forms.BadForm as error:
            return 400, invalid(f"Invalid parameters: {error}").body, {}

    async def _control(self, name: str, body: bytes) -> Body:
        wish = json.loads(body or b"{}")
        if name == "deliver":
            return await self._sender.deliver(wish)
        with self._store.transaction():
            return controls.control(self._store, name, wish)

    def _authenticate(self, headers: dict[str, str]) -> None:
        if headers.get("authorization") != f"Bearer {self._key}":
            raise ApiError(401, "invalid_request_error", "Invalid API Key provided.")

    def _call(
        self, scope: Scope, headers: dict[str, str], body: bytes
    ) -> tuple[int, Body | str, dict[str, str]]:
        method, path = scope["method"], scope["path"]
        fault = self._store.take_fault(f"{method} {path}")
        _before(fault)
        text = scope["query_string"].decode() if method == "GET" else body.decode()
        key = headers.get("idempotency-key") if method == "POST" else None
        if key is not None and len(key) > KEY_MAX:
            raise invalid("Keys have at most 255 characters.")
        account = headers.get("stripe-account", "")
        with self._store.transaction():
            answered = self._answered(key, account, method, path, text)
            if answered is None:
                answered = self._carry_out(key, account, method, path, text)
        _after(fault)
        return answered

    def _answered(
        self, key: str | None, account: str, method: str, path: str, text: str
    ) -> tuple[int, str, dict[str, str]] | None:
        """Return the first answer to a key, or refuse the key for another request."""
        if key is None or (known := self._store.answered(key, account)) is None:
            return None
        request, status, body = known
        if request != _digest(method, path, text):
            raise ApiError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they "
                f"were first used with. Try using a key other than '{key}'.",
            )
        return status, body, {"idempotent-replayed": "true", "idempotency-key": key}

    def _carry_out(
        self, key: str | None, account: str, method: str, path: str, text: str
    ) -> tuple[int, str, dict[str, str]]:
        """Do it; what failed validation or found nothing is not remembered for its key."""
        params = forms.decode(text)
        wishes = params.get("expand") or []
        savepoint = self._store.connection
        savepoint.execute("SAVEPOINT work")
        try:
            handler, ids = routes.route(method, path)
            found = handler(self._store, ids, params, account)
            status, is_stored = 200, True
            # A copy: what is expanded must not get into the store.
            answer = routes.expanded(self._store, json.loads(json.dumps(found)), list(wishes))
        except ApiError as error:
            if not error.is_stored:
                savepoint.execute("ROLLBACK TO work")
            status, is_stored, answer = error.status, error.is_stored, error.body
        savepoint.execute("RELEASE work")
        content = json.dumps(answer)
        if key is not None and is_stored:
            self._store.answer(key, account, _digest(method, path, text), status, content)
        return status, content, {}


def _before(fault: str | None) -> None:
    """Fail before anything is carried out."""
    if fault == "before_500":
        raise ApiError(500, "api_error", "Something went wrong.")
    if fault == "rate_limit":
        raise ApiError(429, "invalid_request_error", "Too many requests.", code="rate_limit")
    if fault == "conflict":
        raise ApiError(
            409,
            "invalid_request_error",
            "There is another request with this key.",
            code="idempotency_key_in_use",
        )
    if fault == "drop":
        raise _Drop


def _after(fault: str | None) -> None:
    """Lose the answer to what was carried out."""
    if fault == "lose_answer":
        raise _Drop
    if fault == "error_500":
        raise ApiError(500, "api_error", "Something went wrong.")


def _digest(method: str, path: str, text: str) -> str:
    parameters = json.dumps(sorted(parse_qsl(text, keep_blank_values=True)))
    return hashlib.sha256(f"{method} {path} {parameters}".encode()).hexdigest()


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _read(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body") or len(body) > BODY_BYTES_MAX:
            return body
