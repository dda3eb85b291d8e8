"""The payer's side of NFC: touches the payee's device for the request, or for the session."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Self

import nfc.llcp  # type: ignore[import-untyped]
import nfc.snep  # type: ignore[import-untyped]

from client_sdk.errors import LinkClosed
from client_sdk.transports.base import InvalidAddress
from client_sdk.transports.nfc import SCHEME, DevicesApart, in_thread, tell
from client_sdk.transports.nfc.device import Device, Llc, connect
from client_sdk.transports.nfc.handover import MESSAGE_BYTES_MAX, Handover, decode
from client_sdk.transports.nfc.wire import LlcpWire

TOUCH_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0
_PUT: Final = 2
_HEAD_BYTES: Final = 6
_SUCCESS: Final = b"\x10\x81\0\0\0\0"
_BAD_REQUEST: Final = b"\x10\xc2\0\0\0\0"


class NfcReader:
    """Looks for the payee's device from `open` to `close`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._llc: Llc | None = None
        self._partings = 0
        self._message: bytes | None = None
        self._change: asyncio.Future[None] = device.loop.create_future()

    @classmethod
    async def open(cls, path: str) -> Self:
        """See `open_reader`."""
        device = await Device.open(path, "initiator")
        reader = cls(device)
        device.start(
            prepare=reader._prepare,
            met=reader._touching,
            parted=reader._parting,
        )
        return reader

    @property
    def together(self) -> bool:
        """Whether this device touches another one now."""
        return self._llc is not None

    async def read_request(self, *, seconds: float = TOUCH_SECONDS) -> Handover:
        """Wait for a touch and take what the payee's device hands over.

        Raises:
            DevicesApart: nobody touched in time, or the devices parted too early.
            UnreadableMessage: the other device hands over something else.
        """
        partings = self._partings
        if not self.together:
            self._message = None  # of an earlier touch
        await self._until(
            lambda: self._message is not None or self._partings > partings, seconds=seconds
        )
        message, self._message = self._message, None
        if message is None:
            raise DevicesApart("The devices were parted before the request was across.")
        return decode(message)

    async def dial(
        self,
        address: str,
        *,
        request_id: bytes,  # noqa: ARG002 -- the session will tell whether it is the right payee
        seconds: float = TOUCH_SECONDS,
    ) -> LlcpWire:
        """Wait for a touch and connect to the payee's session; see `carriers.Dial`.

        Raises:
            DevicesApart: nobody touched in time, or the devices parted too early.
        """
        if address != SCHEME:
            raise InvalidAddress(f"{address!r} is no address for NFC.")
        await self._until(lambda: self._llc is not None, seconds=seconds)
        llc = self._llc

        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return LlcpWire(
                    await in_thread(partial(connect, llc), name="nfc connect"), accepted=False
                )
        except nfc.llcp.ConnectRefused:
            raise LinkClosed("The device that was touched takes no payments by NFC.") from None
        except Exception:  # noqa: BLE001 -- nfcpy has many ways to say that the link is gone
            raise DevicesApart("The devices were parted too early.") from None

    async def close(self) -> None:
        """Give the device back; harmless when that has happened."""
        await self._device.close()

    async def _until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not ready():
                    await asyncio.wait(
                        {self._change, self._device.ended}, return_when=asyncio.FIRST_COMPLETED
                    )
                    if self._device.ended.done():
                        self._device.ended.result()
                        raise LinkClosed("The NFC device was closed.")
        except TimeoutError:
            raise DevicesApart("No other device was touched.") from None

    def _prepare(self, llc: Llc) -> None:
        server = _SnepServer(llc, self._device.loop, self._taken)
        server.daemon = True
        server.start()

    def _touching(self, llc: Llc) -> None:
        tell(self._device.loop, self._met, llc)

    def _parting(self) -> None:
        tell(self._device.loop, self._parted)

    def _met(self, llc: Llc) -> None:
        self._llc = llc
        self._tell()

    def _parted(self) -> None:
        self._llc = None
        self._partings += 1
        self._tell()

    def _taken(self, message: bytes) -> None:
        self._message = message
        self._tell()

    def _tell(self) -> None:
        change, self._change = self._change, self._device.loop.create_future()
        change.set_result(None)


class _SnepServer(nfc.snep.SnepServer):  # type: ignore[misc]
    """Takes one kind of message: what a payee's device puts here."""

    def __init__(
        self, llc: Llc, loop: asyncio.AbstractEventLoop, taken: Callable[[bytes], None]
    ) -> None:
        super().__init__(llc, max_acceptable_length=MESSAGE_BYTES_MAX)
        self._loop = loop
        self._taken = taken

    def process_snep_request(self, request_data: bytearray) -> bytes:
        if request_data[1] != _PUT:
            return _BAD_REQUEST
        announced = int.from_bytes(request_data[2:_HEAD_BYTES], "big")
        message = bytes(request_data[_HEAD_BYTES:])
        if len(message) != announced or not tell(self._loop, self._taken, message):
            return _BAD_REQUEST
        return _SUCCESS
