"""Where events are told to others: Redis Streams, NATS JetStream, RabbitMQ or Kafka, by address.

All of them through FastStream, from the extra ``broker``. A message is the JSON of `Told.as_json`,
the same everywhere; each broker gets the event's key and its id where it has a place for them.
"""

from server.kit.brokers.publisher import (
    PREFIX,
    BrokerUnsupported,
    OpenPublisher,
    Publisher,
    PublishRefused,
    is_broker,
    publisher_of,
)

__all__ = [
    "PREFIX",
    "BrokerUnsupported",
    "OpenPublisher",
    "PublishRefused",
    "Publisher",
    "is_broker",
    "publisher_of",
]
