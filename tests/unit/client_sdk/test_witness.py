"""The witness beside the wallet file, and the guard that compares the two."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from client_sdk import errors
from client_sdk.keys import SoftwareKeys
from client_sdk.store.guard import Guard
from client_sdk.store.sqlite import Hook, Store
from client_sdk.store.witness import FileWitness, KeepsWitness, Mark, default_folder
from client_sdk.testing import (
    Crash,
    CrashAt,
    Issuer,
    QuickKeys,
    SeededEntropy,
    SetClock,
    new_wallet,
    quick_keys,
)
from client_sdk.wallet import Wallet

INSTALL = bytes(range(16))
FIRST, SECOND, THIRD = (Mark(number, bytes([number]) * 16) for number in range(3))


@pytest.fixture
def witness(tmp_path: Path) -> FileWitness:
    return FileWitness(tmp_path / "state", INSTALL)


def test_a_place_that_never_saw_the_wallet_knows_nothing(witness: FileWitness) -> None:
    assert witness.read() is None
    assert not witness.advance(FIRST, SECOND)
    assert witness.read() is None


def test_marks_follow_one_another_and_nothing_else(witness: FileWitness) -> None:
    assert witness.advance(None, FIRST)
    assert witness.read() == FIRST
    assert not witness.advance(None, SECOND)
    assert not witness.advance(THIRD, SECOND)
    assert witness.advance(FIRST, SECOND)
    assert not witness.advance(FIRST, THIRD)
    assert witness.advance(SECOND, THIRD)
    assert FileWitness(witness.path.parent, INSTALL).read() == THIRD


def test_a_copy_of_a_witness_is_no_witness(witness: FileWitness) -> None:
    witness.advance(None, FIRST)
    content = witness.path.read_bytes()
    spare = witness.path.with_name("spare")
    spare.write_bytes(content)
    spare.replace(witness.path)  # as a backup puts files back: a new file under the old name
    assert witness.read() is None


def test_a_witness_of_another_wallet_is_none_of_ours(witness: FileWitness) -> None:
    witness.advance(None, FIRST)
    other = FileWitness(witness.path.parent, bytes(16))
    witness.path.rename(other.path)
    assert other.read() is None


@pytest.mark.parametrize("torn", range(0, 56, 5))
def test_a_torn_write_leaves_the_mark_before(witness: FileWitness, torn: int) -> None:
    """Power fails in the middle of writing one slot; the other one is whole."""
    witness.advance(None, FIRST)
    witness.advance(FIRST, SECOND)
    before = witness.path.read_bytes()
    witness.advance(SECOND, THIRD)
    after = witness.path.read_bytes()
    changed = [place for place in range(len(after)) if before[place] != after[place]]
    start = min(changed) // 4096 * 4096
    witness.path.write_bytes(after[: start + torn] + before[start + torn :])
    assert witness.read() in {SECOND, THIRD}
    assert witness.read() == SECOND or torn >= 50


def test_no_later_mark_needs_more_room(witness: FileWitness) -> None:
    witness.advance(None, FIRST)
    size = witness.path.stat().st_size
    blocks = witness.path.stat().st_blocks
    before = FIRST
    for number in range(1, 50):
        after = Mark(number, bytes([number]) * 16)
        assert witness.advance(before, after)
        before = after
    assert (witness.path.stat().st_size, witness.path.stat().st_blocks) == (size, blocks)


def test_only_the_owner_can_read_it(witness: FileWitness) -> None:
    before = os.umask(0)
    try:
        witness.advance(None, FIRST)
    finally:
        os.umask(before)
    assert witness.path.stat().st_mode & 0o777 == 0o600
    assert witness.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(errors.StoreReadOnly) as refusal:
        FileWitness(blocked / "state", INSTALL).advance(None, FIRST)
    assert "nothing was signed" in str(refusal.value.fix)


def test_witnesses_lie_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/tallystick")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/amina")
    assert default_folder() == Path("/home/amina/.local/state/tallystick")


# The guard: file and witness together.


class Device:
    """A wallet file and the folder of its witness."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "wallet.db"
        self.state = folder / "state"
        self.entropy = SeededEntropy("guard")
        self.keys: QuickKeys = quick_keys(entropy=self.entropy, witness_folder=self.state)

    def open(self, hook: Hook | None = None) -> Store:
        make = Store.open if self.path.exists() else Store.create
        return make(self.path, self.keys, hook=hook)

    def guard(self, store: Store) -> Guard:
        return Guard(store, self.keys, entropy=self.entropy)

    def reserve(self, store: Store, guard: Guard) -> None:
        """What the engine does: reserve, tell the witness; after that it would sign."""
        guard.prepare()
        with store.write("reserve") as tx:
            guard.count(tx)
        guard.confirm()

    def restored(self) -> bool:
        with closing(self.open()) as store:
            return self.guard(store).restored


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = Device(tmp_path)
    with closing(made.open()) as store:
        guard = made.guard(store)
        made.reserve(store, guard)
        assert not guard.restored
    return made


def test_a_wallet_that_nobody_touched_is_whole(device: Device) -> None:
    assert not device.restored()
    with closing(device.open()) as store:
        guard = device.guard(store)
        for _ in range(5):
            device.reserve(store, guard)
    assert not device.restored()


def test_an_old_copy_is_noticed_and_stays_noticed(device: Device) -> None:
    old = device.path.read_bytes()
    with closing(device.open()) as store:
        device.reserve(store, device.guard(store))
    device.path.write_bytes(old)
    with closing(device.open()) as store:
        guard = device.guard(store)
        assert guard.restored
        for forbidden in (guard.require_whole, guard.prepare, guard.confirm):
            with pytest.raises(errors.WalletRestored) as refusal:
                forbidden()
            assert "enrol" in str(refusal.value.fix)
    assert device.restored()


def test_a_copy_from_which_nothing_was_signed_since_goes_on(device: Device) -> None:
    old = device.path.read_bytes()
    with closing(device.open()) as store, store.write("setting") as tx:
        tx.put("single", b"claim_policy", "nothing")
    device.path.write_bytes(old)
    assert not device.restored()


def test_a_file_without_its_witness_is_an_old_copy(device: Device) -> None:
    for witness in device.state.iterdir():
        witness.unlink()
    assert device.restored()


def test_a_file_on_another_machine_is_an_old_copy(device: Device, tmp_path: Path) -> None:
    device.keys = quick_keys(entropy=device.entropy, witness_folder=tmp_path / "elsewhere")
    assert device.restored()


def test_of_two_copies_that_are_open_at_once_only_the_first_goes_on(
    device: Device, tmp_path: Path
) -> None:
    twin = Device(tmp_path)
    twin.path = tmp_path / "twin.db"
    twin.path.write_bytes(device.path.read_bytes())
    with closing(device.open()) as store, closing(twin.open()) as other:
        guard, second = device.guard(store), twin.guard(other)
        assert [each.restored for each in (guard, second)] == [False, False]
        device.reserve(store, guard)
        with pytest.raises(errors.WalletRestored):
            twin.reserve(other, second)
        assert [each.restored for each in (guard, second)] == [False, True]
        device.reserve(store, guard)
    assert twin.restored()
    assert not device.restored()


def test_a_copy_that_reserved_before_it_noticed_signs_nothing_either(
    device: Device, tmp_path: Path
) -> None:
    """Both copies are one reservation further, each with a token of its own."""
    twin = Device(tmp_path)
    twin.path = tmp_path / "twin.db"
    twin.path.write_bytes(device.path.read_bytes())
    twin.entropy = SeededEntropy("twin")
    with closing(device.open()) as store, closing(twin.open()) as other:
        guard, second = device.guard(store), twin.guard(other)
        guard.prepare()
        second.prepare()
        for each, its in ((guard, store), (second, other)):
            with its.write("reserve") as tx:
                each.count(tx)
        guard.confirm()
        with pytest.raises(errors.WalletRestored):
            second.confirm()


@pytest.mark.parametrize("point", range(15))
def test_a_crash_between_file_and_witness_locks_nobody_out(tmp_path: Path, point: int) -> None:
    """At every point of making a wallet and of two reservations."""
    device = Device(tmp_path)

    def life(hook: Hook | None) -> None:
        with closing(device.open(hook)) as store:
            guard = device.guard(store)
            device.reserve(store, guard)
            device.reserve(store, guard)

    try:
        life(CrashAt(point))
    except Crash:
        if not device.path.exists() or device.path.stat().st_size == 0:
            return
    try:
        assert not device.restored()
    except errors.WalletMissing:
        device.path.unlink()
    life(None)
    assert not device.restored()


def test_a_witness_that_fell_behind_is_brought_up_before_the_next_reservation(
    device: Device,
) -> None:
    with closing(device.open()) as store:
        guard = device.guard(store)
        with store.write("reserve") as tx:
            guard.count(tx)
    with closing(device.open()) as store:
        guard = device.guard(store)
        assert not guard.restored
        device.reserve(store, guard)
    assert not device.restored()


def test_a_new_installation_begins_with_a_new_key(device: Device) -> None:
    for witness in device.state.iterdir():
        witness.unlink()
    with closing(device.open()) as store:
        guard = device.guard(store)
        with store.write("new key") as tx:
            guard.begin_again(tx)
        guard.look_again()
        assert not guard.restored
        device.reserve(store, guard)
    assert not device.restored()


@pytest.mark.parametrize("point", range(2))
def test_a_crash_while_beginning_again_leaves_old_copy_or_new_wallet(
    device: Device, point: int
) -> None:
    for witness in device.state.iterdir():
        witness.unlink()
    with closing(device.open(CrashAt(point))) as store:
        guard = device.guard(store)
        with pytest.raises(Crash), store.write("new key") as tx:
            guard.begin_again(tx)
    assert device.restored() is (point == 0)


def test_a_damaged_mark_is_damage(device: Device) -> None:
    with closing(device.open()) as store:
        with store.write("mark") as tx:
            tx.put("single", b"guard", ["something", "else"])
        with pytest.raises(errors.StoreCorrupt):
            device.guard(store)


def test_a_wallet_in_memory_has_nothing_to_be_put_back() -> None:
    keys = quick_keys(entropy=SeededEntropy("m"), witness_folder=Path("/nowhere"))
    with closing(Store.create(None, keys)) as store:
        guard = Guard(store, keys, entropy=SeededEntropy("m"))
        guard.prepare()
        with store.write("reserve") as tx:
            guard.count(tx)
        guard.confirm()
        assert not guard.restored


class Counter:
    """A witness as secure hardware would be: it counts, and nobody can set it back."""

    def __init__(self) -> None:
        self.mark: Mark | None = None

    def read(self) -> Mark | None:
        return self.mark

    def advance(self, before: Mark | None, after: Mark) -> bool:
        if self.mark != before:
            return False
        self.mark = after
        return True


class HardwareKeys(SoftwareKeys):
    def __init__(self, counters: dict[bytes, Counter]) -> None:
        super().__init__("pw", iterations=1, memory_bytes=8192)
        self._counters = counters

    def witness(self, install: bytes) -> Counter:
        return self._counters.setdefault(install, Counter())


def test_a_provider_of_keys_may_bring_a_better_witness(tmp_path: Path) -> None:
    counters: dict[bytes, Counter] = {}
    keys, path = HardwareKeys(counters), tmp_path / "wallet.db"
    assert isinstance(keys, KeepsWitness)
    assert not isinstance(SoftwareKeys("pw"), KeepsWitness)
    entropy = SeededEntropy("hardware")

    def reserve() -> bool:
        make: Callable[..., Store] = Store.open if path.exists() else Store.create
        with closing(make(path, keys)) as store:
            guard = Guard(store, keys, entropy=entropy)
            if not guard.restored:
                guard.prepare()
                with store.write("reserve") as tx:
                    guard.count(tx)
                guard.confirm()
            return guard.restored

    assert not reserve()
    old = path.read_bytes()
    assert not reserve()
    path.write_bytes(old)
    assert reserve()
    assert [counter.mark is not None and counter.mark.number for counter in counters.values()] == [
        2
    ]


class StuckWitness(FileWitness):
    """Its folder may be read and not written."""

    stuck = False

    def advance(self, before: Mark | None, after: Mark) -> bool:
        if self.stuck:
            raise errors.StoreReadOnly("The wallet's witness cannot be used.")
        return super().advance(before, after)


class StuckKeys(QuickKeys):
    def witness(self, install: bytes) -> FileWitness | None:
        assert self._witness_folder is not None
        return StuckWitness(self._witness_folder, install)


async def test_a_wallet_whose_witness_cannot_be_written_opens_and_pays_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, clock, entropy = Issuer(), SetClock(), SeededEntropy("stuck")
    keys = StuckKeys("", entropy=entropy, witness_folder=tmp_path / "state")
    path = tmp_path / "wallet.db"
    baker = await new_wallet(issuer, "baker", clock=clock)
    async with await Wallet.create(path, keys=keys, clock=clock, entropy=entropy) as amina:
        issuer.equip(amina, 600, now=clock.now())
        asked = await baker.request_payment(100, "EUR")
        monkeypatch.setattr(StuckWitness, "stuck", True)
        with pytest.raises(errors.StoreReadOnly):
            await amina.pay(asked.frame)
        assert await amina.signed_transfers() == []
    async with await Wallet.open(path, keys=keys, clock=clock, entropy=entropy) as amina:
        (balance,) = await amina.balance()
        assert (balance.spendable, balance.unconfirmed) == (500, 100)
        (waiting,) = await amina.unconfirmed()
        with pytest.raises(errors.StoreReadOnly):
            await amina.frame_of(waiting.id)
        monkeypatch.setattr(StuckWitness, "stuck", False)
        assert not amina.restored
        assert (await baker.receive(await amina.frame_of(waiting.id))).answer == "paid"
    await baker.close()
