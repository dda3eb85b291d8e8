"""The oldest versions that the wheel allows: what Android and iPhone apps get today."""

import json
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Phone

pytestmark = pytest.mark.slow

_TRAPS = ROOT / "tests" / "unit" / "published" / "traps.json"

# The wheel of cbor2 for phones has no compiled part; elsewhere it is hidden for the test.
_PLAIN_CBOR = """
import sys
sys.modules["_cbor2"] = None
import cbor2
assert cbor2.loads.__module__ != "_cbor2"
"""

_EXCHANGE = (
    _PLAIN_CBOR
    + """
import asyncio
from pathlib import Path
from client_sdk.testing import Issuer, SetClock, new_wallet, quick_keys
from client_sdk.wallet import Wallet

async def main():
    issuer = Issuer()
    shopper = await new_wallet(issuer, "shopper", 6000, path=Path(sys.argv[1]))
    shop = await new_wallet(issuer, "shop")
    asked = await shop.request_payment(2500, "EUR")
    payment = await shopper.pay(asked.frame)
    got = await shop.receive(await shopper.frame_of(payment.id))
    print(got.answer)
    await shopper.close()

asyncio.run(main())
"""
)

_LOOK = """
import asyncio, sys
from client_sdk.testing import SeededEntropy, SetClock, quick_keys
from client_sdk.wallet import Wallet

async def main():
    keys = quick_keys(entropy=SeededEntropy("x"))
    async with await Wallet.open(sys.argv[1], keys=keys, clock=SetClock()) as wallet:
        print((await wallet.balance())[0].spendable)

asyncio.run(main())
"""

_VERDICTS = """
import json, sys
from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey

wrong = seen = 0
for trap in json.loads(open(sys.argv[1]).read()):
    for case in trap["cases"]:
        if case["does"] not in {"key", "verify"}:
            continue
        try:
            key = PublicKey(bytes.fromhex(case["key"]))
            if case["does"] == "verify":
                key.verify(bytes.fromhex(case["message"]), bytes.fromhex(case["signature"]))
            verdict = 0
        except ProtocolError as error:
            verdict = error.number
        seen += 1
        wrong += verdict != case["verdict"]
print(json.dumps([seen, wrong]))
"""


def _oldest() -> list[str]:
    """The lower bound of each requirement of the base, and of P-256, as an exact version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["p256"]]
    return [line.partition(",")[0].replace(">=", "==") for line in lines]


@pytest.fixture(scope="module")
def old_phone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Phone:
    made = Phone(tmp_path_factory.mktemp("old-phone"))
    venv.create(made.folder / "venv", with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", made.python, wheel, *_oldest()],
        check=True,
        cwd=made.folder,
    )
    return made


def test_a_wallet_pays_and_its_file_opens_under_newer_versions(
    old_phone: Phone, phone: Phone, tmp_path: Path
) -> None:
    file = tmp_path / "wallet.db"
    assert old_phone.run(old_phone.python, "-c", _EXCHANGE, file).strip() == "paid"
    state = {"HOME": str(old_phone.folder)}
    assert phone.run(phone.python, "-c", _LOOK, file, **state).strip() == "3500"


def test_the_verdicts_on_keys_and_signatures_are_the_same(old_phone: Phone) -> None:
    assert json.loads(old_phone.run(old_phone.python, "-c", _VERDICTS, _TRAPS)) == [97, 0]
