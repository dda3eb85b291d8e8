"""Bring the catalogues of all languages up to date with the code.

    python -m scripts.catalogues

A text that is new in the code is added without a translation, one that is gone is taken out. What
still waits for a translator is listed, and the exit status is 1 as long as there is something.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from server.kit.i18n import LOCALE_DIR, Language

ROOT = Path(__file__).parent.parent
_WRITTEN = datetime(2026, 11, 21, tzinfo=UTC)
"""In every file alike: a date of its own would change with each run."""
KEYWORDS = {"say": None, "phrase": None}
TRANSLATED = [language for language in Language if language is not Language.ENGLISH]


def texts_in_code() -> dict[str, list[str]]:
    """Return every text that the server says, with the files that say it."""
    found: dict[str, list[str]] = {}
    extracted = extract_from_dir(
        ROOT / "server", method_map=[("**.py", "python")], keywords=KEYWORDS, comment_tags=()
    )
    for name, _line, text, _comments, _context in extracted:
        for one in (text,) if isinstance(text, str) else text:
            files = found.setdefault(one, [])
            if name not in files:
                files.append(name)
    return found


def catalogue_path(language: Language) -> Path:
    return LOCALE_DIR / language / "messages.po"


def read_catalogue(language: Language) -> Catalog:
    path = catalogue_path(language)
    if not path.exists():
        return Catalog(locale=language.value)
    with path.open("rb") as file:
        return read_po(file, locale=language.value)


def update(language: Language, texts: dict[str, list[str]]) -> Iterator[str]:
    """Write a language's catalogue anew; yield what has no translation."""
    before = read_catalogue(language)
    after = Catalog(
        locale=language.value,
        project="Tallystick",
        copyright_holder="the Tallystick authors",
        header_comment="# Texts of Tallystick, by their English wording.",
        creation_date=_WRITTEN,
        revision_date=_WRITTEN,
        last_translator="the Tallystick authors",
        language_team=language.value,
        fuzzy=False,
    )
    for text in sorted(texts):
        known = before.get(text)
        translated = str(known.string) if known is not None and known.string else ""
        after.add(text, translated, locations=[(name, None) for name in sorted(texts[text])])
        if not translated:
            yield text
    path = catalogue_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, after, width=100, include_lineno=False)


def main() -> int:
    texts = texts_in_code()
    missing = 0
    for language in TRANSLATED:
        for text in update(language, texts):
            missing += 1
            sys.stdout.write(f"{language.value}: no translation of {text!r}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
