"""The encrypted session: two honest ends, a second implementation, and whoever stands between."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from noise.connection import Keypair, NoiseConnection  # type: ignore[import-untyped]

from client_sdk.core import State
from client_sdk.errors import InvalidRequest, LinkClosed, UnreadableMessage
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports.memory import MemoryWire, wire_pair
from client_sdk.transports.session import (
    SecureLink,
    WrongPeer,
    answer,
    ask_request,
    call,
    read_greeting,
    shake,
)
from client_sdk.wallet import Wallet
from offline_protocol.cose import seal, unseal
from offline_protocol.frames import FrameKind, pack, unpack
from offline_protocol.handshake import session_public_key
from offline_protocol.keys import SoftwareSigner
from offline_protocol.requests import PaymentRequest

NOISE = b"Noise_NK_25519_ChaChaPoly_SHA256"
REQUEST = b"request one 16 b"
OTHER_REQUEST = b"request two 16 b"
SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
PUBLIC = session_public_key(SECRET)

Tamper = Callable[[int, bytes], list[bytes]]
"""What a relay makes of the n-th message that passes."""


def untouched(_: int, message: bytes) -> list[bytes]:
    return [message]


class Middle:
    """Stands between two wires; everything passes through its hands."""

    def __init__(self, to_payee: Tamper = untouched, to_payer: Tamper = untouched) -> None:
        self.payer_end, near = wire_pair()
        self.payee_end, far = wire_pair()
        self.to_payee: list[bytes] = []
        self.to_payer: list[bytes] = []
        self._tasks = [
            asyncio.create_task(_relay(near, far, to_payee, self.to_payee)),
            asyncio.create_task(_relay(far, near, to_payer, self.to_payer)),
        ]

    async def stop(self) -> None:
        for end in (self.payer_end, self.payee_end):
            end.abort()
        await asyncio.gather(*self._tasks)


async def _relay(source: MemoryWire, target: MemoryWire, tamper: Tamper, seen: list[bytes]) -> None:
    try:
        while True:
            message = await source.read(seconds=60)
            seen.append(message)
            for passing in tamper(len(seen) - 1, message):
                await target.write(passing)
    except LinkClosed:
        target.abort()


async def both(
    payer_end: MemoryWire,
    payee_end: MemoryWire,
    *,
    request_id: bytes = REQUEST,
    session_key: bytes = PUBLIC,
    seed: str = "session",
) -> tuple[SecureLink | BaseException, SecureLink | BaseException]:
    """Shake hands at both ends; an end that is refused hangs up."""
    calling = call(
        payer_end,
        request_id=request_id,
        session_key=session_key,
        entropy=SeededEntropy(f"{seed}/payer"),
    )
    answering = answer(
        payee_end, request_id=REQUEST, secret=SECRET, entropy=SeededEntropy(f"{seed}/payee")
    )
    here, there = await asyncio.gather(calling, answering, return_exceptions=True)
    return here, there


async def joined(middle: Middle | None = None, *, seed: str = "session") -> list[SecureLink]:
    ends = wire_pair() if middle is None else (middle.payer_end, middle.payee_end)
    links = []
    for link in await both(*ends, seed=seed):
        assert isinstance(link, SecureLink), link
        links.append(link)
    return links


async def refused(waiting: Awaitable[Any]) -> None:
    with pytest.raises(WrongPeer):
        await waiting


async def test_both_ends_have_the_same_code_and_carry_frames_both_ways() -> None:
    here, there = await joined()
    assert here.code == there.code
    assert len(here.code) == 6
    assert here.code.isdigit()
    for size in (1, 4096, 32_770):
        await here.send(bytes(size))
        assert await there.receive() == bytes(size)
        await there.send(bytes(size))
        assert await here.receive() == bytes(size)
    with pytest.raises(LinkClosed, match="too long"):
        await here.send(bytes(32_771))
    await here.close()
    with pytest.raises(LinkClosed) as end:
        await there.receive()
    assert end.value.clean


async def test_another_handshake_has_another_code() -> None:
    codes = {(await joined(seed=str(number)))[0].code for number in range(20)}
    assert len(codes) == 20


async def test_a_connection_that_is_cut_is_no_goodbye() -> None:
    here, there = await joined()
    here.abort()
    with pytest.raises(LinkClosed) as end:
        await there.receive()
    assert not end.value.clean


# A second implementation.


def code_of(handshake_hash: bytes) -> str:
    number = int.from_bytes(hashlib.sha256(b"tallystick/1/code" + handshake_hash).digest())
    return f"{number % 1_000_000:06d}"


def foreign_payer() -> NoiseConnection:
    noise = NoiseConnection.from_name(NOISE)
    noise.set_prologue(REQUEST)
    noise.set_as_initiator()
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, PUBLIC)
    noise.start_handshake()
    return noise


def foreign_payee(request_id: bytes, secret: bytes, ephemeral: bytes) -> NoiseConnection:
    noise = NoiseConnection.from_name(NOISE)
    noise.set_prologue(request_id)
    noise.set_as_responder()
    noise.set_keypair_from_private_bytes(Keypair.STATIC, secret)
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    with pytest.warns(UserWarning, match="ephemeral"):  # it is promised before the handshake
        noise.start_handshake()
    return noise


async def test_our_payer_understands_another_implementation() -> None:
    here, there = wire_pair()
    ephemeral = SeededEntropy("foreign")(32)
    noise = foreign_payee(REQUEST, SECRET, ephemeral)
    calling = asyncio.create_task(
        call(here, request_id=REQUEST, session_key=PUBLIC, entropy=SeededEntropy("ours"))
    )
    public = session_public_key(ephemeral)
    await there.write(b"\x01" + hashlib.sha256(b"tallystick/1/ephemeral" + public).digest())
    assert noise.read_message(await there.read()) == b""
    await there.write(bytes(noise.write_message()))
    link = await calling
    assert link.code == code_of(noise.get_handshake_hash())
    for frame in (b"first", b"second"):
        await link.send(frame)
        assert noise.decrypt(await there.read()) == frame
        await there.write(bytes(noise.encrypt(frame)))
        assert await link.receive() == frame


async def test_our_payee_understands_another_implementation() -> None:
    here, there = wire_pair()
    answering = asyncio.create_task(
        answer(there, request_id=REQUEST, secret=SECRET, entropy=SeededEntropy("ours"))
    )
    noise = foreign_payer()
    assert len(await here.read()) == 33
    await here.write(bytes(noise.write_message()))
    assert noise.read_message(await here.read()) == b""
    link = await answering
    assert link.code == code_of(noise.get_handshake_hash())
    for frame in (b"first", b"second"):
        await here.write(bytes(noise.encrypt(frame)))
        assert await link.receive() == frame
        await link.send(frame)
        assert noise.decrypt(await here.read()) == frame


# Somebody in between.


async def test_a_relay_that_changes_nothing_sees_nothing() -> None:
    middle = Middle()
    here, there = await joined(middle)
    assert here.code == there.code
    await here.send(b"a frame to be kept private")
    assert await there.receive() == b"a frame to be kept private"
    assert all(b"private" not in message for message in middle.to_payee)
    await middle.stop()


@pytest.mark.parametrize(
    ("request_id", "session_key"),
    [
        (OTHER_REQUEST, PUBLIC),
        (REQUEST, session_public_key(OTHER_SECRET)),
        (OTHER_REQUEST, session_public_key(OTHER_SECRET)),
    ],
)
async def test_a_payer_of_one_request_cannot_be_relayed_to_the_payee_of_another(
    request_id: bytes, session_key: bytes
) -> None:
    middle = Middle()
    here, there = await both(
        middle.payer_end, middle.payee_end, request_id=request_id, session_key=session_key
    )
    assert isinstance(there, WrongPeer)
    assert isinstance(here, LinkClosed)
    await middle.stop()


def at(place: int, make: Callable[[bytes], list[bytes]]) -> Tamper:
    return lambda number, message: make(message) if number == place else [message]


def flipped(position: int, bit: int = 0) -> Callable[[bytes], list[bytes]]:
    def flip(message: bytes) -> list[bytes]:
        changed = bytearray(message)
        changed[position] ^= 1 << bit
        return [bytes(changed)]

    return flip


async def test_every_changed_bit_of_the_handshake_is_noticed() -> None:
    for position in range(33):
        await _no_handshake(Middle(to_payer=at(0, flipped(position, position % 8))))
    for position in range(48):
        await _no_handshake(Middle(to_payee=at(0, flipped(position, position % 8))))
        await _no_handshake(Middle(to_payer=at(1, flipped(position, position % 8))))


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 47, 49, 65_536])
async def test_handshake_messages_of_another_length_are_refused(length: int) -> None:
    def cut(message: bytes) -> list[bytes]:
        return [message[:length].ljust(length, b"\0")]

    await _no_handshake(Middle(to_payee=at(0, cut)))
    await _no_handshake(Middle(to_payer=at(1, cut)))
    if length != 33:
        await _no_handshake(Middle(to_payer=at(0, cut)))


async def _no_handshake(middle: Middle) -> None:
    here, _ = await both(middle.payer_end, middle.payee_end)
    # The payee has answered before the payer can tell that the answer was changed on its way;
    # no frame passes after that, which is what counts.
    assert isinstance(here, LinkClosed), "the payer must not take this for the payee"
    await middle.stop()


async def test_the_handshake_of_an_earlier_payer_opens_nothing() -> None:
    first = Middle()
    here, there = await joined(first)
    await here.send(b"payment")
    assert await there.receive() == b"payment"
    hello, payment = first.to_payee
    await first.stop()

    thief, payee_end = wire_pair()
    answering = asyncio.create_task(
        answer(payee_end, request_id=REQUEST, secret=SECRET, entropy=SeededEntropy("later"))
    )
    await read_greeting(thief)
    await thief.write(hello)
    link = await answering  # anybody can repeat this message; it says nothing by itself
    await thief.write(payment)
    await refused(link.receive())


async def test_the_answer_of_an_earlier_payee_convinces_nobody() -> None:
    first = Middle()
    await joined(first)
    greeting, reply = first.to_payer
    await first.stop()
    payer_end, thief = wire_pair()
    calling = asyncio.create_task(
        call(payer_end, request_id=REQUEST, session_key=PUBLIC, entropy=SeededEntropy("later"))
    )
    await thief.write(greeting)
    await thief.read()
    await thief.write(reply)
    await refused(calling)


def swapped() -> Tamper:
    held: list[bytes] = []

    def swap(number: int, message: bytes) -> list[bytes]:
        if number == 1:
            held.append(message)
            return []
        return [message, *held] if number == 2 else [message]

    return swap


@pytest.mark.parametrize(
    "tamper",
    [
        at(1, flipped(0)),
        at(1, flipped(-1, 7)),
        at(1, lambda message: [message[:-1]]),
        at(1, lambda message: [message[:15]]),
        at(1, lambda _: [b""]),
        at(1, lambda message: [message + b"\0"]),
        at(1, lambda _: []),
        swapped(),
    ],
)
async def test_frames_that_are_changed_lost_or_out_of_order_end_the_connection(
    tamper: Tamper,
) -> None:
    middle = Middle(to_payee=tamper)
    here, there = await joined(middle)
    await here.send(b"first")
    await here.send(b"second")
    await refused(there.receive())
    with pytest.raises(LinkClosed):
        await there.receive()  # for good: the next frame is not let in either
    await middle.stop()


async def test_a_doubled_frame_arrives_once() -> None:
    middle = Middle(to_payee=at(1, lambda message: [message, message]))
    here, there = await joined(middle)
    await here.send(b"first")
    assert await there.receive() == b"first"
    await refused(there.receive())
    await middle.stop()


async def test_what_one_direction_carried_is_nothing_in_the_other() -> None:
    middle = Middle()
    here, there = await joined(middle)
    await here.send(b"frame")
    await there.receive()
    await middle.payer_end._other.write(b"")  # type: ignore[union-attr]
    await refused(here.receive())
    await middle.stop()


# Somebody who asks in the payee's place.


class Impostor:
    """Has a request and keys of its own; is the payee to the payer and a payer to the payee."""

    def __init__(self) -> None:
        self.payer_end, self.near = wire_pair()
        self.far, self.payee_end = wire_pair()


async def test_two_sessions_joined_by_an_impostor_show_different_codes() -> None:
    impostor = Impostor()
    own = answer(
        impostor.near, request_id=OTHER_REQUEST, secret=OTHER_SECRET, entropy=SeededEntropy("i1")
    )
    tricked = call(
        impostor.payer_end,
        request_id=OTHER_REQUEST,
        session_key=session_public_key(OTHER_SECRET),
        entropy=SeededEntropy("payer"),
    )
    own_call = call(
        impostor.far, request_id=REQUEST, session_key=PUBLIC, entropy=SeededEntropy("i2")
    )
    payee = answer(
        impostor.payee_end, request_id=REQUEST, secret=SECRET, entropy=SeededEntropy("payee")
    )
    _, payer_link, _, payee_link = await asyncio.gather(own, tricked, own_call, payee)
    assert payer_link.code != payee_link.code


async def test_an_impostor_cannot_choose_its_key_after_seeing_the_payers() -> None:
    """Else it would try keys until the six digits are those of its session with the payee."""
    payer_end, impostor = wire_pair()
    calling = asyncio.create_task(
        call(
            payer_end,
            request_id=OTHER_REQUEST,
            session_key=session_public_key(OTHER_SECRET),
            entropy=SeededEntropy("payer"),
        )
    )
    promised = hashlib.sha256(b"tallystick/1/ephemeral" + session_public_key(b"\x01" * 32))
    await impostor.write(b"\x01" + promised.digest())
    hello = await impostor.read()
    noise = foreign_payee(OTHER_REQUEST, OTHER_SECRET, b"\x02" * 32)
    noise.read_message(hello)
    await impostor.write(bytes(noise.write_message()))
    with pytest.raises(WrongPeer, match="promised"):
        await calling


async def test_a_request_is_given_only_where_it_is_offered_and_only_once() -> None:
    for offered, asks in ((None, 1), (b"frame", 2)):
        here, there = wire_pair()
        answering = asyncio.create_task(
            answer(
                there,
                request_id=REQUEST,
                secret=SECRET,
                entropy=SeededEntropy("offer"),
                offered=offered,
            )
        )
        await read_greeting(here)
        for number in range(asks):
            if number + 1 < asks:
                assert await ask_request(here) == offered
                continue
            with pytest.raises(LinkClosed):
                await ask_request(here)
        await refused(answering)


@pytest.mark.parametrize("greeting", [b"", b"\x01", b"\x02" + bytes(32), bytes(34)])
async def test_an_unknown_greeting_ends_the_attempt(greeting: bytes) -> None:
    here, there = wire_pair()
    await there.write(greeting)
    with pytest.raises(LinkClosed, match="another version"):
        await call(here, request_id=REQUEST, session_key=PUBLIC, entropy=SeededEntropy("old"))
    with pytest.raises(LinkClosed):
        await there.read()


# Whole payments.


async def two_wallets() -> tuple[Wallet, Wallet]:
    issuer = Issuer()
    return await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")


async def session_of(payee: Wallet, frame: bytes, wire: MemoryWire) -> SecureLink:
    request = unseal(PaymentRequest, unpack(frame)[1]).body
    secret = payee.book.exchange(request.request_id).session_secret
    return await answer(
        wire, request_id=request.request_id, secret=secret, entropy=payee.book.entropy
    )


async def test_a_request_with_another_session_key_is_no_request() -> None:
    payer, payee = await two_wallets()
    shown = await payee.request_payment(250, "EUR")
    request = unseal(PaymentRequest, unpack(shown.frame)[1])
    genuine = request.body.session_key
    body = request.envelope.replace(genuine, session_public_key(OTHER_SECRET))
    assert body != request.envelope
    with pytest.raises(InvalidRequest) as refusal:
        await payer.pay(pack(FrameKind.REQUEST, body))
    assert refusal.value.code == "request_signed_by_payee"
    # Signed by the thief's own key it is refused for the certificate of the payee in it.
    stolen = replace(request.body, session_key=session_public_key(OTHER_SECRET))
    forged = seal(stolen, SoftwareSigner(OTHER_SECRET))
    with pytest.raises(InvalidRequest) as refusal:
        await payer.pay(pack(FrameKind.REQUEST, forged.envelope))
    assert refusal.value.code == "request_signed_by_payee"
    await payer.close()
    await payee.close()


@pytest.mark.parametrize("place", [1, 2])
async def test_money_survives_a_disturbed_session(place: int) -> None:
    """The payment is changed on its way there, or the receipt on its way back."""
    payer, payee = await two_wallets()
    shown = await payee.request_payment(250, "EUR")
    request = unseal(PaymentRequest, unpack(shown.frame)[1]).body
    sent = await payer.pay(shown.frame)
    disturbed = at(place, flipped(40))
    for tamper in (disturbed, untouched):
        middle = Middle(to_payee=tamper) if place == 1 else Middle(to_payer=tamper)
        answering = asyncio.create_task(session_of(payee, shown.frame, middle.payee_end))
        link = await call(
            middle.payer_end,
            request_id=request.request_id,
            session_key=request.session_key,
            entropy=payer.book.entropy,
        )
        serving = asyncio.create_task(payee.serve(await answering))
        paid = await payer.resend(sent.id, link)
        await serving
        await middle.stop()
        if tamper is disturbed:
            assert paid.words == "sent, not confirmed"
    assert paid.state is State.ACKED
    assert [one.spendable for one in await payee.balance()] == [250]
    await payer.close()
    await payee.close()


async def test_a_payee_found_without_a_code_gives_its_request_and_the_same_digits() -> None:
    payer, payee = await two_wallets()
    shown = await payee.request_payment(250, "EUR")
    request = unseal(PaymentRequest, unpack(shown.frame)[1]).body
    here, there = wire_pair()
    answering = asyncio.create_task(
        answer(
            there,
            request_id=request.request_id,
            secret=payee.book.exchange(request.request_id).session_secret,
            entropy=payee.book.entropy,
            offered=shown.frame,
        )
    )
    found = await payer.approach(here)
    link = await answering
    assert (found.request.payee_name, found.request.amount) == ("payee", 250)
    assert found.link.code == link.code
    serving = asyncio.create_task(payee.serve(link))
    paid = await payer.pay(found.frame, link=found.link)
    await serving
    assert paid.state is State.ACKED
    await payer.close()
    await payee.close()


async def test_what_is_offered_instead_of_a_request_is_refused() -> None:
    payer, payee = await two_wallets()
    for offered in (b"", b"\x01\x01", b"\x01\x02" + bytes(20), bytes(32_000)):
        here, there = wire_pair()
        answering = asyncio.create_task(
            answer(
                there,
                request_id=REQUEST,
                secret=SECRET,
                entropy=SeededEntropy("offer"),
                offered=offered,
            )
        )
        with pytest.raises((UnreadableMessage, InvalidRequest)):
            await payer.approach(here)
        with pytest.raises(LinkClosed):
            await answering
    await payer.close()
    await payee.close()


async def test_the_payer_shakes_hands_for_the_request_that_was_offered() -> None:
    """A relay cannot offer one payee's request and join the payer to another payee."""
    here, there = wire_pair()
    answering = asyncio.create_task(
        answer(
            there,
            request_id=OTHER_REQUEST,
            secret=OTHER_SECRET,
            entropy=SeededEntropy("offer"),
            offered=b"frame",
        )
    )
    greeting = await read_greeting(here)
    assert await ask_request(here) == b"frame"
    with pytest.raises(LinkClosed):
        await shake(
            here,
            greeting,
            request_id=REQUEST,
            session_key=PUBLIC,
            entropy=SeededEntropy("payer"),
        )
    await refused(answering)
