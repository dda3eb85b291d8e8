"""What a transfer costs as the ledger grows, from ten thousand postings to a million or ten.

The ledger is filled through its public batch interface: each posting of the ten millions went
through every guard. At each size the same work is measured: transfers in batches of a thousand, and
transfers of sixty-four callers in shared transactions. The cost is the time on the clock, and the
time of the processors (this process and every process of PostgreSQL), which other work on the same
machine disturbs less. Each size is vacuumed and analysed before it is measured. The ratio to the
first says whether the cost is flat. With ``--plot`` the figures become a picture.
"""

import argparse
import asyncio
import json
import math
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]

from server.kit.unit_of_work import UnitOfWork
from server.ledger import EntryRequest, Poster, post_many
from tests import postgres
from tests.load.bench_ledger import BATCH, IDS, SUBMITTERS, Meter, account, ledger

NAME = "ledger.growth"
SIZES = (10_000, 100_000, 1_000_000)
LARGEST = 10_000_000
ACCOUNTS = 3_000
_SECONDS = 2.0
_FILL_BATCH = 2_000
_TITLE = "microseconds of processor time for one transfer (PostgreSQL, fsync on)"


class Point(NamedTuple):
    """Microseconds that one transfer takes when there are so many postings."""

    postings: int
    batch_us: float
    group_us: float
    batch_cpu_us: float
    group_cpu_us: float
    group_p99_ms: float


async def measure(sizes: Sequence[int] = SIZES) -> AsyncIterator[Point]:
    with postgres.cluster(fsync=True) as url:
        async with ledger(f"{url}/postgres", ACCOUNTS) as uow:
            ring = _Ring()
            postings, poster = 2 * ACCOUNTS, Poster(uow)
            for size in sizes:
                while postings < size:
                    postings += 2 * await ring.post(uow, _FILL_BATCH)
                await _settle(f"{url}/postgres")
                batches = Meter(lambda: ring.post(uow, BATCH), 1)
                group = Meter(lambda: ring.submit(poster), SUBMITTERS)
                for meter in (batches, group):
                    await meter.turn(_SECONDS)
                postings += 2 * (batches.done + group.done)
                yield Point(
                    size,
                    1e6 / batches.rate,
                    1e6 / group.rate,
                    batches.cpu_us,
                    group.cpu_us,
                    group.percentile_ms(0.99),
                )


async def _settle(url: str) -> None:
    """Do what autovacuum does a while after a load, so that it does not happen while we measure."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("VACUUM (ANALYZE)")
    await connection.close()


class _Ring:
    """Transfers from each account to one further on, so that none runs dry."""

    def __init__(self) -> None:
        self._number = 0

    def request(self) -> EntryRequest:
        self._number += 1
        payer, turn = self._number % ACCOUNTS, self._number // ACCOUNTS
        payee = (payer + 1 + turn % (ACCOUNTS - 1)) % ACCOUNTS
        debit, credit = (account(UUID(int=number + 1)) for number in (payer, payee))
        return EntryRequest(IDS.uuid(), "bench", debit, credit, 1)

    async def post(self, uow: UnitOfWork, count: int) -> int:
        requests = [self.request() for _ in range(count)]
        outcomes = await uow.run(lambda tx: post_many(tx, requests))
        assert all(outcome.applied for outcome in outcomes)
        return count

    async def submit(self, poster: Poster) -> int:
        assert (await poster.post(self.request())).applied
        return 1


async def run(only: str | None, sizes: Sequence[int] = SIZES) -> list[Point]:
    """Print a line of JSON for each size; ``only`` names the beginning of the figures wanted."""
    if only is not None and not NAME.startswith(only):
        return []
    points: list[Point] = []
    async for point in measure(sizes):
        points.append(point)
        first = points[0]
        line = {
            "name": NAME,
            "postings": point.postings,
            "value": round(point.group_cpu_us, 1),
            "unit": "us of processor time for a transfer, 64 callers",
            "ratio": round(point.group_cpu_us / first.group_cpu_us, 2),
            "to": f"{first.postings} postings ({first.group_cpu_us:.1f} us)",
            "clock_us": round(point.group_us, 1),
            "batch_us": round(point.batch_cpu_us, 1),
            "batch_ratio": round(point.batch_cpu_us / first.batch_cpu_us, 2),
            "batch_clock_us": round(point.batch_us, 1),
            "p99_ms": point.group_p99_ms,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return points


def picture(points: Sequence[Point]) -> str:
    """Return an SVG of the cost (upwards) over the number of postings (logarithmic)."""
    width, height, left, top, right, bottom = 640, 300, 60, 20, 150, 45
    most = max(max(point.batch_cpu_us, point.group_cpu_us) for point in points) * 1.2
    logs = [math.log10(point.postings) for point in points]
    span = (logs[-1] - logs[0]) or 1

    def place(number: int, cost: float) -> tuple[float, float]:
        x = left + (width - left - right) * (logs[number] - logs[0]) / span
        return x, top + (height - top - bottom) * (1 - cost / most)

    view = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{left}" y="14">{_TITLE}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = place(0, most * share)[1]
        parts.append(f'<path d="M{left} {y:.1f}H{width - right}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{most * share:.0f}</text>'
        )
    for number, point in enumerate(points):
        x = place(number, 0)[0]
        parts.append(
            f'<text x="{x:.1f}" y="{height - 22}" text-anchor="middle">{point.postings:,}</text>'
        )
    parts.append(f'<text x="{left}" y="{height - 5}">postings in the ledger</text>')
    for label, colour, costs in (
        ("64 callers, shared", "#1f5fa8", [point.group_cpu_us for point in points]),
        ("batches of 1,000", "#b4541a", [point.batch_cpu_us for point in points]),
    ):
        dots = [place(number, cost) for number, cost in enumerate(costs)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in dots]
        x, y = dots[-1]
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ten-millions", action="store_true", help="go on to 10,000,000 postings")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures as SVG")
    given = parser.parse_args()
    wanted = (*SIZES, LARGEST) if given.ten_millions else SIZES
    figures = asyncio.run(run(None, wanted))
    if given.plot:
        given.plot.write_text(picture(figures))
