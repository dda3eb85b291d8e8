"""Transfers over HTTP beside an endpoint that touches nothing, and where the time goes.

Two rates are compared, and, since a machine that also does other things disturbs rates, the CPU
time of the serving process for one request. Clients keep their connections; each sends one request
after another, with a token of its own and a fresh key.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from server.kit.clock import SystemClock
from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.payments.transfers import Transfers, sending
from server.payments.transfers.schemas import TransferCreate
from server.settings import Settings
from tests import postgres
from tests.factories.signed_in import MASTER_KEY, MASTER_KEY_TEXT, Person, sign_in_people

Figure = dict[str, object]
SECONDS = 3.0
ROUNDS = 3
CLIENTS = 64
_TICKS = os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """What a server did in a while."""

    rate: float
    cpu_us: float
    """CPU time of the serving process for one request."""
    p50_ms: float
    p99_ms: float


async def bench_http() -> AsyncIterator[Figure]:
    """Sixty-four signed-in people who send money to each other, PostgreSQL with fsync."""
    with tempfile.TemporaryDirectory(prefix="tallystick-http-") as name:
        directory = Path(name)
        with postgres.cluster(fsync=True) as cluster:
            url = f"{cluster}/postgres"
            people = await sign_in_people(url, CLIENTS, money=10**9)
            bare_program = [sys.executable, "-m", "tests.load.bare_server"]
            program = [str(Path(sys.executable).with_name("tallystick")), "serve", "--port-file"]
            environment = {
                "TALLYSTICK_DATA_DIR": str(directory / "data"),
                "TALLYSTICK_DATABASE_URL": url,
                "TALLYSTICK_PORT": "0",
                "TALLYSTICK_MASTER_KEY": MASTER_KEY_TEXT,
            }
            with (
                _server(directory / "bare", bare_program) as bare_at,
                _server(directory / "real", program, environment) as at,
            ):
                await _drive(at, people, seconds=1)
                # By turns, so that what else the machine does disturbs both alike.
                turns = [
                    (await _drive(bare_at, people), await _drive(at, people)) for _ in range(ROUNDS)
                ]
                edge = await _drive(at, people, path="/health/live")
                signed = await _drive(at, people, path="/v1/me/pay-code")
            bare, real = (sorted(loads)[ROUNDS // 2] for loads in zip(*turns, strict=True))
            stages = await _stages(url, people)
    yield {
        "name": "ledger.http",
        "value": round(real.rate),
        "unit": "transfers/s",
        "ratio": round(real.rate / bare.rate, 2),
        "of": f"a bare Litestar endpoint, {round(bare.rate)}/s",
        "cpu_ratio": round(bare.cpu_us / real.cpu_us, 2),
        "p50_ms": round(real.p50_ms, 1),
        "p99_ms": round(real.p99_ms, 1),
        "cpu_us": {
            "bare": round(bare.cpu_us),
            "our edge without token": round(edge.cpu_us),
            "with token": round(signed.cpu_us),
            "transfer": round(real.cpu_us),
        },
        "batch_share": stages,
    }


@contextmanager
def _server(
    folder: Path, program: list[str], environment: dict[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield port and process of a server that answers."""
    folder.mkdir()
    port_file, log = folder / "port", folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*program, str(port_file)], env=os.environ | (environment or {}), stderr=output
        )
    try:
        while not port_file.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the server ended at once:\n{log.read_text()}")
            time.sleep(0.05)
        time.sleep(1)
        yield int(port_file.read_text()), process.pid
    finally:
        process.terminate()
        process.wait()


async def _drive(
    at: tuple[int, int],
    people: Sequence[Person],
    *,
    path: str | None = None,
    seconds: float = SECONDS,
) -> Load:
    """Send requests on sixty-four connections for a while: transfers, or GETs of a path."""
    port, process = at
    until = time.perf_counter() + seconds
    times: list[float] = []
    statuses: Counter[bytes] = Counter()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < until:
            count += 1
            begun = time.perf_counter()
            writer.write(_request(people, number, count, path))
            head = await reader.readuntil(b"\r\n\r\n")
            fields = head.lower()
            size = int(fields[fields.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
            await reader.readexactly(size)
            times.append(time.perf_counter() - begun)
            statuses[head[9:12]] += 1
        writer.close()

    cpu, begun = _cpu(process), time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    took, cpu = time.perf_counter() - begun, _cpu(process) - cpu
    assert set(statuses) <= {b"200", b"201"}, statuses
    times.sort()
    return Load(
        len(times) / took,
        cpu / len(times) * 1e6,
        times[len(times) // 2] * 1e3,
        times[len(times) * 99 // 100] * 1e3,
    )


def _request(people: Sequence[Person], number: int, count: int, path: str | None) -> bytes:
    person, payee = people[number], people[(number + count) % CLIENTS]
    if payee is person:
        payee = people[(number + 1) % CLIENTS]
    token = f"Host: 127.0.0.1\r\nAuthorization: Bearer {person.token}\r\n"
    if path is not None:
        return f"GET {path} HTTP/1.1\r\n{token}\r\n".encode()
    body = f'{{"to":"{payee.name}","amount":1,"currency":"EUR"}}'
    return (
        f"POST /v1/transfers HTTP/1.1\r\n{token}Idempotency-Key: {time.time_ns()}-{number}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _cpu(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def _stages(url: str, people: Sequence[Person]) -> dict[str, float]:
    """Return the share of each part of a batch, sent without HTTP."""
    engine = create_engine(url)
    uow = UnitOfWork(engine, clock=SystemClock(), ids=SystemIds(SystemClock()))
    transfers = Transfers(uow, vault=Vault(MASTER_KEY), settings=Settings())
    spent: Counter[str] = Counter()
    names = ["claim_many", "people_of", "use_limits", "post_many", "record"]
    kept: dict[str, Callable[..., Awaitable[Any]]] = {n: getattr(sending, n) for n in names}
    for name in names:
        setattr(sending, name, _timed(name, kept[name], spent))
    begun, sent = time.perf_counter(), 0
    try:
        while time.perf_counter() < begun + SECONDS:
            sent += CLIENTS
            await asyncio.gather(
                *(_send(transfers, people, number, sent) for number in range(CLIENTS))
            )
    finally:
        for name in names:
            setattr(sending, name, kept[name])
        await engine.dispose()
    took = time.perf_counter() - begun
    shares = {name: round(spent[name] / took, 2) for name in names}
    return shares | {"rest and commit": round(1 - sum(spent.values()) / took, 2)}


async def _send(transfers: Transfers, people: Sequence[Person], number: int, count: int) -> UUID:
    payee = people[(number + 1 + count // CLIENTS % (CLIENTS - 1)) % CLIENTS]
    data = TransferCreate(to=payee.name, amount=1, currency="EUR")
    key = f"stage-{time.time_ns()}-{number}"
    return (await transfers.send(people[number].caller, data, key=key)).id


def _timed(
    name: str, real: Callable[..., Awaitable[Any]], spent: Counter[str]
) -> Callable[..., Awaitable[Any]]:
    async def run(*given: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return await real(*given, **named)
        finally:
            spent[name] += time.perf_counter() - begun  # type: ignore[assignment]

    return run


async def run(only: str | None) -> None:
    """Print the figures whose names begin with ``only``, one JSON object a line."""
    if only is None or "ledger.http".startswith(only):
        async for figure in bench_http():
            sys.stdout.write(json.dumps(figure) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(None))
