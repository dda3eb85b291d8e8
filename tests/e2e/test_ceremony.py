"""The key ceremony as its page tells it, command by command."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rotate-keys.md"
PASSPHRASE = "correct horse"


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


class Operator:
    def __init__(self, folder: Path) -> None:
        self._runner = CliRunner(env={"TALLYSTICK_DATA_DIR": str(folder / "data")})

    def run(self, *arguments: str, status: int = 0, typed: str = "") -> Result:
        result = self._runner.invoke(root, list(arguments), input=typed)
        assert result.exit_code == status, result.output
        return result


def test_the_page_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Operator(tmp_path)
    monkeypatch.chdir(tmp_path)
    operator.run("migrate")
    operator.run("keys", "init")
    export, propose, sign, accept, stop, revoke = _commands()
    operator.run(*export, typed=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert not (tmp_path / "data" / "keys" / "root.key").exists()
    operator.run(*propose)
    operator.run(*sign, status=1, typed=f"{PASSPHRASE}\nn\n")
    assert not Path("signed.keyset").exists()
    operator.run(*sign, status=1, typed="another\ny\n")
    operator.run(*sign, typed=f"{PASSPHRASE}\ny\n")
    operator.run(*accept)
    shown = operator.run("keys", "show").output
    assert "key_set_version: 2" in shown
    kids = re.findall(r"issue ([0-9a-f]{8})", shown)
    assert len(kids) == 2

    stop[-1] = revoke[2] = kids[0]
    assert "still signs" in operator.run(*revoke, status=1).output
    operator.run(*stop)
    operator.run(
        *("keys", "sign", "stop.keyset", "--root", "root.json", "--out", "stopped.keyset"),
        typed=f"{PASSPHRASE}\ny\n",
    )
    operator.run("keys", "accept", "stopped.keyset")
    assert "on the revocation list 1" in operator.run(*revoke).output
    assert "on the revocation list 1" in operator.run(*revoke).output
    assert "lists no issuing key" in operator.run(*revoke[:2], "00", *revoke[3:], status=1).output
    assert "hexadecimal" in operator.run(*revoke[:2], "xy", *revoke[3:], status=1).output
    assert "key_set_version: 3" in operator.run("keys", "show").output
    assert "not newer" in operator.run("keys", "accept", "signed.keyset", status=1).output
    floor = ("keys", "propose", "floor.keyset", "--none", "--epoch-floor")
    assert "no device can have a newer one" in operator.run(*floor, "2", status=1).output
    operator.run(*floor, "1")
    operator.run(
        *("keys", "sign", "floor.keyset", "--root", "root.json", "--out", "floor.signed"),
        typed=f"{PASSPHRASE}\ny\n",
    )
    operator.run("keys", "accept", "floor.signed")
    assert "never sinks" in operator.run(*floor, "0", status=1).output
