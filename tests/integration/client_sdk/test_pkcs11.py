"""A wallet whose keys live in a PKCS#11 token, on SoftHSM."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client_sdk.ambient import system_entropy
from client_sdk.core import State
from client_sdk.errors import StoreCorrupt, WalletRestored
from client_sdk.keys.errors import KeyGone, TokenFailed, TokenMissing, WrongPin
from client_sdk.keys.pkcs11 import ID_BYTES, TokenKeys
from client_sdk.store.witness import Mark
from client_sdk.testing import Issuer, SeededEntropy, SetClock, new_wallet
from client_sdk.wallet import Wallet
from offline_protocol.algorithms import Algorithm
from sim.demo.people import SHOP, SHOPPER, register
from sim.demo.processes import ServerProcess
from tests.integration.client_sdk.tokens import CONFIGURATION, PIN, Drawer, make_drawer

ALGORITHMS = [Algorithm.ED25519, Algorithm.ESP256]
both = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda each: each.name)


@pytest.fixture(scope="module")
def cabinet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawer]:
    before = os.environ.get(CONFIGURATION)
    yield make_drawer(tmp_path_factory.mktemp("softhsm"), 30)
    os.environ.pop(CONFIGURATION)
    if before is not None:
        os.environ[CONFIGURATION] = before


@pytest.fixture
def drawer(cabinet: Drawer) -> Iterator[Drawer]:
    yield cabinet
    cabinet.close()


@pytest.fixture
def token(drawer: Drawer) -> str:
    """Name of a token that no other test has used."""
    return drawer.new_token()


@pytest.fixture
def keys(drawer: Drawer, token: str) -> TokenKeys:
    return drawer.keys(token)


def attributes(keys: TokenKeys, key_id: bytes, *names: str) -> list[tuple[Any, ...]]:
    """What the token says about its objects with this id."""
    api = keys._api
    numbers = [getattr(api, f"CKA_{name}") for name in names]
    return keys._token.use(
        lambda session: [
            tuple(session.getAttributeValue(found, numbers))
            for found in session.findObjects([(api.CKA_ID, key_id)])
            if session.getAttributeValue(found, [api.CKA_CLASS])[0] != api.CKO_PUBLIC_KEY
        ]
    )


@both
def test_a_key_of_a_token_signs_like_any_other(
    drawer: Drawer, token: str, algorithm: Algorithm
) -> None:
    keys = drawer.keys(token, algorithm=algorithm)
    handle = keys.make_device_key()
    signer = keys.signer(handle)
    assert signer.public_key.algorithm is algorithm
    for message in (b"x", bytes(5_000)):
        signer.public_key.verify(message, signer.sign(message))
    other = keys.signer(keys.make_device_key())
    assert other.public_key != signer.public_key
    assert drawer.keys(token).signer(handle).public_key == signer.public_key


@both
def test_no_key_can_be_read_out_of_the_token(
    drawer: Drawer, token: str, algorithm: Algorithm
) -> None:
    keys = drawer.keys(token, algorithm=algorithm)
    wrapped = keys.wrap(bytes(range(32)))
    for name in (keys.make_device_key(), wrapped):
        found = attributes(
            keys, name[:ID_BYTES], "SENSITIVE", "EXTRACTABLE", "NEVER_EXTRACTABLE", "LOCAL", "VALUE"
        )
        assert found == [(True, False, True, True, None)]
    assert bytes(range(32)) not in wrapped


def test_the_file_key_comes_back_from_its_token_only(
    drawer: Drawer, token: str, keys: TokenKeys
) -> None:
    file_key = system_entropy(32)
    wrapped = keys.wrap(file_key)
    assert drawer.keys(token).unwrap(wrapped) == file_key
    with pytest.raises(KeyGone):
        drawer.keys(drawer.new_token()).unwrap(wrapped)
    assert wrapped != keys.wrap(file_key)


def test_any_changed_byte_of_the_wrapped_key_is_noticed(keys: TokenKeys) -> None:
    wrapped = keys.wrap(bytes(32))
    for at in range(len(wrapped)):
        changed = wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
        with pytest.raises((StoreCorrupt, KeyGone)):
            keys.unwrap(changed)
    for cut in (0, 10, ID_BYTES, 28, 40):
        with pytest.raises((StoreCorrupt, KeyGone)):
            keys.unwrap(wrapped[:cut])
    assert keys.unwrap(wrapped) == bytes(32)


async def test_a_wallet_pays_and_is_paid_with_keys_in_tokens(
    drawer: Drawer, token: str, tmp_path: Path
) -> None:
    issuer, clock = Issuer(), SetClock()
    here, there = drawer.keys(token), drawer.keys(drawer.new_token())
    shopper = await Wallet.create(tmp_path / "shopper.db", keys=here, clock=clock)
    shop = await Wallet.create(tmp_path / "shop.db", keys=there, clock=clock)
    issuer.equip(shopper, 6000, name="shopper")
    issuer.equip(shop, name="shop")

    asked = await shop.request_payment(2500, "EUR")
    payment = await shopper.pay(asked.frame)
    got = await shop.receive(await shopper.frame_of(payment.id))
    assert got.answer == "paid"
    assert got.frame is not None
    done = await shopper.receive(got.frame)
    assert done.exchange is not None
    assert done.exchange.state is State.ACKED

    await shopper.close()
    here.close()
    again = await Wallet.open(tmp_path / "shopper.db", keys=drawer.keys(token), clock=clock)
    assert (await again.balance())[0].spendable == 3500
    back = await again.request_payment(700, "EUR")
    spent_on = await shop.pay(back.frame)  # value received a moment ago, signed by the other token
    arrived = await again.receive(await shop.frame_of(spent_on.id))
    assert arrived.answer == "paid"
    await again.close()
    await shop.close()


@both
async def test_keys_of_both_kinds_and_places_make_one_chain(
    drawer: Drawer, token: str, algorithm: Algorithm
) -> None:
    issuer, clock = Issuer(), SetClock()
    middle = await Wallet.create(None, keys=drawer.keys(token, algorithm=algorithm), clock=clock)
    issuer.equip(middle, name="middle")
    first = await new_wallet(issuer, "first", 900, clock=clock)
    last = await new_wallet(issuer, "last", clock=clock)
    for payer, payee in ((first, middle), (middle, last), (last, first)):
        asked = await payee.request_payment(900, "EUR")
        payment = await payer.pay(asked.frame)
        got = await payee.receive(await payer.frame_of(payment.id))
        assert got.answer == "paid"
    assert [one.spendable for one in await first.balance()] == [900]


async def test_a_wrong_pin_opens_nothing_and_is_tried_once(
    drawer: Drawer, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.db"
    keys = drawer.keys(token)
    await (await Wallet.create(path, keys=keys)).close()
    keys.close()

    wrong = drawer.keys(token, pin="111111")
    tried = count_logins(wrong)
    for _ in range(3):
        with pytest.raises(WrongPin) as caught:
            await Wallet.open(path, keys=wrong)
        assert caught.value.fix is not None
    assert tried == ["111111"], "a token locks itself after a few wrong PINs"
    await (await Wallet.open(path, keys=drawer.keys(token))).close()


def count_logins(keys: TokenKeys) -> list[str]:
    """PINs that really reach the token from now on."""
    library, reached = keys._token._library, []
    opened = library.openSession

    def noting(*arguments: Any) -> Any:
        session = opened(*arguments)
        log_in = session.login

        def login(pin: str) -> None:
            reached.append(pin)
            log_in(pin)

        session.login = login
        return session

    library.openSession = noting
    return reached


def test_a_pin_may_be_asked_for_and_corrected(drawer: Drawer, token: str) -> None:
    answers = iter(["000000", PIN])
    keys = TokenKeys(drawer.module, token=token, pin=lambda: next(answers))
    with pytest.raises(WrongPin):
        keys.make_device_key()
    with keys:
        keys.signer(keys.make_device_key()).sign(b"the right one came second")


async def test_without_its_token_the_file_says_nothing(
    drawer: Drawer, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.db"
    async with await Wallet.create(path, keys=drawer.keys(token)) as wallet:
        Issuer().equip(wallet, 500, name="somebody with a name")
    drawer.close()
    assert b"somebody with a name" not in path.read_bytes()
    with drawer.pulled_out(), pytest.raises(TokenMissing) as caught:
        await Wallet.open(path, keys=drawer.keys(token))
    assert caught.value.retryable
    await (await Wallet.open(path, keys=drawer.keys(token))).close()


async def test_a_token_pulled_out_stops_a_payment_and_loses_nothing(
    drawer: Drawer, token: str
) -> None:
    issuer, clock = Issuer(), SetClock()
    wallet = await Wallet.create(None, keys=drawer.keys(token), clock=clock)
    issuer.equip(wallet, 900, name="shopper")
    shop = await new_wallet(issuer, "shop", clock=clock)
    asked = await shop.request_payment(400, "EUR")
    with drawer.pulled_out(), pytest.raises(TokenMissing):
        await wallet.pay(asked.frame)
    (stopped,) = await wallet.history()
    assert stopped.words == "ready, not sent"
    assert (await wallet.balance())[0].spendable == 500

    payment = await wallet.pay(asked.frame)
    assert payment.id == stopped.id
    got = await shop.receive(await wallet.frame_of(payment.id))
    assert got.answer == "paid"
    assert len(await wallet.signed_transfers()) == 1


async def test_a_payee_whose_token_is_out_keeps_the_payment_and_answers_later(
    drawer: Drawer, token: str
) -> None:
    issuer, clock = Issuer(), SetClock()
    shop = await Wallet.create(None, keys=drawer.keys(token), clock=clock)
    issuer.equip(shop, name="shop")
    shopper = await new_wallet(issuer, "shopper", 900, clock=clock)
    asked = await shop.request_payment(400, "EUR")
    payment = await shopper.pay(asked.frame)
    frame = await shopper.frame_of(payment.id)
    with drawer.pulled_out(), pytest.raises(TokenMissing):
        await shop.receive(frame)
    assert (await shop.balance())[0].spendable == 400
    got = await shop.receive(frame)
    assert got.frame is not None
    receipt = await shopper.receive(got.frame)
    assert receipt.exchange is not None
    assert receipt.exchange.state is State.ACKED
    assert (await shop.balance())[0].spendable == 400


def test_a_lost_session_is_opened_again(keys: TokenKeys) -> None:
    signer = keys.signer(keys.make_device_key())
    signer.sign(b"before")
    keys._token._library.closeAllSessions(keys._token._slot())
    signer.sign(b"after")


async def test_a_deleted_key_is_named_and_the_wallet_can_still_be_looked_at(
    drawer: Drawer, token: str, tmp_path: Path
) -> None:
    issuer, clock = Issuer(), SetClock()
    keys = drawer.keys(token)
    async with await Wallet.create(tmp_path / "w.db", keys=keys, clock=clock) as wallet:
        issuer.equip(wallet, 900, name="shopper")
        handle = wallet.book.store.get("single", b"device_key")
    assert isinstance(handle, bytes)
    keys.delete_device_key(handle)
    keys.delete_device_key(handle)
    assert attributes(keys, handle[:ID_BYTES], "CLASS") == []

    shop = await new_wallet(issuer, "shop", clock=clock)
    asked = await shop.request_payment(400, "EUR")
    async with await Wallet.open(tmp_path / "w.db", keys=keys, clock=clock) as wallet:
        assert (await wallet.balance())[0].spendable == 900
        with pytest.raises(KeyGone) as caught:
            await wallet.request_payment(100, "EUR")
        assert "enrol a new wallet" in str(caught.value.fix)
        with pytest.raises(KeyGone):
            await wallet.pay(asked.frame)


async def test_a_new_key_of_the_wallet_ends_the_old_one(drawer: Drawer, token: str) -> None:
    keys = drawer.keys(token)
    wallet = await Wallet.create(None, keys=keys, clock=SetClock())
    old = wallet.book.signer
    old.sign(b"before")
    wallet.book.renew_key()
    wallet.book.signer.sign(b"after")
    with pytest.raises(KeyGone):
        old.sign(b"after")
    with drawer.pulled_out(), pytest.raises(TokenMissing):
        wallet.book.renew_key()
    wallet.book.signer.sign(b"still")


def test_deleting_one_key_leaves_the_others(keys: TokenKeys) -> None:
    wrapped, stays, goes = keys.wrap(bytes(32)), keys.make_device_key(), keys.make_device_key()
    keys.delete_device_key(goes)
    with pytest.raises(KeyGone):
        keys.signer(goes).sign(b"x")
    keys.signer(stays).sign(b"x")
    assert keys.unwrap(wrapped) == bytes(32)


def test_a_wrong_signature_of_the_hardware_goes_nowhere(keys: TokenKeys) -> None:
    one, two = keys.make_device_key(), keys.make_device_key()
    confused = keys.signer(one[:ID_BYTES] + two[ID_BYTES:])
    with pytest.raises(TokenFailed, match="does not verify"):
        confused.sign(b"signed by one, shown as two")


def test_a_token_remembers_how_far_a_wallet_has_come(drawer: Drawer, token: str) -> None:
    keys = drawer.keys(token)
    one, other = keys.witness(b"1" * 16), keys.witness(b"2" * 16)
    first, second = Mark(0, b"a" * 16), Mark(1, b"b" * 16)
    assert one.read() is None
    assert not one.advance(first, second), "another mark stands there, or none"
    assert one.advance(None, first)
    assert not one.advance(None, second)
    assert one.advance(first, second)
    assert one.advance(first, second), "done already, by this very step"
    assert one.read() == drawer.keys(token).witness(b"1" * 16).read() == second
    assert other.read() is None


def test_of_two_marks_that_an_interruption_left_the_newer_counts(keys: TokenKeys) -> None:
    witness, api = keys.witness(b"1" * 16), keys._api
    old, new = Mark(8, b"a" * 16), Mark(9, b"b" * 16)
    assert witness.advance(None, new)
    value = (8).to_bytes(8, "big") + old.token
    keys._token.use(lambda s: s.createObject([*witness._template, (api.CKA_VALUE, value)]))
    assert witness.read() == new
    assert witness.advance(new, Mark(10, b"c" * 16))
    found = keys._token.use(lambda session: session.findObjects(witness._template))
    assert len(found) == 1


async def test_an_old_copy_of_the_file_is_noticed_by_the_token(
    drawer: Drawer, token: str, tmp_path: Path
) -> None:
    issuer, clock, path = Issuer(), SetClock(), tmp_path / "w.db"
    shop = await new_wallet(issuer, "shop", clock=clock)
    keys = drawer.keys(token)
    async with await Wallet.create(path, keys=keys, clock=clock) as wallet:
        issuer.equip(wallet, 900, name="shopper")
    copy = path.read_bytes()
    async with await Wallet.open(path, keys=keys, clock=clock) as wallet:
        await wallet.pay((await shop.request_payment(400, "EUR")).frame)
    path.write_bytes(copy)
    async with await Wallet.open(path, keys=keys, clock=clock) as restored:
        asked = await shop.request_payment(500, "EUR")
        with pytest.raises(WalletRestored):
            await restored.pay(asked.frame)
        assert await restored.signed_transfers() == []


def test_a_serial_number_tells_tokens_apart(drawer: Drawer, token: str) -> None:
    with pytest.raises(TokenMissing, match="no such token"):
        drawer.keys("no such token").make_device_key()
    other = TokenKeys(drawer.module, token=token, pin=PIN, serial="0000000000000000")
    with pytest.raises(TokenMissing):
        other.make_device_key()
    keys = drawer.keys(token)
    library = keys._token._library
    serial = library.getTokenInfo(keys._token._slot()).serialNumber.strip(" \0")
    with TokenKeys(drawer.module, token=token, pin=PIN, serial=serial) as named:
        named.signer(named.make_device_key()).sign(b"x")


def test_a_library_that_is_none_is_named(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.so"
    with pytest.raises(TokenMissing, match=r"nothing\.so cannot be loaded"):
        TokenKeys(nothing, token="x", pin=PIN)
    nothing.write_bytes(b"no library")
    with pytest.raises(TokenMissing):
        TokenKeys(nothing, token="x", pin=PIN)


def test_without_pykcs11_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["PyKCS11"] = None
from client_sdk.errors import MissingExtra
from client_sdk.keys.pkcs11 import TokenKeys
try:
    TokenKeys("x.so", token="t", pin="1")
except MissingExtra as error:
    print(error.fix)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "pip install 'tallystick[pkcs11]'"


def test_names_and_nonces_are_drawn_from_the_given_entropy(drawer: Drawer, token: str) -> None:
    def handle(seed: str) -> bytes:
        keys = TokenKeys(drawer.module, token=token, pin=PIN, entropy=SeededEntropy(seed))
        with keys:
            return keys.make_device_key()

    one, two = handle("a"), handle("b")
    assert one[:ID_BYTES] == SeededEntropy("a")(ID_BYTES)
    assert one[:ID_BYTES] != two[:ID_BYTES]


@pytest.mark.slow
async def test_a_day_with_keys_in_tokens_of_both_kinds(drawer: Drawer, tmp_path: Path) -> None:
    """Enrolled at a real server, paid with no network, and settled."""
    server = ServerProcess(tmp_path)
    server.start()
    try:
        wallets = []
        for person, algorithm in ((SHOPPER, Algorithm.ED25519), (SHOP, Algorithm.ESP256)):
            register(person, server.url, server.data_dir / "spool")
            keys = drawer.keys(drawer.new_token(), algorithm=algorithm)
            wallet = await Wallet.create(tmp_path / f"{person.username}.db", keys=keys)
            await wallet.enrol(
                server=server.url, username=person.username, password=person.password
            )
            assert wallet.book.signer.public_key.algorithm is algorithm
            wallets.append(wallet)
        shopper, shop = wallets
        await shopper.top_up(6000, "EUR", "sandbox-ok")
        await shopper.load(6000, "EUR")
        for payer, payee, amount in ((shopper, shop, 2500), (shop, shopper, 700)):
            asked = await payee.request_payment(amount, "EUR")
            payment = await payer.pay(asked.frame)
            got = await payee.receive(await payer.frame_of(payment.id))
            assert got.answer == "paid"
        for wallet in (shop, shopper, shop):
            await wallet.sync()
        assert [one.available for one in await shop.account()] == [2500 - 700]
        assert [one.available for one in await shopper.account()] == [700]
        for wallet in wallets:
            await wallet.close()
    finally:
        server.stop()
