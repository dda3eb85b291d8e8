"""Bluetooth LE between two virtual controllers in one process: the work of both hosts, no air time.

On the air a connection event of some 15 to 30 ms is what counts: what waits for an answer to each
value (writes with response, indications) gets one value through in one or two of them, what does
not (write commands, notifications) several in each. Here both cost computing time only.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from bumble.att import Attribute
from bumble.core import UUID
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, Service
from bumble.gatt_client import CharacteristicProxy

from client_sdk.core import State
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports.ble.bumble_radio import start_device, stop_device
from client_sdk.transports.ble.listener import advertising
from client_sdk.transports.carriers import connect
from client_sdk.transports.memory import linked_pair
from client_sdk.transports.session import SecureLink
from offline_protocol.constants import FRAME_BYTES_MAX
from offline_protocol.handshake import session_public_key
from tests.integration.client_sdk.ble_air import Air, by

Figure = dict[str, object]
MTU: Final = 247
ROUNDS: Final = 5
FRAMES: Final = 3
VALUES: Final = 400
PAYMENTS: Final = 15
SECRET: Final = bytes(range(32))
REQUEST: Final = b"sixteen byte id!"
NO_AIR: Final = "virtual controllers, no air time"


@asynccontextmanager
async def linked(mtu: int) -> AsyncIterator[tuple[SecureLink, SecureLink]]:
    """An encrypted link over Bluetooth: the payer's end and the payee's."""
    air, entropy = Air(), SeededEntropy("bench")
    met: asyncio.Queue[SecureLink] = asyncio.Queue()
    done = asyncio.Event()

    async def attend(link: SecureLink) -> None:
        met.put_nowait(link)
        await done.wait()

    async with advertising(await air.peripheral(mtu)) as listener:
        listener.attend(attend, request_id=REQUEST, secret=SECRET, entropy=entropy)
        payer = await connect(
            [listener.address],
            request_id=REQUEST,
            session_key=session_public_key(SECRET),
            entropy=entropy,
            dials=by(await air.central()),
        )
        yield payer, await met.get()
        done.set()
        await payer.close()


async def rate_of_frames(sender: SecureLink, receiver: SecureLink) -> float:
    """Kilobytes per second of the largest frames, from one end to the other."""
    frame = os.urandom(FRAME_BYTES_MAX)
    started = time.perf_counter()
    for _ in range(FRAMES):
        _, arrived = await asyncio.gather(sender.send(frame), receiver.receive())
        assert arrived == frame
    return FRAMES * len(frame) / (time.perf_counter() - started) / 1_000


class Bare:
    """One characteristic of the bare stack, written and notified without anything of ours."""

    def __init__(
        self,
        served: tuple[Device, Connection, Characteristic[bytes]],
        proxy: CharacteristicProxy[bytes],
        arrived: asyncio.Semaphore,
    ) -> None:
        self._device, self._connection, self._characteristic = served
        self._proxy = proxy
        self._arrived = arrived
        self._value = os.urandom(MTU - 3)

    async def rate(self, send: Callable[[bytes], Awaitable[None]]) -> float:
        """Kilobytes per second until all have arrived."""
        started = time.perf_counter()
        for _ in range(VALUES):
            await send(self._value)
        for _ in range(VALUES):
            await self._arrived.acquire()
        return VALUES * len(self._value) / (time.perf_counter() - started) / 1_000

    async def command(self, value: bytes) -> None:
        await self._proxy.write_value(value, with_response=False)

    async def request(self, value: bytes) -> None:
        await self._proxy.write_value(value, with_response=True)

    async def notify(self, value: bytes) -> None:
        await self._device.notify_subscriber(self._connection, self._characteristic, value)

    async def indicate(self, value: bytes) -> None:
        await self._device.indicate_subscriber(self._connection, self._characteristic, value)


@asynccontextmanager
async def bare(*, notify: bool) -> AsyncIterator[Bare]:
    air, arrived = Air(), asyncio.Semaphore(0)
    radios = air.radio(), air.radio()
    server, client = [await start_device(radio) for radio in radios]
    kinds = Characteristic.Properties
    characteristic: Characteristic[bytes] = Characteristic(
        UUID("2A00"),
        kinds.WRITE | kinds.WRITE_WITHOUT_RESPONSE | (kinds.NOTIFY if notify else kinds.INDICATE),
        Attribute.WRITEABLE,
        b"",
    )
    characteristic.on(Characteristic.EVENT_WRITE, lambda *_: arrived.release())
    server.add_service(Service(UUID("2A01"), [characteristic]))
    met: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    server.on(Device.EVENT_CONNECTION, met.set_result)
    await server.start_advertising(advertising_interval_min=20, advertising_interval_max=20)
    connection = await client.connect(server.random_address)
    await connection.gatt_client.request_mtu(MTU)
    (service,) = await connection.gatt_client.discover_service(UUID("2A01"))
    (proxy,) = await connection.gatt_client.discover_characteristics((), service)
    await proxy.subscribe(lambda _: arrived.release(), prefer_notify=notify)
    yield Bare((server, await met, characteristic), proxy, arrived)
    for device, radio in ((client, radios[1]), (server, radios[0])):
        await stop_device(device, radio)


async def throughput() -> AsyncIterator[Figure]:
    """The largest frames one way, against the bare stack's values one way; the best of rounds."""
    best: dict[str, float] = {}

    async def measure(name: str, rate: Awaitable[float]) -> None:
        best[name] = max(best.get(name, 0), await rate)

    async with (
        bare(notify=True) as stack,
        bare(notify=False) as confirming,
        linked(23) as small,
        linked(MTU) as usual,
        linked(517) as large,
    ):
        for _ in range(ROUNDS):
            await measure("commands", stack.rate(stack.command))
            await measure("usual", rate_of_frames(*usual))
            await measure("requests", stack.rate(stack.request))
            await measure("notifications", stack.rate(stack.notify))
            await measure("back", rate_of_frames(*reversed(usual)))
            await measure("indications", confirming.rate(confirming.indicate))
            await measure("small", rate_of_frames(*small))
            await measure("large", rate_of_frames(*large))
    commands, notifications = best["commands"], best["notifications"]
    name, at_mtu = "transport.ble.throughput", f"bare write commands at MTU {MTU}"
    yield _rate(name, best["usual"], commands, at_mtu)
    yield _rate(f"{name}.back", best["back"], notifications, f"bare notifications at MTU {MTU}")
    yield _rate(f"{name}.mtu_23", best["small"], commands, at_mtu)
    yield _rate(f"{name}.mtu_517", best["large"], commands, at_mtu)
    yield _rate(f"{name}.bare_requests", best["requests"], commands, at_mtu)
    confirmed = best["indications"]
    yield _rate(f"{name}.bare_indications", confirmed, notifications, "bare notifications")


async def time_to_pay() -> AsyncIterator[Figure]:
    """From a request that was read to the stored receipt: find, connect, encrypt, pay, confirm."""
    issuer, air = Issuer(), Air()
    payer = await new_wallet(issuer, "payer", 10_000)
    payee = await new_wallet(issuer, "payee")
    times, without = [], []
    for _ in range(PAYMENTS):
        async with advertising(await air.peripheral(MTU)) as listener:
            asked = await payee.request_payment(1, "EUR", transports=(listener.address,))
            serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
            started = time.perf_counter()
            sent = await payer.pay(asked.frame)
            paid = await payer.deliver(sent.id, dials=by(await air.central()))
            times.append(time.perf_counter() - started)
            assert paid.state is State.ACKED
            await serving
        asked = await payee.request_payment(1, "EUR")
        here, there = linked_pair()
        served = asyncio.create_task(payee.serve(there))
        started = time.perf_counter()
        paid = await payer.pay(asked.frame, link=here)
        without.append(time.perf_counter() - started)
        assert paid.state is State.ACKED
        await served
    took, base = statistics.median(times) * 1_000, statistics.median(without) * 1_000
    yield {
        "name": "transport.ble.time_to_pay",
        "value": round(took),
        "unit": "ms",
        "ratio": round(took / base, 2),
        "to": f"the same between two wallets in memory: {base:.1f} ms; {NO_AIR}",
    }
    await payer.close()
    await payee.close()


BENCHES: Final = {
    "transport.ble.throughput": throughput,
    "transport.ble.time_to_pay": time_to_pay,
}


async def run(only: str | None) -> None:
    """Print one JSON line for each figure whose name begins with ``only``."""
    for name, bench in BENCHES.items():
        if only is not None and not (name.startswith(only) or only.startswith(name)):
            continue
        async for figure in bench():
            if only is None or str(figure["name"]).startswith(only):
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()


def _rate(name: str, rate: float, base: float, to: str) -> Figure:
    return {
        "name": name,
        "value": round(rate),
        "unit": "kB/s",
        "ratio": round(rate / base, 3),
        "to": f"{to}: {base:.0f} kB/s; {NO_AIR}",
    }


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
