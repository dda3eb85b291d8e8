"""The `tallystick` command, and what importing the SDK needs."""

import subprocess
import sys
from importlib import metadata

import click
import pytest
from click.testing import CliRunner

from client_sdk.command import GROUP, SUMMARIES, root
from client_sdk.errors import WalletError
from client_sdk.terminal.output import print_error

BASE = {"cbor2", "click", "httpx", "nacl", "segno"}
EXTRAS = {"PIL", "zxingcpp", "litestar", "msgspec", "sqlalchemy", "jwt", "cryptography", "rich"}


def test_all_entry_points_are_listed_with_a_summary() -> None:
    names = {point.name for point in metadata.entry_points(group=GROUP)}
    shown = CliRunner().invoke(root, ["--help"])
    assert shown.exit_code == 0
    assert names <= set(SUMMARIES)
    for name in names:
        assert f"{name} " in shown.output


def test_listing_the_commands_loads_none_of_them() -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom client_sdk.command import root\n"
        "assert CliRunner().invoke(root, ['--help']).exit_code == 0\n"
        "print(sorted(name for name in sys.modules if name.startswith(('server', 'httpx', 'nacl',"
        " 'client_sdk.wallet', 'sim'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package() -> None:
    shown = CliRunner().invoke(root, ["--version"])
    assert shown.output.strip() == f"tallystick, version {metadata.version('tallystick')}"


def test_an_unknown_command_is_told_as_such() -> None:
    shown = CliRunner().invoke(root, ["walet"])
    assert shown.exit_code == 2
    assert "No such command 'walet'" in shown.output


def test_a_command_without_its_packages_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = metadata.EntryPoint("broken", "server.no_such_module:command", GROUP)
    monkeypatch.setattr("client_sdk.command._entry_points", lambda: {"broken": point})
    listed = CliRunner().invoke(root, ["--help"])
    assert "broken" in listed.output
    for arguments in (["broken"], ["broken", "--option", "x"]):
        shown = CliRunner().invoke(root, arguments)
        assert shown.exit_code == 1
        assert "pip install 'tallystick[server]'" in shown.output
    assert "server.no_such_module" in CliRunner().invoke(root, ["broken", "--help"]).output


def test_an_entry_point_that_is_no_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint("odd", "client_sdk.command:GROUP", GROUP)
    monkeypatch.setattr("client_sdk.command._entry_points", lambda: {"odd": point})
    assert "is no command" in CliRunner().invoke(root, ["odd"]).output


def walk(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [words]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found += walk(below, (*words, name))
    return found


WALLET = [words for words in walk(root) if words[0] in {"wallet", "proof"}]


@pytest.mark.parametrize("words", WALLET)
def test_every_command_of_the_wallet_shows_an_example(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(root, [*words, "--help"])
    assert shown.exit_code == 0
    assert f"    tallystick {' '.join(words)}" in shown.output
    assert "--json" in shown.output


def test_the_sdk_imports_only_what_a_phone_needs() -> None:
    script = (
        "import sys, pkgutil, importlib, client_sdk\n"
        "for found in pkgutil.walk_packages(client_sdk.__path__, 'client_sdk.'):\n"
        "    importlib.import_module(found.name)\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    blocked = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in sorted(EXTRAS))
    done = subprocess.run(
        [sys.executable, "-c", blocked + script], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) >= BASE
    assert not {"server", "sim"} & set(done.stdout.split())


def test_what_a_server_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = WalletError("gone\x1b[2J\u202e", code="x\x07", fix="a\rb")
    print_error(refusal, as_json=False)
    printed = capsys.readouterr().err
    assert "gone [2J" in printed
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(printed)
