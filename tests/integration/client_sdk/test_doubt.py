"""What the command line says about a payment without an answer: what it means and what to do."""

import re
from pathlib import Path

import pytest

from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device

DOUBT = "12.50 EUR were sent and no answer has come back."
LOCKED = "waiting alone never frees them"
RESUME = "`tallystick wallet pay --resume`"


@pytest.fixture
def amina(tmp_path: Path) -> Device:
    return make_device(issuer_of_today(), tmp_path, "amina", 6000)


@pytest.fixture
def shop(tmp_path: Path) -> Device:
    return make_device(issuer_of_today(), tmp_path, "shop")


def said(device: Device, *words: str) -> str:
    process = device.start(*words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out + err


def test_a_payment_without_an_answer_is_explained_until_the_answer_comes(
    amina: Device, shop: Device
) -> None:
    request = shop.run("request", "12.50", "EUR")
    paid = amina.run("pay", request["text"], "--yes")
    for words in (("history",), ("show", paid["exchange"]["id"][:16])):
        told = said(amina, *words)
        assert DOUBT in told
        assert LOCKED in told
        assert RESUME in told
        assert "never pays twice" in told
        assert "sync while online" in told
        assert re.search(r"the issuer decides on 20\d\d-\d\d-\d\d; nothing is lost", told)
    told = said(amina, "balance")
    assert "sent, not confirmed: 12.50 EUR" in told
    assert "stays locked until there is an answer" in told
    assert f"tallystick wallet show {paid['exchange']['id'][:16]}" in told
    got = shop.run("receive", paid["text"])
    amina.run("receive", got["text"])
    for words in (("history",), ("balance",), ("show", paid["exchange"]["id"][:16])):
        told = said(amina, *words)
        assert "no answer" not in told
        assert "locked" not in told


def test_requests_and_received_payments_are_not_in_doubt(amina: Device, shop: Device) -> None:
    paid = amina.run("pay", shop.run("request", "3.00", "EUR")["text"], "--yes")
    shop.run("receive", paid["text"])
    shop.run("request", "4.00", "EUR")
    assert "locked" not in said(shop, "history")
