"""Where webhooks may go: to public addresses over HTTPS, and nowhere inside.

A user chooses the address and we connect, so a careless server would reach what only it can reach:
its own ports, neighbours, the metadata service of a cloud. The name is resolved here, every address
of it must be public, and the connection goes to the very address that was looked at: a name that
answers differently the next time changes nothing. Redirects are not followed.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import SOCK_STREAM
from typing import Final, Protocol, runtime_checkable

import httpx

from server.notifications.errors import WebhookAddressRefused

URL_MAX: Final = 500
ANSWER_BYTES_MAX: Final = 512
"""What is kept of an answer, to help its owner."""
TIMEOUT_S: Final = 10.0
_TIMEOUT: Final = httpx.Timeout(TIMEOUT_S, connect=5.0)
# Reserved, or carrying another address inside, which Python's `is_global` does not look at.
_NEVER: Final = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",
            "192.88.99.0/24",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/23",
            "2002::/16",
            "::/96",
            "fec0::/10",
        ),
    )
)


@runtime_checkable
class Resolver(Protocol):
    async def addresses(self, host: str, port: int) -> list[str]:
        """Return every IP address of a name.

        Raises:
            OSError: it has none, or nobody knows.
        """
        ...


class SystemResolver:
    async def addresses(self, host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of an attempt."""

    status: int | None
    latency_ms: int
    answer: str
    """The first bytes of the answer, or nothing."""
    error: str | None
    """Why there is no answer."""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110 15.3

    @property
    def gone(self) -> bool:
        """Whether the receiver asks us not to come again."""
        return self.status == httpx.codes.GONE


def check_address(url: str, *, private: bool) -> httpx.URL:
    """Return the address, if its form is one that webhooks may have.

    Raises:
        WebhookAddressRefused: it is not.
    """
    try:
        address = httpx.URL(url)
        host = address.host
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused("It is not an address.") from error
    if len(url) > URL_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused(f"It has more than {URL_MAX} characters, or some that do not belong there.")
    if address.scheme != "https" and not (private and address.scheme == "http"):
        raise _refused("It does not begin with https://.")
    if not host or address.userinfo or address.fragment:
        raise _refused("It has no host, or holds a user, a password or a fragment.")
    if address.port is not None and address.port not in range(1, 65_536):
        raise _refused("It has a port that does not exist.")
    if not private and (literal := _literal(host)) is not None and not is_public(literal):
        raise _refused("It is not a public address.")
    return address


def is_public(text: str) -> bool:
    """Return whether an IP address can only be that of somebody else, out in the internet."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address.version == network.version and address in network for network in _NEVER):
        return False
    return address.is_global and not address.is_multicast


class Courier:
    """Carries webhooks out."""

    def __init__(
        self,
        resolver: Resolver | None = None,
        *,
        private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``private`` lets them go to plain HTTP and to any address: for tests only."""
        self._resolver = resolver or SystemResolver()
        self._private = private
        self._client = httpx.AsyncClient(
            verify=tls or ssl.create_default_context(),
            timeout=_TIMEOUT,
            follow_redirects=False,
            # No proxy and no password from the environment.
            trust_env=False,
            # A connection goes to an address that was looked at for this message.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """Post a message; never raises for what the receiver does."""
        started = time.perf_counter()
        status: int | None = None
        answer, error = b"", None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                request = await self._request(url, headers, body)
                response = await self._client.send(request, stream=True)
                try:
                    status = response.status_code
                    # As it was sent: what is packed small may be endless when it is unpacked.
                    async for part in response.aiter_raw():
                        answer += part
                        if len(answer) >= ANSWER_BYTES_MAX:
                            break
                finally:
                    await response.aclose()
        except TimeoutError:
            error = "no answer in time" if status is None else None
        except WebhookAddressRefused as refusal:
            error = refusal.detail
        except (httpx.HTTPError, OSError) as failure:
            error = type(failure).__name__ if status is None else None
        latency_ms = int((time.perf_counter() - started) * 1000)
        text = answer[:ANSWER_BYTES_MAX].decode("utf-8", "replace").replace("\x00", "\ufffd")
        return Sent(status, latency_ms, text, error)

    async def close(self) -> None:
        await self._client.aclose()

    async def _request(self, url: str, headers: Mapping[str, str], body: bytes) -> httpx.Request:
        """Return a request to the address that was looked at, under the name that was asked for."""
        address = check_address(url, private=self._private)
        port = address.port or (443 if address.scheme == "https" else 80)
        found = await self._resolver.addresses(address.host, port)
        if not found:
            raise _refused("Its name has no address.")
        if not self._private and not all(map(is_public, found)):
            raise _refused("Its name leads to an address that is not public.")
        return self._client.build_request(
            "POST",
            address.copy_with(host=found[0]),
            content=body,
            headers={
                **headers,
                "host": address.netloc.decode("ascii"),
                "content-type": "application/json",
                "user-agent": "Tallystick-Webhooks",
                "accept-encoding": "identity",
                "connection": "close",
            },
            extensions={"sni_hostname": address.host},
        )


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _refused(why: str) -> WebhookAddressRefused:
    return WebhookAddressRefused(
        f"Webhooks are not sent there. {why}",
        fix="Give the public https:// address of your server.",
    )
