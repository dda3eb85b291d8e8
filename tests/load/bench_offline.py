"""Offline money: verifying, paying and synchronising payments, and how large they are.

Each rate stands beside a limit of the same run on the same core: bare libsodium signature checks or
signatures, or durable commits of the bare driver on the same disk.
"""

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path

import segno
from nacl import bindings

from client_sdk.store.sqlite import Hook
from client_sdk.testing import Issuer as Equipper
from client_sdk.testing import SeededEntropy, SetClock, quick_keys
from client_sdk.wallet import Wallet
from offline_protocol import Chain, Payment, PaymentRequest, Transfer, seal, verify_payment
from offline_protocol.frames import FrameKind, pack, to_text
from tests import postgres
from tests.factories.protocol import Issuer
from tests.load.backlog import Day, Server, Shop, open_shops, serving, upload

Figure = dict[str, object]
PAYMENTS = 1_000
"""Distinct payments that are verified, each once: nothing about one is remembered for another."""
WRITES = 200
WARM_UP = Day(payers=5, payments=20)
SHOP = Day(payers=250, payments=20)
"""10,000 transfers: 5,000 payments received, and a claim for each."""
_CORES = sorted(os.sched_getaffinity(0))
_ROUNDS, _PER_ROUND = 8, 125
_COMMITS = 500
# As long as what is signed for a transfer.
_MESSAGE = bytes(190)


async def verify_1_hop() -> AsyncIterator[Figure]:
    """Cold one-hop payments from bytes to verdict, beside two bare checks each."""
    yield _verified("offline.verify_1_hop", hops=1, checks=2)


async def verify_6_hops() -> AsyncIterator[Figure]:
    """Cold payments over six hops from bytes to verdict, beside twelve bare checks each."""
    yield _verified("offline.verify_6_hops", hops=6, checks=12)


async def pay() -> AsyncIterator[Figure]:
    """Building and signing a payment up to the bytes that are sent; nothing is stored."""
    issuer = Issuer("bench")
    ada, bob = issuer.device("ada"), issuer.device("bob")
    chain, request = issuer.chain(ada), bob.request(1_250).body

    def build() -> None:
        transfer = Transfer(
            chain.tip_id, 0, 1_250, request.payee, request.request_id, 1, issuer.now
        )
        Payment((chain.extend(seal(transfer, ada.signer)),)).encode()

    with _one_core():
        rate, base = _in_turns(build, _sign())
    yield _figure("offline.pay", rate, "payments/s", base, "bare libsodium signatures")


async def pay_writes() -> AsyncIterator[Figure]:
    """A wallet's payments on disk, every write durable, beside bare commits of as many."""
    clock, issuer, commits = SetClock(), Equipper(), 0

    def count(name: str) -> None:
        nonlocal commits
        commits += name.startswith("after")

    with _directory() as directory:
        payee = await _wallet(issuer, "payee", clock, None)
        payer = await _wallet(issuer, "payer", clock, directory / "wallet.db", count)
        issuer.equip(payer, WRITES * 10, now=clock.now())
        frames = [(await payee.request_payment(10, "EUR")).frame for _ in range(WRITES)]
        before, commits = await asyncio.to_thread(_commits, directory / "before.sqlite"), 0
        started = time.perf_counter()
        for frame in frames:
            await payer.frame_of((await payer.pay(frame)).id)
        rate = WRITES / (time.perf_counter() - started)
        await payer.close()
        await payee.close()
        each = commits / WRITES
        base = (before + await asyncio.to_thread(_commits, directory / "after.sqlite")) / 2 / each
    to = f"sqlite3 commits, {each:.0f} for each payment"
    yield _figure("offline.pay_writes", rate, "payments/s", base, to)


async def payment_bytes() -> AsyncIterator[Figure]:
    """Bytes of a payment after one hop; what further hops add; the code that three hops need."""
    people = [(issuer := Issuer("bench")).device(name) for name in ("ada", "bob", "cid", "dan")]
    chain, payments = issuer.chain(people[0]), []
    for payer, payee in pairwise(people):
        payments.append(payer.pay(chain, payee.request(1_250)))
        chain = payments[-1].chains[0]
    sizes = [len(payment.encode()) for payment in payments]
    text = to_text(pack(FrameKind.PAYMENT, payments[-1].encode()))
    code = segno.make(text, error="L", boost_error=False)
    steps = "/".join(str(after - before) for before, after in pairwise(sizes))
    to = f"{steps} for each further hop; three hops are {sizes[2]}: one QR code {code.designator}"
    yield {
        "name": "offline.payment_bytes",
        "value": sizes[0],
        "unit": "bytes",
        "ratio": None,
        "to": to,
    }


async def sync_sqlite() -> AsyncIterator[Figure]:
    """A shop's backlog of 10,000 transfers over HTTP, on SQLite, fully synchronised."""
    with _directory() as directory:
        yield await _synced(
            "offline.sync_sqlite",
            f"sqlite+aiosqlite:///{directory / 'tally.sqlite'}",
            directory,
            "client and server on one core",
        )


async def sync_postgres() -> AsyncIterator[Figure]:
    """The same on PostgreSQL with fsync, which has the other core."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        with _one_core(_CORES[-1]):
            url = stack.enter_context(postgres.cluster(fsync=True))
        yield await _synced(
            "offline.sync_postgres",
            f"{url}/postgres",
            Path(name),
            "client and server on one core, PostgreSQL on another",
        )


async def sync_two_cores() -> AsyncIterator[Figure]:
    """Two shops at once, each at a server process of its own, on one PostgreSQL.

    First everything (shops, servers, database) has one core, then both.
    """
    with tempfile.TemporaryDirectory() as name, postgres.cluster(fsync=True) as url:
        directory, address = Path(name), f"{url}/postgres"
        shops = await open_shops(address, directory, [WARM_UP, WARM_UP, *[SHOP] * 4])
        cores = set(_CORES)
        with serving(address, directory, cores) as one, serving(address, directory, cores) as two:
            servers = (one, two)
            await upload(shops[:2], servers)
            _pin_all({_CORES[0]})
            alone = await _rate_of(shops[2:4], servers)
            _pin_all(cores)
            together = await _rate_of(shops[4:6], servers)
    to = "the same on one core, database included"
    yield _figure("offline.sync_two_cores", together, "transfers/s", alone, to)


BENCHES = {
    "offline.verify_1_hop": verify_1_hop,
    "offline.verify_6_hops": verify_6_hops,
    "offline.pay": pay,
    "offline.pay_writes": pay_writes,
    "offline.payment_bytes": payment_bytes,
    "offline.sync_sqlite": sync_sqlite,
    "offline.sync_postgres": sync_postgres,
    "offline.sync_two_cores": sync_two_cores,
}


async def run(only: str | None) -> None:
    """Print one JSON line for each figure whose name begins with ``only``."""
    for name, bench in BENCHES.items():
        if only is None or name.startswith(only):
            async for figure in bench():
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()


def _verified(name: str, *, hops: int, checks: int) -> Figure:
    issuer = Issuer(name)
    pool = iter([_offer(issuer, number, hops) for number in range(PAYMENTS)])
    context = issuer.context

    def verify() -> None:
        data, request = next(pool)
        verify_payment(Payment.decode(data), request, context)

    check = _check()

    def bare() -> None:
        for _ in range(checks):
            check()

    _forget()
    with _one_core():
        rate, base = _in_turns(verify, bare)
    return _figure(
        name, rate, "payments/s", base, f"{checks} bare libsodium checks, nothing cached"
    )


def _offer(issuer: Issuer, number: int, hops: int) -> tuple[bytes, PaymentRequest]:
    """The bytes of a payment among people who appear in no other, and the request for it."""
    people = [issuer.device((number, place), hops_max=hops) for place in range(hops + 1)]
    chain = Chain(issuer.voucher(people[0], hops_max=hops))
    for payer, payee in pairwise(people):
        request = payee.request(1_250)
        payment = payer.pay(chain, request)
        chain = payment.chains[0]
    return payment.encode(), request.body


def _forget() -> None:
    """Empty whatever the protocol remembers of keys and bytes."""
    for name, module in list(sys.modules.items()):
        if name.startswith("offline_protocol"):
            for thing in vars(module).values():
                clear = getattr(thing, "cache_clear", None)
                if clear is not None:
                    clear()


def _check() -> Callable[[], object]:
    """A bare check of one signature after another: the very same one again is 5 % faster."""
    keys = [bindings.crypto_sign_seed_keypair(number.to_bytes(32)) for number in range(PAYMENTS)]
    checks = cycle([(bindings.crypto_sign(_MESSAGE, secret), public) for public, secret in keys])
    return lambda: bindings.crypto_sign_open(*next(checks))


def _sign() -> Callable[[], object]:
    _, secret = bindings.crypto_sign_seed_keypair(b"s" * 32)
    return lambda: bindings.crypto_sign(_MESSAGE, secret)


def _in_turns(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Rates of two pieces of work, a little of each in turn: what else runs slows both down."""
    took = [0.0, 0.0]
    for _ in range(_ROUNDS):
        for place, work in enumerate((one, other)):
            started = time.perf_counter()
            for _ in range(_PER_ROUND):
                work()
            took[place] += time.perf_counter() - started
    done = _ROUNDS * _PER_ROUND
    return done / took[0], done / took[1]


async def _synced(name: str, url: str, directory: Path, where: str) -> Figure:
    shops = await open_shops(url, directory, [WARM_UP, SHOP, replace(SHOP, receipts=True)])
    with _one_core(), serving(url, directory, {_CORES[0]}) as server:
        await upload(shops[:1], [server])
        base = _checks_per_second()
        rate = await _rate_of(shops[1:2], [server])
        base = (base + _checks_per_second()) / 2
        with_receipts = await _rate_of(shops[2:], [server])
    to = (
        f"bare libsodium checks, {where}; a payment and its claim are two transfers; "
        f"with a receipt for each payment as well {with_receipts:.0f} transfers/s"
    )
    return _figure(name, rate, "transfers/s", base, to)


async def _rate_of(shops: Sequence[Shop], servers: Sequence[Server]) -> float:
    before = [sum(shop.statuses.values()) for shop in shops]
    started = time.perf_counter()
    await upload(shops, servers)
    elapsed = time.perf_counter() - started
    assert all(set(shop.statuses) == {"stored"} for shop in shops), shops
    assert before == [0] * len(shops)
    return sum(shop.transfers for shop in shops) / elapsed


def _checks_per_second() -> float:
    rate, _ = _in_turns(_check(), _check())
    return rate


@contextmanager
def _one_core(core: int = _CORES[0]) -> Iterator[None]:
    """Keep this thread, and what it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _pin_all(cores: set[int]) -> None:
    """Move this process and all its descendants to some cores."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    for pid in family:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            os.sched_setaffinity(int(thread.name), cores)


async def _wallet(
    issuer: Equipper, name: str, clock: SetClock, path: Path | None, hook: Hook | None = None
) -> Wallet:
    entropy = SeededEntropy(name)
    keys = quick_keys(entropy=entropy)
    wallet = await Wallet.create(path, keys=keys, clock=clock, entropy=entropy, hook=hook)
    issuer.equip(wallet, now=clock.now())
    return wallet


def _commits(path: Path) -> float:
    """Single-row commits per second of the bare driver, fully synchronised."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE base (id INTEGER PRIMARY KEY, value BLOB)")
    started = time.perf_counter()
    for number in range(_COMMITS):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO base VALUES (?, ?)", (number, _MESSAGE))
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - started
    connection.close()
    return _COMMITS / elapsed


@contextmanager
def _directory() -> Iterator[Path]:
    # Beside the code, not in a temporary directory that may live in memory.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        yield Path(name)


def _figure(name: str, rate: float, unit: str, base: float, to: str) -> Figure:
    return {
        "name": name,
        "value": round(rate, 1),
        "unit": unit,
        "ratio": round(rate / base, 3),
        "to": f"{to}: {base:.0f}/s",
    }


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
