"""A wallet file on a bad day: full disk, read-only places, damage, other people's files.

Each gives a clear error with the way out, and what was stored before is still there.
"""

import asyncio
import errno
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from client_sdk import errors
from client_sdk.store.sqlite import Store
from client_sdk.testing import Issuer, SeededEntropy, SetClock, new_wallet, quick_keys
from client_sdk.wallet import Wallet
from offline_protocol.fraud import find_forks
from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device

TABLES = ("single", "holding", "exchange", "message_out", "record", "revoked", "pending_call")
TOTAL = 600


async def opened(path: Path) -> Wallet:
    entropy = SeededEntropy(os.urandom(16))
    return await Wallet.open(
        path, keys=quick_keys(entropy=entropy), clock=SetClock(), entropy=entropy
    )


async def make(folder: Path, payments: int = 3) -> Path:
    """A wallet that has paid a few times, and another one that it paid."""
    issuer = Issuer()
    amina = await new_wallet(issuer, "amina", TOTAL, path=folder / "amina.db")
    baker = await new_wallet(issuer, "baker", path=folder / "baker.db")
    for _ in range(payments):
        await pay(amina, baker)
    await amina.close()
    await baker.close()
    return folder / "amina.db"


async def pay(amina: Wallet, baker: Wallet) -> None:
    asked = await baker.request_payment(10, "EUR")
    got = await baker.receive(await amina.frame_of((await amina.pay(asked.frame)).id))
    assert got.frame is not None
    await amina.receive(got.frame)


def contents(path: Path) -> list[Any]:
    """Everything in a wallet file, read row by row."""
    keys = quick_keys(entropy=SeededEntropy("amina"))
    with closing(Store.open(path, keys)) as store:
        return [store.rows(table) for table in TABLES]  # type: ignore[arg-type]


def read_or_refusal(path: Path) -> list[Any] | errors.StoreError:
    try:
        return contents(path)
    except errors.StoreError as refusal:
        return refusal


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(make(tmp_path_factory.mktemp("sound")))


def test_a_changed_byte_on_any_page_is_noticed_or_changes_nothing(
    sound: Path, tmp_path: Path
) -> None:
    whole, before = sound.read_bytes(), contents(sound)
    rng = random.Random(7)
    page_bytes = 4096
    places = [*range(100)]  # the head of the file, byte by byte
    for start in range(0, len(whole), page_bytes):
        places += [start + rng.randrange(page_bytes) for _ in range(12)]
        places += [start + offset for offset in (0, 3, 5, 8, 9, page_bytes - 1)]
    noticed = 0
    for place in places:
        path = tmp_path / "damaged.db"
        path.with_name("damaged.db-wal").unlink(missing_ok=True)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        found = read_or_refusal(path)
        if not isinstance(found, errors.StoreError):
            assert found == before, f"byte {place} changes what is read"
            continue
        noticed += 1
        assert found.fix is not None, f"byte {place}: {found.code}"
        assert path.read_bytes() == bytes(damaged), f"byte {place}: the evidence was changed"
    assert noticed > len(places) // 3


def test_a_file_that_ends_early_is_noticed_wherever_it_ends(sound: Path, tmp_path: Path) -> None:
    whole, before = sound.read_bytes(), contents(sound)
    path = tmp_path / "short.db"
    for length in [*range(0, 120, 7), *range(512, len(whole), 2048), len(whole) - 1]:
        path.with_name("short.db-wal").unlink(missing_ok=True)
        path.write_bytes(whole[:length])
        found = read_or_refusal(path)
        if isinstance(found, errors.StoreError):
            assert found.fix is not None
            assert path.read_bytes() == whole[:length]
        else:
            assert found == before, f"{length} bytes give something else"
            assert not any(whole[length:]), "nothing lay there"


@pytest.mark.parametrize("beginning", [b"\x89PNG\r\n\x1a\n", b"SQLite format 2", b"{", b"\0" * 16])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, beginning: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(beginning * 300)
    for call in (Store.open, Store.create):
        with pytest.raises(errors.NotAWallet) as refusal:
            call(path, quick_keys(entropy=SeededEntropy("x")))
        assert "path" in str(refusal.value.fix)
    assert path.read_bytes() == beginning * 300
    assert [one.name for one in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("mark", [0, 7])
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, mark: int) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.execute("INSERT INTO bookmarks VALUES ('https://example.org')")
        other.execute(f"PRAGMA user_version = {mark}")
        other.execute(f"PRAGMA application_id = {mark}")
    before = path.read_bytes()
    for call in (Store.open, Store.create):
        with pytest.raises(errors.NotAWallet, match="another program"):
            call(path, quick_keys(entropy=SeededEntropy("x")))
    assert path.read_bytes() == before


def test_a_wallet_whose_version_was_wiped_is_damaged_and_not_new(
    sound: Path, tmp_path: Path
) -> None:
    path = tmp_path / "wiped.db"
    shutil.copy(sound, path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("PRAGMA user_version = 0")
    for call in (Store.open, Store.create):
        with pytest.raises(errors.StoreCorrupt):
            call(path, quick_keys(entropy=SeededEntropy("x")))


async def test_a_lost_log_takes_the_wallet_back_and_is_noticed(tmp_path: Path) -> None:
    """The log of a killed process holds the newest payments; without it the file is an old copy."""
    entropy = SeededEntropy("amina")
    keys = quick_keys(entropy=entropy, witness_folder=tmp_path / "witness")
    issuer = Issuer()
    path = tmp_path / "amina.db"
    baker = await new_wallet(issuer, "baker")
    amina = await Wallet.create(path, keys=keys, clock=SetClock(), entropy=entropy)
    issuer.equip(amina, TOTAL)
    await amina.close()
    before = path.read_bytes()
    amina = await Wallet.open(path, keys=keys, clock=SetClock(), entropy=entropy)
    await pay(amina, baker)
    amina.book.store.close()
    path.write_bytes(before)
    async with await Wallet.open(path, keys=keys, clock=SetClock(), entropy=entropy) as after:
        assert after.restored
        with pytest.raises(errors.WalletRestored):
            await after.pay((await baker.request_payment(10, "EUR")).frame)
    await baker.close()


# No room.


async def spend_until_full(amina: Wallet, baker: Wallet) -> errors.StoreFull:
    for _ in range(60):
        try:
            await pay(amina, baker)
        except errors.StoreFull as full:
            return full
    raise AssertionError("there is room without end")


async def check_whole(path: Path) -> None:
    """What is there adds up, and nothing was signed twice; then go on paying."""
    amina, baker = await opened(path), await opened(path.with_name("baker.db"))
    held = 0
    for wallet in (amina, baker):
        assert not find_forks(await wallet.signed_transfers())
        held += sum(one.spendable for one in await wallet.balance())
    arriving = {
        transfer
        for exchange in amina.book.exchanges()
        if exchange.state.value != "acked"
        for transfer in exchange.transfers
        if baker.book.holding(transfer) is None
    }
    held += 10 * len(arriving)
    locked = [one for one in amina.book.exchanges() if not one.transfers and one.drafts]
    assert held + 10 * len(locked) == TOTAL
    for view in await amina.unconfirmed():
        got = await baker.receive(await amina.frame_of(view.id))
        assert got.frame is not None
        await amina.receive(got.frame)
    assert await amina.unconfirmed() == []
    await pay(amina, baker)
    await amina.close()
    await baker.close()


def in_a_child(work: Callable[[], None]) -> None:
    """Do something in a process of its own, whose limits end with it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 0, "see the output of the child"


@pytest.mark.parametrize("spare", [0, 1_000, 9_000, 40_000])
def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path: Path, spare: int) -> None:
    """A limit of the system (as a quota would be): writes fail in the middle of a page."""
    path = asyncio.run(make(tmp_path))
    largest = max(one.stat().st_size for one in tmp_path.glob("amina.db*"))

    async def work() -> None:
        amina, baker = await opened(path), await new_wallet(Issuer(), "miller")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(largest, 4096) + spare, before[1]))
        full = await spend_until_full(amina, baker)
        assert full.retryable
        assert full.fix is not None
        assert await amina.balance()

    in_a_child(lambda: asyncio.run(work()))
    asyncio.run(check_after_limit(path))


async def check_after_limit(path: Path) -> None:
    async with await opened(path) as amina:
        assert not find_forks(await amina.signed_transfers())
        (balance,) = await amina.balance()
        spent = sum(one.amount for one in await amina.history())
        assert balance.spendable + spent == TOTAL


TINY_DISK = """
import asyncio, sys
from pathlib import Path
from tests.integration.client_sdk.test_damage import on_a_tiny_disk
asyncio.run(on_a_tiny_disk(Path(sys.argv[1])))
print("held")
"""


def fill_up(ballast: Path) -> None:
    """Write until there is no room left."""
    filling = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filling, bytes(512))
    except OSError as full:
        if full.errno != errno.ENOSPC:
            raise
    finally:
        os.close(filling)


async def on_a_tiny_disk(folder: Path) -> None:
    """Real ENOSPC: a disk of 6 MB, filled up."""
    path = await make(folder)
    ballast = folder / "ballast"
    amina, baker = await opened(path), await opened(path.with_name("baker.db"))
    fill_up(ballast)
    full = await spend_until_full(amina, baker)
    assert full.code == "store_full"
    await amina.close()
    await baker.close()
    async with await opened(path) as looking:  # a full disk still lets one look
        assert await looking.balance()
        assert await looking.history()
    ballast.unlink()
    await check_whole(path)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=6m tally {disk}"
    space = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    tried = subprocess.run([*space, "sh", "-c", mount], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("this system lets nobody mount a small disk")
    run = f'{mount} && exec "{sys.executable}" -c "$0" {disk}'
    done = subprocess.run(
        [*space, "sh", "-c", run, TINY_DISK],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "held\n", done.stderr


# No right to write.

LOOK = """
import asyncio, os, sys
from pathlib import Path
from client_sdk import errors
from client_sdk.testing import SeededEntropy, quick_keys
from client_sdk.wallet import Wallet
if os.geteuid() == 0:
    os.setuid(65534)  # for root nothing is read-only
async def main():
    entropy = SeededEntropy("x")
    try:
        await Wallet.open(Path(sys.argv[1]), keys=quick_keys(entropy=entropy), entropy=entropy)
    except errors.StoreReadOnly as error:
        print("read-only:", error.detail, error.fix)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "lock_mode"),
    [(0o444, 0o777, None), (0o666, 0o555, None), (0o444, 0o555, None), (0o666, 0o777, 0o444)],
    ids=["file", "folder", "both", "lock"],
)
def test_what_may_not_be_written_is_told_as_such(
    sound: Path, file_mode: int, folder_mode: int, lock_mode: int | None
) -> None:
    folder = Path("/tmp") / f"tally-read-only-{os.getpid()}"
    folder.mkdir()
    try:
        path = folder / "wallet.db"
        shutil.copyfile(sound, path)
        path.chmod(file_mode)
        if lock_mode is not None:
            lock = path.with_name("wallet.db.lock")
            lock.touch()
            lock.chmod(lock_mode)
        folder.chmod(folder_mode)
        done = subprocess.run(
            [sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("read-only: "), done
        assert "Make the wallet file and its folder writable" in done.stdout
        assert path.read_bytes() == sound.read_bytes()
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


# Two programs.


def test_a_second_program_is_told_and_the_first_goes_on(tmp_path: Path) -> None:
    issuer = issuer_of_today()
    device: Device = make_device(issuer, tmp_path, "amina", 500)

    async def both() -> None:
        async with await Wallet.open(device.path, passphrase="open sesame") as wallet:
            for words in (("balance",), ("sync",), ("request", "1.00", "EUR")):
                told = await asyncio.to_thread(device.run, *words, code=1)
                assert told["error"]["code"] == "wallet_in_use"
                assert told["error"]["retryable"]
            assert (await wallet.balance())[0].spendable == 500
            assert (await wallet.request_payment(10, "EUR")).frame

    asyncio.run(both())
    assert device.run("balance")["offline"][0]["spendable"] == 500
