"""Tells the customer's server what happened, again and again until it says 200."""

import asyncio

import httpx

from sim.bank.payouts import Payouts
from sim.bank.signing import HEADER, sign
from sim.bank.store import Json, Store, now_ms

_ROUND_S = 0.05
_PAUSE_MS = 200
_PAUSE_MAX_MS = 5_000
_FINAL = frozenset({200, 409, 422})
"""After these answers sending again changes nothing, but for what is not known yet."""


class Sender:
    def __init__(self, store: Store, payouts: Payouts) -> None:
        self._store = store
        self._payouts = payouts

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=10) as http:
            while True:
                self._payouts.pay_due()
                for notice in self._due():
                    await self._send(http, notice)
                await asyncio.sleep(_ROUND_S)

    def _due(self) -> list[Json]:
        if not self._store.setting("server"):
            return []
        return self._store.rows(
            "SELECT * FROM notice WHERE done = 0 AND due_ms <= ? ORDER BY seq LIMIT 100", now_ms()
        )

    async def _send(self, http: httpx.AsyncClient, notice: Json) -> None:
        body = str(notice["body"]).encode()
        # Signed anew for each attempt: an old time would be refused.
        signature = sign(self._store.setting("secret"), "webhook", body, now_ms() // 1000)
        url = f"{self._store.setting('server')}/v1/webhooks/banks/{self._store.setting('bank_id')}"
        headers = {"Content-Type": "application/json", HEADER: signature}
        try:
            response = await http.post(url, content=body, headers=headers)
            answer = f"{response.status_code} {response.text}"
            done = response.status_code in _FINAL and "transaction_unknown" not in answer
        except httpx.HTTPError as error:
            answer, done = type(error).__name__, False
        pause = min(_PAUSE_MAX_MS, _PAUSE_MS * 2 ** min(notice["attempts"], 6))
        with self._store.change():
            self._store.do(
                "UPDATE notice SET attempts = attempts + 1, done = ?, answer = ?, due_ms = ? "
                "WHERE seq = ?",
                int(done),
                answer[:500],
                now_ms() + pause,
                notice["seq"],
            )
