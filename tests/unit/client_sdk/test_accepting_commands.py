"""Rules and warnings at the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root
from client_sdk.flows.trusting import learn_revocation
from client_sdk.testing import Issuer
from client_sdk.wallet import Wallet
from tests.integration.client_sdk.devices import (
    PASSPHRASE,
    Device,
    issuer_of_today,
    make_device,
)


def call(device: Device, *words: str, stdin: str | None = None) -> Result:
    environment = {"TALLYSTICK_WALLET": str(device.path), "TALLYSTICK_PASSPHRASE": PASSPHRASE}
    return CliRunner().invoke(root, ["wallet", *words], input=stdin, env=environment)


def ask(device: Device, *words: str, code: int = 0) -> dict[str, Any]:
    done = call(device, *words, "--json")
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def issuer() -> Issuer:
    return issuer_of_today()


@pytest.fixture
def shop(issuer: Issuer, tmp_path: Path) -> Device:
    return make_device(issuer, tmp_path, "shop")


@pytest.fixture
def amina(issuer: Issuer, tmp_path: Path) -> Device:
    return make_device(issuer, tmp_path, "amina", 6000)


def paid(payer: Device, payee: Device, amount: str) -> str:
    asked = ask(payee, "request", amount, "EUR")["text"]
    text: str = ask(payer, "pay", asked, "--yes", "--show-only")["text"]
    return text


def test_rules_are_added_shown_and_removed(shop: Device) -> None:
    assert "every genuine payment is taken" in call(shop, "rules", "show").output
    call(shop, "rules", "add", "warn", "--amount-over", "20.00", "EUR", "--list-days-over", "2")
    call(shop, "rules", "add", "refuse", "--hops-over", "3")
    shown = call(shop, "rules", "show").output
    assert "1  warn when the amount is over 20.00 EUR and your own list" in shown
    assert "2  refuse when the value changed hands more than 3 times" in shown
    listed = ask(shop, "rules", "show")["rules"]
    assert [(one["number"], one["action"], one["amount_over"]) for one in listed] == [
        (1, "warn", 2000),
        (2, "refuse", None),
    ]
    assert len(ask(shop, "rules", "remove", "1")["rules"]) == 1
    assert ask(shop, "rules", "remove", "7", code=1)["error"]["code"] == "invalid_rule"
    assert ask(shop, "rules", "add", "warn", code=1)["error"]["code"] == "invalid_rule"


@pytest.mark.parametrize(
    ("answer", "words"), [("y", "paid"), ("n", "returned"), (None, "returned")]
)
def test_a_person_is_asked_in_plain_words(
    shop: Device, amina: Device, answer: str | None, words: str
) -> None:
    call(shop, "rules", "add", "warn", "--amount-over", "20.00", "EUR")
    payment = paid(amina, shop, "25.00")
    done = call(shop, "receive", payment, stdin=answer and f"{answer}\n")
    assert done.exit_code == 0, done.output
    assert "This payment is genuine: 25.00 EUR, hands changed: 1" in done.output
    assert "your list of blocked devices: never" in done.output
    assert "Your own rules warn: the amount is over 20.00 EUR." in done.output
    assert f"25.00 EUR: {words}" in done.output


def test_programs_get_the_question_as_an_error_and_answer_by_an_option(
    shop: Device, amina: Device
) -> None:
    call(shop, "rules", "add", "warn", "--amount-over", "20.00", "EUR")
    payment = paid(amina, shop, "25.00")
    error = ask(shop, "receive", payment, code=1)["error"]
    assert error["code"] == "payment_needs_confirmation"
    assert "over 20.00 EUR" in error["detail"]
    assert ask(shop, "receive", payment, "--accept-warnings")["answer"] == "paid"


def test_what_the_rules_refuse_comes_back_to_the_payer(shop: Device, amina: Device) -> None:
    call(shop, "rules", "add", "refuse", "--amount-over", "20.00", "EUR")
    got = ask(shop, "receive", paid(amina, shop, "25.00"), "--accept-warnings")
    assert (got["answer"], got["exchange"]["refusal"]) == ("sent_back", "refused_by_payee_rules")
    assert ask(amina, "receive", got["text"])["exchange"]["words"] == "returned to you"
    assert ask(amina, "balance")["offline"][0]["spendable"] == 6000


def test_sharing_tags_can_be_turned_off(shop: Device) -> None:
    assert ask(shop, "rules", "share-tags", "no") == {"share_tags": False}
    assert "is told" in call(shop, "rules", "share-tags", "yes").output


def test_a_blocked_wallet_says_so_after_every_command(issuer: Issuer, shop: Device) -> None:
    async def block() -> None:
        wallet = await Wallet.open(shop.path, passphrase=PASSPHRASE)
        async with wallet:
            learn_revocation(wallet.book, issuer.revoke(wallet.key_id).envelope)

    asyncio.run(block())
    assert "the issuer has blocked this device" in call(shop, "balance").output
    assert ask(shop, "request", "1.00", "EUR", code=1)["error"]["code"] == "device_blocked"
    assert ask(shop, "balance") == {"offline": []}
