"""The programs of docs/examples, run as a developer would run them."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.core import State
from client_sdk.keys import (
    AsksPerson,
    AttestsKeys,
    DeletesKeys,
    KeyProvider,
    SoftwareKeys,
)
from client_sdk.keys.errors import KeyGone, PersonRefused, TokenFailed
from client_sdk.testing import Issuer, SetClock, new_wallet
from client_sdk.wallet import Wallet
from offline_protocol.algorithms import Algorithm
from sim.demo.people import SHOP, SHOPPER, register
from sim.demo.processes import ServerProcess
from tests.integration.client_sdk.devices import PASSPHRASE, Device, issuer_of_today, make_device
from tests.integration.client_sdk.element import CHALLENGE, PretendElement

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def example(name: str) -> ModuleType:
    """A program of the documentation as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


secure_element = example("secure_element")


@pytest.fixture
def element() -> Iterator[PretendElement]:
    made = PretendElement()
    yield made
    made.close()


async def _phone(
    element: PretendElement, path: Path | None = None, *, ask_above: int = 2000
) -> Wallet:
    keys = secure_element.ElementKeys(element, ask_above=ask_above)
    return await Wallet.create(path, keys=keys, clock=SetClock())


async def test_a_wallet_in_a_secure_element_is_paid_and_pays(
    element: PretendElement, tmp_path: Path
) -> None:
    issuer = Issuer()
    phone = await _phone(element, tmp_path / "phone.db")
    issuer.equip(phone, 6000, name="phone")
    assert phone.book.signer.public_key.algorithm is Algorithm.ESP256
    shop = await new_wallet(issuer, "shop")
    for payer, payee, amount in ((phone, shop, 2500), (shop, phone, 700), (phone, shop, 100)):
        asked = await payee.request_payment(amount, "EUR")
        payment = await payer.pay(asked.frame)
        got = await payee.receive(await payer.frame_of(payment.id))
        assert got.answer == "paid"
        assert got.frame is not None
        done = await payer.receive(got.frame)
        assert done.exchange is not None
        assert done.exchange.state is State.ACKED
    await phone.close()
    keys = secure_element.ElementKeys(element)
    async with await Wallet.open(tmp_path / "phone.db", keys=keys, clock=SetClock()) as again:
        assert [one.spendable for one in await again.balance()] == [6000 - 2500 + 700 - 100]


async def test_above_an_amount_the_person_is_asked_and_a_no_leaves_nothing_behind(
    element: PretendElement,
) -> None:
    issuer = Issuer()
    phone, shop = await _phone(element), await new_wallet(issuer, "shop")
    issuer.equip(phone, 6000, name="phone")
    small = await shop.request_payment(2000, "EUR")
    await phone.pay(small.frame)
    assert element.asked == []

    large = await shop.request_payment(2001, "EUR")
    element.says = [b"no"]
    with pytest.raises(PersonRefused):
        await phone.pay(large.frame)
    assert element.asked == ["Pay 2001 EUR to shop?"]
    assert [one.amount for one in await phone.history()] == [2000]
    assert (await phone.balance())[0].spendable == 4000
    assert len(await phone.signed_transfers()) == 1

    await phone.pay(large.frame)
    await phone.pay(large.frame)
    assert len(element.asked) == 2, "the same payment is confirmed once"


async def test_the_maker_vouches_for_the_key_over_the_issuers_challenge(
    element: PretendElement,
) -> None:
    keys = secure_element.ElementKeys(element)
    handle = keys.make_device_key()
    statement = keys.attestation(handle, b"challenge of the issuer").statement
    certificate = x509.load_der_x509_certificate(statement)
    element.maker.public_key().verify(
        certificate.signature,
        certificate.tbs_certificate_bytes,
        certificate.signature_algorithm_parameters,  # type: ignore[arg-type]
    )
    shown = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    assert shown == keys.signer(handle).public_key.raw
    (extension,) = certificate.extensions
    assert extension.oid == CHALLENGE
    assert extension.value.public_bytes() == b"challenge of the issuer"


def test_a_deleted_key_and_a_broken_chip_are_named(element: PretendElement) -> None:
    keys = secure_element.ElementKeys(element)
    handle = keys.make_device_key()
    signer = keys.signer(handle)
    signer.sign(b"x")
    element.broken = True
    with pytest.raises(TokenFailed, match="no answer from the chip"):
        signer.sign(b"x")
    element.broken = False
    keys.delete_device_key(handle)
    keys.delete_device_key(handle)
    with pytest.raises(KeyGone):
        signer.sign(b"x")


async def test_a_question_that_nobody_answers_is_a_no(
    element: PretendElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = Issuer()
    phone, shop = await _phone(element, ask_above=0), await new_wallet(issuer, "shop")
    issuer.equip(phone, 6000, name="phone")
    monkeypatch.setattr(secure_element, "ANSWER_SECONDS", 0)
    monkeypatch.setattr(element, "confirm", lambda _words, _answer: None)
    asked = await shop.request_payment(100, "EUR")
    with pytest.raises(PersonRefused, match="in time"):
        await phone.pay(asked.frame)
    assert await phone.history() == []


def test_the_wallet_finds_out_what_a_provider_can_do(element: PretendElement) -> None:
    keys: KeyProvider = secure_element.ElementKeys(element)
    assert isinstance(keys, AsksPerson)
    assert isinstance(keys, AttestsKeys)
    assert isinstance(keys, DeletesKeys)
    plain: KeyProvider = SoftwareKeys("x")
    assert not isinstance(plain, AsksPerson | AttestsKeys | DeletesKeys)


TESTING_PAGE = EXAMPLES.parent / "how-to" / "test-your-app.md"
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```", TESTING_PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)


def test_the_page_about_tests_has_its_examples() -> None:
    assert len(SNIPPETS) == 3


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_an_example_of_the_page_about_tests_runs(snippet: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


class Program:
    """One example in a process of its own."""

    def __init__(self, name: str, *words: str, password: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *words],
            env={
                **os.environ,
                "TALLYSTICK_PASSPHRASE": PASSPHRASE,
                "TALLYSTICK_PASSWORD": password,
                "PYTHONPATH": str(EXAMPLES.parents[1]),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line_that_begins(self, start: str) -> str:
        """Read on until such a line is printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line.rstrip("\n")
        raise AssertionError(f"no line {start}... but:\n{self.finish(code=1)}")

    def finish(self, said: str = "", *, code: int = 0) -> str:
        out, errors = self.process.communicate(said, timeout=60)
        assert self.process.returncode == code, errors
        return out if code == 0 else errors


@pytest.mark.parametrize("name", ["till", "wallet"])
def test_an_example_is_short(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    code = text.split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40


def test_the_till_and_the_wallet_pay_each_other(tmp_path: Path) -> None:
    issuer = issuer_of_today()
    till = make_device(issuer, tmp_path, "till").path
    wallet = make_device(issuer, tmp_path, "wallet", 6000).path

    selling = Program("till", str(till), "25.00", "EUR")
    code = selling.line_that_begins("TALLY1:")
    declined = Program("wallet", "pay", str(wallet)).finish(f"{code}\nn\n")
    assert "Pay 25.00 EUR to till?" in declined
    assert "Offline: 60.00 EUR" in declined
    said = Program("wallet", "pay", str(wallet)).finish(f"{code}\ny\n")
    assert "paid, confirmed by the payee" in said
    assert "Offline: 35.00 EUR" in said
    assert "Paid: 25.00 EUR" in selling.finish()

    again = Program("wallet", "pay", str(wallet)).finish(f"{code}\ny\n", code=1)
    assert "Nobody answers" in again
    assert "Offline: 35.00 EUR" in Program("wallet", "resend", str(wallet)).finish()


def test_a_till_that_is_gone_leaves_the_payment_ready_and_says_so(tmp_path: Path) -> None:
    issuer = issuer_of_today()
    till = make_device(issuer, tmp_path, "till").path
    wallet = make_device(issuer, tmp_path, "wallet", 6000).path
    selling = Program("till", str(till), "25.00", "EUR")
    code = selling.line_that_begins("TALLY1:")
    selling.process.kill()
    selling.finish(code=-signal.SIGKILL)
    for words in (["pay", str(wallet)], ["resend", str(wallet)]):
        errors = Program("wallet", *words).finish(f"{code}\ny\n", code=1)
        assert "the same bytes are sent" in errors


@pytest.mark.slow
def test_a_day_with_the_examples_and_a_real_server(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    try:
        for person, name in ((SHOPPER, "wallet"), (SHOP, "till")):
            register(person, server.url, server.data_dir / "spool")
            file = str(tmp_path / f"{name}.db")
            words = ("new", file, server.url, person.username)
            Program("wallet", *words, password=person.password).finish()
        wallet, till = Device(tmp_path / "wallet.db"), Device(tmp_path / "till.db")
        wallet.run("topup", "100.00", "EUR", "--card", "sandbox-ok")
        loaded = Program("wallet", "load", str(wallet.path), "60.00", "EUR").finish()
        assert "Offline: 60.00 EUR" in loaded
        selling = Program("till", str(till.path), "25.00", "EUR")
        code = selling.line_that_begins("TALLY1:")
        said = Program("wallet", "pay", str(wallet.path)).finish(f"{code}\ny\n")
        assert "paid, confirmed by the payee" in said
        assert "Paid: 25.00 EUR" in selling.finish()
        Program("wallet", "sync", str(till.path)).finish()
        Program("wallet", "sync", str(wallet.path)).finish()
        (account,) = till.run("balance", "--online")["account"]
        assert account["available"] == 2500
    finally:
        server.stop()
