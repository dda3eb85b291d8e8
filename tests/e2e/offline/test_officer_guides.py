"""The pages for officers: their commands run, their documents fit, their addresses exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar

from server.offline.oversight_schemas import DisputeCreate, DisputeDecision
from server.offline.policy_documents import LimitsDocument, PolicyDocument

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
LIMITS = (HOW_TO / "set-offline-limits.md").read_text(encoding="utf-8")
DISPUTE = (HOW_TO / "settle-a-dispute.md").read_text(encoding="utf-8")


def _blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    return found


def _run(commands: str, folder: Path) -> str:
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TALLYSTICK_DATA_DIR": str(folder / "data"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_commands_of_the_page_about_limits_run_as_they_stand(tmp_path: Path) -> None:
    _run("tallystick migrate", tmp_path)
    show, change, fund = _blocks(LIMITS, "sh")
    _run(show, tmp_path)
    listed = _run(change, tmp_path)
    assert "Version 1 holds from" in listed
    assert "1 (in force) from" in listed
    assert "by operator: limits for the pilot, board of 3 March" in listed
    said = _run(fund, tmp_path)
    assert "The guarantee fund holds 5000.00 EUR now." in said
    assert "EUR: 5000.00 EUR, promised 0.00 EUR, free to take out 5000.00 EUR" in said
    assert "guarantee fund 5000.00 EUR (promised 0.00 EUR, room for 3000.00 EUR)" in said
    again = _run(fund, tmp_path)
    assert again == said, "the same key again moves nothing"
    shown = json.loads(_run("tallystick offline-policy show", tmp_path))
    assert shown["currencies"]["EUR"]["instant"]["kiosk"] == 20_000


def test_the_page_explains_every_field_of_the_policy_and_no_other() -> None:
    rows = re.findall(r"^\| (`.*?) \| ", LIMITS.partition("## Change them")[0], re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    fields = {*PolicyDocument.__struct_fields__, *LimitsDocument.__struct_fields__}
    assert explained == fields


def test_the_verdicts_of_the_page_are_ones_that_the_server_takes() -> None:
    verdicts = [
        msgspec.json.decode(block, type=DisputeDecision) for block in _blocks(DISPUTE, "json")
    ]
    assert [(each.verdict, each.bearer) for each in verdicts] == [
        ("upheld", None),
        ("overturned", "fund"),
    ]
    assert msgspec.json.decode(b'{"statement": "..."}', type=DisputeCreate).statement == "..."


@pytest.mark.parametrize("page", [LIMITS, DISPUTE], ids=["limits", "dispute"])
async def test_every_address_of_a_page_exists(app: Litestar, page: str) -> None:
    known = {
        (method, route.path_format)
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
    }
    named = set(re.findall(r"`(GET|POST|PUT) (/v1/[^`?]+)", page))
    assert len(named) > 4
    assert named - known == set()
