"""Every refusal has a code of its own; the reference pages are those that the code gives."""

import pytest

from scripts.reference import PAGES
from server.kit.errors import all_refusals
from tests.architecture.test_docs import ROOT


def test_no_two_refusals_share_a_code() -> None:
    codes = [kind.code for kind in all_refusals() if kind.__module__.startswith("server.")]
    assert len(codes) > 20
    assert sorted(set(codes)) == codes


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_gives(name: str) -> None:
    page = ROOT / "docs" / "reference" / name
    assert page.read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"
