"""The key ceremony as its page tells it, command by command."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rotate-keys.md"
PASSPHRASE = "correct horse"


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line.split()[1:] for block in blocks for line in block.splitlines()]


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
    export, propose, sign, accept, stop = _commands()
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

    stop[-1] = kids[0]
    operator.run(*stop)
    operator.run(
        *("keys", "sign", "stop.keyset", "--root", "root.json", "--out", "stopped.keyset"),
        typed=f"{PASSPHRASE}\ny\n",
    )
    operator.run("keys", "accept", "stopped.keyset")
    assert "key_set_version: 3" in operator.run("keys", "show").output
    assert "not newer" in operator.run("keys", "accept", "signed.keyset", status=1).output
