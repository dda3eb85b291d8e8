"""A message sender that keeps what it was given."""

from server.kit.messaging import Message


class KeptMessages:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def last_to(self, address: str) -> Message:
        return next(message for message in reversed(self.sent) if message.to == address)
