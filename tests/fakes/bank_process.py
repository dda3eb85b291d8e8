"""The simulated bank as a process of its own, which tests start, kill and start again."""

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
EUR_ACCOUNT = "DE89370400440532013000"
_START_S = 60


class BankProcess:
    """One bank: its folder stays, its process comes and goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, on the port of last time if there was one, and wait until it answers."""
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sim.bank", "--port", str(self.port)]
        command += ["--data", str(self._folder), "--port-file", str(port_file)]
        command += ["--account", f"EUR={EUR_ACCOUNT}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers(port_file):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def control(self, method: str, path: str, document: object = None) -> Any:
        """Call the control interface; return what it answers, parsed if it is JSON."""
        body = b"" if document is None else json.dumps(document).encode()
        response = httpx.request(method, f"{self.url}/control/{path}", content=body, timeout=20)
        assert response.status_code == 200, response.text
        is_json = response.headers["content-type"] == "application/json"
        return response.json() if is_json else response.content

    def configure(self, *, server: str, bank_id: str, secret: str) -> None:
        self.control("POST", "config", {"server": server, "bank_id": bank_id, "secret": secret})

    def _answers(self, port_file: Path) -> bool:
        if not port_file.exists():
            return False
        self.port = int(port_file.read_text())
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def bank_process(folder: Path) -> Iterator[BankProcess]:
    folder.mkdir(parents=True, exist_ok=True)
    bank = BankProcess(folder)
    bank.start()
    try:
        yield bank
    finally:
        bank.kill()


def _die_with_parent() -> None:
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)
