"""Kinds of case about carriers: the wire of a session, and Bluetooth LE."""

import asyncio
from collections import deque
from dataclasses import asdict
from typing import Any

from client_sdk.errors import LinkClosed
from client_sdk.transports.base import MESSAGE_BYTES_MAX, InvalidAddress
from client_sdk.transports.ble.connecting import lock_of
from client_sdk.transports.ble.fragments import (
    Close,
    Data,
    Ending,
    Gap,
    MalformedFragment,
    OtherVersion,
    decode,
)
from client_sdk.transports.ble.naming import join_address, service_uuid, split_address
from client_sdk.transports.ble.stream import Incoming, StreamBroken
from client_sdk.transports.ble.wire import RESUMES_MAX
from client_sdk.transports.session import (
    SecureLink,
    answer,
    ask_request,
    call,
    read_greeting,
    shake,
)
from offline_protocol import PaymentRequest, unpack, unseal
from offline_protocol.errors import HandshakeFailed, SessionBroken
from tests.conformance.given import Given, Json, raw


class _Silence(LinkClosed):
    """The other side has nothing more to say."""


class _Script:
    """A wire whose other side has said everything in advance."""

    bytes_max = MESSAGE_BYTES_MAX
    evidence_bytes = 0

    def __init__(self, messages: list[str]) -> None:
        self._left = deque(map(bytes.fromhex, messages))
        self.written: list[str] = []

    async def write(self, message: bytes) -> None:
        self.written.append(message.hex())

    async def read(self, *, seconds: float = 0) -> bytes:  # noqa: ARG002 -- the script is there
        if not self._left:
            raise _Silence("The script has ended.")
        return self._left.popleft()

    def abort(self) -> None:
        self._left.clear()

    async def close(self) -> None:
        self._left.clear()


def judge_wire(given: Given) -> Json:
    """One side of a wire from its greeting to its goodbye, by the session that wallets use."""
    return asyncio.run(_converse(given, _Script(given["received"])))


async def _converse(given: Given, wire: _Script) -> Json:
    frames: list[str] = []
    try:
        link = await (_pay if given["role"] == "payer" else _serve)(given, wire)
    except _Silence:
        return {"written": wire.written, "code": None, "frames": frames, "end": "open"}
    except LinkClosed as error:
        raise HandshakeFailed(str(error)) from error
    for frame in given["says"]:
        await link.send(bytes.fromhex(frame))
    end = "goodbye"
    try:
        while True:
            frames.append((await link.receive()).hex())
    except _Silence:
        end = "open"
    except LinkClosed as error:
        if not error.clean:
            raise SessionBroken(str(error)) from error
    return {"written": wire.written, "code": link.code, "frames": frames, "end": end}


async def _pay(given: Given, wire: _Script) -> SecureLink:
    def entropy(_: int) -> bytes:
        return raw(given, "ephemeral")

    if "request_id" in given:
        return await call(
            wire,
            request_id=raw(given, "request_id"),
            session_key=raw(given, "session_key"),
            entropy=entropy,
        )
    greeting = await read_greeting(wire)
    request = unseal(PaymentRequest, unpack(await ask_request(wire))[1]).body
    return await shake(
        wire,
        greeting,
        request_id=request.request_id,
        session_key=request.session_key,
        entropy=entropy,
    )


async def _serve(given: Given, wire: _Script) -> SecureLink:
    return await answer(
        wire,
        request_id=raw(given, "request_id"),
        secret=raw(given, "session_secret"),
        entropy=lambda _: raw(given, "ephemeral"),
        offered=raw(given, "offered") if "offered" in given else None,
    )


def judge_ble_address(given: Given) -> Json:
    """Token and service of a transport text; null for what a payer passes over."""
    try:
        token = split_address(given["text"])
    except InvalidAddress:
        return {"token": None, "service": None}
    assert join_address(token) == given["text"], "writing gives another text"
    return {"token": token.hex(), "service": str(service_uuid(token))}


def judge_ble_resume(given: Given) -> Json:
    """After how many steps a lock follows from a key; null for a key that opens nothing."""
    lock, key = raw(given, "lock"), raw(given, "key")
    for steps in range(1, RESUMES_MAX + 1):
        key = lock_of(key)
        if key == lock:
            return {"steps": steps}
    return {"steps": None}


def judge_ble_fragment(given: Given) -> Json:
    """What one GATT value says; null for what is passed over, and the answer where there is one."""
    try:
        fragment = decode(raw(given, "value"))
    except OtherVersion:
        return {"fragment": None, "answer": Close(Ending.VERSION).encode().hex()}
    except MalformedFragment:
        return {"fragment": None, "answer": None}
    assert fragment.encode() == raw(given, "value"), "writing gives other bytes"
    fields: dict[str, Any] = asdict(fragment)
    if isinstance(fragment, Close) and fragment.reason not in set(Ending):
        fields["reason"] = int(Ending.DONE)
    plain = {name: _plain(value) for name, value in fields.items()}
    return {"fragment": {"kind": int(fragment.KIND), **plain}, "answer": None}


def _plain(value: Any) -> Json:
    return value.hex() if isinstance(value, bytes) else value


def judge_ble_stream(given: Given) -> Json:
    """Messages out of DATA; every message is read, and every answer is sent, at once."""
    incoming = Incoming(bytes_max=MESSAGE_BYTES_MAX)
    steps: list[Json] = []
    for value in given["values"]:
        fragment = decode(bytes.fromhex(value))
        assert isinstance(fragment, Data), "the case holds DATA only"
        try:
            incoming.take(fragment)
        except StreamBroken:
            steps.append({"close": int(Ending.BROKEN)})
            break
        messages = [message.hex() for message in incoming.messages]
        incoming.messages.clear()
        gap = isinstance(incoming.owed(), Gap)
        steps.append({"received": incoming.received, "messages": messages, "gap": gap})
    return {"steps": steps}
