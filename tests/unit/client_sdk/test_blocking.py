"""The blocking twin."""

import inspect
from pathlib import Path

import pytest

from client_sdk import BlockingWallet, Wallet
from client_sdk.ambient import SystemClock
from client_sdk.errors import WalletLocked, WalletMissing, WrongPassphrase
from client_sdk.testing import Issuer, SeededEntropy, quick_keys

KEYS = quick_keys("pw", entropy=SeededEntropy("blocking"))


def test_it_has_the_same_names_and_arguments() -> None:
    names = [
        name
        for name, member in inspect.getmembers(Wallet)
        if not name.startswith("_") and callable(member)
    ]
    for name in names:
        twin = getattr(BlockingWallet, name)
        expected = inspect.signature(getattr(Wallet, name)).parameters.keys() - {"sleep"}
        assert inspect.signature(twin).parameters.keys() == expected, name


def test_a_payment_without_an_event_loop(tmp_path: Path) -> None:
    issuer = Issuer(now=SystemClock().now())
    with (
        BlockingWallet.create(tmp_path / "a.db", keys=KEYS) as payer,
        BlockingWallet.create(tmp_path / "b.db", keys=KEYS) as payee,
    ):
        issuer.equip(payer.wallet, 500, now=SystemClock().now())
        issuer.equip(payee.wallet, now=SystemClock().now())
        asked = payee.request_payment(120, "EUR")
        got = payee.receive(payer.frame_of(payer.pay(asked.frame).id))
        assert got.frame is not None
        payer.receive(got.frame)
        assert [one.spendable for one in payer.balance()] == [380]
        assert payer.scale("JPY") == 0
        assert payer.key_id != payee.key_id
        with pytest.raises(WalletLocked):
            BlockingWallet.open(tmp_path / "a.db", keys=KEYS)
    with BlockingWallet.open(tmp_path / "a.db", keys=KEYS) as again:
        assert again.history()[0].words == "paid, confirmed by the payee"


def test_errors_are_the_same(tmp_path: Path) -> None:
    with pytest.raises(WalletMissing):
        BlockingWallet.open(tmp_path / "none.db", keys=KEYS)
    BlockingWallet.create(tmp_path / "a.db", keys=KEYS).close()
    with pytest.raises(WrongPassphrase):
        BlockingWallet.open(tmp_path / "a.db", passphrase="other")
    with pytest.raises(ValueError, match="either a passphrase or a key provider"):
        BlockingWallet.create(tmp_path / "c.db")
