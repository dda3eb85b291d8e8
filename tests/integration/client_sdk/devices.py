"""Wallet files equipped by an issuer in memory, and commands run on them."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk.ambient import SystemClock, system_entropy
from client_sdk.testing import Issuer, quick_keys
from client_sdk.wallet import Wallet

PASSPHRASE = "open sesame"


@dataclass(frozen=True)
class Device:
    """One wallet file and the environment to use it with."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TALLYSTICK_WALLET": str(self.path),
            "TALLYSTICK_PASSPHRASE": PASSPHRASE,
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, *words: str) -> list[str]:
        main = "from client_sdk.command import main; main()"
        return [sys.executable, "-c", main, "wallet", *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command with --json to its end; its last line of output."""
        done = subprocess.run(
            self.command(*words, "--json"),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        lines = done.stdout.splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found


def make_device(issuer: Issuer, folder: Path, name: str, *values: int) -> Device:
    path = folder / f"{name}.db"

    async def make() -> None:
        keys = quick_keys(PASSPHRASE, entropy=system_entropy)
        async with await Wallet.create(path, keys=keys) as wallet:
            issuer.equip(wallet, *values, name=name, now=SystemClock().now())

    asyncio.run(make())
    return Device(path)


def issuer_of_today() -> Issuer:
    return Issuer(now=SystemClock().now())
