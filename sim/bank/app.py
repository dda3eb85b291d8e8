"""The bank's HTTP: what its customers' servers call, and a control interface for tests.

Plain ASGI, so that an answer can be cut in the middle. Whoever reaches the port controls the bank:
it listens on this machine only.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from sim.bank import files, statements
from sim.bank.payouts import MODES, Payouts
from sim.bank.sender import Sender
from sim.bank.signing import HEADER, is_signed
from sim.bank.store import Json, Store, now_ms, today

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_BODY_MAX = 4_000_000


class Call(NamedTuple):
    method: str
    path: list[str]
    query: dict[str, list[str]]
    signature: str
    body: bytes

    @property
    def data(self) -> Json:
        found = json.loads(self.body or b"{}")
        if not isinstance(found, dict):
            raise TypeError("the body is not an object")
        return found


class Answer(NamedTuple):
    status: int
    content: Json | list[Json] | bytes
    cut: bool = False


class Bank:
    """The application."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._payouts = Payouts(store)
        self._sender = Sender(store, self._payouts)
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        call = await _read(scope, receive)
        try:
            answer = self._answer(call)
        except (KeyError, TypeError, ValueError) as error:
            answer = Answer(
                400, {"code": "bad_request", "detail": f"{type(error).__name__}: {error}"}
            )
        await _write(answer, send)

    def _answer(self, call: Call) -> Answer:
        match call.method, *call.path:
            case "GET", "health":
                return Answer(200, {"status": "alive"})
            case "POST", "payouts":
                return self._order(call)
            case "GET", "payouts", order_id:
                if not self._signed(call):
                    return Answer(401, {"code": "signature_invalid"})
                return Answer(*self._payouts.find(order_id))
            case _, "control", *rest:
                return self._control(call, rest)
        return Answer(404, {"code": "not_found"})

    def _order(self, call: Call) -> Answer:
        if not self._signed(call):
            return Answer(401, {"code": "signature_invalid"})
        order = call.data
        if type(order["amount"]) is not int or order["amount"] <= 0 or "payee" not in order:
            raise ValueError("an order has an amount above zero and a payee")
        return Answer(*self._payouts.order(order))

    def _control(self, call: Call, rest: list[str]) -> Answer:
        name = rest[0] if rest else ""
        controls: dict[tuple[str, str], Callable[[Call, list[str]], Answer]] = {
            ("POST", "config"): lambda call, _: self._configure(call.data),
            ("POST", "modes"): lambda call, _: self._set_modes(call.data),
            ("POST", "deposits"): lambda call, _: self._deposit(call.data),
            ("POST", "reversals"): lambda call, _: self._reverse(call.data),
            ("GET", "payouts"): lambda *_: self._list("payout"),
            ("POST", "payouts"): self._change_payout,
            ("GET", "notices"): lambda *_: self._list("notice"),
            ("GET", "statements"): self._statement,
            ("POST", "files"): self._take_file,
            ("GET", "files"): self._answer_file,
        }
        control = controls.get((call.method, name))
        return Answer(404, {"code": "not_found"}) if control is None else control(call, rest[1:])

    def _configure(self, data: Json) -> Answer:
        with self._store.change():
            for name in ("server", "bank_id", "secret"):
                self._store.set(name, str(data[name]))
        return Answer(200, {})

    def _list(self, table: str) -> Answer:
        return Answer(200, self._store.rows(f"SELECT * FROM {table} ORDER BY rowid"))  # noqa: S608

    def _change_payout(self, call: Call, rest: list[str]) -> Answer:
        order_id, change = rest
        if change == "settle":
            data = call.data
            return Answer(*self._payouts.settle(order_id, data["status"], data.get("reason")))
        return Answer(*self._payouts.send_back(order_id, call.data.get("reason", "ac04")))

    def _statement(self, call: Call, rest: list[str]) -> Answer:
        currency, day = rest
        version = call.query.get("version", ["08"])[0]
        on = today() if day == "today" else date.fromisoformat(day)
        return Answer(200, statements.render(self._store, currency, on, version))

    def _take_file(self, call: Call, _rest: list[str]) -> Answer:
        return Answer(200, {"message_id": files.take_file(self._payouts, call.body)})

    def _answer_file(self, _call: Call, rest: list[str]) -> Answer:
        return Answer(200, files.render_answer(self._store, rest[0]))

    def _set_modes(self, data: Json) -> Answer:
        named = [*data.get("next", []), data.get("mode", "immediate")]
        if any(mode not in MODES for mode in named):
            return Answer(400, {"code": "unknown_mode", "modes": list(MODES)})
        with self._store.change():
            self._store.set("modes", json.dumps(data.get("next", [])))
            self._store.set("mode", data.get("mode", "immediate"))
            self._store.set("reason", data.get("reason", "account_closed"))
            self._store.set("delay_ms", str(int(data.get("delay_ms", 200))))
        return Answer(200, {})

    def _deposit(self, data: Json) -> Answer:
        with self._store.change():
            transaction = self._store.book(
                data["currency"],
                int(data["amount"]),
                text=data.get("reference", ""),
                transaction_id=data.get("transaction_id"),
                booked=not data.get("pending", False),
            )
            facts = {
                "type": "deposit",
                "transaction_id": transaction,
                "amount": int(data["amount"]),
                "currency": data["currency"],
                "booked_on": today().isoformat(),
                "reference": data.get("reference", ""),
            }
            if data.get("payer"):
                facts["payer"] = data["payer"]
            deliveries = self._store.announce(facts, times=int(data.get("times", 1)))
        return Answer(200, {"transaction_id": transaction, "deliveries": deliveries})

    def _reverse(self, data: Json) -> Answer:
        original = self._store.row(
            "SELECT * FROM booking WHERE transaction_id = ?", data["transaction_id"]
        )
        if original is None:
            return Answer(404, {"code": "not_found"})
        amount = int(data["amount"] if "amount" in data else original["amount"])
        with self._store.change():
            transaction = self._store.book(
                original["currency"], -amount, text="REVERSAL", is_return=True
            )
            self._store.announce(
                {
                    "type": "deposit_reversed",
                    "transaction_id": transaction,
                    "original_transaction_id": original["transaction_id"],
                    "amount": amount,
                    "currency": original["currency"],
                    "reason": data.get("reason", "fraud"),
                }
            )
        return Answer(200, {"transaction_id": transaction})

    def _signed(self, call: Call) -> bool:
        purpose = f"{call.method} /{'/'.join(call.path)}"
        secret = self._store.setting("secret")
        now_s = now_ms() // 1000
        return bool(secret) and is_signed(secret, call.signature, purpose, call.body, now_s)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._sending = asyncio.create_task(self._sender.run())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._sending is not None:
                    self._sending.cancel()
                    with suppress(asyncio.CancelledError):
                        await self._sending
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _read(scope: MutableMapping[str, Any], receive: Receive) -> Call:
    body, more = b"", True
    while more and len(body) <= _BODY_MAX:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Call(
        scope["method"],
        [part for part in scope["path"].split("/") if part],
        parse_qs(scope["query_string"].decode("latin-1")),
        headers.get(HEADER, ""),
        body[:_BODY_MAX],
    )


async def _write(answer: Answer, send: Send) -> None:
    is_xml = isinstance(answer.content, bytes)
    content = answer.content if isinstance(answer.content, bytes) else _json(answer.content)
    headers = [
        (b"content-type", b"application/xml" if is_xml else b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.cut:
        # Fewer bytes than promised: the connection breaks off.
        await send({"type": "http.response.body", "body": content[:5]})
        return
    await send({"type": "http.response.body", "body": content})


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
