"""Real processes: one server, and one command-line wallet for each step of each person."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

Started = subprocess.Popen[str]
_START_S = 60.0
_STEP_S = 60.0
_POLL_S = 0.05


class DemoFailed(Exception):
    """Something did not go as the story says; the text has what the process printed."""


def program() -> str:
    """Return the path of the `tallystick` command of this environment."""
    beside = Path(sys.executable).with_name("tallystick")
    found = str(beside) if beside.exists() else shutil.which("tallystick")
    if found is None:
        raise DemoFailed("The command `tallystick` is not installed beside this Python.")
    return found


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without its own Tallystick settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
    return kept | dict(extra)


class ServerProcess:
    """`tallystick serve` on SQLite, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        return {"TALLYSTICK_DATA_DIR": str(self.data_dir), "TALLYSTICK_PORT": str(self.port)}

    def start(self, *, detached: bool = False) -> None:
        """Start and wait until the server says that it is ready.

        The first start chooses a free port; later ones keep it, as a real server would.
        """
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [program(), "serve", "--port-file", str(port_file)],
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=detached,
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise DemoFailed(f"The server ended at once:\n{self.log.read_text()[-2000:]}")
            if port_file.exists():
                self.port = int(port_file.read_text())
                try:
                    if httpx.get(f"{self.url}/health/ready", timeout=5).is_success:
                        return
                except httpx.TransportError:
                    pass
            time.sleep(_POLL_S)
        raise DemoFailed(f"The server did not become ready:\n{self.log.read_text()[-2000:]}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Ask the server to end, and wait for it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def release(self) -> None:
        """Let the server go on without us."""
        self._process = None

    def run(self, *arguments: str) -> None:
        """Run one of the server's own commands on its data."""
        _run_to_end([program(), *arguments], environment(self.settings))

    def operator(self, *arguments: str) -> dict[str, Any]:
        """Run one of the server's own commands on its data and return its JSON."""
        return _run([program(), *arguments, "--json"], environment(self.settings))


@dataclass
class Device:
    """A person's phone: a folder with an encrypted wallet file. Each step is a process."""

    owner: str
    folder: Path
    passphrase: str
    steps: int = field(default=0, init=False)

    @property
    def wallet_file(self) -> Path:
        return self.folder / "wallet.db"

    @property
    def state_folder(self) -> Path:
        """Where the wallet's witness lies."""
        return self.folder / "state"

    def command(self, *arguments: str) -> list[str]:
        return [program(), "wallet", *arguments]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        wallet = {"TALLYSTICK_WALLET": str(self.wallet_file)}
        secret = {"TALLYSTICK_PASSPHRASE": self.passphrase}
        state = {"XDG_STATE_HOME": str(self.state_folder)}
        return environment(wallet | secret | state | dict(extra or {}))

    def run(self, *arguments: str, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run one wallet command to its end and return its JSON."""
        self.steps += 1
        return _run([*self.command(*arguments), "--json"], self.environment(extra))

    def start(self, *arguments: str) -> Started:
        """Start a wallet command that goes on, such as waiting for a payer."""
        self.steps += 1
        return subprocess.Popen(
            [*self.command(*arguments), "--json"],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def image(self) -> dict[Path, bytes]:
        """Every file of the phone, as an image of its storage holds it."""
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    def restore(self, image: Mapping[Path, bytes], *, whole: bool) -> None:
        """Put an image back; not whole means without the witness, as a backup of the wallet does.

        The bytes go into the very same files, so the file system shows no trace.
        """
        for path in self.image().keys() | image.keys():
            if not whole and self.state_folder in path.parents:
                continue
            if path in image:
                path.write_bytes(image[path])
            else:
                path.unlink()


def finish(process: Started) -> dict[str, Any]:
    """Wait for a started wallet command and return the last JSON object it printed."""
    try:
        out, err = process.communicate(timeout=_STEP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise DemoFailed(f"{process.args!r} did not end.\n{out}\n{err}") from None
    if process.returncode != 0:
        raise DemoFailed(f"{process.args!r} ended with {process.returncode}.\n{out}\n{err}")
    return _last_object(out)


def check_proof(proof: Path, key_set: Path) -> dict[str, Any]:
    """Verify a fraud proof in a process that knows neither server nor wallet."""
    command = [program(), "proof", "verify", str(proof), "--key-set", str(key_set), "--json"]
    return _run(command, environment({}))


def _run(command: list[str], env: Mapping[str, str]) -> dict[str, Any]:
    return _last_object(_run_to_end(command, env))


def _run_to_end(command: list[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_STEP_S,
    )
    if done.returncode != 0:
        shown = " ".join(command[1:])
        raise DemoFailed(
            f"tallystick {shown}: status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def _last_object(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise DemoFailed(f"No JSON object in what was printed:\n{text}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result
