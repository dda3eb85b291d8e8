"""Every text in seven languages: a missing one fails the build."""

import re

import pytest

from scripts.catalogues import TRANSLATED, read_catalogue, texts_in_code
from server.kit.i18n import Language

_PLACES = re.compile(r"\{(\w*)\}")


@pytest.fixture(scope="module")
def texts() -> set[str]:
    return set(texts_in_code())


def test_there_is_something_to_translate(texts: set[str]) -> None:
    assert {"Invoice", "Card top-up"} <= texts
    assert not any(text.upper().startswith(("SELECT", "INSERT")) for text in texts)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_exactly_the_texts_of_the_code(language: Language, texts: set[str]) -> None:
    """`python -m scripts.catalogues` brings it up to date."""
    catalogue = {message.id: message for message in read_catalogue(language) if message.id}
    assert set(catalogue) == texts
    for text, message in catalogue.items():
        assert message.string, text
        assert not message.fuzzy, text
        assert sorted(_PLACES.findall(str(message.string))) == sorted(_PLACES.findall(str(text)))
