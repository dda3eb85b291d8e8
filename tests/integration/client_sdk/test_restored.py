"""A wallet file that was put back from a copy: it pays again after it was enrolled anew."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from client_sdk import errors
from client_sdk.api.encoding import to_text
from client_sdk.core import State
from client_sdk.flows.receiving import Answer
from client_sdk.records import Role
from client_sdk.store.sqlite import Hook
from client_sdk.testing import (
    DAY_SECONDS,
    Crash,
    CrashAt,
    QuickKeys,
    SeededEntropy,
    SetClock,
    new_wallet,
    quick_keys,
)
from client_sdk.wallet import Wallet
from offline_protocol.fraud import find_clones, find_forks
from tests.integration.client_sdk.contract_server import PASSWORD, ContractServer, serving
from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def server(clock: SetClock) -> Iterator[ContractServer]:
    state = ContractServer(clock)
    with serving(state):
        yield state


class Phone:
    """A wallet file with its witness, and a copy of the file from before the last payment."""

    def __init__(self, folder: Path, clock: SetClock, server: ContractServer) -> None:
        self.path = folder / "wallet.db"
        self.witnesses = folder / "state"
        self.clock = clock
        self.server = server
        self.copy = b""
        self.signed: list[Any] = []

    @property
    def keys(self) -> QuickKeys:
        entropy = SeededEntropy(os.urandom(16))
        return quick_keys("pw", entropy=entropy, witness_folder=self.witnesses)

    async def open(self, hook: Hook | None = None) -> Wallet:
        make = Wallet.open if self.path.exists() else Wallet.create
        return await make(self.path, keys=self.keys, clock=self.clock, hook=hook, sleep=no_pause)

    async def enrol(self, wallet: Wallet) -> None:
        await wallet.enrol(server=self.server.url, username="amina", password=PASSWORD)

    async def remember(self, wallet: Wallet) -> None:
        """Keep what was signed up to now: the copy will have forgotten it."""
        key = wallet.book.signer.public_key
        self.signed += [(key, one) for one in await wallet.signed_transfers()]

    def put_back(self) -> None:
        self.path.write_bytes(self.copy)

    def check_honest(self) -> None:
        assert not find_forks(one for _, one in self.signed)
        assert not find_clones(self.signed)


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
async def shop(clock: SetClock, server: ContractServer) -> AsyncIterator[Wallet]:
    async with await new_wallet(server.issuer, "shop", 500, clock=clock) as wallet:
        yield wallet


@pytest.fixture
async def phone(
    tmp_path: Path, clock: SetClock, server: ContractServer, shop: Wallet
) -> AsyncIterator[Phone]:
    """Loaded with 1000, was paid 100, has asked for 50, is copied, and then pays 300 and 40."""
    made = Phone(tmp_path, clock, server)
    async with await made.open() as wallet:
        await made.enrol(wallet)
        await wallet.load(1000, "EUR")
        asked = await wallet.request_payment(100, "EUR")
        await wallet.receive(await shop.frame_of((await shop.pay(asked.frame)).id))
        await wallet.request_payment(50, "EUR")
        await wallet.pay((await shop.request_payment(7, "EUR")).frame)
    made.copy = made.path.read_bytes()
    async with await made.open() as wallet:
        for amount in (300, 40):
            sent = await wallet.pay((await shop.request_payment(amount, "EUR")).frame)
            got = await shop.receive(await wallet.frame_of(sent.id))
            assert got.answer is Answer.PAID
        await made.remember(wallet)
    yield made
    made.check_honest()


async def test_an_old_copy_signs_nothing(phone: Phone, shop: Wallet) -> None:
    phone.put_back()
    async with await phone.open() as wallet:
        assert wallet.restored
        request = (await shop.request_payment(300, "EUR")).frame
        (received,) = [one for one in await wallet.history() if one.amount == 100]
        (open_request,) = [one for one in await wallet.history() if one.amount == 50]
        late = await shop.pay(await wallet.request_frame(open_request.id))
        for attempt in (
            wallet.pay(request),
            wallet.request_payment(5, "EUR"),
            wallet.return_payment(received.id),
            wallet.receive(await shop.frame_of(late.id)),
            wallet.unload("EUR"),
        ):
            with pytest.raises(errors.WalletRestored) as refusal:
                await attempt
            assert "tallystick wallet enrol" in str(refusal.value.fix)
        await phone.remember(wallet)


async def test_an_old_copy_can_be_looked_at(phone: Phone) -> None:
    phone.put_back()
    async with await phone.open() as wallet:
        (balance,) = await wallet.balance()
        assert (balance.spendable, balance.unconfirmed) == (0, 7)
        assert balance.returning == 1000 + 100 - 7
        paid = next(one for one in await wallet.history() if one.role is Role.PAY)
        assert await wallet.frame_of(paid.id), "what was signed before may be shown again"
        (request,) = [one for one in await wallet.history() if one.amount == 50]
        assert await wallet.request_frame(request.id)


async def test_an_old_copy_hands_in_what_it_has_and_claims_nothing(phone: Phone) -> None:
    phone.put_back()
    before = set(phone.server.records)
    async with await phone.open() as wallet:
        report = await wallet.sync()
        assert report.uploaded > 0
        assert set(phone.server.records.values()) <= {"transfer", "receipt"}
        assert set(phone.server.records) > before
        assert not [one for one in await wallet.history() if one.role is Role.CLAIM]
        assert wallet.restored


async def test_enrolling_gives_a_new_key_and_paying_goes_on(phone: Phone, shop: Wallet) -> None:
    phone.put_back()
    async with await phone.open() as wallet:
        old_key = wallet.key_id
        await phone.enrol(wallet)
        assert not wallet.restored
        assert wallet.key_id != old_key
        (balance,) = await wallet.balance()
        assert (balance.spendable, balance.returning) == (0, 1000 + 100 - 7)
        with pytest.raises(errors.InsufficientFunds):
            await wallet.pay((await shop.request_payment(300, "EUR")).frame)
        await wallet.load(200, "EUR")
        sent = await wallet.pay((await shop.request_payment(150, "EUR")).frame)
        assert (await shop.receive(await wallet.frame_of(sent.id))).answer is Answer.PAID
        new = [one for one in await wallet.signed_transfers() if one.body.amount == 150]
        assert [one.body.sequence for one in new] == [1], "numbers count for each key"
        phone.signed += [(wallet.book.signer.public_key, one) for one in new]
    async with await phone.open() as wallet:
        assert not wallet.restored
        assert (await wallet.balance())[0].spendable == 50


async def test_what_the_old_key_was_asked_or_paid_is_not_answered_with_the_new_one(
    phone: Phone, shop: Wallet
) -> None:
    phone.put_back()
    async with await phone.open() as wallet:
        await phone.enrol(wallet)
        (open_request,) = [one for one in await wallet.history() if one.amount == 50]
        late = await shop.pay(await wallet.request_frame(open_request.id))
        with pytest.raises(errors.ExchangeStateError) as refusal:
            await wallet.receive(await shop.frame_of(late.id))
        assert refusal.value.code == "key_retired"
        (received,) = [one for one in await wallet.history() if one.amount == 100]
        with pytest.raises(errors.ExchangeStateError):
            await wallet.return_payment(received.id)


async def test_a_return_to_the_old_key_is_not_spendable_with_the_new_one(
    phone: Phone, shop: Wallet
) -> None:
    async with await phone.open() as wallet:
        paid = next(one for one in await wallet.history() if one.amount == 7)
        got = await shop.receive(await wallet.frame_of(paid.id))
        assert got.exchange is not None
    phone.put_back()
    async with await phone.open() as wallet:
        await wallet.frame_of(paid.id)
        await phone.enrol(wallet)
        back = await shop.return_payment(got.exchange.id)
        assert back.frame is not None
        await wallet.receive(back.frame)
        assert (await wallet.exchange(paid.id)).state is State.RETURNED
        (balance,) = await wallet.balance()
        assert (balance.spendable, balance.returning) == (0, 1000 + 100)


async def test_what_was_reserved_and_not_signed_waits_for_the_server(
    tmp_path: Path, clock: SetClock, server: ContractServer, shop: Wallet
) -> None:
    """A copy made between reservation and signature, put back later, signs nothing either."""
    phone = Phone(tmp_path, clock, server)
    async with await phone.open() as wallet:
        await phone.enrol(wallet)
        await wallet.load(100, "EUR")
    wallet = await phone.open(CrashAt(1))
    asked = await shop.request_payment(30, "EUR")
    with pytest.raises(Crash):
        await wallet.pay(asked.frame)
    wallet.book.store.close()
    phone.copy = phone.path.read_bytes()
    async with await phone.open() as wallet:
        await wallet.pay((await shop.request_payment(20, "EUR")).frame)
        await phone.remember(wallet)
    phone.put_back()
    async with await phone.open() as wallet:
        (locked,) = [one for one in await wallet.history() if one.role is Role.PAY]
        assert locked.state is State.LOCKED
        assert await wallet.unconfirmed() == []
        with pytest.raises(errors.ExchangeStateError, match="never signed here"):
            await wallet.frame_of(locked.id)
        (voucher,) = wallet.book.exchange(locked.id).vouchers
        await wallet.sync()
        server.tell("voucher_closed", voucher_id=to_text(voucher))
        await wallet.sync()
        assert (await wallet.exchange(locked.id)).state is State.SETTLED
        assert await wallet.balance() == []
    phone.check_honest()


async def test_what_returns_is_shown_until_the_claim_by_date(phone: Phone) -> None:
    phone.put_back()
    async with await phone.open() as wallet:
        await phone.enrol(wallet)
        phone.clock.advance(43 * DAY_SECONDS)
        assert (await wallet.balance())[0].returning > 0
        phone.clock.advance(3 * DAY_SECONDS)
        assert (await wallet.balance())[0].returning == 0


async def test_a_failed_enrolment_can_be_repeated(phone: Phone) -> None:
    phone.put_back()
    async with await phone.open() as wallet:
        with pytest.raises(errors.ServerRefused):
            await wallet.enrol(server=phone.server.url, username="amina", password="wrong")
        with pytest.raises(errors.NotEnrolled):
            await wallet.request_payment(5, "EUR")
        await phone.enrol(wallet)
        assert (await wallet.request_payment(5, "EUR")).frame


async def test_the_file_moved_to_another_machine_is_an_old_copy_there(
    phone: Phone, tmp_path: Path, shop: Wallet
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(phone.path, elsewhere / "wallet.db")
    other = Phone(elsewhere, phone.clock, phone.server)
    async with await other.open() as moved:
        assert moved.restored
    async with await phone.open() as wallet:
        assert not wallet.restored
        await wallet.pay((await shop.request_payment(10, "EUR")).frame)
        await phone.remember(wallet)


def test_the_command_line_says_what_has_happened_and_what_to_do(tmp_path: Path) -> None:
    issuer = issuer_of_today()
    amina = make_device(issuer, tmp_path, "amina", 6000)
    shop = make_device(issuer, tmp_path, "shop")
    amina.run("balance")  # the first opening makes the witness
    copy = amina.path.read_bytes()
    amina.run("pay", shop.run("request", "25.00", "EUR")["text"], "--yes")
    amina.path.write_bytes(copy)
    again = shop.run("request", "10.00", "EUR")["text"]
    refused = amina.run("pay", again, "--yes", code=1)["error"]
    assert refused["code"] == "wallet_restored"
    assert "enrol" in refused["fix"]
    assert amina.run("show")["restored"] is True
    assert amina.run("balance")["offline"][0]["returning"] == 6000
    said = spoken(amina, "balance")
    assert "older copy" in said
    assert "`tallystick wallet enrol`" in said
    assert "of an earlier key, comes to your account after its date: 60.00 EUR" in said


def spoken(device: Device, *words: str) -> str:
    """What a command says to a person, on both outputs."""
    process = device.start(*words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out + err
