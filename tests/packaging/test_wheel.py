"""What lies in the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Phone

pytestmark = pytest.mark.slow

PACKAGES = ("client_sdk", "offline_protocol", "server", "sim")
_KINDS = {".py", ".typed", ".sql", ".html", ".css", ".js", ".json", ".po", ".txt", ".ttf", ".typ"}


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_nothing_but_the_packages_and_their_papers_is_inside(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    (papers,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {*PACKAGES, papers}
    assert f"{papers}/licenses/LICENSE" in names


def test_neither_tests_nor_the_web_verifier_nor_rubbish_is_inside(names: list[str]) -> None:
    parts = {part for name in names for part in name.split("/")}
    assert parts.isdisjoint({"tests", "web", "node_modules", "__pycache__", "docs"})
    inside = [name for name in names if ".dist-info/" not in name]
    assert {Path(name).suffix for name in inside} <= _KINDS


def test_every_module_of_the_packages_is_inside(names: list[str]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "web" not in path.parts
    }
    assert len(wanted) > 100
    assert wanted - set(names) == set()


def test_every_package_says_that_it_is_typed(names: list[str]) -> None:
    """PEP 561: the marker stands in the top folder and counts for all below."""
    assert [package for package in PACKAGES if f"{package}/py.typed" not in names] == []


@pytest.mark.parametrize("program", ["till", "wallet", "consumer"])
def test_programs_on_the_installed_wheel_pass_strict_type_checks(
    phone: Phone, program: str, tmp_path: Path
) -> None:
    """mypy sees the wheel's own annotations; an untyped one would be an error of the program."""
    if program == "consumer":
        source = Path(__file__).with_name("consumer.py")
    else:
        source = ROOT / "docs" / "examples" / f"{program}.py"
    copy = tmp_path / source.name
    copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
            *("--cache-dir", str(phone.folder / "mypy")),
            *("--python-executable", str(phone.python), str(copy)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
