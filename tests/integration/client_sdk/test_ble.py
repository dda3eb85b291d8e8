"""Payments over Bluetooth LE: real wallets and a real host stack on two virtual controllers."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from client_sdk.core import State
from client_sdk.errors import LinkClosed
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports.ble import wire
from client_sdk.transports.ble.listener import BleListener, advertising
from client_sdk.transports.ble.naming import service_uuid, split_address
from client_sdk.transports.carriers import connect
from client_sdk.transports.session import SecureLink
from client_sdk.wallet import Wallet
from offline_protocol.constants import FRAME_BYTES_MAX
from offline_protocol.handshake import session_public_key
from tests.integration.client_sdk.ble_air import Air, RoughCentral, RoughPeripheral, by

SECRET = bytes(range(32))
REQUEST = b"sixteen byte id!"
ENTROPY = SeededEntropy("ble")


async def two_wallets(*values: int) -> tuple[Wallet, Wallet]:
    issuer = Issuer()
    return await new_wallet(issuer, "payer", *values), await new_wallet(issuer, "payee")


# Whole payments.


@pytest.mark.parametrize("mtu", [23, 64, 185, 247, 517])
async def test_two_wallets_pay_and_show_the_same_six_digits(mtu: int) -> None:
    air, codes = Air(), list[str]()
    payer, payee = await two_wallets(900)
    async with advertising(await air.peripheral(mtu)) as listener:
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id, met=codes.append))
        request = await payer.inspect(asked.frame)
        link = await connect(
            [listener.address],
            request_id=request.request_id,
            session_key=request.session_key,
            entropy=ENTROPY,
            dials=by(await air.central()),
        )
        paid = await payer.pay(asked.frame, link=link)
        taken = await serving
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    assert codes == [link.code]
    assert [one.spendable for one in await payer.balance()] == [650]
    assert [one.spendable for one in await payee.balance()] == [250]
    await payer.close()
    await payee.close()


@pytest.mark.parametrize("mtu", [23, 247])
async def test_a_payment_of_many_long_chains_passes(mtu: int) -> None:
    """Eight vouchers, each through three hands before: more than eight thousand bytes."""
    issuer, air = Issuer(), Air()
    wallets = [await new_wallet(issuer, "first", *[10] * 8)]
    for name in ("second", "third"):
        wallets.append(await new_wallet(issuer, name))
        asked = await wallets[-1].request_payment(80, "EUR")
        sent = await wallets[-2].pay(asked.frame)
        await wallets[-1].receive(await wallets[-2].frame_of(sent.id))
    payer, payee = wallets[-1], await new_wallet(issuer, "payee")
    async with advertising(await air.peripheral(mtu)) as listener:
        asked = await payee.request_payment(80, "EUR", transports=(listener.address,))
        sent = await payer.pay(asked.frame)
        paid, taken = await asyncio.gather(
            payer.deliver(sent.id, dials=by(await air.central())),
            payee.listen(listener, asked.exchange.id),
        )
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    assert len(await payer.frame_of(sent.id)) > 8_000
    assert len(air.heard) > 8_000
    for wallet in (*wallets, payee):
        await wallet.close()


async def test_nobody_on_the_air_can_read_the_payment() -> None:
    air = Air()
    payer, payee = await two_wallets(900)
    async with advertising(await air.peripheral()) as listener:
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        sent = await payer.pay(asked.frame)
        await asyncio.gather(
            payer.deliver(sent.id, dials=by(await air.central())),
            payee.listen(listener, asked.exchange.id),
        )
    (transfer,) = await payer.signed_transfers()
    assert len(air.heard) > 500
    for start in range(len(transfer.envelope) - 12):
        assert transfer.envelope[start : start + 12] not in air.heard
    await payer.close()
    await payee.close()


async def test_what_is_advertised_names_nobody_and_does_not_last() -> None:
    air, seen = Air(), []
    for _ in range(2):
        async with advertising(await air.peripheral()) as listener:
            token = split_address(listener.address)
            packet = air.advertised[-1]
            uuid = service_uuid(token)
            assert packet.data == b"\x02\x01\x06" + b"\x11\x07" + uuid.bytes[::-1]
            assert token not in packet.data
            assert packet.advertiser_address.is_resolvable
            seen.append((listener.address, str(packet.advertiser_address), uuid))
    for one, two in zip(*seen, strict=True):
        assert one != two


async def test_a_request_shown_again_can_keep_its_address() -> None:
    air = Air()
    async with advertising(await air.peripheral()) as listener:
        address = listener.address
    again = await BleListener.open(await air.peripheral(), token=split_address(address))
    assert again.address == address
    await again.close()


async def test_a_payment_survives_a_break_at_each_of_its_fragments() -> None:
    """The payee's side breaks off. Either the payment is confirmed all the same, or it is later."""
    air = Air()
    payer, payee = await two_wallets(10_000)
    peripheral = RoughPeripheral(await air.peripheral(185))
    async with advertising(peripheral) as listener:
        confirmed = passed = paid = 0
        while not passed:
            peripheral.cuts, peripheral.made = [paid], []
            asked = await payee.request_payment(1, "EUR", transports=(listener.address,))
            serving = asyncio.create_task(
                payee.listen(listener, asked.exchange.id, linger_seconds=0)
            )
            sent = await payer.pay(asked.frame)
            first = await payer.deliver(sent.id, dials=by(await air.central()))
            assert first.state in {State.ACKED, State.SENT, State.IN_DOUBT}
            confirmed += first.state is State.ACKED
            if first.state is not State.ACKED:
                again = await payer.deliver(sent.id, dials=by(await air.central()))
                assert again.state is State.ACKED
            assert (await serving).state is State.RECEIPTED
            paid += 1
            passed = len(peripheral.made) == 1 and peripheral.made[0].values < paid
        assert confirmed == paid, "the break was mended without the payer's noticing"
    assert paid > 15
    assert [one.spendable for one in await payer.balance()] == [10_000 - paid]
    assert [one.spendable for one in await payee.balance()] == [paid]
    assert await payer.unconfirmed() == []
    await payer.close()
    await payee.close()


# Links of their own, for what a payment is too short for.


class Echo:
    """A payee for one request that sends every frame back, and the links that it had."""

    def __init__(self, listener: BleListener) -> None:
        self.address = listener.address
        self.links: list[SecureLink] = []
        self.ends: asyncio.Queue[LinkClosed] = asyncio.Queue()
        listener.attend(self._attend, request_id=REQUEST, secret=SECRET, entropy=ENTROPY)

    async def _attend(self, link: SecureLink) -> None:
        self.links.append(link)
        try:
            while True:
                await link.send(await link.receive())
        except LinkClosed as end:
            self.ends.put_nowait(end)

    async def call(
        self, central: object, *, request_id: bytes = REQUEST, secret: bytes = SECRET
    ) -> SecureLink:
        return await connect(
            [self.address],
            request_id=request_id,
            session_key=session_public_key(secret),
            entropy=ENTROPY,
            dials=by(central),  # type: ignore[arg-type]
        )


@asynccontextmanager
async def echo(air: Air, mtu: int = 517) -> AsyncIterator[Echo]:
    async with advertising(await air.peripheral(mtu)) as listener:
        yield Echo(listener)


@pytest.mark.parametrize("mtu", [23, 247, 517])
async def test_the_largest_frames_pass_both_ways(mtu: int) -> None:
    air = Air()
    async with echo(air, mtu) as payee:
        link = await payee.call(await air.central())
        for size in (0 + 1, 4_096, FRAME_BYTES_MAX):
            frame = random.Random(size).randbytes(size)
            await link.send(frame)
            assert await link.receive() == frame
        await link.close()
        assert (await payee.ends.get()).clean
    assert link.code == payee.links[0].code


async def send_and_return(
    air: Air, payee: Echo, frame: bytes, mtu: int, cuts: Sequence[int | None] = ()
) -> int:
    """Send a frame there and back over connections that are cut; how many values that took."""
    central = RoughCentral(await air.central(mtu), cuts)
    link = await payee.call(central)
    await link.send(frame)
    assert await link.receive() == frame
    await link.close()
    return sum(one.values for one in central.made)


@pytest.mark.parametrize("mtu", [185, pytest.param(64, marks=pytest.mark.slow)])
async def test_a_connection_may_break_at_every_fragment_of_4_kb(mtu: int) -> None:
    air, frame = Air(), random.Random(4).randbytes(4_096)
    async with echo(air, mtu) as payee:
        whole = await send_and_return(air, payee, frame, mtu)
        assert (await payee.ends.get()).clean
        assert whole > 2 * 4_096 // mtu
        broken = 0
        for cut in range(whole):
            values = await send_and_return(air, payee, frame, mtu, [cut])
            broken += values > whole
            assert values < whole + 4_096 // mtu, "what had arrived is not sent again"
    assert broken > whole - 10, "only in the goodbye a break is not mended"


@pytest.mark.parametrize("every", [9, 12, 20])
async def test_it_may_break_again_and_again(every: int) -> None:
    air, frame = Air(), random.Random(4).randbytes(1_500)
    async with echo(air, 247) as payee:
        await send_and_return(air, payee, frame, 247, [every] * 3)


async def test_what_breaks_too_often_ends() -> None:
    air = Air()
    async with echo(air) as payee:
        central = RoughCentral(await air.central(64), [20] * 50)
        link = await payee.call(central)
        await link.send(bytes(1_000))
        with pytest.raises(LinkClosed):
            await link.send(bytes(20_000))
        assert len(central.made) <= 1 + wire.RESUMES_MAX


@pytest.mark.parametrize("seed", range(5))
async def test_lost_values_are_sent_again(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(wire, "RETRIES_MAX", 30)
    air, rng = Air(), random.Random(seed)
    frame = rng.randbytes(6_000)
    greetings = (1, 2, 3)

    def loses(value: bytes) -> bool:
        return value[0] not in greetings and rng.random() < 0.1

    async with echo(air, 185) as payee:
        link = await payee.call(RoughCentral(await air.central(), loses=loses))
        await link.send(frame)
        assert await link.receive() == frame
        link.abort()
