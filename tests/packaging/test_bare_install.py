"""The wheel without extras: what a phone gets, and that it is enough to be paid."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_USE = """
import importlib.util, sys
import client_sdk, client_sdk.blocking, client_sdk.cli, offline_protocol
for heavy in ("litestar", "sqlalchemy", "rich", "PIL", "zxingcpp"):
    assert importlib.util.find_spec(heavy) is None, heavy
print(client_sdk.Wallet.__name__)
"""


@pytest.mark.slow
def test_the_bare_wheel_brings_a_working_wallet_and_nothing_for_servers(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("tallystick-*.whl"))
    home = tmp_path / "phone"
    venv.create(home, with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    locked = ["--constraint", str(ROOT / "requirements" / "run.txt")]
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", home / "bin" / "python", *locked, wheel],
        check=True,
        cwd=tmp_path,
    )

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout

    assert run(str(home / "bin" / "python"), "-c", _USE).strip() == "Wallet"
    help_text = run(str(home / "bin" / "tallystick"), "--help")
    assert "wallet" in help_text
    for extra in ("server", "demo"):
        assert f"pip install 'tallystick[{extra}]'" in help_text, "what is hidden says its extra"
