"""Seven languages: texts from catalogues, amounts and times as people write them.

A text is named by its English wording, given to `Words.say` or `phrase`. Catalogues are gettext
files that any translation tool opens, ``server/locale/<language>/messages.po``;
``scripts.catalogues`` brings them up to date with the code, and the tests refuse one that is
incomplete.
"""

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, Literal

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from server.kit.money import asset

LOCALE_DIR: Final = Path(__file__).parent.parent / "locale"
_FIRST_STRONG: Final = ("\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}")
_LEFT_TO_RIGHT: Final = ("\N{LEFT-TO-RIGHT ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}")


class Language(StrEnum):
    """What people can be spoken to in; the value is its tag of BCP 47."""

    ENGLISH = "en"
    TURKISH = "tr"
    FRENCH = "fr"
    SPANISH = "es"
    ARABIC = "ar"
    HINDI = "hi"
    SWAHILI = "sw"


@dataclass(frozen=True, slots=True)
class Words:
    """One language's way to say things."""

    language: Language
    _texts: dict[str, str]

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        return "rtl" if self._locale.text_direction == "rtl" else "ltr"

    def say(self, english: str, **values: object) -> str:
        """Return a text with its named values put in.

        Values are isolated from the text around them (Unicode UAX 9), so that a name in one script
        does not turn the order of another around.

        Raises:
            KeyError: the catalogue does not have the text, or a value is missing.
        """
        found = english if self.language is Language.ENGLISH else self._texts[english]
        isolated = {name: isolated_text(str(value)) for name, value in values.items()}
        return found.format(**isolated) if values else found

    def amount(self, minor: int, currency: str, *, signed: bool = False) -> str:
        """Return minor units as a decimal number with the currency's code.

        The code and not a symbol: several currencies share one. The scale is ours, not that of the
        locale data, which knows no assets beyond ISO 4217.
        """
        digits = self.number(minor, asset(currency).scale, signed=signed)
        return f"{isolated_text(digits, left_to_right=True)}\N{NO-BREAK SPACE}{currency}"

    def number(self, minor: int, scale: int, *, signed: bool = False) -> str:
        """Return a whole number of parts, ``10 ** scale`` of which are one, as a decimal number."""
        pattern = "#,##0" + ("." + "0" * scale if scale else "")
        digits = format_decimal(
            Decimal(minor).scaleb(-scale),
            format=pattern,
            locale=self._locale,
            decimal_quantization=False,
            numbering_system="default",
        )
        return f"+{digits}" if signed and minor > 0 else digits

    @property
    def digits(self) -> str:
        """The ten digits, zero first."""
        return "".join(self.number(digit, 0) for digit in range(10))

    def percent(self, basis_points: int) -> str:
        """Return hundredths of a percent as a percentage."""
        return format_percent(
            basis_points / 10_000,
            format="#,##0.##%",
            locale=self._locale,
            numbering_system="default",
        )

    def moment(self, moment: datetime, zone: tzinfo) -> str:
        """Return a date and time with the name of its time zone."""
        return format_datetime(moment, "d MMMM y, HH:mm zzzz", tzinfo=zone, locale=self._locale)

    def day(self, day: date) -> str:
        return format_date(day, "d MMMM y", locale=self._locale)

    @property
    def _locale(self) -> Locale:
        return Locale.parse(self.language.value)


def phrase(english: str) -> str:
    """Mark a text for the catalogues where it is written down but not said yet."""
    return english


def isolated_text(text: str, *, left_to_right: bool = False) -> str:
    """Return a text that keeps its own direction inside another; codes and ids go left to right."""
    begin, end = _LEFT_TO_RIGHT if left_to_right else _FIRST_STRONG
    return f"{begin}{text}{end}"


@cache
def words_of(language: Language) -> Words:
    """Return the words of a language, read once.

    Raises:
        FileNotFoundError: the language's catalogue is not installed.
    """
    if language is Language.ENGLISH:
        return Words(language, {})
    with (LOCALE_DIR / language / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language.value)
    return Words(
        language,
        {
            str(message.id): str(message.string)
            for message in catalogue
            if message.id and message.string and not message.fuzzy
        },
    )


def language_for(accepted: str | None, preferred: str | None = None) -> Language:
    """Choose a language: the one a person set, else the best of an ``Accept-Language`` header.

    The header is read leniently (RFC 9110 section 12.5.4): what is not understood is passed over,
    and in the end there is English.
    """
    if preferred in set(Language):
        return Language(preferred)
    ranked: list[tuple[float, int, Language]] = []
    for place, part in enumerate((accepted or "")[:1_000].split(",")):
        tag, _, weight = part.strip().partition(";")
        primary = tag.strip().lower().partition("-")[0]
        if primary in set(Language):
            ranked.append((-_quality(weight), place, Language(primary)))
    ranked = [one for one in ranked if one[0] < 0]
    return min(ranked)[2] if ranked else Language.ENGLISH


def _quality(weight: str) -> float:
    name, _, value = weight.strip().partition("=")
    if not name:
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
