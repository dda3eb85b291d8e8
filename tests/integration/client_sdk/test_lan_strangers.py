"""A listener among strangers: silent, slow, boasting, many, and some who know the request."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from client_sdk.core import State
from client_sdk.errors import LinkClosed
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports import lan, session
from client_sdk.transports.carriers import connect
from client_sdk.transports.reception import EACH_MAX, GUESTS_MAX, STRANGERS_MAX, Together
from client_sdk.transports.session import SecureLink, call
from offline_protocol.frames import to_stream
from offline_protocol.handshake import session_public_key

ENTROPY = SeededEntropy("lan")
SECRET = bytes(range(32))
PUBLIC = session_public_key(SECRET)
REQUEST = b"request"
GREETING_BYTES = 37
ELSEWHERE = "127.0.0.2"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hosted:
    """A listener for one request, and the links of the payers it lets in."""

    def __init__(self, listener: lan.LanListener) -> None:
        self.listener = listener
        self.links: asyncio.Queue[SecureLink] = asyncio.Queue()
        self.heard: asyncio.Queue[bytes | LinkClosed] = asyncio.Queue()
        self.opened: list[asyncio.StreamWriter] = []

    async def attend(self, link: SecureLink) -> None:
        self.links.put_nowait(link)
        try:
            while True:
                self.heard.put_nowait(await link.receive())
        except LinkClosed as end:
            self.heard.put_nowait(end)
            raise

    async def payer(self, *, source: str = "127.0.0.1") -> SecureLink:
        reader, writer = await self.stranger(source)
        return await call(
            lan.TcpWire(reader, writer),
            request_id=REQUEST,
            session_key=PUBLIC,
            entropy=ENTROPY,
        )

    def hang_up(self) -> None:
        for writer in self.opened:
            writer.transport.abort()

    async def stranger(self, source: str = "127.0.0.1") -> Stream:
        stream = await asyncio.open_connection(*self.listener.bound, local_addr=(source, 0))
        self.opened.append(stream[1])
        return stream


@asynccontextmanager
async def hosting() -> AsyncIterator[Hosted]:
    async with lan.listening("127.0.0.1", 0) as listener:
        hosted = Hosted(listener)
        listener.attend(hosted.attend, request_id=REQUEST, secret=SECRET, entropy=ENTROPY)
        yield hosted
        hosted.hang_up()


async def end_of(stream: Stream) -> bytes:
    """What a connection brings until it ends, by whichever way."""
    reader, _ = stream
    brought = b""
    try:
        while data := await reader.read(4096):
            brought += data
    except ConnectionError:
        pass
    return brought


async def greeted(hosted: Hosted, source: str = "127.0.0.1") -> Stream:
    reader, writer = await hosted.stranger(source)
    await reader.readexactly(GREETING_BYTES)
    return reader, writer


async def ended(stream: Stream) -> None:
    assert await end_of(stream) == b""


async def test_a_channel_belongs_to_one_request_and_key() -> None:
    async with hosting() as hosted:
        for request_id, key in ((b"another", PUBLIC), (REQUEST, session_public_key(bytes(32)))):
            with pytest.raises(LinkClosed):
                await connect(
                    [hosted.listener.address],
                    request_id=request_id,
                    session_key=key,
                    entropy=ENTROPY,
                )
        here = await connect(
            [hosted.listener.address], request_id=REQUEST, session_key=PUBLIC, entropy=ENTROPY
        )
        there = await hosted.links.get()
        assert here.code == there.code
        await here.send(b"frame")
        assert await hosted.heard.get() == b"frame"
        await here.close()
        end = await hosted.heard.get()
        assert isinstance(end, LinkClosed)
        assert end.clean


async def test_addresses_are_tried_in_their_order_and_unknown_ones_passed_over() -> None:
    async with lan.listening("127.0.0.1", 0) as gone:
        nobody = gone.address
    async with hosting() as hosted:
        addresses = ["pigeon:7", "lan:nonsense", nobody, hosted.listener.address]
        link = await connect(addresses, request_id=REQUEST, session_key=PUBLIC, entropy=ENTROPY)
        await link.close()
    for hopeless, said in ((addresses[:2], "no address"), (addresses[:3], "Nobody answers")):
        with pytest.raises(LinkClosed, match=said):
            await connect(hopeless, request_id=REQUEST, session_key=PUBLIC, entropy=ENTROPY)
    with pytest.raises(LinkClosed, match="names no address"):
        await connect([], request_id=REQUEST, session_key=PUBLIC, entropy=ENTROPY)


async def test_a_boaster_is_sent_away_at_once() -> None:
    async with hosting() as hosted:
        for head in (10**9, 2**32 - 1, 32_770 + 16 + 1):
            stream = await greeted(hosted)
            stream[1].write(head.to_bytes(4, "big") + b"a little")
            await ended(stream)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x02",
        b"\x02\x02",
        bytes(47),
        bytes(48),
        b"GET / HTTP/1.1\r\n\r\n",
        SeededEntropy("noise")(48),
        SeededEntropy("noise")(32_786),
    ],
)
async def test_garbage_is_sent_away_at_once(message: bytes) -> None:
    async with hosting() as hosted:
        stream = await greeted(hosted)
        stream[1].write(to_stream(message))
        await ended(stream)
        link = await hosted.payer()
        await link.close()


async def test_who_dribbles_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 0.2)
    async with hosting() as hosted:
        stream = await greeted(hosted)

        async def dribble() -> None:
            for byte in to_stream(bytes(48)) * 1000:
                stream[1].write(bytes([byte]))
                await asyncio.sleep(0.02)  # each byte comes in time, the whole does not

        dribbling = asyncio.create_task(dribble())
        await ended(stream)
        dribbling.cancel()
        await asyncio.gather(dribbling, return_exceptions=True)


async def test_a_guest_who_dribbles_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 0.2)
    async with hosting() as hosted:
        reader, writer = await hosted.stranger()
        wire = lan.TcpWire(reader, writer)
        await call(wire, request_id=REQUEST, session_key=PUBLIC, entropy=ENTROPY)
        writer.write((32_000).to_bytes(4, "big") + bytes(100))
        end = await hosted.heard.get()
        assert isinstance(end, LinkClosed)
        assert "too long silent" in end.detail
        with pytest.raises(LinkClosed):
            await wire.read()


async def test_who_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "SILENCE_SECONDS", 0.2)
    async with hosting() as hosted:
        payer = await hosted.payer()
        there = await hosted.links.get()

        async def send_on() -> None:
            while True:
                await there.send(bytes(32_000))

        with pytest.raises(LinkClosed, match="does not read"):
            await send_on()
        payer.abort()


@pytest.mark.parametrize("crowd", [STRANGERS_MAX, 100])
async def test_silent_strangers_do_not_keep_a_payer_out(crowd: int) -> None:
    async with hosting() as hosted:
        for _ in range(crowd):
            await greeted(hosted)
        link = await hosted.payer()
        await link.send(b"payment")
        assert await hosted.heard.get() == b"payment"
        assert len(hosted.listener._running) <= STRANGERS_MAX + GUESTS_MAX
        link.abort()


async def test_whole_payment_amid_a_flood_from_another_address() -> None:
    issuer = Issuer()
    payer, payee = await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")
    async with lan.listening("127.0.0.1", 0) as listener:
        flooded = asyncio.Event()

        async def flood() -> None:
            silent: deque[asyncio.StreamWriter] = deque()
            try:
                while True:
                    stream = await asyncio.open_connection(
                        *listener.bound, local_addr=(ELSEWHERE, 0)
                    )
                    silent.append(stream[1])
                    if len(silent) > 2 * STRANGERS_MAX:
                        flooded.set()
                        oldest = silent.popleft()
                        oldest.transport.abort()
            finally:
                for writer in silent:
                    writer.transport.abort()

        flooding = asyncio.create_task(flood())
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
        await flooded.wait()
        sent = await payer.pay(asked.frame)
        paid = await payer.deliver(sent.id)
        taken = await serving
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    await payer.close()
    await payee.close()


async def test_one_origin_has_only_so_many_places() -> None:
    async with hosting() as hosted:
        first = await greeted(hosted)
        patient = await greeted(hosted, ELSEWHERE)
        for _ in range(EACH_MAX):
            await greeted(hosted)
        await ended(first)  # its own origin pushed it out
        patient[1].write(to_stream(bytes(48)))
        await ended(patient)  # it was still there, to be refused for what it said


async def test_guests_who_know_the_request_do_not_push_out_one_who_compares_digits() -> None:
    async with hosting() as hosted:
        honest = await hosted.payer()
        for _ in range(2 * GUESTS_MAX):
            await hosted.payer(source=ELSEWHERE)
        await honest.send(b"payment")
        while await hosted.heard.get() != b"payment":
            pass
        honest.abort()


async def test_many_origins_share_the_places_for_guests() -> None:
    async with hosting() as hosted:
        origins = [f"127.0.1.{number}" for number in range(1, GUESTS_MAX + 2)]
        links = [await hosted.payer(source=origin) for origin in origins]
        with pytest.raises(LinkClosed):
            await links[0].receive()  # the oldest made room
        await links[-1].send(b"payment")
        assert await hosted.heard.get() == b"payment"


async def test_who_comes_before_the_request_is_signed_waits_for_it() -> None:
    async with lan.listening("127.0.0.1", 0) as listener:
        hosted = Hosted(listener)
        early = asyncio.create_task(hosted.payer())
        await hosted.stranger()
        listener.attend(hosted.attend, request_id=REQUEST, secret=SECRET, entropy=ENTROPY)
        link = await early
        assert (await hosted.links.get()).code == link.code
        hosted.hang_up()


async def test_closing_ends_every_connection_and_may_be_repeated() -> None:
    async with hosting() as hosted:
        address = hosted.listener.address
        stranger = await greeted(hosted)
        link = await hosted.payer()
        await hosted.listener.close()
        await ended(stranger)
        with pytest.raises(LinkClosed):
            await link.receive()
        await hosted.listener.close()
        with pytest.raises(LinkClosed, match="Nobody answers"):
            await lan.dial(address, request_id=REQUEST)


async def test_a_payee_may_be_met_in_several_ways_at_once() -> None:
    issuer = Issuer()
    payer, payee = await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")
    ways = Together([await lan.LanListener.open("127.0.0.1", 0) for _ in range(2)])
    asked = await payee.request_payment(250, "EUR", transports=ways.addresses)
    assert asked.exchange.transports == ways.addresses
    assert ways.address == ways.addresses[0] != ways.addresses[1]
    codes: list[str] = []
    serving = asyncio.create_task(payee.listen(ways, asked.exchange.id, met=codes.append))
    sent = await payer.pay(asked.frame)
    request = await payer.inspect(asked.frame)
    second = await connect(
        ways.addresses[1:],
        request_id=request.request_id,
        session_key=request.session_key,
        entropy=ENTROPY,
    )
    paid = await payer.resend(sent.id, second)
    taken = await serving
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    assert codes == [second.code]
    await ways.close()
    await payer.close()
    await payee.close()
