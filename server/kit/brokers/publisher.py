"""What the relay asks of a broker, and which one an address means."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from server.kit.event_log import Told

PREFIX: Final = "tallystick"
CONTENT_TYPE: Final = "application/cloudevents+json"
CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 5
_MODULES: Final = {
    "redis": "redis_streams",
    "rediss": "redis_streams",
    "nats": "jetstream",
    "tls": "jetstream",
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "kafka": "kafka",
}


class BrokerUnsupported(Exception):
    """The address names no broker that is known, or its packages are not installed."""


class PublishRefused(Exception):
    """The broker answered that it will never take this message, such as one that is too large."""


@runtime_checkable
class Publisher(Protocol):
    async def publish(self, told: Told, *, copy: str = "") -> None:
        """Return when the broker has the event for good.

        A broker that drops repeated messages by their id must take one with another ``copy``.
        Events with equal topics and keys are handed over one after the other.

        Raises:
            PublishRefused: the broker will never take it.
            Exception: anything else; it may have it or not, and is asked again.
        """
        ...

    async def close(self) -> None: ...


OpenPublisher = Callable[[], Awaitable[Publisher]]


def is_broker(url: str) -> bool:
    """Return whether an address has the form of a known broker's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _MODULES and bool(parts.netloc)


def publisher_of(url: str) -> OpenPublisher:
    """Return what connects to the broker of an address.

    Raises:
        BrokerUnsupported: see there.
    """
    if not is_broker(url):
        raise BrokerUnsupported(
            "A broker's address is redis://, rediss://, nats://, tls://, amqp://, amqps:// or "
            "kafka://, and a host."
        )
    scheme = urlsplit(url).scheme
    try:
        module = importlib.import_module(f"server.kit.brokers.{_MODULES[scheme]}")
    except ModuleNotFoundError as error:
        raise BrokerUnsupported(
            f"{scheme}:// needs the extra 'broker': pip install 'tallystick[broker]' "
            f"({error.name} is missing)."
        ) from error
    connect = cast("Callable[[str], Awaitable[Publisher]]", module.connect)
    return lambda: connect(url)
