"""One person's device: a real wallet file, its witness, and the ways in which it can break.

A crash takes a picture of all files at that instant, lets the process's code unwind, and puts the
picture back: what the unwinding still wrote was never written.
"""

import functools
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from client_sdk.errors import StoreFull
from client_sdk.testing import Crash, Issuer, SeededEntropy, SetClock, new_wallet
from client_sdk.wallet import Wallet
from offline_protocol.chains import Chain
from offline_protocol.cose import Signed
from offline_protocol.vouchers import Voucher
from tests.kill.model import ModelApi, ModelServer, shown_name
from tests.kill.schedule import PEOPLE
from tests.kill.signing import Memory, RememberedKeys

T = TypeVar("T")

VALUES: Final = {"ada": (40, 30, 30), "bo": (20,), "cem": ()}
RAM: Final = Path("/dev/shm")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nobody."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for somebody")


def scratch() -> Path:
    """A fresh folder, in memory where the system has one."""
    return Path(tempfile.mkdtemp(prefix="tally-kill-", dir=RAM if RAM.is_dir() else None))


@dataclass(frozen=True)
class Template:
    """An enrolled wallet that was just loaded, to be copied for each schedule."""

    file: bytes
    key_id: bytes
    vouchers: tuple[Signed[Voucher], ...]


@functools.cache
def templates() -> dict[str, Template]:
    folder, issuer = scratch(), Issuer()
    try:
        return {name: run(_template(issuer, folder, name)) for name in PEOPLE}
    finally:
        shutil.rmtree(folder)


async def _template(issuer: Issuer, folder: Path, name: str) -> Template:
    path = folder / name
    wallet = await new_wallet(issuer, name, path=path)
    issuer.equip(wallet, *VALUES[name], name=shown_name(name))
    with wallet.book.store.write("address") as tx:
        tx.put("single", b"server", "https://model.example")
    chains = [Chain.decode(one.chain) for one in wallet.book.holdings()]
    await wallet.close()
    return Template(path.read_bytes(), wallet.key_id, tuple(chain.voucher for chain in chains))


class Trap:
    """A store hook that ends the process, or fills the disk, at a chosen write.

    Attributes:
        passed: how often each place was passed, over all lives of the wallet.
        sprung: the places where the process ended.
        kills: end this process for good instead of raising `Crash`.
    """

    def __init__(self, files: Callable[[], list[Path]]) -> None:
        self._files = files
        self.passed: Counter[str] = Counter()
        self.sprung: Counter[str] = Counter()
        self.picture: dict[Path, bytes] = {}
        self._crash_in: int | None = None
        self._full_in: int | None = None
        self._full_for = 0
        self.kills = False

    def crash_in(self, points: int | None) -> None:
        self._crash_in = points

    @property
    def armed(self) -> bool:
        return self._crash_in is not None

    @property
    def points_left(self) -> int | None:
        return self._crash_in

    def fill_in(self, writes: int, *, lasting: int) -> None:
        self._full_in, self._full_for = writes, lasting

    def disarm(self) -> None:
        self._crash_in = self._full_in = None

    def __call__(self, name: str) -> None:
        self.passed[name] += 1
        if self._full_in is not None and name.startswith("before "):
            self._full_in -= 1
            if self._full_in < 0:
                if self._full_in <= -self._full_for:
                    self._full_in = None
                raise StoreFull("The disk is full.")
        if self._crash_in is not None:
            self._crash_in -= 1
            if self._crash_in < 0:
                self._crash_in = None
                if self.kills:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.sprung[name] += 1
                self.take_picture()
                raise Crash(name)

    def take_picture(self) -> None:
        self.picture = {path: path.read_bytes() for path in self._files() if path.exists()}

    def put_back(self) -> None:
        """Bring the files to where they were, in place: a witness knows its own file."""
        for path in {*self._files(), *self.picture}:
            if path in self.picture:
                path.write_bytes(self.picture[path])
            else:
                path.unlink(missing_ok=True)


@dataclass
class Person:
    """A device and what it has told the world.

    Attributes:
        said: for each exchange that was answered with "paid", the transfers in it.
        left: the bytes that left for each exchange.
        server: the model, or None where a real one is reached over `http`.
        backup: a copy of the wallet file, without its witness.
        forgetful: a copy was put back, so what was said before may be forgotten.
    """

    name: str
    folder: Path
    server: ModelServer | None
    clock: SetClock
    memory: Memory
    http: httpx.AsyncBaseTransport | None = None
    salt: str = ""
    lives: int = 0
    wallet: Wallet | None = None
    trap: Trap = field(init=False)
    said: dict[bytes, frozenset[bytes]] = field(default_factory=dict)
    left: dict[bytes, bytes] = field(default_factory=dict)
    backup: bytes | None = None
    backup_mark: int = 0
    forgetful: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.trap = Trap(self.files)
        self.prepare()

    def prepare(self) -> None:
        """Put an enrolled wallet with some value there."""
        self.path.write_bytes(templates()[self.name].file)

    @property
    def path(self) -> Path:
        return self.folder / "wallet.db"

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever the file or the process does."""
        return self.lives, self.trap.passed.total()

    @property
    def witnesses(self) -> Path:
        return self.folder / "witness"

    def files(self) -> list[Path]:
        kept = [*self.witnesses.glob("*")] if self.witnesses.exists() else []
        return [self.path, self.path.with_name("wallet.db-wal"), *kept]

    def open(self) -> Wallet:
        """The open wallet; opened anew, as often as it takes, after a crash."""
        while self.wallet is None:
            self.lives += 1
            entropy = SeededEntropy(f"{self.salt}{self.name}/{self.lives}")
            keys = RememberedKeys(self.memory, entropy=entropy, witness_folder=self.witnesses)
            try:
                wallet = run(
                    Wallet.open(
                        self.path,
                        keys=keys,
                        clock=self.clock,
                        entropy=entropy,
                        hook=self.trap,
                        http=self.http,
                    )
                )
            except Crash:
                self.trap.put_back()
            except StoreFull:
                continue
            else:
                self.connect(wallet)
                self.wallet = wallet
        return self.wallet

    def connect(self, wallet: Wallet) -> None:
        """Give a wallet its way to the server."""
        assert self.server is not None
        api: Any = ModelApi(self.server, wallet.book.signer.public_key)
        wallet._api = api

    @property
    def api(self) -> ModelApi:
        api: Any = self.open()._api
        assert isinstance(api, ModelApi)
        return api

    def crashed(self) -> None:
        """After `Crash` has unwound: the process is gone, the files are as at that instant."""
        if self.wallet is not None:
            self.wallet.book.store.close()
            self.wallet = None
        self.trap.put_back()

    def drop(self) -> None:
        """The process ends between two writes."""
        self.open()
        self.trap.take_picture()
        self.crashed()

    def close(self) -> None:
        if self.wallet is not None:
            self.wallet.book.store.close()
            self.wallet = None

    def mark(self) -> int:
        """How many reservations the witness knows."""
        witness = self.open().book.guard._witness
        seen = None if witness is None else witness.read()
        assert seen is not None
        return seen.number

    def copy(self) -> None:
        self.backup_mark = self.mark()
        self.close()  # a copy of the main file alone is whole once the log is in it
        self.backup = self.path.read_bytes()

    def put_back(self) -> bool:
        """Put the copy in the place of the file; whether it forgets what may have been signed."""
        assert self.backup is not None
        forgets = self.mark() != self.backup_mark
        self.close()
        self.path.write_bytes(self.backup)
        self.forgetful = True
        return forgets
