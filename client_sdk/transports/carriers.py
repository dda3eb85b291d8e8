"""From an address in a request to an encrypted link: each scheme has a carrier.

A carrier is loaded when an address asks for it, so a device without its package or its radio
passes over that address and tries the next.
"""

from collections.abc import Awaitable, Iterable, Mapping
from importlib import import_module
from typing import Final, Protocol

from client_sdk.ambient import Entropy
from client_sdk.errors import LinkClosed, WalletError
from client_sdk.transports.base import Wire
from client_sdk.transports.session import SecureLink, call


class Dial(Protocol):
    """How a carrier reaches an address; carriers with settings are made by `functools.partial`."""

    def __call__(self, address: str, *, request_id: bytes) -> Awaitable[Wire]:
        """Connect.

        Args:
            address: the whole text from the request, its scheme included.
            request_id: of the request, for carriers that look around for its payee.

        Raises:
            InvalidAddress: not an address of this scheme.
            LinkClosed: nobody answers there.
            MissingExtra: a package is not installed.
        """
        ...


MODULES: Final[Mapping[str, str]] = {
    "lan": "client_sdk.transports.lan",
    "ble": "client_sdk.transports.ble",
}
"""Carriers that need no setting: the module's `dial` is the `Dial`."""


async def connect(
    addresses: Iterable[str],
    *,
    request_id: bytes,
    session_key: bytes,
    entropy: Entropy,
    dials: Mapping[str, Dial] | None = None,
) -> SecureLink:
    """Connect to the payee of a request at the first address where that succeeds.

    Args:
        addresses: the request's transports, best first; unknown schemes are passed over.
        request_id: of the request.
        session_key: of the request.
        entropy: source of all randomness.
        dials: carriers by scheme, beside or instead of those in `MODULES`.

    Raises:
        LinkClosed: nobody could be reached; the reason of the last address that was tried.
    """
    failure = LinkClosed("The request names no address that this device can reach.")
    for address in addresses:
        dial = _dial_of(address.partition(":")[0], dials or {})
        if dial is None:
            continue
        try:
            wire = await dial(address, request_id=request_id)
            return await call(wire, request_id=request_id, session_key=session_key, entropy=entropy)
        except LinkClosed as error:
            failure = error
        except WalletError as error:  # a text that is no address, no radio, no package for it
            failure = LinkClosed(f"{address} cannot be reached: {error.detail}")
    raise failure


def reachable(addresses: Iterable[str], dials: Mapping[str, Dial] | None = None) -> bool:
    """Whether `connect` knows the scheme of any of these addresses."""
    known = {*MODULES, *(dials or {})}
    return any(address.partition(":")[0] in known for address in addresses)


def _dial_of(scheme: str, dials: Mapping[str, Dial]) -> Dial | None:
    if scheme in dials:
        return dials[scheme]
    if scheme not in MODULES:
        return None
    dial: Dial = import_module(MODULES[scheme]).dial
    return dial
