"""People who pay each other and never give up: what got no answer is sent again with its key."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]
_PAUSE_S = 0.01


@dataclass(frozen=True)
class Wish:
    """One request that moves money, under the key that makes it one."""

    path: str
    key: str
    body: Json


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json


@dataclass
class Payer:
    """Somebody signed in, and what they were told so far."""

    name: str
    token: str
    order: random.Random
    answers: list[tuple[Wish, Answer]] = field(default_factory=list)
    available: int = 0
    emergency: int = 0
    resent: int = 0
    received: list[str] = field(default_factory=list)

    def next_wish(self, others: list["Payer"]) -> Wish:
        key = f"{self.name}-{len(self.answers)}"
        amount = self.order.randint(1, 400)
        choice = self.order.random()
        if choice < 0.15:
            body = {"amount": amount * 5, "currency": "EUR", "card": "sandbox-ok"}
            return Wish("/v1/top-ups", key, body)
        if choice < 0.25:
            direction = self.order.choice(("lock", "unlock"))
            body = {"amount": amount, "currency": "EUR"}
            return Wish(f"/v1/emergency-balance/{direction}", key, body)
        if choice < 0.4 and self.received:
            transfer = self.order.choice(self.received)
            return Wish(f"/v1/transfers/{transfer}/refunds", key, {"amount": amount})
        other = self.order.choice([one for one in others if one is not self])
        body = {"to": other.name, "amount": amount, "currency": "EUR", "note": key}
        return Wish("/v1/transfers", key, body)


async def insist(client: httpx.AsyncClient, payer: Payer, wish: Wish) -> Answer:
    """Send a wish until it has a final answer."""
    headers = {"Authorization": f"Bearer {payer.token}", "Idempotency-Key": wish.key}
    while True:
        try:
            response = await client.post(wish.path, json=wish.body, headers=headers)
        except httpx.TransportError:
            payer.resent += 1
            await asyncio.sleep(_PAUSE_S)
            continue
        if response.status_code == 503:
            payer.resent += 1
            await asyncio.sleep(_PAUSE_S)
            continue
        assert response.status_code < 500, response.text
        body = response.json()
        if body.get("status") == "pending":
            continue
        return Answer(response.status_code, body)


@dataclass
class Town:
    """Everybody, and what all answers together say they must have."""

    payers: dict[str, Payer]
    senders: dict[str, Payer] = field(default_factory=dict)
    """By the id of their transfer."""
    answered: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def has_answered(self, count: int) -> None:
        """Wait until there were so many answers in all."""
        while self.answered < count:
            self.news.clear()
            await self.news.wait()

    async def pay_until(
        self, client: httpx.AsyncClient, payer: Payer, enough: Callable[[], bool]
    ) -> None:
        others = list(self.payers.values())
        while not enough():
            wish = payer.next_wish(others)
            self._book(payer, wish, await insist(client, payer, wish))

    def _book(self, payer: Payer, wish: Wish, answer: Answer) -> None:
        payer.answers.append((wish, answer))
        self.answered += 1
        self.news.set()
        if answer.status >= 300:
            return
        amount = wish.body["amount"]
        if wish.path == "/v1/top-ups":
            payer.available += amount if answer.body["status"] == "succeeded" else 0
        elif wish.path.startswith("/v1/emergency-balance/"):
            locked = amount if wish.path.endswith("/lock") else -amount
            payer.available -= locked
            payer.emergency += locked
        else:
            refunded = wish.path.split("/")[3] if wish.path != "/v1/transfers" else None
            receiver = self.senders[refunded] if refunded else self.payers[wish.body["to"]]
            payer.available -= amount
            receiver.available += amount
            receiver.received.append(answer.body["id"])
            self.senders[answer.body["id"]] = payer
