"""The card company of `sim.stripe` as a real process, and a hand on its controls."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.postgres import _die_with_parent

ROOT = Path(__file__).parents[2]
API_KEY = "sk_test_tallystick"


@dataclass
class CardCompany:
    """A running company; `control` does what time, banks and people do."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def control(self, name: str, **wish: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/_control/{name}", json=wish, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Ask the interface itself, past every library."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        answer = httpx.get(f"{self.url}{path}", params=query, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, *, key: str | None = None, **form: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return httpx.post(f"{self.url}{path}", data=form, headers=headers, timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """End it without a word and start it again at the same address with the same memory."""
        self.kill()
        port = int(self.url.rpartition(":")[2])
        self.process = _spawn(self.folder, port)
        _wait(self.process, self.folder, port)


@contextmanager
def card_company(folder: Path) -> Iterator[CardCompany]:
    """Run a company with its memory in a folder; it dies with this process."""
    folder.mkdir(parents=True, exist_ok=True)
    process = _spawn(folder, 0)
    port_file = folder / "port"
    while not (port_file.exists() and port_file.read_text()):
        assert process.poll() is None, (folder / "log").read_text()
    port = int(port_file.read_text())
    _wait(process, folder, port)
    company = CardCompany(f"http://127.0.0.1:{port}", folder, process)
    try:
        yield company
    finally:
        company.kill()


def _spawn(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "sim.stripe", "--port", str(port)),
                *("--file", str(folder / "stripe.sqlite"), "--port-file", str(folder / "port")),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
        )


def _wait(process: "subprocess.Popen[bytes]", folder: Path, port: int) -> None:
    while True:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            continue
