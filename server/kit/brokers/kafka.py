"""Kafka: topic ``tallystick.<topic>``, the event's key as the message's key.

The producer is idempotent and waits for all replicas in sync. Partitions are chosen as the Java
client does (murmur2 of the key), so events with equal keys are in one partition, in order.
"""

from urllib.parse import urlsplit

from confluent_kafka import KafkaError, KafkaException
from faststream.confluent import KafkaBroker

from server.kit.brokers.publisher import (
    ANSWER_TIMEOUT_S,
    CONTENT_TYPE,
    PREFIX,
    PublishRefused,
)
from server.kit.event_log import Told

_REFUSED = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_RECORD}


class Kafka:
    """Publishes, and waits for the delivery report."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker

    async def publish(self, told: Told, *, copy: str = "") -> None:  # noqa: ARG002 - it drops none
        try:
            await self._broker.publish(
                told.as_json(),
                topic=f"{PREFIX}.{told.topic}",
                key=told.key.encode(),
                headers={"content-type": CONTENT_TYPE, "ce_id": str(told.id), "ce_type": told.type},
                correlation_id=str(told.id),
            )
        except KafkaException as error:
            problem = error.args[0]
            if isinstance(problem, KafkaError) and problem.code() in _REFUSED:
                raise PublishRefused(problem.str()) from error
            raise

    async def close(self) -> None:
        await self._broker.stop()


async def connect(url: str) -> Kafka:
    broker = KafkaBroker(
        urlsplit(url).netloc,
        enable_idempotence=True,
        acks="all",
        partitioner="murmur2_random",
        # What is not delivered by then is reported, and told again.
        config={"delivery.timeout.ms": ANSWER_TIMEOUT_S * 1000},
        request_timeout_ms=ANSWER_TIMEOUT_S * 500,
        logger=None,
    )
    await broker.connect()
    return Kafka(broker)
