"""Meeting: how fast frames pass, and how long a payment takes, over the local network and NFC.

The payee is a process of its own. There is no radio: the network is the loopback, and NFC is
nfcpy's link over UDP, so the figures show what the software costs and not the air. A round trip
counts its bytes in both directions. Time to pay runs from the request in the payer's hands to the
receipt in its file: pay, connect, shake hands, deliver, store, all writes synchronised.
"""

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from client_sdk.ambient import system_entropy
from client_sdk.core import State
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports import discovery, lan, nfc
from client_sdk.transports.base import Wire
from client_sdk.transports.carriers import Dial
from client_sdk.transports.nfc.device import Device
from client_sdk.transports.nfc.reader import NfcReader
from client_sdk.transports.session import SecureLink, call
from offline_protocol.handshake import session_public_key
from tests.load.meeting_payee import BARE_SERVICE, LOOPBACK, REQUEST, SECRET, bare_socket

Figure = dict[str, object]
SIZES = {"4k": 4_096, "32k": 32_768}
SECONDS = 1.0
TOUCHES = 5
PAYMENTS = 20


async def lan_figures() -> AsyncGenerator[Figure, None]:
    """The local network: round trips beside bare TCP, time to pay, finding an announcement."""
    async with payee("echo", "lan") as lines:
        told = await lines()
        link = await _session(await lan.dial(told["address"], request_id=REQUEST))
        rates = {name: await _echoes(link, size) for name, size in SIZES.items()}
        await link.close()
    async with payee("bare_lan", "lan") as lines:
        reader, writer = await asyncio.open_connection(LOOPBACK, (await lines())["port"])
        for name, size in SIZES.items():

            async def bare(size: int = size) -> None:
                writer.write(bytes(size))
                await reader.readexactly(size)

            yield _ratio(f"transport.lan.echo_{name}", rates[name], await _rate(bare, size), "TCP")
        writer.close()
    async with payee("ask", "lan") as lines:
        yield _times("transport.lan.pay", await _payments(lines, {}))
    yield _times("transport.lan.find", [await _find() for _ in range(TOUCHES)])


async def nfc_figures() -> AsyncGenerator[Figure, None]:
    """NFC: round trips beside a bare LLCP connection, a touch for the request, time to pay."""
    path = _free_path()
    async with payee("echo", path) as lines, _reader(path) as reader:
        await lines()
        link = await _session(await reader.dial(nfc.SCHEME, request_id=REQUEST))
        rates = {name: await _echoes(link, size) for name, size in SIZES.items()}
        await link.close()
    bases = await _bare_nfc()
    for name in SIZES:
        yield _ratio(f"transport.nfc.echo_{name}", rates[name], bases[name], "LLCP")
    path = _free_path()
    async with payee("ask", path) as lines:
        await lines()
        yield _times("transport.nfc.touch", [await _touch(path) for _ in range(TOUCHES)])
    path = _free_path()
    async with payee("ask", path) as lines, _reader(path) as reader:
        yield _times("transport.nfc.pay", await _payments(lines, {"nfc": reader.dial}))


BENCHES = {"transport.lan": lan_figures, "transport.nfc": nfc_figures}


async def run(only: str | None) -> None:
    """Print one JSON line for each figure whose name begins with ``only``."""
    for name, bench in BENCHES.items():
        if only is not None and not (name.startswith(only) or only.startswith(name)):
            continue
        async with aclosing(bench()) as figures:
            async for figure in figures:
                if only is None or str(figure["name"]).startswith(only):
                    sys.stdout.write(json.dumps(figure) + "\n")
                    sys.stdout.flush()


Lines = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def payee(what: str, where: str) -> AsyncIterator[Lines]:
    """The payee's process, and what it tells."""
    process = subprocess.Popen(  # noqa: ASYNC220 -- it is only started
        [sys.executable, "-m", "tests.load.meeting_payee", what, where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stdout = process.stdout
    assert stdout is not None

    async def line() -> Any:
        return json.loads(await asyncio.to_thread(stdout.readline))

    try:
        yield line
    finally:
        await asyncio.to_thread(process.communicate)


@asynccontextmanager
async def _reader(path: str) -> AsyncIterator[NfcReader]:
    reader = await nfc.open_reader(path)
    try:
        yield reader
    finally:
        await reader.close()


async def _session(wire: Wire) -> SecureLink:
    return await call(
        wire,
        request_id=REQUEST,
        session_key=session_public_key(SECRET),
        entropy=system_entropy,
    )


async def _echoes(link: SecureLink, size: int) -> float:
    async def trip() -> None:
        await link.send(bytes(size))
        assert len(await link.receive()) == size

    return await _rate(trip, size)


async def _rate(trip: Callable[[], Awaitable[None]], size: int) -> float:
    """Bytes per second over round trips, both ways counted."""
    await trip()
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        await trip()
        done += 1
    return 2 * size * done / elapsed


async def _bare_nfc() -> dict[str, float]:
    path = _free_path()
    met: asyncio.Queue[Any] = asyncio.Queue()
    async with payee("bare_nfc", path) as lines:
        await lines()
        device = await Device.open(path, "initiator")

        def touched(llc: Any) -> None:
            nfc.tell(device.loop, met.put_nowait, llc)

        device.start(prepare=lambda _: None, met=touched, parted=lambda: None)
        bare = bare_socket(await met.get())
        await asyncio.to_thread(bare.connect, BARE_SERVICE)

        def trip(size: int) -> None:
            sending = bytes(size)
            for start in range(0, size, 2_175):
                bare.send(sending[start : start + 2_175])
            while size > 0:
                size -= len(bare.recv())

        rates = {
            name: await _rate(partial(asyncio.to_thread, trip, size), size)
            for name, size in SIZES.items()
        }
        await device.close()
    return rates


async def _touch(path: str) -> float:
    """Seconds from the first look for the other device to the request."""
    started = time.perf_counter()
    async with _reader(path) as reader:
        await reader.read_request()
        return time.perf_counter() - started


async def _payments(lines: Lines, dials: Mapping[str, Dial]) -> list[float]:
    """Seconds from each request to its receipt."""
    taken = []
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as folder:
        wallet = await new_wallet(Issuer(), "phone", 10_000, path=Path(folder) / "phone.db")
        for _ in range(PAYMENTS):
            frame = bytes.fromhex((await lines())["frame"])
            started = time.perf_counter()
            payment = await wallet.pay(frame)
            paid = await wallet.deliver(payment.id, dials=dials)
            taken.append(time.perf_counter() - started)
            assert paid.state is State.ACKED
        await wallet.close()
    return taken


async def _find() -> float:
    """Seconds until a payee that announces itself is seen."""
    name = discovery.draw_name(system_entropy)
    announcement = await discovery.Announcement.open(
        name, host=LOOPBACK, port=4100, request_id=REQUEST, offers=True, interfaces=[LOOPBACK]
    )
    started = time.perf_counter()
    async with aclosing(discovery.nearby(seconds=60, interfaces=[LOOPBACK])) as services:
        async for service in services:
            if service.name == name:
                break
    elapsed = time.perf_counter() - started
    await announcement.close()
    return elapsed


def _free_path() -> str:
    """A path for a device of nfcpy's loopback on a port that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return f"udp:localhost:{probe.getsockname()[1]}"


def _ratio(name: str, rate: float, base: float, to: str) -> Figure:
    return {
        "name": name,
        "value": round(rate / 1000),
        "unit": "kB/s",
        "ratio": round(rate / base, 3),
        "to": f"the same over bare {to}: {base / 1000:.0f} kB/s",
    }


def _times(name: str, seconds: list[float]) -> Figure:
    return {
        "name": name,
        "value": round(statistics.median(seconds) * 1000, 1),
        "unit": "ms",
        "ratio": None,
        "to": None,
    }


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
