"""What the TypeScript package promises as a package, and its table of errors."""

import json
import re
from pathlib import Path

from tests.conformance.test_vectors import _codes

WEB = Path(__file__).resolve().parents[2] / "client_sdk" / "web"
LIBRARY = sorted((WEB / "src").glob("*.ts"))


def _json(name: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((WEB / name).read_text(encoding="utf-8"))
    return loaded


def test_its_packages_are_pinned_and_few() -> None:
    package = _json("package.json")
    dependencies, tools = package["dependencies"], package["devDependencies"]
    assert isinstance(dependencies, dict)
    assert isinstance(tools, dict)
    assert sorted(dependencies) == ["@noble/ciphers", "@noble/curves", "@noble/hashes"]
    assert all(
        re.fullmatch(r"\d+\.\d+\.\d+", each) for each in (*dependencies.values(), *tools.values())
    )


def test_its_lock_file_has_a_hash_and_no_address_for_every_package() -> None:
    packages = _json("package-lock.json")["packages"]
    assert isinstance(packages, dict)
    locked = {name: each for name, each in packages.items() if name}
    assert len(locked) > 5
    assert [name for name, each in locked.items() if "integrity" not in each] == []
    assert [name for name, each in locked.items() if "resolved" in each] == []


def test_its_library_needs_nothing_of_node() -> None:
    assert len(LIBRARY) > 25
    for path in LIBRARY:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'\bBuffer\b|\bprocess\b|\brequire\(|from "node:', text), path.name
        imported = set(re.findall(r'from "([^"]+)"', text))
        assert all(each.startswith(("./", "@noble/")) for each in imported), path.name


def test_its_modules_are_of_a_size_that_can_be_read() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in LIBRARY}
    assert {name: length for name, length in lengths.items() if length > 270} == {}


def test_its_table_of_errors_is_that_of_the_reference() -> None:
    text = (WEB / "src" / "errors.ts").read_text(encoding="utf-8")
    table = {
        int(number): code for number, code in re.findall(r'^  (\d+): "(\w+)",$', text, re.MULTILINE)
    }
    assert table == _codes()
