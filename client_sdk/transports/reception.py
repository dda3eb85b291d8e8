"""Where payers arrive: few at a time, none of them able to keep the others out.

Whoever has shaken hands knows the request and is a guest; all others are strangers. Both kinds
have places of their own. When these are taken, the origin that holds most of them loses its
oldest, so silent strangers only ever push out one another, and a payer needs no longer than one
message there and back to become a guest.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from client_sdk.ambient import Entropy
from client_sdk.errors import LinkClosed
from client_sdk.transports.base import Wire
from client_sdk.transports.session import Attend, Listener, SecureLink, answer

STRANGERS_MAX: Final = 16
GUESTS_MAX: Final = 16
EACH_MAX: Final = 8
"""Places of either kind that one origin may hold."""


@dataclass(eq=False)
class _Visit:
    wire: Wire
    origin: str
    task: asyncio.Task[None] | None = None


class Reception:
    """The common part of all listeners: hand each wire that a carrier accepts to `meet`.

    Attributes:
        offers: whether a request that is offered is given to those who ask here.
    """

    each_max: ClassVar[int] = EACH_MAX
    """As `EACH_MAX`; a carrier with room for fewer connections takes less."""

    def __init__(self) -> None:
        self.offers = True
        self._strangers: list[_Visit] = []
        self._guests: list[_Visit] = []
        self._running: set[asyncio.Task[None]] = set()
        self._opened = asyncio.Event()
        self._attend: Attend | None = None
        self._request_id = self._secret = b""
        self._entropy: Entropy | None = None
        self._offered: bytes | None = None
        self._closed = False

    def attend(
        self,
        attend: Attend,
        *,
        request_id: bytes,
        secret: bytes,
        entropy: Entropy,
        offered: bytes | None = None,
    ) -> None:
        """See `Listener.attend`; whoever came before has waited for this."""
        self._attend, self._entropy, self._offered = attend, entropy, offered
        self._request_id, self._secret = request_id, secret
        self._opened.set()

    def meet(self, wire: Wire, origin: str) -> None:
        """Serve whoever is at the other end of a wire, in a task of its own.

        Args:
            wire: new, nothing read or written; it is ended with the visit.
            origin: where the wire comes from, as far as the carrier can tell, such as a network
                address without the port.
        """
        if self._closed:
            wire.abort()
            return
        visit = _Visit(wire, origin)
        _make_room(self._strangers, origin, most=STRANGERS_MAX, each=self.each_max)
        self._strangers.append(visit)
        visit.task = asyncio.get_running_loop().create_task(self._serve(visit))
        self._running.add(visit.task)
        visit.task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End all visits and take no more."""
        self._closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, visit: _Visit) -> None:
        try:
            link = await self._shake(visit.wire)
            _forget(self._strangers, visit)
            _make_room(self._guests, visit.origin, most=GUESTS_MAX, each=self.each_max)
            self._guests.append(visit)
            assert self._attend is not None, "set before anybody shakes hands"
            await self._attend(link)
        except LinkClosed:
            pass  # a stranger, or a payer who has gone
        finally:
            _forget(self._strangers, visit)
            _forget(self._guests, visit)
            visit.wire.abort()

    async def _shake(self, wire: Wire) -> SecureLink:
        await self._opened.wait()
        assert self._entropy is not None, "set together with the event"
        return await answer(
            wire,
            request_id=self._request_id,
            secret=self._secret,
            entropy=self._entropy,
            offered=self._offered if self.offers else None,
        )


class Together:
    """Several listeners as one, for a payee who may be met in more than one way."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    @property
    def addresses(self) -> tuple[str, ...]:
        """What goes into the request, best first."""
        return tuple(listener.address for listener in self._listeners)

    @property
    def address(self) -> str:
        """The best of them."""
        return self._listeners[0].address

    def attend(
        self,
        attend: Attend,
        *,
        request_id: bytes,
        secret: bytes,
        entropy: Entropy,
        offered: bytes | None = None,
    ) -> None:
        """See `Listener.attend`."""
        for listener in self._listeners:
            listener.attend(
                attend, request_id=request_id, secret=secret, entropy=entropy, offered=offered
            )

    async def close(self) -> None:
        """Close all of them, whatever happens to one."""
        closing = [listener.close() for listener in self._listeners]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


def _make_room(visits: list[_Visit], origin: str, *, most: int, each: int) -> None:
    """Send one away if there is no place for another visit from this origin."""
    held = Counter(visit.origin for visit in visits)
    if held[origin] >= each:
        _send_away(visits, origin)
    elif len(visits) >= most:
        _send_away(visits, max(held, key=held.__getitem__))


def _send_away(visits: list[_Visit], origin: str) -> None:
    oldest = next(visit for visit in visits if visit.origin == origin)
    visits.remove(oldest)
    oldest.wire.abort()
    assert oldest.task is not None, "set before the next one is met"
    oldest.task.cancel()


def _forget(visits: list[_Visit], visit: _Visit) -> None:
    if visit in visits:
        visits.remove(visit)
