"""The demo is the main job of the whole system; its last line says what came out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_ends_as_the_readme_says() -> None:
    command = [str(Path(sys.executable).with_name("tallystick")), "demo"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "payments": 4,
        "hops_max": 2,
        "interrupted_recovered": 1,
        "double_spends_found": 1,
        "convicted": "shopper",
        "payees_lost": 0,
        "ledger_balanced": True,
        "float_equals_open_vouchers": True,
    }
