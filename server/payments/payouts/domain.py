"""Withdrawals as values: states, terms, pauses. No I/O, no clock.

```
requested ─► sending ─► sent ─► paid ─► returned
    │           └────────┴───► refused
    └─► cancelled
```

``sending`` begins before the first call to the outside, in a transaction of its own: from there on
the order may be with the bank, whatever we heard, so it can no longer be cancelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from server.kit.money import Money
from server.payments.payouts.errors import WithdrawalTooLarge, WithdrawalTooSmall

TERM_MAX: Final = 10**12
"""Minor units; no minimum, maximum or fee is larger."""


class WithdrawalState(StrEnum):
    REQUESTED = "requested"
    SENDING = "sending"
    SENT = "sent"
    PAID = "paid"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    RETURNED = "returned"

    @property
    def is_final(self) -> bool:
        """Return whether no workflow has anything left to do. A paid one may still come back."""
        return self not in OPEN_STATES


OPEN_STATES: Final = frozenset(
    {WithdrawalState.REQUESTED, WithdrawalState.SENDING, WithdrawalState.SENT}
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a withdrawal in a currency has to be, and what it costs, in minor units.

    Raises:
        ValueError: the figures contradict each other.
    """

    currency: str
    minimum: int
    maximum: int
    fee: int

    def __post_init__(self) -> None:
        if not (0 < self.minimum <= self.maximum <= TERM_MAX and 0 <= self.fee <= TERM_MAX):
            raise ValueError(
                "A minimum is above zero, a maximum not below it, a fee not negative, "
                f"and none above {TERM_MAX} minor units."
            )

    def check(self, amount: int) -> None:
        """Refuse an amount that is out of range.

        Raises:
            WithdrawalTooSmall, WithdrawalTooLarge: members say what is allowed.
        """
        if amount < self.minimum:
            raise WithdrawalTooSmall(
                f"A withdrawal is at least {Money(self.minimum, self.currency)}.",
                fix="Choose a larger amount.",
                minimum=self.minimum,
                currency=self.currency,
            )
        if amount > self.maximum:
            raise WithdrawalTooLarge(
                f"A withdrawal is at most {Money(self.maximum, self.currency)}.",
                fix="Choose a smaller amount, or make several.",
                maximum=self.maximum,
                currency=self.currency,
            )


def _terms(*rows: tuple[str, int, int, int]) -> Mapping[str, Terms]:
    return MappingProxyType({row[0]: Terms(*row) for row in rows})


DEFAULT_TERMS: Final = _terms(
    ("AED", 5_000, 2_000_000, 200),
    ("BHD", 5_000, 2_000_000, 200),
    ("BRL", 2_000, 2_500_000, 250),
    ("CHF", 1_000, 500_000, 50),
    ("EUR", 1_000, 500_000, 50),
    ("GBP", 1_000, 500_000, 50),
    ("GHS", 5_000, 5_000_000, 300),
    ("INR", 50_000, 40_000_000, 1_500),
    ("JPY", 1_000, 800_000, 80),
    ("KES", 50_000, 60_000_000, 5_000),
    ("MAD", 5_000, 5_000_000, 300),
    ("NGN", 500_000, 500_000_000, 5_000),
    ("TRY", 10_000, 5_000_000, 500),
    ("TZS", 1_000_000, 1_200_000_000, 100_000),
    ("UGX", 20_000, 18_000_000, 1_500),
    ("USD", 1_000, 500_000, 50),
    ("XOF", 5_000, 3_000_000, 300),
    ("ZAR", 10_000, 9_000_000, 500),
)
"""Where an operator has set nothing else. Minor units: minimum, maximum, fee."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently the outside is asked.

    The pauses between two questions grow by ``factor`` from ``first`` to ``longest``. A rail that
    gives no answer at all for ``silent_max`` questions in a row, or no final one in
    ``answers_max``, makes a dead letter: then a person looks at it.
    """

    first: timedelta = timedelta(seconds=2)
    factor: int = 3
    longest: timedelta = timedelta(hours=1)
    silent_max: int = 24
    answers_max: int = 400
    call_timeout_s: float = 30
    quiet: timedelta = timedelta(minutes=5)
    """After the last call; then nobody is still sending, not even a process that hung."""

    def pause(self, question: int, id_: UUID) -> timedelta:
        """Return the wait after a question, counted from 1.

        Up to a quarter is added by the id, so that many do not come at the same moment.
        """
        times: int = self.factor ** min(question - 1, 16)
        grown = min(self.first * times, self.longest)
        return grown + grown * (id_.int % 1000) / 4000


DEFAULT_PACE: Final = Pace()
