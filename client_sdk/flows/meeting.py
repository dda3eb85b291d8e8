"""Two devices on one connection: the payer delivers, the payee answers.

The end of a connection decides nothing. The payer notes "sent, not confirmed" and sends the same
bytes on the next one; the payee gives the same answer again.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from client_sdk.ambient import Entropy
from client_sdk.book import Book
from client_sdk.core import UNCONFIRMED, State
from client_sdk.errors import LinkClosed, StoreError, WalletError
from client_sdk.flows.gossip import lead_talk
from client_sdk.flows.paying import Payer, RequestView
from client_sdk.flows.receiving import Payee
from client_sdk.flows.serving import GIVEN_BACK, Confirm, Desk
from client_sdk.records import Exchange
from client_sdk.transports.base import Link, Wire
from client_sdk.transports.session import (
    Listener,
    SecureLink,
    aborting,
    ask_request,
    read_greeting,
    shake,
)
from client_sdk.trust import read_message
from offline_protocol.frames import FrameKind

ANSWERS_MAX: Final = 8
"""Messages read while waiting for a receipt; who sends more nonsense than this is left."""


@dataclass(frozen=True)
class Approach:
    """A payee who was found without a code: its request, and the link to it.

    Nothing but the certified name and the six digits says whose request this is. A person compares
    both with the payee's screen before paying.
    """

    frame: bytes
    request: RequestView
    link: SecureLink


async def peek(payer: Payer, wire: Wire) -> RequestView:
    """Ask the payee at the other end of a new wire what it asks for, and leave.

    Raises:
        InvalidRequest: a rule about requests is broken.
        UnreadableMessage: what came is no request.
        LinkClosed: the wire has ended, or the payee offers no request.
    """
    try:
        await read_greeting(wire)
        return payer.inspect(await ask_request(wire))
    finally:
        wire.abort()


async def approach(payer: Payer, wire: Wire, entropy: Entropy) -> Approach:
    """Ask the payee at the other end of a new wire for its request and shake hands for it.

    Raises:
        InvalidRequest: a rule about requests is broken.
        UnreadableMessage: what came is no request.
        LinkClosed: the wire has ended, the payee offers no request, or another device answered.
    """
    with aborting(wire):
        greeting = await read_greeting(wire)
        frame = await ask_request(wire)
        request = payer.inspect(frame)
    link = await shake(
        wire,
        greeting,
        request_id=request.request_id,
        session_key=request.session_key,
        entropy=entropy,
    )
    return Approach(frame, request, link)


async def deliver(book: Book, payer: Payer, exchange_id: bytes, link: Link) -> Exchange:
    """Send a payment's stored bytes, wait for what comes back, and exchange evidence.

    Returns:
        The payment: confirmed, returned, or still unconfirmed when the link ended or the payee
        refused.
    """
    exchange, frame = payer.hand_over(exchange_id)
    exchange = replace(exchange, refusal="")  # what was said on an earlier connection
    try:
        await link.send(frame)
        asked = exchange.state in UNCONFIRMED
        for _ in range(ANSWERS_MAX):
            if exchange.state not in UNCONFIRMED or exchange.refusal not in {"", *GIVEN_BACK}:
                break
            said = exchange.refusal
            exchange = _take_answer(payer, exchange, await link.receive())
            exchange = replace(exchange, refusal=exchange.refusal or said)
        if asked and exchange.state not in UNCONFIRMED:
            await lead_talk(book, link, exchange.peer)
        await link.close()
    except LinkClosed:
        pass
    return replace(payer.link_lost(exchange_id, exchange.refusal), refusal=exchange.refusal)


def _take_answer(payer: Payer, exchange: Exchange, message: bytes) -> Exchange:
    """What the answer makes of the payment; an unreadable or foreign one makes nothing."""
    try:
        kind, _ = read_message(message)
        if kind is FrameKind.RECEIPT:
            taken = payer.take_receipt(message)
        elif kind is FrameKind.RETURN:
            taken = payer.take_return(message)
        elif kind is FrameKind.REFUSAL:
            return replace(exchange, refusal=payer.take_refusal(message).code)
        else:
            return exchange
    except StoreError:
        raise
    except WalletError:
        return exchange
    return taken if taken.id == exchange.id else exchange


async def listen(
    book: Book,
    payee: Payee,
    listener: Listener,
    request_id: bytes,
    *,
    linger_seconds: float,
    offer: bool = False,
    met: Callable[[str], None] | None = None,
    confirm: Confirm | None = None,
) -> Exchange:
    """Serve payers of one request until it is paid, and a little longer for the receipt's sake.

    Args:
        book: of this wallet.
        payee: this device.
        listener: open; its address is in the request.
        request_id: of the request.
        linger_seconds: how long to wait for the payer's goodbye after the payment.
        offer: give the request to anybody who asks for it over the listener's carrier.
        met: called with the six digits of each payer that has shaken hands.
        confirm: asked about warnings; see `Desk`.

    Raises:
        UnknownExchange: there is no such request.
        StoreError: the wallet file cannot be written.
    """
    asked = book.exchange(request_id)
    paid: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    finished = asyncio.Event()

    def look() -> None:
        if book.exchange(request_id).state is not State.SHOWN and not paid.done():
            paid.set_result(None)

    async def attend(link: SecureLink) -> None:
        answers = 0

        def answered() -> None:
            nonlocal answers
            answers += 1
            look()

        if met is not None:
            met(link.code)
        try:
            said_goodbye = await Desk(book, payee, link, confirm=confirm).run(answered)
        except StoreError as error:
            if not paid.done():
                paid.set_exception(error)
            return
        if said_goodbye and answers and paid.done():
            finished.set()

    look()
    listener.attend(
        attend,
        request_id=request_id,
        secret=asked.session_secret,
        entropy=book.entropy,
        offered=payee.request_frame(request_id) if offer else None,
    )
    await paid
    with suppress(TimeoutError):
        async with asyncio.timeout(linger_seconds):
            await finished.wait()
    return book.exchange(request_id)
