"""The chart of accounts: which kinds there are, and what holds for each.

Inside, a balance is credit-positive: a credit adds, a debit takes away, and the sum over all
accounts of an asset is zero. The class of a kind decides the sign that people are shown.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from uuid import UUID, uuid5

from server.kit.money import asset as known_asset

_NAMESPACE = UUID("6f0f1c52-3a52-5c0e-9d0b-6f6a3a0f7a11")
_IDS_CACHED = 1 << 16


class AccountClass(StrEnum):
    """The five classes of bookkeeping."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"

    @property
    def sign(self) -> int:
        """Return what a credit-positive balance is multiplied with before it is shown."""
        return -1 if self in {AccountClass.ASSET, AccountClass.EXPENSE} else 1


class AccountKind(StrEnum):
    """What an account is for. ``USER_…`` and ``BANK_…`` have an owner, the house has one each."""

    USER_AVAILABLE = "user_available"
    USER_RECEIVABLE = "user_receivable"
    USER_COLLATERAL = "user_collateral"
    USER_EMERGENCY = "user_emergency"
    USER_DEBT = "user_debt"
    USER_CARD_DEBT = "user_card_debt"
    BANK_MONEY = "bank_money"
    HOUSE_CARD_GATEWAY = "house_card_gateway"
    HOUSE_OFFLINE_FLOAT = "house_offline_float"
    HOUSE_OFFLINE_CLEARING = "house_offline_clearing"
    HOUSE_GUARANTEE_FUND = "house_guarantee_fund"
    HOUSE_RECOVERY_DUE = "house_recovery_due"
    HOUSE_WRITTEN_OFF = "house_written_off"
    HOUSE_OFFLINE_LOSS = "house_offline_loss"
    HOUSE_CAPITAL = "house_capital"
    HOUSE_PENDING_TRANSFERS = "house_pending_transfers"
    HOUSE_FEES = "house_fees"
    HOUSE_FX_POSITION = "house_fx_position"
    HOUSE_FX_INCOME = "house_fx_income"
    HOUSE_OUTSIDE_FEES = "house_outside_fees"
    HOUSE_DISPUTED = "house_disputed"
    HOUSE_CARD_LOSS = "house_card_loss"
    HOUSE_SUSPENSE = "house_suspense"

    @property
    def rule(self) -> "KindRule":
        return CHART[self]


@dataclass(frozen=True, slots=True)
class KindRule:
    """What holds for every account of a kind.

    ``floor`` is the lowest that posted minus held may become, or None where there is no limit.
    A kind that ``clears`` is zero whenever no command is running.
    """

    account_class: AccountClass
    floor: int | None
    purpose: str
    clears: bool = False


CHART = MappingProxyType(
    {
        AccountKind.USER_AVAILABLE: KindRule(
            AccountClass.LIABILITY, 0, "what a user may spend; never below zero"
        ),
        AccountKind.USER_RECEIVABLE: KindRule(
            AccountClass.ASSET, None, "what a user owes us after a double spend"
        ),
        AccountKind.USER_COLLATERAL: KindRule(
            AccountClass.LIABILITY, 0, "what a user set aside for debts that may come"
        ),
        AccountKind.HOUSE_CARD_GATEWAY: KindRule(
            AccountClass.ASSET, None, "money that the card gateway holds for us"
        ),
        AccountKind.HOUSE_OFFLINE_FLOAT: KindRule(
            AccountClass.LIABILITY, 0, "backing of every voucher that is still open"
        ),
        AccountKind.HOUSE_OFFLINE_CLEARING: KindRule(
            AccountClass.LIABILITY,
            None,
            "where one settlement's sources and credits meet",
            clears=True,
        ),
        AccountKind.HOUSE_GUARANTEE_FUND: KindRule(
            AccountClass.EQUITY, None, "pays the victims of double spends"
        ),
        AccountKind.HOUSE_RECOVERY_DUE: KindRule(
            AccountClass.LIABILITY,
            None,
            "what recovered debts go through to victims, house and fund",
        ),
        AccountKind.HOUSE_WRITTEN_OFF: KindRule(
            AccountClass.LIABILITY,
            None,
            "what recovery due will not get: debts that nobody expects to be paid",
        ),
        AccountKind.HOUSE_OFFLINE_LOSS: KindRule(
            AccountClass.EXPENSE, None, "what the issuer bears beyond the fund"
        ),
        AccountKind.HOUSE_CAPITAL: KindRule(
            AccountClass.EQUITY, None, "the owners' own money, which endows the fund"
        ),
        AccountKind.USER_EMERGENCY: KindRule(
            AccountClass.LIABILITY, 0, "what a user locked away from ordinary payments"
        ),
        AccountKind.USER_CARD_DEBT: KindRule(
            AccountClass.ASSET, None, "what a user owes after card money was taken back"
        ),
        AccountKind.USER_DEBT: KindRule(
            AccountClass.ASSET, None, "what a user owes us for a deposit that was taken back"
        ),
        AccountKind.BANK_MONEY: KindRule(
            AccountClass.ASSET, None, "money that a partner bank, its owner, holds for us"
        ),
        AccountKind.HOUSE_PENDING_TRANSFERS: KindRule(
            AccountClass.LIABILITY, 0, "transfers that wait for somebody to register"
        ),
        AccountKind.HOUSE_FEES: KindRule(AccountClass.INCOME, None, "fees that users paid"),
        AccountKind.HOUSE_FX_POSITION: KindRule(
            AccountClass.EQUITY, None, "what exchanges left us with in each currency"
        ),
        AccountKind.HOUSE_FX_INCOME: KindRule(
            AccountClass.INCOME, None, "spread and charges of exchanges"
        ),
        AccountKind.HOUSE_OUTSIDE_FEES: KindRule(
            AccountClass.EXPENSE, None, "what card companies and banks charge us"
        ),
        AccountKind.HOUSE_DISPUTED: KindRule(
            AccountClass.ASSET, None, "card money withheld until a dispute is decided"
        ),
        AccountKind.HOUSE_CARD_LOSS: KindRule(
            AccountClass.EXPENSE, None, "lost disputes that no user's money covers"
        ),
        AccountKind.HOUSE_SUSPENSE: KindRule(
            AccountClass.LIABILITY, None, "money that came in and has no known owner yet"
        ),
    }
)


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Names an account, whether or not it was opened yet.

    ``id`` follows from the other fields, so nothing is looked up before it is locked.

    Raises:
        UnknownCurrency: the asset is not one of this server's.
        ValueError: a user's account without owner, or a house account with one.
    """

    kind: AccountKind
    asset: str
    owner: UUID | None = None
    tenant: int = 1
    id: UUID = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind.startswith("house_") != (self.owner is None):
            raise ValueError(f"{self.kind} with owner {self.owner}: the house alone has none")
        object.__setattr__(self, "id", _account_id(self.tenant, self.kind, self.asset, self.owner))


@lru_cache(maxsize=_IDS_CACHED)
def _account_id(tenant: int, kind: AccountKind, asset: str, owner: UUID | None) -> UUID:
    path = f"{tenant}/{kind}/{known_asset(asset).code}/{owner or 'house'}"
    return uuid5(_NAMESPACE, path)
