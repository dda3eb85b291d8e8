"""Totals of each day, for charts, in the days of the reader's time zone."""

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.kit.auth import Caller
from server.kit.errors import InvalidRequest
from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, turnover
from server.payments.history.schemas import DayTotals, Totals

DAYS_MAX: Final = 366


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database.

    Raises:
        InvalidRequest: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(
            "The time zone is not known.",
            fix="Use a name such as Europe/Istanbul or UTC.",
            field="zone",
        ) from None


async def day_totals(
    tx: Tx, caller: Caller, *, currency: str, first: date, last: date, zone: ZoneInfo
) -> Totals:
    """Return what came in and went out on each day from ``first`` to ``last``, both included.

    Raises:
        InvalidRequest: the days are in the wrong order, or more than ``DAYS_MAX``.
        UnknownCurrency: this server does not know the currency.
    """
    asset(currency)
    count = (last - first).days + 1
    if not 0 < count <= DAYS_MAX:
        raise InvalidRequest(
            f"A period has 1 to {DAYS_MAX} days, the first one before the last.",
            fix="Ask for a shorter period, or exchange the two days.",
            field="last",
        )
    ref = AccountRef(AccountKind.USER_AVAILABLE, currency, caller.user_id, caller.tenant)
    opening, spans = await turnover(
        tx, ref, begin=midnight(first, zone), end=midnight(last + timedelta(days=1), zone)
    )
    received, sent, moved = [0] * count, [0] * count, [0] * count
    for span in spans:
        # The first span may begin before the day that it was cut to.
        place = max((span.begin.astimezone(zone).date() - first).days, 0)
        received[place] += span.received
        sent[place] += span.sent
        moved[place] += span.count
    days, balance = [], opening
    for place in range(count):
        balance += received[place] - sent[place]
        days.append(
            DayTotals(
                day=first + timedelta(days=place),
                received=received[place],
                sent=sent[place],
                count=moved[place],
                closing=balance,
            )
        )
    return Totals(currency=currency, zone=zone.key, opening=opening, days=days)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day begins in a zone."""
    return datetime.combine(day, time(), tzinfo=zone)
