"""Wallets against the real server: every request and every voucher has a key of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from client_sdk.testing import SeededEntropy, quick_keys
from client_sdk.wallet import Wallet
from offline_protocol import FrameKind, Payment, PaymentRequest, PublicKey, unpack, unseal
from tests.conftest import Database
from tests.factories.identity import PASSWORD
from tests.kill.real_server import TENANT, URL, RealServer, SharedClock, Wire, real_server

DAY = 86_400


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[RealServer]:
    with real_server(database.url, tmp_path) as server:
        yield server


async def _wallet(server: RealServer, folder: Path, name: str, clock: SharedClock) -> Wallet:
    customer = server.register(name)
    entropy = SeededEntropy(name)
    wallet = await Wallet.create(
        folder / f"{name}.db",
        keys=quick_keys(entropy=entropy),
        clock=clock,
        entropy=entropy,
        http=Wire(server),
    )
    await wallet.enrol(server=URL, username=customer.username, password=PASSWORD)
    return wallet


def _payee(frame: bytes) -> PublicKey:
    return unseal(PaymentRequest, unpack(frame)[1]).body.payee


async def test_no_payee_sees_a_key_that_another_one_saw(server: RealServer, tmp_path: Path) -> None:
    clock = SharedClock(server.clock)
    ada = await _wallet(server, tmp_path, "ada", clock)
    bob = await _wallet(server, tmp_path, "bob", clock)
    await ada.top_up(60_000, "EUR", "sandbox-ok")
    await ada.load(60_000, "EUR")

    seen: set[PublicKey] = set()
    for _ in range(3):
        asked = await bob.request_payment(500, "EUR")
        paid = await ada.pay(asked.frame)
        kind, body = unpack(await ada.frame_of(paid.id))
        assert kind is FrameKind.PAYMENT
        await bob.receive(await ada.frame_of(paid.id))
        payer = {chain.voucher.body.holder for chain in Payment.decode(body).chains}
        payee = _payee(asked.frame)
        assert payee not in seen
        seen |= {payee}
        assert ada.book.signer.public_key not in payer
        assert bob.book.signer.public_key != payee

    # What came to three keys is spent on together, and all of it settles.
    onward = await ada.request_payment(1_200, "EUR")
    sent = await bob.pay(onward.frame)
    await ada.receive(await bob.frame_of(sent.id))
    await bob.unload("EUR")
    await ada.unload("EUR")
    await bob.sync()
    report = server.report()
    assert report.adds_up, report
    balances = {name: (await who.account())[0] for name, who in (("ada", ada), ("bob", bob))}
    assert balances["ada"].available + balances["ada"].held == 60_000 - 1_500 + 1_200
    assert balances["bob"].available + balances["bob"].held == 300
    assert TENANT == 1
    await ada.close()
    await bob.close()


async def test_the_pool_is_filled_again_and_a_reopened_wallet_knows_its_keys(
    server: RealServer, tmp_path: Path
) -> None:
    clock = SharedClock(server.clock)
    ada = await _wallet(server, tmp_path, "ada", clock)
    unused = ada.book.keyring.unused(ada.book.now())
    assert len(unused) == 16
    payees = {_payee((await ada.request_payment(1, "EUR")).frame) for _ in range(14)}
    assert len(payees) == 14
    await ada.sync()
    assert len(ada.book.keyring.unused(ada.book.now())) >= 16
    await ada.close()
    again = await Wallet.open(
        tmp_path / "ada.db",
        keys=quick_keys(entropy=SeededEntropy("again")),
        clock=clock,
        http=Wire(server),
    )
    assert all(again.book.owns(key) for key in payees)
    assert _payee((await again.request_payment(1, "EUR")).frame) not in payees
    clock.advance(15 * DAY)
    await again.sync()
    assert again.book.keyring.unused(again.book.now())
    await again.close()
