"""A wire between two devices that is cut at the worst moment.

It passes on whole frames (four bytes of length, then the frame) and reads none of them: the
session is encrypted. The payee's third frame is its receipt, after greeting and handshake; that
frame is dropped, and the payer is killed with -9 before it can learn that it was paid.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable

_LENGTH_BYTES = 4
_RECEIPT_FRAME = 3
_TIMEOUT_S = 30.0


class CuttingWire:
    """Listens for one payer and passes its bytes on to the payee, until the receipt."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_TIMEOUT_S)
        self.frames_passed = 0
        self.cut = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def carry(self, payee: tuple[str, int], payer_pid: Callable[[], int]) -> None:
        """Carry one conversation, then cut it. Runs in the calling thread."""
        near, _ = self._listener.accept()
        with near, socket.create_connection(payee, _TIMEOUT_S) as far, self._listener:
            outward = threading.Thread(target=self._pass_on, args=(near, far), daemon=True)
            outward.start()
            for _ in range(_RECEIPT_FRAME - 1):
                near.sendall(_read_frame(far))
                self.frames_passed += 1
            _read_frame(far)
            os.kill(payer_pid(), signal.SIGKILL)
            self.cut.set()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while frame := _read_frame(source):
                target.sendall(frame)
                self.frames_passed += 1
        except OSError:
            return


def _read_frame(source: socket.socket) -> bytes:
    head = _read(source, _LENGTH_BYTES)
    return head + _read(source, int.from_bytes(head, "big"))


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := source.recv(size - len(data))):
            raise OSError("the connection ended")
        data += part
    return data
