"""The tutorial's commands are run as they stand, and must print what it says."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-payment.md"
_FENCE = re.compile(r"^```(\S*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = "8787"
_STARTS_S = 60


class Terminal:
    """A shell in a folder, and a server that the page starts and stops."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        programs = str(Path(sys.executable).parent)
        self._environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TALLYSTICK_PORT": str(port),
        }
        self._said: list[str] = []
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, commands: str) -> str:
        """Run commands after those that were run before, and return what these print."""
        mark = "---- here begins the new part ----"
        definitions = "\n".join(_remembered(block) for block in self._said)
        script = f"set -eu\n{definitions}\necho '{mark}'\n{commands}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self._said.append(commands)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout.partition(mark)[2]

    def serve(self, commands: str) -> None:
        with (self._folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", commands.replace("tallystick serve", "exec tallystick serve")],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        with httpx.Client(transport=httpx.HTTPTransport(retries=_STARTS_S)) as http:
            assert http.get(f"http://127.0.0.1:{self._port}/health/ready").is_success

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(20)
            self._server = None


def _remembered(block: str) -> str:
    """Return what a shell keeps from commands: exports and functions."""
    functions = re.findall(r"^\w+\(\) \{\n.*?^\}$", block, re.MULTILINE | re.DOTALL)
    exports = re.findall(r"^export .*$", block, re.MULTILINE)
    return "\n".join([*exports, *functions])


def _fits(expected: str, printed: str) -> bool:
    """Whether each expected line occurs, in this order; `...` stands for anything in a line."""
    lines = (re.escape(line).replace(re.escape("..."), ".*") for line in expected.splitlines())
    return re.search(r"(?:.|\n)*?".join(lines), printed) is not None


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = _PAGE.read_text(encoding="utf-8").replace(_PORT, str(port))
    terminal = Terminal(tmp_path, port)
    printed = ""
    checked = 0
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(terminal.stop)
        for language, role, content in _FENCE.findall(page):
            if role == "server":
                terminal.serve(content)
            elif role == "stop-server":
                terminal.stop()
            elif language == "sh":
                printed = terminal.run(content)
            elif language == "text":
                assert _fits(content, printed), f"expected:\n{content}\nprinted:\n{printed}"
                checked += 1
    assert checked >= 6
