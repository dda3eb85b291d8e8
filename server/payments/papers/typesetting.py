"""Setting papers as PDF with Typst: letters are shaped and lines ordered for every script here.

Texts travel as data and are never read as markup. The fonts lie beside the templates, so a paper
looks the same on every machine; scripts beyond Latin, Greek, Cyrillic, Arabic and Devanagari need
a folder of fonts (a setting).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import typst

_HERE: Final = Path(__file__).parent
_TEMPLATES: Final = _HERE / "templates"
_FONTS: Final = _HERE / "fonts"
_AT_ONCE: Final = 2
"""Papers that are set at one time: each keeps a core busy for a tenth of a second or more."""


class Typesetter:
    """Sets papers, few at a time and none on the event loop."""

    def __init__(self, *, more_fonts: Sequence[Path] = ()) -> None:
        self._fonts = [str(_FONTS), *(str(folder) for folder in more_fonts)]
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def typeset(
        self, template: str, data: Mapping[str, object], *, made_at: datetime
    ) -> bytes:
        """Return a PDF (PDF/UA-1: it can be read aloud). Equal arguments give equal bytes."""
        text = json.dumps(data, ensure_ascii=False)
        async with self._turns:
            return await asyncio.to_thread(self._compile, template, text, made_at)

    def _compile(self, template: str, text: str, made_at: datetime) -> bytes:
        made = typst.compile(
            str(_TEMPLATES / template),
            root=str(_TEMPLATES),
            font_paths=self._fonts,
            ignore_system_fonts=True,
            sys_inputs={"paper": text},
            pdf_standards=["ua-1"],
            timestamp=int(made_at.timestamp()),
            format="pdf",
        )
        assert isinstance(made, bytes)
        return made
