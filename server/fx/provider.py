"""What this room needs of a source of rates, in its own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class RateSheet:
    """Units of each currency for one euro on a day, as the source wrote the numbers."""

    on: date
    rates: Mapping[str, str]


class RatesUnavailable(Exception):
    """The source did not answer in time, or not with rates; the text says which and why."""


@runtime_checkable
class RateProvider(Protocol):
    name: str
    """At most 16 characters; stored with each rate."""

    async def fetch(self) -> RateSheet:
        """Return the newest sheet that the source has.

        Raises:
            RatesUnavailable: there is no sheet to be had now.
        """
        ...
