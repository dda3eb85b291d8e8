"""Write docs/reference: the pages that follow from the code. `make docs` runs it."""

from pathlib import Path

import server.app  # noqa: F401 - declares the refusals of every room
from scripts.diagrams import exchange_page
from scripts.events import event_pages, write_events
from server.kit.errors import TallyError, all_refusals
from server.settings import settings_table

_FOLDER = Path(__file__).parents[1] / "docs" / "reference"

_SETTINGS = """# Settings

Read once, at the start, from the environment. An unknown `TALLYSTICK_...` name or a value that does
not fit stops the start with a sentence that says which. `tallystick settings` prints this table.

| variable | default | meaning |
| --- | --- | --- |
"""

_ERRORS = """# Refusals

A refusal is a problem document (RFC 9457, `application/problem+json`):

```json
{
  "type": "urn:tallystick:error:insufficient_funds",
  "title": "The available balance is too low",
  "status": 422,
  "detail": "what is wrong with this request",
  "code": "insufficient_funds",
  "fix": "what to do about it",
  "correlation_id": "quote this when you ask"
}
```

Decide by `code`: it is stable, the texts are not. `fix` is left out where there is nothing to do.
Nothing has changed when a request was refused, except what security asks to remember (a wrong
password counts).

The protocol's own refusals, which devices show, are numbered in [the protocol](../protocol.md).

| code | status | title |
| --- | --- | --- |
"""


def settings_page() -> str:
    return _SETTINGS + "".join(
        f"| `{name}` | {f'`{default}`' if default else 'empty'} | {meaning} |\n"
        for name, default, meaning in settings_table()
    )


def errors_page() -> str:
    return _ERRORS + "".join(_line(kind) for kind in all_refusals())


def _line(kind: type[TallyError]) -> str:
    return f"| `{kind.code}` | {kind.status} | {kind.title} |\n"


_PLAIN = {"exchange.md": exchange_page, "settings.md": settings_page, "errors.md": errors_page}
PAGES = _PLAIN | event_pages()

if __name__ == "__main__":
    for name, page in _PLAIN.items():
        (_FOLDER / name).write_text(page(), encoding="utf-8")
    write_events(_FOLDER)
