"""The same schedules with the real server on the other side, its database and its ledger."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from client_sdk.errors import ServerRefused, WalletError
from client_sdk.testing import Crash, SeededEntropy
from client_sdk.wallet import Wallet
from offline_protocol.chains import Chain
from offline_protocol.cose import Signed
from offline_protocol.keys import PublicKey
from offline_protocol.vouchers import Voucher
from tests.conftest import Database
from tests.factories.identity import PASSWORD
from tests.kill import checks
from tests.kill.checks import require
from tests.kill.person import VALUES, Person, run
from tests.kill.real_server import URL, RealServer, SharedClock, Wire, real_server
from tests.kill.schedule import PEOPLE, Ending, generate
from tests.kill.signing import RememberedKeys
from tests.kill.world import CLAIM_BY_SECONDS, World

T = TypeVar("T")
SEEDS = range(7_000_003, 7_000_007)
TOP_UP = 500


@dataclass
class Known:
    """What the test knows of the real server's state: what the wallets have shown."""

    accounts: dict[bytes, str] = field(default_factory=dict)
    vouchers: dict[bytes, Signed[Voucher]] = field(default_factory=dict)
    closed: set[bytes] = field(default_factory=set)

    def enrol(self, account: str, key: PublicKey) -> None:
        self.accounts[key.id] = account


class RealPerson(Person):
    def prepare(self) -> None:
        entropy = SeededEntropy(f"{self.salt}{self.name}/0")
        keys = RememberedKeys(self.memory, entropy=entropy, witness_folder=self.witnesses)
        run(
            Wallet.create(self.path, keys=keys, clock=self.clock, entropy=entropy)
        ).book.store.close()

    def connect(self, wallet: Wallet) -> None:
        async def no_pause(_: float) -> None:
            await asyncio.sleep(0)

        wallet._sleep = no_pause


@dataclass
class RealWorld(World):
    real: RealServer = field(kw_only=True)

    def begin(self) -> None:
        self.known = Known()
        self.server: Any = self.known
        self.runner = asyncio.Runner()
        self.names: dict[str, str] = {}
        for name in PEOPLE[: self.schedule.people]:
            self.names[name] = self.real.register(name).username
            # The server knows everybody in a run, so no two of them may have the same keys.
            person = RealPerson(
                name,
                self.folder / name,
                None,
                self.clock,
                self.memory,
                Wire(self.real),
                salt=f"{self.schedule.seed}/",
            )
            self.people.append(person)
            self.certify(person)
            value = sum(VALUES[name])
            wallet = person.open()
            self.run(wallet.top_up(TOP_UP, "EUR", "sandbox-ok"))
            if value:
                self.run(wallet.load(value, "EUR"))
            self._note_held(person)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def certify(self, person: Person) -> None:
        person.trap.disarm()
        self.wire(person).fault = ""
        wallet = person.open()
        self.run(wallet.enrol(server=URL, username=self.names[person.name], password=PASSWORD))
        self.known.enrol(person.name, wallet.book.signer.public_key)

    def _enrol(self, person: Person, _: int, __: int) -> None:
        person = self._one_of(person, lambda one: one.open().restored)
        if person.open().restored:
            self.certify(person)

    def _owner_of(self, key_id: bytes) -> Person | None:
        return next((one for one in self.people if key_id in own_keys(one)), None)

    def break_network(self, person: Person, fault: str) -> None:
        self.wire(person).fault = fault

    @staticmethod
    def wire(person: Person) -> Wire:
        assert isinstance(person.http, Wire)
        return person.http

    def _note_held(self, person: Person) -> None:
        self.wire(person).fault = ""
        for holding in person.open().book.holdings():
            voucher = Chain.decode(holding.chain).voucher
            self.known.vouchers[voucher.id] = voucher
            self.held.add(voucher.id)

    def synchronise_all(self) -> None:
        for _ in range(3):
            for person in self.people:
                try:
                    self.run(person.open().sync())
                except ServerRefused:
                    self.certify(person)  # the session has ended, or never began
                    self.run(person.open().sync())
                self._note_held(person)

    def play(self) -> None:
        for step in self.schedule.steps:
            self.do(step)
            self.check()
        for person in self.people:
            person.trap.disarm()
        if self.schedule.ending is Ending.MEET:
            self.meet_again()
        self.synchronise_all()
        self.check()
        require(self.real.report().adds_up, "the float is not the open vouchers")
        self.clock.advance(CLAIM_BY_SECONDS)
        self.real.close_due()
        self.known.closed |= self.known.vouchers.keys()
        self.synchronise_all()
        self.check()
        self.check_money()

    def check_money(self) -> None:
        """Every cent is on an account again, and nobody waits for anything."""
        report = self.real.report()
        require(report.adds_up and not report.forks and not report.clones, f"{report}")
        total = 0
        for person in self.people:
            balances = self.run(person.open().account())
            require(all(one.held == one.offline == 0 for one in balances), f"{balances}")
            total += sum(one.available for one in balances)
        require(total == TOP_UP * len(self.people), f"{total} is not what was topped up")
        checks.check_everything_ended(self)


def own_keys(person: Person) -> set[bytes]:
    """Ids of the first key and of all further ones."""
    book = person.open().book
    return {book.signer.public_key.id, *(key.id for key in book.keyring.known())}


@pytest.fixture
def real(database: Database, tmp_path: Path) -> Iterator[RealServer]:
    with real_server(database.url, tmp_path) as server:
        yield server


def test_nothing_is_lost_with_the_real_server(real: RealServer, tmp_path: Path) -> None:
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        world = RealWorld(folder, generate(seed), SharedClock(real.clock), real=real)
        try:
            world.play()
        except (Crash, WalletError, AssertionError) as failure:
            pytest.fail(f"{failure!r}\n{world.schedule}")
        finally:
            world.close()
            world.runner.close()
