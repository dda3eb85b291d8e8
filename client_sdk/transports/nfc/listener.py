"""The payee's side of NFC: hands the request over on each touch, and waits for the session."""

import threading
from contextlib import suppress
from typing import Any, Final, Self

import nfc.snep  # type: ignore[import-untyped]
from nfc.snep.client import recv_response, send_request  # type: ignore[import-untyped]

from client_sdk.ambient import Entropy
from client_sdk.transports.nfc import SCHEME, tell
from client_sdk.transports.nfc.device import Device, Llc, accept, listen
from client_sdk.transports.nfc.handover import encode
from client_sdk.transports.nfc.wire import LlcpWire
from client_sdk.transports.reception import Reception
from client_sdk.transports.session import Attend

PUT_SECONDS: Final = 2.0
PUTS_MAX: Final = 3
"""nfcpy may lose what arrives while it accepts a connection."""
_SNEP: Final = "urn:nfc:sn:snep"
_PUT_1_0: Final = b"\x10\x02"


class NfcListener(Reception):
    """See `Listener`. It looks for other devices from `attend` to `close`."""

    address = SCHEME

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device
        self._loop = device.loop
        self._message: bytes | None = None

    @classmethod
    async def open(cls, path: str) -> Self:
        """See `open_listener`."""
        return cls(await Device.open(path, "target"))

    def attend(
        self,
        attend: Attend,
        *,
        request_id: bytes,
        secret: bytes,
        entropy: Entropy,
        offered: bytes | None = None,
    ) -> None:
        """See `Listener.attend`; who touches this device is given the request, if it is offered."""
        super().attend(
            attend, request_id=request_id, secret=secret, entropy=entropy, offered=offered
        )
        self._message = None if offered is None else encode(offered)
        self._device.start(prepare=self._prepare, met=self._touched, parted=lambda: None)

    async def close(self) -> None:
        await super().close()
        await self._device.close()

    def _prepare(self, llc: Llc) -> None:
        socket = listen(llc)
        threading.Thread(target=self._accept, args=(socket,), name="nfc", daemon=True).start()

    def _accept(self, socket: Any) -> None:
        with suppress(Exception):  # the link has ended: nfcpy has many ways to say so
            while True:
                accepted = accept(socket)
                if accepted is not None and not tell(self._loop, self._met, accepted):
                    return

    def _met(self, socket: Any) -> None:
        self.meet(LlcpWire(socket, accepted=True), "nfc")

    def _touched(self, llc: Llc) -> None:
        if self._message is not None:
            threading.Thread(target=self._put, args=(llc,), name="nfc", daemon=True).start()

    def _put(self, llc: Llc) -> None:
        """Give the message to the other device, if it takes such messages."""
        message = self._message or b""
        with suppress(Exception):  # parted too early; the next touch gives it again
            for _ in range(PUTS_MAX):
                client = nfc.snep.SnepClient(llc)
                client.connect(_SNEP)
                send_request(client.socket, _put_request(message), client.send_miu)
                if recv_response(client.socket, 0, PUT_SECONDS) is not None:
                    client.close()
                    return


def _put_request(message: bytes) -> bytes:
    return _PUT_1_0 + len(message).to_bytes(4, "big") + message
