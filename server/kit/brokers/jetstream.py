"""NATS JetStream: subject ``tallystick.<topic>.<type>`` in the stream ``TALLYSTICK``.

The stream is made when there is none; one that an operator has made is left as it is. The event's
id is the ``Nats-Msg-Id``, by which the stream drops what it got in the last ten minutes already.
"""

from datetime import timedelta
from typing import Final

from faststream.nats import NatsBroker
from nats.errors import MaxPayloadError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from server.kit.brokers.publisher import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    CONTENT_TYPE,
    PREFIX,
    PublishRefused,
)
from server.kit.event_log import Told

STREAM: Final = PREFIX.upper()
KEPT: Final = timedelta(days=30)
REPEATS_DROPPED: Final = timedelta(minutes=10)


class JetStream:
    """Publishes, and waits until the stream has it."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker

    async def publish(self, told: Told, *, copy: str = "") -> None:
        try:
            await self._broker.publish(
                told.as_json(),
                subject=f"{PREFIX}.{told.topic}.{told.type}",
                headers={
                    "Nats-Msg-Id": f"{told.id}{copy}",
                    "content-type": CONTENT_TYPE,
                    "tallystick-key": _as_header(told.key),
                },
                correlation_id=str(told.id),
                stream=STREAM,
                timeout=ANSWER_TIMEOUT_S,
            )
        except MaxPayloadError as error:
            raise PublishRefused("larger than the server's max_payload") from error

    async def close(self) -> None:
        await self._broker.stop()


def _as_header(text: str) -> str:
    """Return what fits into a header's line; the exact key stands in the message."""
    return text.encode("ascii", "backslashreplace").decode().replace("\r", "").replace("\n", "")


async def connect(url: str) -> JetStream:
    # One round over the servers; it is the relay that waits and comes again.
    broker = NatsBroker(
        url.split(","),
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=CONNECT_TIMEOUT_S,
        logger=None,
    )
    connection = await broker.connect()
    streams = connection.jetstream()
    try:
        await streams.stream_info(STREAM)
    except NotFoundError:
        await streams.add_stream(
            StreamConfig(
                name=STREAM,
                subjects=[f"{PREFIX}.>"],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_age=KEPT.total_seconds(),
                duplicate_window=REPEATS_DROPPED.total_seconds(),
            )
        )
    return JetStream(broker)
