"""The command-line wallet on real files, and with a real server on the other side."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client_sdk.ambient import SystemClock
from client_sdk.api.encoding import to_text
from client_sdk.command import root
from client_sdk.testing import Issuer, SetClock
from client_sdk.wallet import Wallet
from offline_protocol import frames
from offline_protocol.chains import Payment
from offline_protocol.cose import seal
from offline_protocol.frames import FrameKind
from offline_protocol.fraud import build_fraud_proof
from tests.integration.client_sdk.contract_server import PASSWORD, ContractServer, serving
from tests.integration.client_sdk.devices import (
    PASSPHRASE,
    Device,
    issuer_of_today,
    make_device,
)


def call(device: Device, *words: str, stdin: str | None = None, **more: str) -> Result:
    environment = {"TALLYSTICK_WALLET": str(device.path), "TALLYSTICK_PASSPHRASE": PASSPHRASE}
    return CliRunner().invoke(root, ["wallet", *words], input=stdin, env=environment | more)


def ask(device: Device, *words: str, code: int = 0, **more: str) -> dict[str, Any]:
    done = call(device, *words, "--json", **more)
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


def test_a_payment_by_pictures(shop: Device, amina: Device, tmp_path: Path) -> None:
    request, payment, receipt = (str(tmp_path / f"{n}.png") for n in ("req", "pay", "rec"))
    asked = ask(shop, "request", "25.00", "EUR", "--memo", "bread", "--qr", request)
    assert asked["qr"] == [request]
    paid = ask(amina, "pay", "--qr", request, "--qr-out", payment, "--yes")
    assert paid["exchange"]["amount_text"] == "25.00 EUR"
    assert paid["exchange"]["words"] == "sent, not confirmed"
    got = ask(shop, "receive", "--qr", payment, "--qr-out", receipt)
    assert (got["kind"], got["answer"]) == ("payment", "paid")
    done = ask(amina, "receive", "--qr", receipt)
    assert done["exchange"]["words"] == "paid, confirmed by the payee"
    nothing = {"expired": 0, "unconfirmed": 0, "claimed": 0, "returning": 0}
    assert ask(amina, "balance")["offline"] == [{"currency": "EUR", "spendable": 3500, **nothing}]
    assert [one["memo"] for one in ask(amina, "history")["items"]] == ["bread"]


def test_a_person_at_two_terminals(shop: Device, amina: Device) -> None:
    asked = call(shop, "request", "12.50", "EUR", "--memo", "tea")
    assert "Asking for 12.50 EUR. Scan to pay:" in asked.output
    assert "█" in asked.output
    text = asked.output.splitlines()[-1]
    refused = call(amina, "pay", text, stdin="n\n")
    assert "Pay 12.50 EUR to shop for 'tea'? [y/N]" in refused.output
    assert refused.exit_code == 1
    assert ask(amina, "balance")["offline"][0]["spendable"] == 6000
    paid = call(amina, "pay", text, stdin="y\n")
    assert "12.50 EUR: sent, not confirmed. Let the payee scan this:" in paid.output
    reminded = call(amina, "balance")
    assert "On this device: 47.50 EUR" in reminded.output
    assert "12.50 EUR to shop: sent, not confirmed" in reminded.output
    assert "--resume" in reminded.output
    resumed = call(amina, "pay", "--resume")
    assert payment_text(resumed) == payment_text(paid)
    got = call(shop, "receive", payment_text(paid))
    assert "12.50 EUR: paid" in got.output
    done = call(amina, "receive", payment_text(got))
    assert "12.50 EUR: paid, confirmed by the payee" in done.output
    assert "Note:" not in call(amina, "balance").output


def payment_text(result: Result) -> str:
    return next(line for line in result.output.splitlines() if line.startswith("TALLY1:"))


def test_messages_come_on_standard_input_too(shop: Device, amina: Device) -> None:
    text = ask(shop, "request", "1.00", "EUR")["text"]
    for words in (("pay", "-", "--yes"), ("pay", "--yes")):
        assert call(amina, *words, stdin=text + "\n").exit_code == 0


def test_a_refund_and_a_refused_tap(shop: Device, amina: Device) -> None:
    text = ask(amina, "pay", ask(shop, "request", "10", "EUR")["text"], "--yes")["text"]
    got = ask(shop, "receive", text)
    back = ask(shop, "return", got["exchange"]["id"][:12])
    assert back["answer"] == "sent_back"
    taken = ask(amina, "receive", back["text"])
    assert taken["exchange"]["state"] == "returned"
    text = ask(amina, "pay", ask(shop, "request", "10", "EUR")["text"], "--yes")["text"]
    back = ask(shop, "receive", text, "--return")
    assert ask(amina, "receive", back["text"])["exchange"]["words"] == "returned to you"
    assert ask(amina, "balance")["offline"][0]["spendable"] == 6000


def test_show_gives_the_wallet_or_an_exchange_with_its_code(shop: Device, amina: Device) -> None:
    asked = ask(shop, "request", "10", "EUR")
    again = ask(shop, "show", asked["exchange"]["id"])
    assert again["text"] == asked["text"]
    assert ask(shop, "request", "--again", asked["exchange"]["id"][:8])["text"] == asked["text"]
    paid = ask(amina, "pay", asked["text"], "--yes")
    assert ask(amina, "show", paid["exchange"]["id"])["text"] == paid["text"]
    got = ask(shop, "receive", paid["text"])
    assert ask(shop, "show", asked["exchange"]["id"])["text"] == got["text"]
    shown = ask(amina, "show")
    assert len(shown["key_id"]) == 64
    assert "key id" in call(amina, "show").output


def test_a_request_needs_an_amount(shop: Device) -> None:
    refused = call(shop, "request")
    assert refused.exit_code == 2
    assert "Give an amount and a currency" in refused.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("request", "12,50", "EUR"), "invalid_amount"),
        (("request", "0.001", "EUR"), "invalid_amount"),
        (("request", "5", "E"), "invalid_amount"),
        (("pay", "hello", "--yes"), "malformed_frame"),
        (("receive", "TALLY1:%%%"), "malformed_frame"),
        (("return", "abcd"), "unknown_exchange"),
        (("show", "abcd"), "unknown_exchange"),
        (("return", ""), "unknown_exchange"),
        (("show", ""), "unknown_exchange"),
        (("pay", "--resume"), "nothing_to_resume"),
        (("sync",), "not_enrolled"),
        (("request", "5", "EUR", "--lan", "--listen", "nowhere"), "invalid_address"),
    ],
)
def test_a_wrong_input_is_told_with_a_code(shop: Device, words: tuple[str, ...], code: str) -> None:
    assert ask(shop, *words, code=1)["error"]["code"] == code
    said = call(shop, *words)
    assert said.exit_code == 1
    assert f"[{code}]" in said.stderr


def test_an_empty_id_is_not_the_only_exchange(shop: Device, amina: Device) -> None:
    """As of a variable in a script that was never set: nothing is given back."""
    asked = ask(shop, "request", "5.00", "EUR")["text"]
    ask(shop, "receive", ask(amina, "pay", asked, "--yes")["text"])
    assert len(ask(shop, "history")["items"]) == 1
    assert ask(shop, "return", "", code=1)["error"]["code"] == "unknown_exchange"
    assert ask(shop, "history")["items"][0]["state"] == "receipted"


@pytest.mark.parametrize("path", ["w" * 5_000, "w" * 300 + "/wallet.db"])
def test_a_path_that_no_file_can_have_is_told(shop: Device, path: str) -> None:
    assert ask(shop, "balance", "--wallet", path, code=1)["error"]["code"] == "wallet_missing"


def test_more_than_is_held_is_told_in_money(shop: Device, amina: Device) -> None:
    text = ask(shop, "request", "70.00", "EUR")["text"]
    said = call(amina, "pay", text, "--yes")
    assert "Error: 70.00 EUR is asked for, 60.00 EUR can be spent offline." in said.stderr
    assert "What to do:" in said.stderr


def test_the_passphrase_comes_from_a_file_the_environment_or_a_question(
    amina: Device, tmp_path: Path
) -> None:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    bare = {"TALLYSTICK_WALLET": str(amina.path), "TALLYSTICK_PASSPHRASE": None}
    words = ["wallet", "balance", "--json"]
    given = CliRunner().invoke(root, [*words, "--passphrase-file", str(file)], env=bare)
    assert given.exit_code == 0
    asked = CliRunner().invoke(root, words, env=bare, input=PASSPHRASE + "\n")
    assert asked.exit_code == 0
    assert PASSPHRASE not in asked.output
    wrong = call(amina, "balance", TALLYSTICK_PASSPHRASE="wrong")
    assert "[wrong_passphrase]" in wrong.stderr


def test_a_wallet_in_use_is_told_as_such(shop: Device) -> None:
    waiting = shop.start("request", "1.00", "EUR", "--lan", "--listen", "127.0.0.1:0", "--json")
    assert waiting.stdout is not None
    waiting.stdout.readline()
    error = ask(shop, "balance", code=1)["error"]
    assert (error["code"], error["retryable"]) == ("wallet_in_use", True)
    waiting.kill()
    waiting.communicate()
    assert ask(shop, "balance")["offline"] == []


def test_where_nobody_listens_the_code_is_shown_instead(shop: Device, amina: Device) -> None:
    waiting = shop.start("request", "1.00", "EUR", "--lan", "--listen", "127.0.0.1:0", "--json")
    assert waiting.stdout is not None
    text = json.loads(waiting.stdout.readline())["text"]
    waiting.kill()
    waiting.communicate()
    paid = call(amina, "pay", text, "--yes")
    assert "Showing the code instead." in paid.stderr
    assert ask(shop, "receive", payment_text(paid))["answer"] == "paid"


# A proof on its own.


@pytest.fixture
def proof(shop: Device, amina: Device) -> bytes:
    """Amina signs the same cents to the shop twice."""
    text = ask(amina, "pay", ask(shop, "request", "10", "EUR")["text"], "--yes")["text"]
    chain = Payment.decode(frames.unpack(frames.from_text(text))[1]).chains[0]
    first = chain.hops[-1].transfer

    async def sign() -> bytes:
        async with await Wallet.open(amina.path, passphrase=PASSPHRASE) as wallet:
            second = replace(first.body, sequence=99, request_id=bytes(16))
            forged = seal(second, wallet.book.signer)
        return build_fraud_proof(first, forged, voucher=chain.voucher).encode()

    return asyncio.run(sign())


def verify(*words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(root, ["proof", "verify", *words, "--json"])
    found: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, found


def test_a_proof_convicts_on_its_own_in_every_form(
    proof: bytes, issuer: Issuer, tmp_path: Path
) -> None:
    framed = frames.pack(FrameKind.FRAUD_PROOF, proof)
    forms = {
        "bytes": proof,
        "frame": framed,
        "text": frames.to_text(framed).encode(),
        "base64": to_text(proof).encode(),
        "json": json.dumps({"proof": to_text(proof)}).encode(),
    }
    key_set = tmp_path / "key-set.json"
    document = {
        "key_set": to_text(issuer.key_set.envelope),
        "root_key": to_text(issuer.root.public_key.raw),
    }
    key_set.write_text(json.dumps(document))
    for name, content in forms.items():
        file = tmp_path / name
        file.write_bytes(content)
        code, alone = verify(str(file))
        assert (code, alone["convicts"], alone["issuer_checked"]) == (0, True, False)
        code, checked = verify(str(file), "--key-set", str(key_set))
        assert (code, checked["issuer_checked"]) == (0, True)
        assert checked["root_key_id"] == issuer.root.public_key.id.hex()
        assert checked["key_id"] == alone["key_id"]
        assert len(checked["transfers"]) == 2


def test_a_proof_is_explained_in_words(proof: bytes, tmp_path: Path) -> None:
    file = tmp_path / "proof"
    file.write_bytes(proof)
    said = CliRunner().invoke(root, ["proof", "verify", str(file)])
    assert said.exit_code == 0
    assert "signed the same value away twice" in said.output
    assert said.output.count("  transfer ") == 2
    assert "give --key-set" in said.output


def test_what_proves_nothing_convicts_nobody(proof: bytes, tmp_path: Path) -> None:
    file = tmp_path / "proof"
    for index in (40, len(proof) // 2, len(proof) - 80):
        file.write_bytes(proof[:index] + bytes([proof[index] ^ 1]) + proof[index + 1 :])
        code, document = verify(str(file))
        assert (code, document["convicts"]) == (1, False)
    for junk in (b"", b"{}", b"not a proof", b"\xff\xfe", b'{"proof":' * 50_000, b"[" * 50_000):
        file.write_bytes(junk)
        assert verify(str(file))[0] == 1
        assert verify(str(file), "--key-set", str(file))[0] == 1


def test_another_issuers_key_set_does_not_know_the_key(proof: bytes, tmp_path: Path) -> None:
    file, key_set = tmp_path / "proof", tmp_path / "key-set"
    file.write_bytes(proof)
    key_set.write_bytes(Issuer("another").key_set.envelope)
    code, document = verify(str(file), "--key-set", str(key_set))
    assert (code, document["error"]["code"]) == (1, "unknown_issuer")


# With a server.


@pytest.fixture
def server() -> Iterator[ContractServer]:
    state = ContractServer(SetClock(SystemClock().now()))
    with serving(state):
        yield state


def test_from_nothing_to_a_synced_payment(server: ContractServer, tmp_path: Path) -> None:
    phone = Device(tmp_path / "phone.db")
    made = ask(phone, "init")
    assert made["wallet"] == str(phone.path)
    assert ask(phone, "init", code=1)["error"]["code"] == "wallet_exists"
    words = ("enrol", "--server", server.url, "--username", "amina")
    enrolled = ask(phone, *words, TALLYSTICK_PASSWORD=PASSWORD)
    assert enrolled["key_id"] == made["key_id"]
    assert enrolled["root_key_id"] == server.issuer.root.public_key.id.hex()
    assert ask(phone, "topup", "100.00", "EUR", "--card", "sandbox-ok")["status"] == "succeeded"
    assert ask(phone, "load", "60.00", "EUR") == {"amount": 6000, "currency": "EUR", "vouchers": 1}
    assert ask(phone, "balance", "--online")["account"][0]["available"] == 4
    assert ask(phone, "unload", "10.00", "EUR")["uploaded"] == 1
    report = ask(phone, "sync", "--claim", "nothing")
    assert set(report) == {
        *("uploaded", "waiting", "refused", "credited", "certificate_until"),
        *("certificate_refused", "missing_sequences", "events"),
    }
    shown = ask(phone, "show")
    assert (shown["username"], shown["issuer"]) == ("amina", "Test issuer")


def test_a_wrong_password_ends_with_the_servers_words(
    server: ContractServer, tmp_path: Path
) -> None:
    phone = Device(tmp_path / "phone.db")
    ask(phone, "init")
    words = ("enrol", "--server", server.url, "--username", "amina")
    error = ask(phone, *words, code=1, TALLYSTICK_PASSWORD="wrong")["error"]
    assert error["code"] == "credentials_invalid"
    asked = call(phone, *words, stdin="wrong\n")
    assert "Password of the account" in asked.output
