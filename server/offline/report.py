"""The state of offline money in a few figures, for operators and for tests.

The one equation that must always hold: the ledger's offline float is the sum of what open vouchers
still back, in every currency. `book_checks` has it with all the others.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

import msgspec
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, balance
from server.offline.book_checks import BookBreak, find_breaks
from server.offline.domain import DEFAULT_POLICY, CurrencyLimits, OfflinePolicy
from server.offline.fund import FundState, fund_currencies, fund_state
from server.offline.models import AccountRow, ConflictRow, PositionRow, VoucherRow
from server.offline.oversight_models import CheckRow, DisputeRow
from server.offline.policy import policy_in_force

_NEARLY_PERCENT = 80
"""How much of the fund's budget of a period may be promised before that is an alarm."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an operator should look at."""

    code: str
    text: str
    currency: str


@dataclass(frozen=True, slots=True)
class CurrencyReport:
    """Minor units. ``debts`` is what double spenders still owe."""

    currency: str
    offline_float: int
    open_vouchers: int
    clearing: int
    guarantee_fund: int
    debts: int
    recovered: int
    loss: int
    written_off: int
    collateral: int
    fund_reserved: int
    fund_promised_in_period: int
    fund_room: int | None

    @property
    def adds_up(self) -> bool:
        return self.offline_float == self.open_vouchers and self.clearing == 0


@dataclass(frozen=True, slots=True)
class OfflineReport:
    currencies: tuple[CurrencyReport, ...]
    forks: int
    clones: int
    disputes: Mapping[str, int]
    breaks: tuple[BookBreak, ...]
    alarms: tuple[Alarm, ...]

    @property
    def adds_up(self) -> bool:
        """Whether the float is the sum of open vouchers and every other sum agrees."""
        return not self.breaks and all(each.adds_up for each in self.currencies)

    def as_json(self) -> dict[str, object]:
        return {
            "adds_up": self.adds_up,
            "forks": self.forks,
            "clones": self.clones,
            "disputes": dict(self.disputes),
            "currencies": [asdict(each) | {"adds_up": each.adds_up} for each in self.currencies],
            "breaks": [asdict(each) for each in self.breaks],
            "alarms": [asdict(each) for each in self.alarms],
        }

    def as_text(self) -> str:
        lines = [f"Double spends: {self.forks}. Copied devices: {self.clones}."]
        if self.disputes:
            states = ", ".join(f"{count} {state}" for state, count in self.disputes.items())
            lines.append(f"Disputes: {states}.")
        for each in self.currencies:
            lines += _currency_lines(each)
        lines += [
            f"BROKEN {each.code}: {each.rule} ({each.currency} {each.subject})".replace(" )", ")")
            for each in self.breaks
        ]
        lines += [f"ALARM {each.code}: {each.text}" for each in self.alarms]
        return "\n".join(lines)


def _currency_lines(each: CurrencyReport) -> list[str]:
    def money(amount: int) -> Money:
        return Money(amount, each.currency)

    verdict = "equal" if each.adds_up else "NOT EQUAL"
    room = "no limit" if each.fund_room is None else f"room for {money(each.fund_room)}"
    float_, open_ = money(each.offline_float), money(each.open_vouchers)
    fund, promised = money(each.guarantee_fund), money(each.fund_reserved)
    debts, forgone = money(each.debts), money(each.written_off)
    recovered, collateral = money(each.recovered), money(each.collateral)
    return [
        f"{each.currency}: float {float_}, open vouchers {open_}: {verdict}",
        f"     guarantee fund {fund} (promised {promised}, {room}), loss {money(each.loss)}",
        f"     debts {debts} (written off {forgone}), recovered {recovered}",
        f"     collateral {collateral}",
    ]


async def offline_report(
    tx: Tx, tenant: int, policy: OfflinePolicy = DEFAULT_POLICY
) -> OfflineReport:
    """Return the figures of one tenant; ``policy`` holds where it has stored none."""
    rules = await policy_in_force(tx, tenant, policy)
    figures = await _figures(tx, tenant)
    currencies, alarms = [], []
    for code in sorted(figures.keys() | set(await fund_currencies(tx, tenant))):
        fund = await fund_state(tx, tenant, code, rules)
        report = await _currency(tx, tenant, fund, figures.get(code, {}))
        currencies.append(report)
        alarms += _alarms(report, fund, rules.limits(code))
    breaks = await find_breaks(tx, tenant)
    last = await tx.session.scalar(
        select(CheckRow.sound).where(CheckRow.tenant == tenant).order_by(CheckRow.at.desc())
    )
    if last is False and not breaks:
        alarms.append(Alarm("last_check", "the last daily check found the books wrong", ""))
    conflicts = await _counts(tx, ConflictRow.kind, ConflictRow.tenant == tenant)
    disputes = await _counts(tx, DisputeRow.state, DisputeRow.tenant == tenant)
    return OfflineReport(
        currencies=tuple(currencies),
        forks=conflicts.get("fork", 0),
        clones=conflicts.get("clone", 0),
        disputes=dict(sorted(disputes.items())),
        breaks=tuple(breaks),
        alarms=tuple(alarms),
    )


async def _figures(tx: Tx, tenant: int) -> dict[str, dict[str, int]]:
    """Return the sums over vouchers and over users, by currency."""
    outstanding = AccountRow.owed - AccountRow.recovered + AccountRow.overdrawn
    sums: dict[str, Select[str, int]] = {
        "open_vouchers": select(VoucherRow.currency, func.sum(VoucherRow.unpaid))
        .where(VoucherRow.tenant == tenant)
        .group_by(VoucherRow.currency)
    }
    for name, column in (
        ("debts", outstanding),
        ("recovered", AccountRow.recovered),
        ("written_off", AccountRow.written_off),
        ("collateral", AccountRow.collateral - AccountRow.secured - AccountRow.cushioned),
    ):
        sums[name] = (
            select(AccountRow.currency, func.sum(column))
            .where(AccountRow.tenant == tenant)
            .group_by(AccountRow.currency)
        )
    figures: dict[str, dict[str, int]] = {}
    for name, query in sums.items():
        for code, total in await tx.session.execute(query):
            figures.setdefault(code, {})[name] = int(total)
    return figures


async def _currency(
    tx: Tx, tenant: int, fund: FundState, figures: Mapping[str, int]
) -> CurrencyReport:
    async def shown(kind: AccountKind) -> int:
        return (await balance(tx, AccountRef(kind, fund.currency, None, tenant))).shown

    return CurrencyReport(
        currency=fund.currency,
        offline_float=await shown(AccountKind.HOUSE_OFFLINE_FLOAT),
        open_vouchers=figures.get("open_vouchers", 0),
        clearing=await shown(AccountKind.HOUSE_OFFLINE_CLEARING),
        guarantee_fund=fund.balance,
        debts=figures.get("debts", 0),
        recovered=figures.get("recovered", 0),
        loss=await shown(AccountKind.HOUSE_OFFLINE_LOSS),
        written_off=figures.get("written_off", 0),
        collateral=figures.get("collateral", 0),
        fund_reserved=fund.reserved,
        fund_promised_in_period=fund.promised_in_period,
        fund_room=fund.room,
    )


def _alarms(report: CurrencyReport, fund: FundState, limits: CurrencyLimits) -> list[Alarm]:
    code = report.currency
    found = []
    if fund.balance < 0:
        text = f"the guarantee fund is below zero: {Money(fund.balance, code)}"
        found.append(Alarm("fund_negative", text, code))
    if fund.floor is not None and fund.balance < fund.floor:
        text = f"the guarantee fund is below its floor of {Money(fund.floor, code)}"
        found.append(Alarm("fund_below_floor", text, code))
    if limits.fund_alarm_below is not None and fund.balance < limits.fund_alarm_below:
        text = f"the guarantee fund is below {Money(limits.fund_alarm_below, code)}"
        found.append(Alarm("fund_low", text, code))
    if fund.room is not None and fund.room < limits.fund:
        text = f"the fund has {Money(fund.room, code)} left to promise, less than one cheat's share"
        found.append(Alarm("fund_room", text, code))
    budget = fund.per_period
    if budget is not None and fund.promised_in_period * 100 >= budget * _NEARLY_PERCENT:
        promised = Money(fund.promised_in_period, code)
        text = f"{promised} of the {Money(budget, code)} of this period are promised"
        found.append(Alarm("fund_budget", text, code))
    if report.loss > 0:
        text = f"the issuer bears {Money(report.loss, code)}"
        found.append(Alarm("loss", text, code))
    return found


async def _counts(
    tx: Tx, column: InstrumentedAttribute[str], where: ColumnElement[bool]
) -> dict[str, int]:
    rows = await tx.session.execute(select(column, func.count()).where(where).group_by(column))
    return {name: int(number) for name, number in rows}


async def positions_digest(tx: Tx, tenant: int) -> bytes:
    """Return 32 bytes that are equal exactly when the settled positions and debts are."""
    positions = await tx.session.execute(
        select(
            PositionRow.root,
            PositionRow.leg,
            PositionRow.account,
            PositionRow.amount,
            PositionRow.held,
        ).where(PositionRow.tenant == tenant, PositionRow.amount > 0)
    )
    accounts = await tx.session.execute(
        select(
            AccountRow.currency,
            AccountRow.user_id,
            AccountRow.owed,
            AccountRow.recovered,
            AccountRow.overdrawn,
            AccountRow.secured,
            AccountRow.cushioned,
        ).where(AccountRow.tenant == tenant, AccountRow.owed + AccountRow.overdrawn > 0)
    )
    state = [sorted(map(tuple, positions)), sorted(map(tuple, accounts))]
    return sha256(msgspec.json.encode(state)).digest()
