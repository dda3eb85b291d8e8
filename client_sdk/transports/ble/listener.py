"""The payee's side: advertise for one request, and serve the payers who connect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, Final, Self

from client_sdk.ambient import Entropy, system_entropy
from client_sdk.errors import LinkClosed
from client_sdk.transports.base import MESSAGE_BYTES_MAX
from client_sdk.transports.ble.adapters import Peripheral, open_peripheral
from client_sdk.transports.ble.guests import Guest
from client_sdk.transports.ble.naming import TOKEN_BYTES, join_address, service_uuid
from client_sdk.transports.ble.patience import stop
from client_sdk.transports.ble.stream import Stream
from client_sdk.transports.ble.wire import BleWire
from client_sdk.transports.reception import Reception

ORIGIN: Final = "ble"
"""Addresses on the air are made up, so all payers count as from one place."""


class BleListener(Reception):
    """Waits for payers; make one with `open`, before the request is signed."""

    each_max: ClassVar[int] = 4
    """A controller has room for some eight connections: half for strangers, half for guests."""

    def __init__(self, peripheral: Peripheral, token: bytes) -> None:
        super().__init__()
        self.offers = False  # for those with the code only: others cannot tell what it is
        self._peripheral = peripheral
        self._token = token
        self._sessions: set[Guest] = set()
        self._wires: set[BleWire] = set()
        self._accepting = asyncio.create_task(self._accept())

    @classmethod
    async def open(
        cls,
        adapter: str | Peripheral | None = None,
        *,
        token: bytes | None = None,
        entropy: Entropy = system_entropy,
    ) -> Self:
        """Advertise from now on.

        Args:
            adapter: as for `open_peripheral`, or an open one, which is closed with the listener.
            token: of an earlier request that is shown again; a fresh one is made otherwise.
            entropy: makes the token.

        Raises:
            MissingExtra: the Python library for Bluetooth is not installed.
            NoBluetooth: there is no controller, or it cannot advertise.
        """
        if adapter is None or isinstance(adapter, str):
            adapter = await open_peripheral(adapter)
        token = token or entropy(TOKEN_BYTES)
        try:
            await adapter.advertise(service_uuid(token))
        except BaseException:
            await adapter.close()
            raise
        return cls(adapter, token)

    @property
    def address(self) -> str:
        """What goes into the request: "ble:" and the token."""
        return join_address(self._token)

    async def close(self) -> None:
        await stop(self._accepting)
        await super().close()
        for wire in list(self._wires):
            wire.abort()
            await wire.close()
        await self._peripheral.close()

    async def _accept(self) -> None:
        with suppress(LinkClosed):
            while True:
                guest = Guest(await self._peripheral.accept(), self._sessions)
                wire = BleWire(guest, Stream(bytes_max=MESSAGE_BYTES_MAX))
                self._wires.add(wire)
                wire.when_ended(self._wires.discard)
                self.meet(wire, ORIGIN)


@asynccontextmanager
async def advertising(
    adapter: str | Peripheral | None = None, *, token: bytes | None = None
) -> AsyncIterator[BleListener]:
    """A listener that is closed at the end of the block."""
    listener = await BleListener.open(adapter, token=token)
    try:
        yield listener
    finally:
        await listener.close()
