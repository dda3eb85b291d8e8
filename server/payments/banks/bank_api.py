"""The interface that a bank with an API offers us, from our side: two calls, both signed.

    POST {api}/payouts        an order, idempotent by its id    200 PaymentState
    GET  {api}/payouts/{id}   what became of it                 200 PaymentState, 404 payout_unknown

Only an answer of exactly this form is an answer. Anything else - a time-out, a redirect, a page of
a proxy, a 404 that is not the bank's own - leaves the outcome unknown.
"""

from typing import Annotated, Final, Literal, NamedTuple
from uuid import UUID

import httpx
import msgspec

from server.kit.clock import Clock
from server.payments.banks.payees import Payee
from server.payments.banks.signatures import HEADER, sign

ANSWER_BYTES_MAX: Final = 65_536
TIMEOUT_S: Final = 10.0
_OK = 200
_NOT_FOUND = 404


class BankUnreachable(Exception):
    """No usable answer: the bank may or may not have taken the order."""


class PaymentOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as the bank gets it. ``amount`` in minor units."""

    id: UUID
    amount: int
    currency: str
    reference: str
    payee: Payee


class PaymentState(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the bank knows it."""

    id: UUID
    status: Literal["accepted", "paid", "refused"]
    amount: int
    currency: str
    transaction_id: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    reason: Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{1,64}$")] | None = None


class _Answer(NamedTuple):
    status: int
    content: bytes


class _Unknown(msgspec.Struct):
    code: Literal["payout_unknown"]


class BankApi:
    """Speaks to banks; address and secret come with each call."""

    def __init__(self, clock: Clock) -> None:
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S)
        self._clock = clock

    async def close(self) -> None:
        await self._http.aclose()

    async def pay(self, address: str, secret: bytes, order: PaymentOrder) -> PaymentState:
        """Hand an order over, once however often this is called with its id.

        Raises:
            BankUnreachable: the outcome is not known.
        """
        body = msgspec.json.encode(order)
        response = await self._send(
            "POST",
            address,
            "/payouts",
            secret,
            body=body,
            headers={"Idempotency-Key": str(order.id)},
        )
        return _state(response, order.id, order.amount, order.currency)

    async def look_up(
        self, address: str, secret: bytes, order: PaymentOrder
    ) -> PaymentState | None:
        """Return what became of an order, or None when the bank says that it never saw it.

        Raises:
            BankUnreachable: the bank did not answer.
        """
        response = await self._send(
            "GET", address, f"/payouts/{order.id}", secret, body=b"", headers={}
        )
        if response.status == _NOT_FOUND:
            try:
                msgspec.json.decode(response.content, type=_Unknown)
            except msgspec.DecodeError as error:
                raise BankUnreachable("a 404 that is not the bank's own") from error
            return None
        return _state(response, order.id, order.amount, order.currency)

    async def _send(
        self,
        method: str,
        address: str,
        path: str,
        secret: bytes,
        *,
        body: bytes,
        headers: dict[str, str],
    ) -> _Answer:
        signature = sign(secret, f"{method} {path}".encode(), body, at=self._clock.now())
        request = self._http.build_request(
            method,
            address.rstrip("/") + path,
            content=body,
            headers=headers | {HEADER: signature, "Content-Type": "application/json"},
        )
        try:
            response = await self._http.send(request, follow_redirects=False, stream=True)
            try:
                return _Answer(response.status_code, await _read(response))
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise BankUnreachable(type(error).__name__) from error


async def _read(response: httpx.Response) -> bytes:
    """Read an answer of limited length, so that no bank fills our memory."""
    parts = bytearray()
    async for part in response.aiter_bytes():
        parts += part
        if len(parts) > ANSWER_BYTES_MAX:
            raise BankUnreachable("the answer is too long")
    return bytes(parts)


def _state(response: _Answer, order: UUID, amount: int, currency: str) -> PaymentState:
    if response.status != _OK:
        raise BankUnreachable(f"status {response.status}")
    try:
        state = msgspec.json.decode(response.content, type=PaymentState)
    except msgspec.DecodeError as error:
        raise BankUnreachable("an answer of another form") from error
    if (state.id, state.amount, state.currency) != (order, amount, currency):
        raise BankUnreachable("an answer about another order")
    return state
