"""The reader of reference-rate files, in the XML form in which the ECB publishes them each day.

A file comes from outside and is not trusted: it is small, has no document type and no entities,
names one day, and each currency once, with a plain decimal number.
"""

from datetime import date
from typing import Final

from lxml import etree

from server.fx.provider import RateSheet
from server.fx.rates import is_rate

FILE_BYTES_MAX: Final = 262_144
"""A real one has about two thousand."""
_CURRENCIES_MAX: Final = 512
_GESMES: Final = "{http://www.gesmes.org/xml/2002-08-01}"
_CUBE: Final = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"


class RateFileInvalid(ValueError):
    """The bytes are no daily reference-rate file; the text says what is wrong."""


def read_rate_file(data: bytes) -> RateSheet:
    """Return the sheet in a daily file.

    Raises:
        RateFileInvalid: it is anything else.
    """
    root = _parse(data)
    days = root.findall(f"{_CUBE}/{_CUBE}")
    if root.tag != f"{_GESMES}Envelope" or len(days) != 1:
        raise RateFileInvalid("it is no envelope with the rates of one day")
    cubes = days[0].findall(_CUBE)
    if not 0 < len(cubes) <= _CURRENCIES_MAX:
        raise RateFileInvalid("it names no currency, or more than there are")
    rates: dict[str, str] = {}
    for cube in cubes:
        currency, rate = cube.get("currency", ""), cube.get("rate", "")
        if not _is_code(currency) or currency == "EUR":
            raise RateFileInvalid("a currency is no code of three letters, or the euro itself")
        if not is_rate(rate):
            raise RateFileInvalid(f"the rate of {currency} is no decimal number above zero")
        if currency in rates:
            raise RateFileInvalid(f"{currency} stands there twice")
        rates[currency] = rate
    return RateSheet(_day(days[0].get("time", "")), rates)


def _parse(data: bytes) -> "etree._Element":
    if len(data) > FILE_BYTES_MAX:
        raise RateFileInvalid(f"it has more than {FILE_BYTES_MAX} bytes")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise RateFileInvalid("it is no well-formed XML") from error
    if root.getroottree().docinfo.doctype:
        raise RateFileInvalid("it declares a document type")
    return root


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise RateFileInvalid("its day is not written as 2026-01-31") from None
    if text != day.isoformat():
        raise RateFileInvalid("its day is not written as 2026-01-31")
    return day


def _is_code(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()  # noqa: PLR2004
