"""Every refusal has a code of its own, and a line in the reference."""

from pathlib import Path

import server.app  # noqa: F401 - declares the refusals of every room
from server.kit.errors import TallyError

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def _refusals(base: type[TallyError] = TallyError) -> list[type[TallyError]]:
    found = []
    for kind in base.__subclasses__():
        if "code" in vars(kind) and kind.__module__.startswith("server."):
            found.append(kind)
        found += _refusals(kind)
    return sorted(set(found), key=lambda kind: kind.code)


def test_no_two_refusals_share_a_code() -> None:
    codes = [kind.code for kind in _refusals()]
    assert len(codes) > 20
    assert [code for code in codes if codes.count(code) > 1] == []


def test_the_reference_lists_every_refusal_and_no_other() -> None:
    listed = [
        line.split("|")[1].strip().strip("`")
        for line in _PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert listed == [kind.code for kind in _refusals()]


def test_the_reference_gives_the_status_and_title_of_each() -> None:
    text = _PAGE.read_text(encoding="utf-8")
    for kind in _refusals():
        assert f"| `{kind.code}` | {kind.status} | {kind.title} |" in text
