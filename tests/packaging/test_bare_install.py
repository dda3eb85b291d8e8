"""The wheel without extras: what a phone gets, and that it is enough to pay and be paid."""

import json
import sys

import pytest

from tests.packaging.conftest import ROOT, Phone

pytestmark = pytest.mark.slow

# Ours, what we name, and what httpx and PyNaCl bring.
ALLOWED = {
    "tallystick": {"cbor2", "click", "httpx", "pynacl", "segno"},
    "httpx": {"anyio", "certifi", "httpcore", "idna"},
    "httpcore": {"h11"},
    "pynacl": {"cffi"},
    "cffi": {"pycparser"},
}
if sys.version_info < (3, 13):
    ALLOWED["anyio"] = {"typing-extensions"}

_LIST = """
import json, re
from importlib.metadata import distributions
names = (one.metadata["Name"] for one in distributions())
print(json.dumps(sorted(re.sub("[-_.]+", "-", name).lower() for name in names)))
"""

_EXCHANGE = """
import asyncio, json, sys
import client_sdk.blocking, client_sdk.cli, offline_protocol
from client_sdk.testing import Issuer, new_wallet

async def main():
    issuer = Issuer()
    shopper, shop = await new_wallet(issuer, "shopper", 6000), await new_wallet(issuer, "shop")
    asked = await shop.request_payment(2500, "EUR")
    payment = await shopper.pay(asked.frame)
    got = await shop.receive(await shopper.frame_of(payment.id))
    done = await shopper.receive(got.frame)
    print(json.dumps([got.answer, done.exchange.words, sorted(sys.modules)]))

asyncio.run(main())
"""

_EXTRAS = """
import json
from pathlib import Path
from client_sdk.errors import MissingExtra
from client_sdk.keys.pkcs11 import TokenKeys
from client_sdk.transports.qr import read_images
from offline_protocol.errors import UnsupportedAlgorithm
from offline_protocol.keys import PublicKey

Path("code.png").write_bytes(b"")
said = []
for use in (
    lambda: TokenKeys("token.so", token="wallet", pin="1"),
    lambda: read_images([Path("code.png")]),
):
    try:
        use()
    except MissingExtra as error:
        said.append(error.fix)
try:
    PublicKey(bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"))
except UnsupportedAlgorithm as error:
    said.append(error.number)
print(json.dumps(said))
"""


def test_installing_brings_exactly_what_a_phone_needs(phone: Phone) -> None:
    allowed = set(ALLOWED).union(*ALLOWED.values())
    assert set(json.loads(phone.execute(_LIST))) == allowed


def test_two_wallets_pay_each_other_and_no_server_is_loaded(phone: Phone) -> None:
    answer, words, modules = json.loads(phone.execute(_EXCHANGE))
    assert (answer, words) == ("paid", "paid, confirmed by the payee")
    loaded = {name.partition(".")[0] for name in modules}
    assert {"client_sdk", "offline_protocol", "nacl"} <= loaded
    assert loaded.isdisjoint({"server", "sim", "tests"})


def test_the_example_of_the_documentation_runs(phone: Phone) -> None:
    page = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    first = page.partition("```python\n")[2].partition("```")[0]
    assert "asyncio.run" in first
    phone.execute(first)


def test_what_is_missing_is_named_with_its_extra(phone: Phone) -> None:
    token, camera, algorithm = json.loads(phone.execute(_EXTRAS))
    assert token == "pip install 'tallystick[pkcs11]'"
    assert "tallystick[camera]" in camera
    assert algorithm == 111


def test_the_command_shows_the_wallet_and_hides_the_rest_behind_extras(phone: Phone) -> None:
    shown = phone.run(phone.python.with_name("tallystick"), "--help")
    assert "wallet" in shown
    for extra in ("server", "demo"):
        assert f"pip install 'tallystick[{extra}]'" in shown, "what is hidden says its extra"
