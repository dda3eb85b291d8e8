"""The books at the operator's command line: what the commands do and print."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec

from offline_protocol.keys import PublicKey
from server.kit.errors import InvalidRequest
from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.ledger import views
from server.ledger.account_books import limit_account
from server.ledger.chart import AccountKind, AccountRef
from server.ledger.checkpoints import CheckpointReport, check_checkpoints, read_checkpoints
from server.ledger.closing import close_account
from server.ledger.days import ClosedDay
from server.ledger.liabilities import LiabilityRoot
from server.ledger.past import Times
from server.ledger.reconciliation import last_report, mirrors_of
from server.ledger.schemas import AccountView
from server.ledger.trial_balance import TrialBalance, closed_trial_balance, trial_balance

OPERATOR = "operator"


async def trial_balance_of(
    tx: Tx, tenant: int, *, at: datetime | None, by: str, day: datetime | None
) -> TrialBalance:
    """Return the trial balance now, at an instant (UTC), or as a day was closed.

    Raises:
        InvalidRequest: both an instant and a day are named.
        DayNotClosed: the day is not closed.
    """
    if at is not None and day is not None:
        raise InvalidRequest("Name an instant or a day, not both.")
    if day is not None:
        return await closed_trial_balance(tx, tenant, day.date())
    instant = None if at is None else at.replace(tzinfo=UTC)
    return await trial_balance(tx, tenant, at=instant, by=Times(by))


def day_lines(closed: Sequence[ClosedDay], upto: date) -> list[str]:
    lines = [
        f"{day.date} is closed: {day.postings} postings on {day.accounts} accounts, "
        f"{day.hash.hex()}"
        for day in closed
    ]
    return lines or [f"{upto} was closed before."]


def root_lines(roots: Sequence[LiabilityRoot]) -> list[str]:
    lines = []
    for root in roots:
        below = Money(root.below_zero_sum, root.asset)
        lines.append(
            f"{root.asset} at the end of {root.date}: {Money(root.total, root.asset)} to "
            f"{root.leaves} people, {root.below_zero} below zero with {below}; "
            f"round {root.number}, root {root.root.hex()}"
        )
    return lines or ["Nobody had anything."]


async def checkpoint_line(tx: Tx, tenant: int) -> str:
    """Return the present checkpoint as one line of JSON."""
    return msgspec.json.encode(await views.checkpoint(tx, tenant)).decode()


async def checked_text(tx: Tx, text: str, keys: Sequence[PublicKey]) -> CheckpointReport:
    """Compare the checkpoints of a file's text with the books.

    Raises:
        InvalidRequest: the file holds something else.
    """
    return await check_checkpoints(tx, read_checkpoints(text), trusted_keys=keys)


async def reconciliation_rows(tx: Tx, tenant: int) -> list[dict[str, object]]:
    """Return every mirror account with its last statement and its breaks."""
    rows: list[dict[str, object]] = []
    for mirror in await mirrors_of(tx, tenant):
        report = await last_report(tx, mirror)
        row: dict[str, object] = {
            "account": str(mirror.id),
            "kind": mirror.kind.value,
            "currency": mirror.asset,
            "owner": None if mirror.owner is None else str(mirror.owner),
            "statement": None,
            "sound": report is not None and report.sound,
        }
        if report is not None:
            row |= {
                "statement": report.statement,
                "last_day": str(report.last_day),
                "balance_here": report.balance_here,
                "closing_balance": report.closing_balance,
                "unexplained": report.unexplained,
                "breaks": [msgspec.to_builtins(each) for each in report.breaks],
            }
        rows.append(row)
    return rows


async def reconciliation_text(tx: Tx, tenant: int) -> tuple[list[str], bool]:
    """Return the same for people, and whether nothing is open."""
    lines, sound = [], True
    for mirror in await mirrors_of(tx, tenant):
        name = f"{mirror.kind} {mirror.asset}" + (f" of {mirror.owner}" if mirror.owner else "")
        report = await last_report(tx, mirror)
        if report is None:
            lines.append(f"{name}: never compared with a statement")
            continue
        sound = sound and report.sound
        here = Money(report.balance_here, mirror.asset)
        lines.append(f"{name}: {here} here on {report.last_day}, statement {report.statement}")
        if report.closing_balance is not None:
            there = Money(report.closing_balance, mirror.asset)
            rest = "" if not report.unexplained else f", {report.unexplained} UNEXPLAINED"
            lines.append(f"     {there} there{rest}")
        lines += [
            f"     {each.state.upper()} {each.kind}: {each.external_id or each.entry} "
            f"here {each.here}, there {each.there} ({each.statement}, {each.id})"
            for each in report.breaks
        ]
    return lines or ["No account mirrors an outside party yet."], sound


async def find_account(tx: Tx, tenant: int, name: str) -> AccountRef:
    """Return an account by its id, or by KIND/CURRENCY or KIND/CURRENCY/OWNER.

    Raises:
        InvalidRequest: the name is none of these.
        NotFound: there is no account with this id.
        UnknownCurrency: this server does not know the currency.
    """
    parts = name.split("/")
    try:
        if len(parts) == 1:
            return await views.named_account(tx, tenant, UUID(name))
        kind, currency, *owner = parts
        owner_id = UUID(owner[0]) if owner else None
        return AccountRef(AccountKind(kind), currency, owner_id, tenant)
    except (ValueError, IndexError) as error:
        raise InvalidRequest(
            f"{name!r} names no account.",
            fix="Give its id, or kind/currency/owner such as house_fees/EUR.",
        ) from error


async def account_text(tx: Tx, tenant: int, name: str) -> str:
    ref = await find_account(tx, tenant, name)
    return _account_line(await views.account_view(tx, tenant, ref.id))


async def close_named(tx: Tx, tenant: int, name: str) -> str:
    """Close an empty account.

    Raises:
        AccountInUse: money is left in it, or set aside.
    """
    ref = await find_account(tx, tenant, name)
    await close_account(tx, ref)
    return _account_line(await views.account_view(tx, tenant, ref.id))


async def limit_named(
    tx: Tx, tenant: int, name: str, floor: str, reason: str, *, ceiling: int | None = None
) -> str:
    """Set an account's floor, written in minor units, or "none", and its ceiling.

    Raises:
        LimitUnfit: the account stands below it, or its kind always has one.
        InvalidRequest: the floor is no number, or the reason is missing.
    """
    if floor != "none" and not re.fullmatch(r"-?[0-9]{1,18}", floor):
        raise InvalidRequest("A floor is a whole number of minor units, or none.")
    ref = await find_account(tx, tenant, name)
    minor = None if floor == "none" else int(floor)
    limit = await limit_account(tx, ref, floor=minor, ceiling=ceiling, reason=reason, by=OPERATOR)
    above = "" if ceiling is None else f", never above {ceiling}"
    return f"Limit {limit.number} of {ref.id}: never below {floor}{above}."


def _account_line(view: AccountView) -> str:
    owner = f" of {view.owner}" if view.owner else ""
    state = ", closed" if view.closed else ""
    amount, held = Money(view.balance, view.currency), Money(view.held, view.currency)
    return f"{view.kind}{owner}: {amount}, {held} held, {view.entries} movements{state} ({view.id})"
