"""Webhooks: signed, and sent as the tests or the network would have it."""

import asyncio
import hashlib
import hmac
import json

import httpx

from sim.stripe.store import Body, Store

_ATTEMPTS_MAX = 6
_TIMEOUT_S = 20


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the ``Stripe-Signature`` header of a body at a time in seconds."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Sender:
    """Sends what is queued by itself, unless it was told to hold everything back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Send what waits, the oldest first, trying each a few times with growing pauses."""
        while True:
            self._wake.clear()
            for event, endpoint in self._waiting():
                for attempt in range(_ATTEMPTS_MAX):
                    if await self.send(event, endpoint) // 100 == 2:  # noqa: PLR2004 - any success
                        break
                    await asyncio.sleep(0.1 * 2**attempt)
                self._mark(event, endpoint, "sent")
            await self._wake.wait()

    async def send(self, event: str, endpoint: str, *, tampered: bool = False) -> int:
        """Send one event to one endpoint; return the status, or 0 when nobody answered."""
        body = self._store.any(event)
        target = self._store.any(endpoint)
        if body is None or target is None:
            return 0
        content = json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(target["secret"], content, self._store.now()),
        }
        if tampered:
            content = content.replace(b'"livemode": false', b'"livemode": true')
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                answer = await client.post(target["url"], content=content, headers=headers)
        except httpx.HTTPError:
            return 0
        return answer.status_code

    async def deliver(self, wish: Body) -> Body:
        """Send events in the order that is asked for, as often as they are named.

        ``events`` are ids, all that wait when left out. ``lose`` are ids that are never sent.
        """
        lost = set(wish.get("lose", []))
        waiting = [(event, endpoint) for event, endpoint in self._waiting(held=True)]
        events = wish.get("events", [event for event, _ in waiting])
        endpoints = [each["id"] for each in self._store.all("webhook_endpoint")]
        statuses = []
        for event in events:
            for endpoint in endpoints:
                if event not in lost:
                    tampered = bool(wish.get("tampered"))
                    statuses.append(await self.send(event, endpoint, tampered=tampered))
                self._mark(event, endpoint, "lost" if event in lost else "sent")
        return {"statuses": statuses}

    def _waiting(self, *, held: bool = False) -> list[tuple[str, str]]:
        if self._store.setting("webhooks") == "hold" and not held:
            return []
        rows = self._store.connection.execute(
            "SELECT d.event, d.endpoint FROM delivery d JOIN object o ON o.id = d.event "
            "WHERE d.state = 'pending' ORDER BY o.seq"
        )
        return [(event, endpoint) for event, endpoint in rows]

    def _mark(self, event: str, endpoint: str, state: str) -> None:
        self._store.connection.execute(
            "UPDATE delivery SET state = ? WHERE event = ? AND endpoint = ?",
            (state, event, endpoint),
        )
