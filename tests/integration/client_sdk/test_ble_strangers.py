"""Bluetooth LE among strangers: silent, wrong, hostile and listening ones; payees that leave."""

import asyncio
import random
import zlib
from contextlib import nullcontext

import pytest
from bumble.core import UUID, PhysicalTransport
from bumble.device import Device
from bumble.gatt_client import CharacteristicProxy

from client_sdk.core import State
from client_sdk.errors import LinkClosed
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports.ble import bumble_central, fragments
from client_sdk.transports.ble.bumble_central import BumbleCentral
from client_sdk.transports.ble.bumble_radio import start_device
from client_sdk.transports.ble.listener import advertising
from client_sdk.transports.ble.naming import TO_PAYEE, TO_PAYER, service_uuid, split_address
from client_sdk.transports.session import WrongPeer
from tests.integration.client_sdk.ble_air import Air, Rough, RoughCentral, by
from tests.integration.client_sdk.test_ble import REQUEST, SECRET, Echo, echo, two_wallets

OTHER_SECRET = bytes(range(1, 33))
FRAME = b"a frame of an honest payer"


async def honest(air: Air, payee: Echo) -> None:
    link = await payee.call(await air.central())
    await link.send(FRAME)
    assert await link.receive() == FRAME
    await link.close()


async def stranger(air: Air, payee: Echo) -> Rough:
    """A central that has connected and subscribed, and now says what a test wants."""
    central = RoughCentral(await air.central())
    return await central.connect(service_uuid(split_address(payee.address)), seconds=10)


@pytest.mark.parametrize("opens", [False, True])
async def test_silent_centrals_keep_no_payer_waiting(opens: bool) -> None:  # noqa: FBT001
    air = Air()
    async with advertising(await air.peripheral()) as listener:
        payee = Echo(listener)
        silent = [await stranger(air, payee) for _ in range(4)]
        for one in silent:
            if opens:
                await one.send(fragments.Open(4_096, bytes(8)).encode())
        await honest(air, payee)
        for _ in range(8):
            silent.append(await stranger(air, payee))
            await honest(air, payee)
        assert len(listener._peripheral._device.connections) <= 8  # type: ignore[attr-defined]
        assert len(payee.links) == 9


@pytest.mark.parametrize(
    ("request_id", "secret"), [(b"another request!", SECRET), (REQUEST, OTHER_SECRET)]
)
async def test_who_does_not_know_the_request_gets_nowhere(request_id: bytes, secret: bytes) -> None:
    air = Air()
    async with echo(air) as payee:
        with pytest.raises(LinkClosed):
            await payee.call(await air.central(), request_id=request_id, secret=secret)
        assert payee.links == []
        await honest(air, payee)


async def test_a_payee_that_is_another_one_is_found_out() -> None:
    """It heard the token on the air and advertises it too; it has not the request's secret."""
    air = Air()
    payer, payee = await two_wallets(900)
    async with echo(air) as impostor:
        asked = await payee.request_payment(250, "EUR", transports=(impostor.address,))
        sent = await payer.pay(asked.frame)
        with pytest.raises(LinkClosed):
            await payer.deliver(sent.id, dials=by(await air.central()))
        assert (await payer.exchange(sent.id)).state is State.SIGNED, "nothing has left"
        assert impostor.links == []
    await payer.close()
    await payee.close()


async def raw(air: Air, payee: Echo) -> tuple[Device, CharacteristicProxy[bytes]]:
    """A central of the bare stack, and the characteristic that it can write anything to."""
    transport = air.radio()
    device = await start_device(transport)
    uuid = UUID(str(service_uuid(split_address(payee.address))))
    address = await BumbleCentral(device, transport)._find(uuid)
    connection = await device.connect(address, transport=PhysicalTransport.LE)
    client = connection.gatt_client
    await client.request_mtu(517)
    (service,) = await client.discover_service(uuid)
    inbox, outbox = await client.discover_characteristics(
        [UUID(str(one)) for one in (TO_PAYEE, TO_PAYER)], service
    )
    assert inbox.uuid == UUID(str(TO_PAYEE))
    await outbox.subscribe()
    return device, inbox


def nonsense(rng: random.Random) -> bytes:
    kind = rng.choice((0, 1, 2, 3, 4, 4, 4, 5, 6, 8, 255))
    return bytes([kind, *rng.randbytes(rng.randrange(0, 514))])


@pytest.mark.parametrize("seed", range(6))
async def test_nonsense_harms_nobody(seed: int) -> None:
    air, rng = Air(), random.Random(seed)
    async with echo(air) as payee:
        device, inbox = await raw(air, payee)
        if seed % 2:
            await inbox.write_value(fragments.Open(4_096, bytes(8)).encode())
        for _ in range(300):
            await inbox.write_value(nonsense(rng)[:514], with_response=False)
            if rng.random() < 0.05 and device.connections:
                await honest(air, payee)
        await honest(air, payee)
        assert len(payee.links) >= 1


async def test_a_value_written_in_pieces_is_one_value_at_most() -> None:
    """The long write procedure of ATT: taken as one value, or refused; never a crash."""
    air = Air()
    async with echo(air) as payee:
        device, inbox = await raw(air, payee)
        for size in (512, 513, 600):
            with pytest.raises(Exception, match=r"ATT|LENGTH") if size > 512 else nullcontext():
                await inbox.client.write_long_value(inbox.handle, bytes(size))
        assert device.connections
        await honest(air, payee)


async def answers(connection: Rough) -> list[fragments.Fragment]:
    """What comes until the payee disconnects."""
    found = []
    try:
        while True:
            found.append(fragments.decode(await connection.receive()))
    except LinkClosed:
        return found


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (fragments.Resume(4_096, bytes(8), 0).encode(), fragments.Ending.UNKNOWN_SESSION),
        (b"\x01\x02" + fragments.Open(4_096, bytes(8)).encode()[2:], fragments.Ending.VERSION),
        (b"\x02\x07" + fragments.Resume(1, bytes(8), 0).encode()[2:], fragments.Ending.VERSION),
    ],
)
async def test_who_cannot_be_served_is_told_why(value: bytes, reason: fragments.Ending) -> None:
    air = Air()
    async with echo(air) as payee:
        connection = await stranger(air, payee)
        await connection.send(value)
        assert await connection.receive() == fragments.Close(reason).encode()
        await connection.disconnect()
        await honest(air, payee)


async def test_a_message_longer_than_any_ends_the_session() -> None:
    air = Air()
    async with echo(air) as payee:
        connection = await stranger(air, payee)
        await connection.send(fragments.Open(4_096, bytes(8)).encode())
        await connection.send(fragments.Data(0, b"\xff\xff" + bytes(4)).encode())
        assert fragments.Close(fragments.Ending.BROKEN) in await answers(connection)


async def test_a_session_belongs_to_who_opened_it() -> None:
    """A listener replays the RESUME that it heard: the key is used up, and the payer goes on."""
    air, heard = Air(), []

    def listens(value: bytes) -> bool:
        heard.append(value)
        return False

    async with echo(air) as payee:
        central = RoughCentral(await air.central(185), [25], listens)
        link = await payee.call(central)
        frame = random.Random(1).randbytes(3_000)
        await link.send(frame)
        assert await link.receive() == frame
        assert len(central.made) == 2
        (resume,) = [value for value in heard if value[0] == fragments.Kind.RESUME]
        thief = await stranger(air, payee)
        await thief.send(resume)
        assert await thief.receive() == fragments.Close(fragments.Ending.UNKNOWN_SESSION).encode()
        await link.send(FRAME)
        assert await link.receive() == FRAME
        await link.close()


async def test_a_payer_comes_back_before_the_payee_has_noticed_that_it_left() -> None:
    """On a real radio the payee learns of a lost connection seconds later."""
    air = Air()
    async with echo(air) as payee:
        first = await air.central(185)
        central = _Deserter(first, await air.central(185))
        link = await payee.call(central)
        await link.send(FRAME)
        assert await link.receive() == FRAME
        central.desert()
        await link.send(FRAME)
        assert await link.receive() == FRAME
        assert first._device.connections == {}, "the payee has ended the old connection"
        await link.close()


class _Deserter(RoughCentral):
    """Its first connection falls silent without ending; the next one is by another radio."""

    def __init__(self, first: BumbleCentral, second: BumbleCentral) -> None:
        super().__init__(first)
        self._second = second
        self._silent = asyncio.Event()

    def desert(self) -> None:
        self._silent.set()
        self._central = self._second

    async def connect(self, service: object, *, seconds: float) -> Rough:
        made = await super().connect(service, seconds=seconds)  # type: ignore[arg-type]
        return made if self._silent.is_set() else _Silenced(made, self._silent)


class _Silenced(Rough):
    def __init__(self, connection: Rough, silent: asyncio.Event) -> None:
        super().__init__(connection, None, lambda _: False)
        self._silent = silent

    async def receive(self) -> bytes:
        waits = [asyncio.ensure_future(one) for one in (super().receive(), self._silent.wait())]
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        if waits[0] in done:
            value = waits[0].result()
            assert isinstance(value, bytes)
            return value
        raise LinkClosed("The radio has lost it.")

    async def send(self, value: bytes) -> None:
        if self._silent.is_set():
            raise LinkClosed("The radio has lost it.")
        await super().send(value)

    async def disconnect(self) -> None:
        """It is out of range: the payee hears nothing."""


async def test_a_payee_that_closes_ends_the_session_at_once() -> None:
    air = Air()
    async with echo(air) as payee:
        link = await payee.call(await air.central())
        await link.send(FRAME)
        assert await link.receive() == FRAME
    with pytest.raises(LinkClosed):
        await link.receive()


async def test_a_second_payer_of_one_request_gets_the_money_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Both connect to one advertisement; the controller of one believes that it has succeeded.
    monkeypatch.setattr(bumble_central, "PREPARE_SECONDS", 1.0)
    air, issuer = Air(), Issuer()
    payee = await new_wallet(issuer, "payee")
    payers = [await new_wallet(issuer, name, 900) for name in ("payer", "another")]
    async with advertising(await air.peripheral()) as listener:
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
        sent = [await one.pay(asked.frame) for one in payers]
        centrals = [await air.central() for _ in payers]
        paid = await asyncio.gather(
            *(
                one.deliver(exchange.id, dials=by(central))
                for one, exchange, central in zip(payers, sent, centrals, strict=True)
            )
        )
        await serving
    assert sorted(one.words for one in paid) == [
        "paid, confirmed by the payee",
        "returned to you",
    ]
    assert [one.spendable for one in await payee.balance()] == [250]
    for wallet in (payee, *payers):
        await wallet.close()


async def test_a_relay_that_changes_a_bit_ends_the_session() -> None:
    """Between the two, with the checksum made good again: only the encryption notices."""
    air = Air()
    changed: list[bytes] = []

    class Relay(RoughCentral):
        async def connect(self, service: object, *, seconds: float) -> Rough:
            made = await super().connect(service, seconds=seconds)  # type: ignore[arg-type]
            return _Changing(made, changed)

    async with echo(air) as payee:
        link = await payee.call(Relay(await air.central()))
        changed.append(FRAME)
        await link.send(FRAME)
        with pytest.raises(LinkClosed):
            await link.receive()
        assert isinstance(await payee.ends.get(), WrongPeer)


class _Changing(Rough):
    def __init__(self, connection: Rough, changed: list[bytes]) -> None:
        super().__init__(connection, None, lambda _: False)
        self._changed = changed

    async def send(self, value: bytes) -> None:
        if value[0] == fragments.Kind.DATA and self._changed:
            piece = fragments.decode(value)
            assert isinstance(piece, fragments.Data)
            body = piece.data[6:-1] + bytes([piece.data[-1] ^ 1])
            head = piece.data[:2] + zlib.crc32(body).to_bytes(4)
            value = fragments.Data(piece.position, head + body).encode()
        await super().send(value)


async def test_connections_to_the_end_are_those_that_are_needed() -> None:
    """After a payment neither side has a connection or a session left."""
    air = Air()
    async with advertising(await air.peripheral()) as listener:
        payee = Echo(listener)
        central = await air.central()
        link = await payee.call(central)
        await link.close()
        assert (await payee.ends.get()).clean
        await asyncio.gather(*(wire.close() for wire in list(listener._wires)))
        assert listener._sessions == set()
        assert central._device.connections == {}
        assert listener._peripheral._device.connections == {}  # type: ignore[attr-defined]
