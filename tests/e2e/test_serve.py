"""`tallystick serve` as its own process: how it starts, what it reads, how it stops."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

Start = Callable[..., subprocess.Popen[str]]
_FEW_S = 60
_CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
_LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
_PROGRAM = str(Path(sys.executable).with_name("tallystick"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `tallystick serve` with a data folder of the test's own."""
    running: list[subprocess.Popen[str]] = []

    def start(**environment: str) -> subprocess.Popen[str]:
        settings = {"TALLYSTICK_DATA_DIR": str(tmp_path / "data"), "TALLYSTICK_PORT": "0"}
        process = subprocess.Popen(
            [_PROGRAM, "serve", "--port-file", str(tmp_path / "port")],
            env=os.environ | settings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def port(start: Start, tmp_path: Path) -> int:
    return _port_of(start(), tmp_path)


def _port_of(process: subprocess.Popen[str], folder: Path) -> int:
    """Return the port of a server, once it answers."""
    deadline = time.monotonic() + _FEW_S
    while not (folder / "port").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    port = int((folder / "port").read_text())
    while not _talk(port, _LIVE):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return port


def _talk(port: int, head: bytes, body: bytes = b"") -> bytes:
    """Send bytes as they are and return everything that comes back."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(head + b"Connection: close\r\n\r\n" + body)
            answer = b""
            while part := connection.recv(65_536):
                answer += part
            return answer
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live\r\n",
        b"GET /health/live HTTP/1.1\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + _CHUNKED,
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n",
    ],
    ids=["HTTP/0.9", "no host", "two hosts", "huge header", "two lengths", "length below zero"],
)
def test_requests_that_could_be_read_in_two_ways_or_without_end_are_refused(
    port: int, head: bytes
) -> None:
    assert b" 200 " not in _talk(port, head, b"2\r\n{}\r\n0\r\n\r\n").partition(b"\r\n")[0]
    live = _talk(port, _LIVE)
    assert live.startswith(b"HTTP/1.1 200 ")
    assert b"server:" not in live.lower()


def test_a_server_that_is_told_to_stop_does_not_wait_for_a_slow_sender(
    start: Start, tmp_path: Path
) -> None:
    process = start()
    port = _port_of(process, tmp_path)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        # Answered after the line above has been read, so that call is under way.
        _talk(port, _LIVE)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def _refused(process: subprocess.Popen[str]) -> str:
    """Return the one sentence with which a start was refused."""
    _, log = process.communicate(timeout=_FEW_S)
    assert process.returncode == 1, log
    lines = [line for line in log.splitlines() if not line.startswith("{")]
    assert "Traceback" not in log
    [sentence] = [line for line in lines if line]
    return sentence


def test_a_port_that_is_in_use_is_named(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = str(other.getsockname()[1])
        assert number in _refused(start(TALLYSTICK_PORT=number))


def test_a_data_folder_that_cannot_be_made_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert str(tmp_path / "data") in _refused(start())


def test_a_database_that_cannot_be_reached_is_named_without_its_password(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        number = nobody.getsockname()[1]
    said = _refused(
        start(TALLYSTICK_DATABASE_URL=f"postgresql+asyncpg://tally:s3cret@127.0.0.1:{number}/tally")
    )
    assert str(number) in said
    assert "s3cret" not in said


def test_a_database_that_can_only_be_read_is_named(start: Start, port: int, tmp_path: Path) -> None:
    assert port
    path = tmp_path / "data" / "tallystick.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    url = f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true"
    assert "readonly database" in _refused(start(TALLYSTICK_DATABASE_URL=url))


def test_missing_keys_are_not_replaced_by_new_ones(start: Start, port: int, tmp_path: Path) -> None:
    assert port
    (tmp_path / "data" / "master.key").rename(tmp_path / "master.key")
    assert "backup" in _refused(start())
    assert not (tmp_path / "data" / "master.key").exists()
    (tmp_path / "master.key").rename(tmp_path / "data" / "master.key")
    (tmp_path / "data" / "keys" / "issue.key").unlink()
    assert "issue.key" in _refused(start())


def test_a_database_with_vouchers_is_not_served_with_fresh_keys(
    start: Start, port: int, tmp_path: Path
) -> None:
    assert port
    with closing(sqlite3.connect(tmp_path / "data" / "tallystick.sqlite")) as connection:
        row = (1, b"i" * 32, b"k" * 32, 0, 1, b"envelope")
        connection.execute(
            "INSERT INTO offline_certificate (tenant, id, key_id, valid_from, valid_to, envelope)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
        connection.commit()
    keys = tmp_path / "data" / "keys"
    keys.rename(tmp_path / "keys")
    assert "Restore" in _refused(start())
    assert not keys.exists()


def test_what_the_process_writes_is_json_lines(start: Start, tmp_path: Path) -> None:
    process = start()
    _port_of(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    printed, log = process.communicate(timeout=_FEW_S)
    assert printed == ""
    assert all(json.loads(line)["event"] for line in log.splitlines())
