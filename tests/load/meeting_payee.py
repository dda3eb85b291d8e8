"""The payee's process of `bench_transports`: echoes frames, or bare bytes, or asks for money.

Arguments: what to do, and where ("lan", or the path of an NFC device). It tells one JSON object a
line, and ends with its standard input.
"""

import asyncio
import json
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import nfc.llcp  # type: ignore[import-untyped]

from client_sdk.ambient import system_entropy
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports import lan
from client_sdk.transports import nfc as carrier
from client_sdk.transports.nfc.device import Device
from client_sdk.transports.session import Listener, SecureLink

SECRET = bytes(range(32))
REQUEST = bytes(16)
BARE_SERVICE = "urn:nfc:xsn:tallystick.dev:bare"
LOOPBACK = "127.0.0.1"


async def main(what: str, where: str) -> None:
    stopped = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    work = asyncio.create_task(WORK[what](where))
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def echo(where: str) -> None:
    listener = await open_listener(where)

    async def attend(link: SecureLink) -> None:
        while True:
            await link.send(await link.receive())

    listener.attend(attend, request_id=REQUEST, secret=SECRET, entropy=system_entropy)
    tell(address=listener.address)
    await until_stopped(listener)


async def ask(where: str) -> None:
    """Ask for one minor unit, again and again."""
    listener = await open_listener(where)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as folder:
        wallet = await new_wallet(Issuer(), "till", path=Path(folder) / "till.db")
        try:
            while True:
                asked = await wallet.request_payment(1, "EUR", transports=(listener.address,))
                waiting = asyncio.create_task(
                    wallet.listen(listener, asked.exchange.id, offer=True)
                )
                await asyncio.sleep(0)  # it attends to the request before that is told
                tell(frame=asked.frame.hex())
                await waiting
        finally:
            await wallet.close()
            await listener.close()


async def bare_lan(_: str) -> None:
    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # the end of this process
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(met, LOOPBACK, 0)
    tell(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def bare_nfc(path: str) -> None:
    def serve(listening: Any) -> None:
        connection = listening.accept()
        while (unit := connection.recv()) is not None:
            connection.send(unit)

    def prepare(llc: Any) -> None:
        listening = bare_socket(llc)
        listening.bind(BARE_SERVICE)
        listening.listen(1)
        threading.Thread(target=serve, args=(listening,), daemon=True).start()

    device = await Device.open(path, "target")
    device.start(prepare=prepare, met=lambda _: None, parted=lambda: None)
    tell()
    await device.ended


def bare_socket(llc: Any) -> Any:
    """A connection's socket with the window and the unit that the wire uses too."""
    found = nfc.llcp.Socket(llc, nfc.llcp.DATA_LINK_CONNECTION)
    found.setsockopt(nfc.llcp.SO_RCVMIU, 2_175)
    found.setsockopt(nfc.llcp.SO_RCVBUF, 15)
    return found


async def open_listener(where: str) -> Listener:
    if where == "lan":
        return await lan.LanListener.open(LOOPBACK, 0)
    return await carrier.open_listener(where)


async def until_stopped(listener: Listener) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await listener.close()


def tell(**told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


WORK = {"echo": echo, "ask": ask, "bare_lan": bare_lan, "bare_nfc": bare_nfc}


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
