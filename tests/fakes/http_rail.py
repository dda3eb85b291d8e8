"""A rail to `tests.fakes.payout_bank`, and that bank as a child process."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from server.payments.payouts import PayoutAnswer, PayoutOrder, PayoutStatus, RailUnavailable

ROOT = Path(__file__).parents[2]


class HttpRail:
    name = "http"

    def __init__(self, url: str) -> None:
        self.url = url

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        body = {
            "id": str(order.id),
            "amount": order.amount,
            "currency": order.currency,
            "destination": order.destination,
            "reference": order.reference,
        }
        return _read(await self._call("POST", "/orders", body))

    async def find(self, order: PayoutOrder) -> PayoutAnswer | None:
        response = await self._call("GET", f"/orders/{order.id}")
        return None if response.status_code == 404 else _read(response)

    async def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                response = await client.request(method, self.url + path, json=body)
        except httpx.HTTPError as error:
            raise RailUnavailable(type(error).__name__) from error
        if response.status_code >= 500:
            raise RailUnavailable(f"status {response.status_code}")
        return response


def _read(response: httpx.Response) -> PayoutAnswer:
    answer = response.json()
    return PayoutAnswer(PayoutStatus(answer["status"]), answer["external_id"], answer["reason"])


class BankProcess:
    """What the bank itself says that it did."""

    def __init__(self, url: str) -> None:
        self.url = url

    def orders(self) -> dict[UUID, dict[str, Any]]:
        found = httpx.get(f"{self.url}/orders", trust_env=False).json()
        return {UUID(id_): order for id_, order in found.items()}

    def decide(self, id_: UUID, status: str) -> None:
        body = {"id": str(id_), "status": status}
        httpx.post(f"{self.url}/decide", json=body, trust_env=False).raise_for_status()


@contextmanager
def bank_process(directory: Path, *, idempotent: bool = False) -> Iterator[BankProcess]:
    """Run the bank; it dies with this process."""
    port_file = directory / "bank.port"
    command = [sys.executable, "-m", "tests.fakes.payout_bank", str(port_file)]
    if idempotent:
        command.append("--idempotent")
    with (directory / "bank.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
        )
    try:
        while not port_file.exists():
            if process.poll() is not None:
                raise RuntimeError((directory / "bank.log").read_text())
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        yield BankProcess(f"http://127.0.0.1:{port_file.read_text()}")
    finally:
        process.kill()
        process.wait()


def _die_with_parent() -> None:
    parent_death_signal = 1
    ctypes.CDLL("libc.so.6").prctl(parent_death_signal, signal.SIGKILL)
