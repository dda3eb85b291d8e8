"""A whole server in a process of its own, on a socket that outlives it.

The socket belongs to the test, so clients that connect while no server lives wait in its queue for
the next one. Processes are forked from one that has imported everything, and start quickly.
"""

import asyncio
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess

import uvicorn

from server.app import Ports, create_app
from server.settings import Settings

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def serve(listener: socket.socket, settings: Settings) -> None:
    config = uvicorn.Config(
        create_app(settings, Ports()), log_config=None, access_log=False, ws="none"
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


class Killable:
    """Starts servers and kills them. There is one at a time."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._process: ForkServerProcess | None = None
        self.kills = 0

    @property
    def address(self) -> str:
        return f"http://localhost:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        self._process = _CONTEXT.Process(target=serve, args=(self._listener, self._settings))
        self._process.start()

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.is_alive(), "it ended by itself"
        self._process.kill()
        self._process.join()
        self.kills += 1

    def stop(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join()


@contextmanager
def killable(settings: Settings) -> Iterator[Killable]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = Killable(settings, listener)
        try:
            server.start()
            yield server
        finally:
            server.stop()
