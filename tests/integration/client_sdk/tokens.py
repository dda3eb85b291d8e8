"""SoftHSM tokens: real PKCS#11, in files."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PyKCS11 import PyKCS11Lib

from client_sdk.keys.pkcs11 import TokenKeys
from offline_protocol.algorithms import Algorithm

PIN = "246813"
_SO_PIN = "87654321"
_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
CONFIGURATION = "SOFTHSM2_CONF"


def softhsm_module() -> str:
    """Path of SoftHSM's library; the test is skipped where it is not installed."""
    for place in _PLACES:
        if Path(place).exists():
            return place
    pytest.skip("SoftHSM is not installed: apt-get install softhsm2")


@dataclass
class Drawer:
    """A folder of tokens. They are made before SoftHSM is loaded."""

    folder: Path
    module: str
    fresh: list[str]
    _opened: list[TokenKeys] = field(default_factory=list)

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def new_token(self) -> str:
        return self.fresh.pop()

    def keys(
        self, token: str, *, pin: str = PIN, algorithm: Algorithm = Algorithm.ED25519
    ) -> TokenKeys:
        keys = TokenKeys(self.module, token=token, pin=pin, algorithm=algorithm)
        self._opened.append(keys)
        return keys

    def close(self) -> None:
        """End every session, so that the next test logs in anew."""
        while self._opened:
            self._opened.pop().close()

    @contextmanager
    def pulled_out(self) -> Iterator[None]:
        """All tokens are away while this lasts."""
        away = self.folder / "away"
        self.tokens.rename(away)
        self.tokens.mkdir()
        self.look_again()
        try:
            yield
        finally:
            self.tokens.rmdir()
            away.rename(self.tokens)
            self.look_again()

    def look_again(self) -> None:
        """SoftHSM looks for tokens when it is initialised; every session ends with it."""
        library = PyKCS11Lib()
        library.load(self.module)
        library.lib.C_Finalize()
        library.lib.C_Initialize()


def make_drawer(folder: Path, count: int) -> Drawer:
    """Make that many tokens, and point this process's SoftHSM at them."""
    module = softhsm_module()
    names = [f"wallet {number}" for number in range(count)]
    drawer = Drawer(folder, module, names[:])
    drawer.tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {drawer.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n",
        encoding="utf-8",
    )
    os.environ[CONFIGURATION] = str(configuration)
    for name in names:
        words = ["--init-token", "--free", "--label", name, "--so-pin", _SO_PIN, "--pin", PIN]
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
    return drawer
