"""A statement of one currency over some days."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from server.kit.errors import InvalidRequest
from server.kit.i18n import isolated_text
from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, StatementLine, point_at, statement
from server.payments.history.details import Detail, details_of
from server.payments.history.totals import midnight
from server.payments.history.wording import title
from server.payments.papers.desk import PaperDesk, Reader, code, common
from server.payments.papers.errors import PeriodTooLong

LINES_MAX: Final = 1_000
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """What one account did from one day to another, both included."""

    currency: str
    first: date
    last: date
    opening: int
    lines: tuple[StatementLine, ...]
    details: dict[UUID, Detail]

    @property
    def closing(self) -> int:
        return self.lines[-1].balance if self.lines else self.opening


async def find_period(
    tx: Tx, desk: PaperDesk, reader: Reader, *, currency: str, first: date, last: date
) -> Period:
    """Return the lines of the reader's own balance.

    Raises:
        InvalidRequest: the days are in the wrong order.
        PeriodTooLong: there are more than ``LINES_MAX`` lines.
        UnknownCurrency: this server does not know the currency.
    """
    asset(currency)
    if last < first:
        raise InvalidRequest(
            "The last day lies before the first.", fix="Exchange the two.", field="last"
        )
    caller = reader.caller
    ref = AccountRef(AccountKind.USER_AVAILABLE, currency, caller.user_id, caller.tenant)
    begin, end = midnight(first, reader.zone), midnight(last + timedelta(days=1), reader.zone)
    low, opening = await point_at(tx, ref, begin - _TICK)
    high, _ = await point_at(tx, ref, end - _TICK)
    if high - low > LINES_MAX:
        raise PeriodTooLong(
            f"The period has {high - low} lines, and one paper at most {LINES_MAX}.",
            fix="Ask for fewer days, or for the table: GET /v1/history/export.csv.",
        )
    lines = await statement(tx, ref, after_version=low, limit=high - low) if high > low else []
    details = await details_of(tx, caller, lines, desk.explainers)
    return Period(currency, first, last, opening, tuple(lines), details)


def paper(desk: PaperDesk, reader: Reader, period: Period) -> dict[str, object]:
    """Return what the template of a statement needs."""
    words = reader.words
    number = f"{period.currency}-{period.first:%Y%m%d}-{period.last:%Y%m%d}"
    received = sum(line.delta for line in period.lines if line.delta > 0)
    sent = sum(line.delta for line in period.lines if line.delta < 0)

    def amount(minor: int, *, signed: bool = False) -> str:
        return words.amount(minor, period.currency, signed=signed)

    return common(desk, reader, title=words.say("Statement"), number=code(number)) | {
        "facts": [
            (words.say("Account holder"), reader.name),
            (
                words.say("Period"),
                words.say(
                    "{first} to {last}", first=words.day(period.first), last=words.day(period.last)
                ),
            ),
            (words.say("Opening balance"), amount(period.opening)),
            (words.say("Received"), amount(received, signed=True)),
            (words.say("Sent"), amount(sent, signed=True)),
            (words.say("Closing balance"), amount(period.closing)),
        ],
        "columns": [
            words.say("Date"),
            words.say("What"),
            words.say("Amount"),
            words.say("Balance"),
        ],
        "lines": [
            (
                words.day(line.at.astimezone(reader.zone).date()),
                _what(line, period.details.get(line.entry), reader),
                amount(line.delta, signed=True),
                amount(line.balance),
            )
            for line in period.lines
        ],
        "nothing": words.say("Nothing moved in this period."),
    }


def _what(line: StatementLine, detail: Detail | None, reader: Reader) -> str:
    named = title(line.kind, reader.words)
    if detail is None:
        return named
    told = (isolated_text(part) for part in (detail.counterpart, detail.note) if part)
    return " · ".join((named, *told))
