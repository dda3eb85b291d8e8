"""What a sync takes of a server's memory, whatever its length: measured in the running process."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.load.backlog import Day, open_shops, serving, upload

CHUNK = 64 << 10
MB = 1 << 20
CORES = {0}


async def endless(beginning: bytes, size: int) -> AsyncIterator[bytes]:
    """A body without a length."""
    yield beginning
    for _ in range(size // CHUNK):
        yield b" " * CHUNK


@pytest.mark.slow
async def test_the_memory_of_a_sync_is_bounded(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'tally.sqlite'}"
    # Three backlogs of 5,000 transfers, as many as one call takes.
    days = [Day(payers=5, payments=20), *[Day(payers=125, payments=20)] * 3]
    warm_up, *shops = await open_shops(url, tmp_path, days)
    with serving(url, tmp_path, CORES) as server:
        await upload([warm_up], [server])
        before = server.memory_mb()
        grown = []
        for shop in shops:
            await upload([shop], [server])
            assert shop.statuses == {"stored": 5_000}
            grown.append(server.memory_mb() - before)
        assert max(grown) < 100, grown
        assert grown[-1] - grown[0] < 30, "what one backlog takes, the next one uses again"

        before = server.memory_mb()
        device = replace(shops[0].device, base_url=server.address)
        path, token = "/v1/offline/sync", device.tokens["access_token"]
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"DPoP {token}",
            "DPoP": device.proof("POST", path, b"", token=token),
        }
        for beginning in (b'{"cursor":0,"records":[', b"[" * CHUNK, b""):
            async with httpx.AsyncClient(timeout=60) as client:
                content = endless(beginning, 256 * MB)
                answer = await client.post(server.address + path, content=content, headers=headers)
            assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        assert server.memory_mb() - before < 20
