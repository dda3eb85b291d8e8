"""Redis Streams: one stream a topic, ``tallystick.<topic>``; the message is the field ``event``.

A stream keeps about ``KEPT_MAX`` events. Redis keeps what it was told to keep: with the default of
one snapshot now and then a crash of Redis loses the last seconds, so set ``appendonly yes``, and
``appendfsync always`` where not even a second may be lost.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from faststream.redis import RedisBroker
from faststream.redis import message as faststream_message
from faststream.redis.parser import MessageFormat

from server.kit.brokers.publisher import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, PREFIX
from server.kit.event_log import Told

KEPT_MAX: Final = 1_000_000
FIELD: Final[str] = faststream_message.DATA_KEY


class PlainFormat(MessageFormat):
    """The message and nothing around it, for readers that are not FastStream."""

    @classmethod
    async def encode(cls, *, message: Any, **_around: Any) -> bytes:
        body: bytes = message
        return body

    @classmethod
    def parse(cls, data: bytes) -> tuple[bytes, dict[str, Any]]:
        return data, {}


class RedisStreams:
    """Publishes with XADD."""

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker

    async def publish(self, told: Told, *, copy: str = "") -> None:  # noqa: ARG002 - Redis drops none
        await self._broker.publish(told.as_json(), stream=f"{PREFIX}.{told.topic}", maxlen=KEPT_MAX)

    async def close(self) -> None:
        await self._broker.stop()


async def connect(url: str) -> RedisStreams:
    if not urlsplit(url).hostname:
        raise ValueError("the address of Redis has no host")
    broker = RedisBroker(
        url,
        message_format=PlainFormat,
        logger=None,  # type: ignore[arg-type]
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
    )
    await broker.connect()
    return RedisStreams(broker)
