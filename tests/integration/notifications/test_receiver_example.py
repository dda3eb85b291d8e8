"""The receiver of docs/webhooks.md takes what is sent, and nothing else."""

import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.kit.clock import SystemClock
from server.kit.ids import SystemIds
from server.notifications import Courier
from server.notifications.destinations import Sent
from server.notifications.signing import shown_secret, signed_headers
from tests.architecture.test_docs import ROOT

_EXAMPLE = ROOT / "docs" / "examples" / "webhook_receiver.py"
_CLOCK = SystemClock()
_IDS = SystemIds(_CLOCK)
_SECRET, _OLD = _IDS.token(32), _IDS.token(32)
_BODY = b'{"type":"transfer.sent","timestamp":"2026-03-02T09:00:00Z","data":{"amount":250}}'


@pytest.fixture
async def shop() -> AsyncIterator[Process]:
    process = await create_subprocess_exec(
        sys.executable,
        str(_EXAMPLE),
        "0",
        env={**os.environ, "WEBHOOK_SECRET": shown_secret(_SECRET)},
        stdin=DEVNULL,
        stdout=PIPE,
    )
    yield process
    process.kill()
    await process.communicate()


@pytest.fixture
async def courier() -> AsyncIterator[Courier]:
    courier = Courier(private=True)
    yield courier
    await courier.close()


async def _line(shop: Process) -> str:
    assert shop.stdout is not None
    return (await shop.stdout.readline()).decode().strip()


async def test_it_takes_each_message_once_and_only_genuine_ones(
    shop: Process, courier: Courier
) -> None:
    url = await _line(shop)

    async def send(
        message_id: str, *secrets: bytes, age: timedelta = timedelta(0), body: bytes = _BODY
    ) -> Sent:
        headers = signed_headers(message_id, _CLOCK.now() - age, _BODY, secrets)
        return await courier.send(url, headers, body)

    assert (await send("a", _SECRET)).delivered
    assert await _line(shop) == 'transfer.sent {"amount": 250}'
    assert (await send("a", _SECRET)).delivered
    assert (await send("b", _OLD, _SECRET)).delivered
    assert await _line(shop) == 'transfer.sent {"amount": 250}', "the repeat was not printed"

    assert (await send("c", _OLD)).status == 400
    assert (await send("d", _SECRET, body=_BODY + b" ")).status == 400
    assert (await send("e", _SECRET, age=timedelta(minutes=6))).status == 400
    assert (await send("f", _SECRET, age=timedelta(minutes=-6))).status == 400
    assert (await courier.send(url, {}, _BODY)).status == 400
