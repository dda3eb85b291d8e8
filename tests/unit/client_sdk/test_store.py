"""The encrypted wallet file."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from client_sdk import errors
from client_sdk.store.sealed import Sealer
from client_sdk.store.sqlite import Store
from client_sdk.testing import Crash, CrashAt, SeededEntropy, quick_keys

ENTROPY = SeededEntropy("store")
KEYS = quick_keys("open sesame", entropy=ENTROPY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wallet.db"


def make(path: Path, rows: int = 0) -> None:
    store = Store.create(path, KEYS)
    with store.write("rows") as tx:
        for number in range(rows):
            tx.put("record", b"%d" % number, ["x", b"secret content %d" % number])
    store.close()


def test_what_was_written_is_there_after_opening_again(path: Path) -> None:
    make(path, 3)
    store = Store.open(path, KEYS)
    assert [row.key for row in store.rows("record")] == [b"0", b"1", b"2"]
    assert store.get("record", b"1") == ["x", b"secret content 1"]
    assert store.get("record", b"9") is None
    store.close()


def test_nothing_readable_lies_in_the_file(path: Path) -> None:
    make(path, 3)
    files = b"".join(part.read_bytes() for part in path.parent.iterdir())
    assert b"secret content" not in files


def test_a_wrong_passphrase_is_told_from_damage(path: Path) -> None:
    make(path)
    with pytest.raises(errors.WrongPassphrase):
        Store.open(path, quick_keys("open barley", entropy=ENTROPY))
    Store.open(path, KEYS).close()


def test_a_file_that_asks_for_absurd_memory_is_refused(path: Path) -> None:
    make(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE header SET value = CAST(x'ffffffff' || substr(value, 5) AS BLOB)")
    with pytest.raises(errors.StoreCorrupt, match="impossible settings"):
        Store.open(path, KEYS)


def test_an_existing_wallet_is_never_overwritten(path: Path) -> None:
    make(path, 2)
    with pytest.raises(errors.WalletExists):
        Store.create(path, KEYS)
    with closing(Store.open(path, KEYS)) as store:
        assert len(store.rows("record")) == 2


def test_a_missing_wallet_is_not_made_by_opening_it(path: Path) -> None:
    with pytest.raises(errors.WalletMissing):
        Store.open(path, KEYS)
    assert not path.exists()


def test_a_crash_while_making_a_wallet_leaves_room_for_the_next_try(path: Path) -> None:
    with pytest.raises(Crash):
        Store.create(path, KEYS, hook=CrashAt(0))
    with pytest.raises(errors.WalletMissing, match="no finished wallet"):
        Store.open(path, KEYS)
    Store.create(path, KEYS).close()


def test_a_second_process_is_told_that_the_wallet_is_in_use(path: Path) -> None:
    store = Store.create(path, KEYS)
    with pytest.raises(errors.WalletLocked) as refusal:
        Store.open(path, KEYS)
    assert refusal.value.retryable
    store.close()
    Store.open(path, KEYS).close()


OPEN_ELSEWHERE = """
import sys
from pathlib import Path
from client_sdk.errors import WalletLocked
from client_sdk.store.sqlite import Store
from client_sdk.testing import SeededEntropy, quick_keys
try:
    Store.open(Path(sys.argv[1]), quick_keys("open sesame", entropy=SeededEntropy("other")))
except WalletLocked:
    sys.exit(7)
"""


@pytest.mark.parametrize("way", ["symbolic link", "hard link", "deleted lock"])
def test_no_way_round_the_lock_opens_a_wallet_twice(path: Path, way: str) -> None:
    make(path, 1)
    other = path.with_name("other.db")
    if way == "symbolic link":
        other.symlink_to(path)
    elif way == "hard link":
        other.hardlink_to(path)
    with closing(Store.open(path, KEYS)) as store:
        store.get("record", b"0")
        if way == "deleted lock":
            path.with_name(path.name + ".lock").unlink()
            other = path
        elsewhere = [sys.executable, "-c", OPEN_ELSEWHERE, str(other)]
        assert subprocess.run(elsewhere, check=False, timeout=60).returncode == 7


def test_only_the_owner_can_read_what_a_wallet_writes(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(Store.create(path, KEYS)) as store, store.write("row") as tx:
            tx.put("record", b"0", 1)
            modes = {part.name: part.stat().st_mode & 0o777 for part in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes


def test_the_lock_of_a_killed_process_is_gone(path: Path) -> None:
    make(path)
    child = os.fork()
    if child == 0:
        Store.open(path, KEYS)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    Store.open(path, KEYS).close()


def test_an_exception_undoes_the_whole_write(path: Path) -> None:
    make(path, 1)
    store = Store.open(path, KEYS)

    def half() -> None:
        with store.write("half") as tx:
            tx.put("record", b"0", ["x", b"changed"])
            tx.put("record", b"new", ["x", b"new"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert [row.payload for row in store.rows("record")] == [["x", b"secret content 0"]]
    store.close()


@pytest.mark.parametrize(("point", "kept"), [(0, False), (1, True)])
def test_a_write_is_there_exactly_when_it_was_committed(
    path: Path, *, point: int, kept: bool
) -> None:
    make(path)
    store = Store.open(path, KEYS, hook=CrashAt(point))  # opening writes nothing by itself
    with pytest.raises(Crash), store.write("one") as tx:
        tx.put("record", b"k", ["x", b""])
    store.close()
    again = Store.open(path, KEYS)
    assert (again.get("record", b"k") is not None) is kept
    again.close()


FIRST, SECOND = (f"CAST('{number}' AS BLOB)" for number in (0, 1))


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE record SET payload = (SELECT payload FROM record WHERE key = SECOND)",
        "UPDATE record SET flag = 1 WHERE key = FIRST",
        "UPDATE record SET key = CAST('zero' AS BLOB) WHERE key = FIRST",
        "UPDATE record SET link = x'00' WHERE key = FIRST",
        "UPDATE record SET payload = CAST(substr(payload, 1, 20) AS BLOB)",
        "INSERT INTO revoked SELECT * FROM record",
    ],
)
def test_rows_that_were_moved_or_altered_are_noticed(path: Path, tampering: str) -> None:
    make(path, 2)
    with closing(sqlite3.connect(path)) as raw, raw:
        query = tampering.replace("FIRST", FIRST).replace("SECOND", SECOND)
        assert raw.execute(query).rowcount > 0
    store = Store.open(path, KEYS)
    with pytest.raises(errors.StoreCorrupt):
        [store.rows(table) for table in ("record", "revoked")]
    store.close()


def test_a_full_disk_is_told_and_what_was_stored_stays(path: Path) -> None:
    make(path, 5)
    store = Store.open(path, KEYS)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")

    def too_much() -> None:
        with store.write("too much") as tx:
            for number in range(1000):
                tx.put("record", b"more %d" % number, ["x", bytes(500)])

    with pytest.raises(errors.StoreFull) as refusal:
        too_much()
    assert refusal.value.retryable
    assert len(store.rows("record")) == 5
    store.close()


def test_a_message_out_belongs_to_an_exchange(path: Path) -> None:
    store = Store.create(path, KEYS)
    with pytest.raises(errors.StoreError, match="FOREIGN KEY"), store.write("orphan") as tx:
        tx.put("message_out", b"nobody", b"bytes")
    store.close()


def test_writes_are_made_to_survive_a_power_cut(path: Path) -> None:
    store = Store.create(path, KEYS)
    assert store._connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    store.close()


def test_linked_rows_are_found_without_showing_the_link(path: Path) -> None:
    store = Store.create(path, KEYS)
    parent = b"parent id that must not be readable"
    with store.write("rows") as tx:
        tx.put("record", b"a", ["x", b""], link=parent)
        tx.put("record", b"b", ["x", b""], link=b"another")
    assert [row.key for row in store.linked("record", parent)] == [b"a"]
    store.close()
    assert parent not in path.read_bytes()


def test_the_same_content_is_sealed_differently_each_time() -> None:
    sealer = Sealer(bytes(32), SeededEntropy("nonces"))
    assert sealer.seal("same", b"row") != sealer.seal("same", b"row")
    with pytest.raises(ValueError, match="damaged"):
        sealer.unseal(sealer.seal("same", b"row"), b"another row")
