"""Payees that announce themselves on the local network, by DNS-SD over multicast DNS (RFC 6763).

A service is named by random digits drawn for one request, its host name too, so the network learns
that somebody asks for money now and not who. What is announced is not signed: it says where to
try, and the session then shows whether the right device answered.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Self

from client_sdk.ambient import Entropy
from client_sdk.errors import LinkClosed, MissingExtra

SERVICE: Final = "_tallystick._tcp.local."
NAME_BYTES: Final = 8
PREFIX_BYTES: Final = 4
FIND_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 3.0
PLACES_MAX: Final = 8
NEARBY_MAX: Final = 32
"""Services looked at in one round; a network may claim any number of them."""
_VERSION: Final = "1"
_HEX: Final = frozenset("0123456789abcdef")


class NoMulticast(LinkClosed):
    code = "no_multicast"
    fix = "Connect this device to a local network, or take the request as a code."


@dataclass(frozen=True)
class Service:
    """What is announced about one payee.

    Attributes:
        name: 16 hexadecimal digits.
        request_prefix: first 4 bytes of the id of its request.
        offers: whether it gives its request to those who ask.
        places: hosts and ports where it may be reached.
    """

    name: str
    request_prefix: bytes
    offers: bool
    places: tuple[tuple[str, int], ...]


def draw_name(entropy: Entropy) -> str:
    """A name for the service of one request."""
    return entropy(NAME_BYTES).hex()


def is_name(text: str) -> bool:
    return len(text) == 2 * NAME_BYTES and set(text) <= _HEX


class Announcement:
    """A service that can be found until `close`; made by `open`."""

    def __init__(self, zeroconf: Any) -> None:
        self._zeroconf = zeroconf

    @classmethod
    async def open(
        cls,
        name: str,
        *,
        host: str,
        port: int,
        request_id: bytes,
        offers: bool,
        interfaces: Sequence[str] | None = None,
    ) -> Self:
        """Announce a payee.

        Args:
            name: from `draw_name`; its request says "lan:" and this name.
            host: address of this device where the listener is reached.
            port: of the listener.
            request_id: of the request; its first bytes are announced.
            offers: the listener gives the request to those who ask for it.
            interfaces: addresses of this device by which to announce; None means all.

        Raises:
            MissingExtra: zeroconf is not installed.
            NoMulticast: there is no network to announce on.
        """
        info = _module().ServiceInfo(
            SERVICE,
            f"{name}.{SERVICE}",
            port=port,
            parsed_addresses=[host],
            server=f"{name}.local.",
            properties={
                "v": _VERSION,
                "r": request_id[:PREFIX_BYTES].hex(),
                "o": "1" if offers else "0",
            },
        )
        zeroconf = _open(interfaces)
        try:
            # The name is random, so nobody needs to be asked whether it is taken.
            await zeroconf.async_register_service(info, cooperating_responders=True)
        except BaseException:
            await zeroconf.async_close()
            raise
        return cls(zeroconf)

    async def close(self) -> None:
        """Take the announcement back; harmless when that has happened."""
        await self._zeroconf.async_close()


async def find(name: str, request_id: bytes, *, interfaces: Sequence[str] | None = None) -> Service:
    """Look for the service that a request names.

    Raises:
        LinkClosed: nobody answers to this name, or for another request.
    """
    async with _running(interfaces) as zeroconf:
        service = await _resolve(zeroconf, name)
    if service is None or not request_id.startswith(service.request_prefix):
        raise LinkClosed("The payee is not on this network, or no longer waiting.")
    return service


async def nearby(
    *, seconds: float = LOOK_SECONDS, interfaces: Sequence[str] | None = None
) -> AsyncGenerator[Service, None]:
    """Services that offer their requests, as they are found. Close it if you leave it early.

    Args:
        seconds: how long to look.
        interfaces: addresses of this device on which to look; None means all.

    Raises:
        NoMulticast: there is no network to look at.
    """
    looking: dict[str, asyncio.Task[None]] = {}
    found: asyncio.Queue[Service] = asyncio.Queue()

    async def look_up(name: str) -> None:
        service = await _resolve(zeroconf, name)
        if service is not None and service.offers:
            found.put_nowait(service)

    def noticed(*, name: str, **_: object) -> None:
        digits = name.partition(".")[0]
        if is_name(digits) and digits not in looking and len(looking) < NEARBY_MAX:
            looking[digits] = asyncio.get_running_loop().create_task(look_up(digits))

    async with _running(interfaces) as zeroconf:
        browser = _module("asyncio").AsyncServiceBrowser(
            zeroconf.zeroconf, SERVICE, handlers=[noticed]
        )
        try:
            deadline = asyncio.get_running_loop().time() + seconds
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        service = await found.get()
                except TimeoutError:
                    return
                yield service
        finally:
            await browser.async_cancel()
            for task in looking.values():
                task.cancel()
            await asyncio.gather(*looking.values(), return_exceptions=True)


async def _resolve(zeroconf: Any, name: str) -> Service | None:
    info = await zeroconf.async_get_service_info(
        SERVICE, f"{name}.{SERVICE}", timeout=int(FIND_SECONDS * 1000)
    )
    if info is None or not info.port:
        return None
    told = info.decoded_properties
    prefix = told.get("r") or ""
    if told.get("v") != _VERSION or len(prefix) != 2 * PREFIX_BYTES or not set(prefix) <= _HEX:
        return None
    hosts = info.parsed_scoped_addresses()[:PLACES_MAX]
    return Service(
        name=name,
        request_prefix=bytes.fromhex(prefix),
        offers=told.get("o") == "1",
        places=tuple((host, info.port) for host in hosts),
    )


@asynccontextmanager
async def _running(interfaces: Sequence[str] | None) -> AsyncIterator[Any]:
    zeroconf = _open(interfaces)
    try:
        yield zeroconf
    finally:
        await zeroconf.async_close()


def _open(interfaces: Sequence[str] | None) -> Any:
    everywhere = _module().InterfaceChoice.All
    try:
        return _module("asyncio").AsyncZeroconf(
            interfaces=everywhere if interfaces is None else list(interfaces)
        )
    except OSError as error:
        raise NoMulticast(f"There is no network to look for payees: {error}.") from None


def _module(part: str = "") -> Any:
    try:
        return import_module(f"zeroconf.{part}" if part else "zeroconf")
    except ModuleNotFoundError:
        raise MissingExtra(
            "Finding payees on the local network needs the package zeroconf.",
            fix="Install it with `pip install tallystick[lan]`.",
        ) from None
