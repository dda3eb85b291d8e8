"""RabbitMQ: durable topic exchange ``tallystick.<topic>``, routing key ``<type>``, confirmed.

Exchanges keep nothing. What is told while no queue is bound to an exchange goes nowhere: bind a
durable queue before you begin, or have what you missed told again (`tallystick events replay`).
"""

from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange

from server.kit.brokers.publisher import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    CONTENT_TYPE,
    PREFIX,
)
from server.kit.event_log import Told


class RabbitMq:
    """Publishes persistent messages and waits for the broker's confirmation."""

    def __init__(self, broker: RabbitBroker) -> None:
        self._broker = broker
        self._exchanges: dict[str, RabbitExchange] = {}

    async def publish(self, told: Told, *, copy: str = "") -> None:  # noqa: ARG002 - it drops none
        confirmed = await self._broker.publish(
            told.as_json(),
            exchange=await self._exchange(told.topic),
            routing_key=told.type,
            mandatory=False,
            persist=True,
            timeout=ANSWER_TIMEOUT_S,
            content_type=CONTENT_TYPE,
            message_id=str(told.id),
            correlation_id=str(told.id),
            message_type=told.type,
            timestamp=told.at,
            headers={"key": told.key, "sequence": told.seq},
        )
        if confirmed is None:
            raise ConnectionError("RabbitMQ did not confirm the message")

    async def _exchange(self, topic: str) -> RabbitExchange:
        if topic not in self._exchanges:
            exchange = RabbitExchange(f"{PREFIX}.{topic}", type=ExchangeType.TOPIC, durable=True)
            await self._broker.declare_exchange(exchange)
            self._exchanges[topic] = exchange
        return self._exchanges[topic]

    async def close(self) -> None:
        await self._broker.stop()


async def connect(url: str) -> RabbitMq:
    broker = RabbitBroker(url, timeout=CONNECT_TIMEOUT_S, fail_fast=True, logger=None)
    await broker.connect()
    return RabbitMq(broker)
