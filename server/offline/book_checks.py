"""What must hold between this room's tables and the ledger, as queries for the rows where it fails.

The guards make most of it impossible to break by ordinary statements. The checks do not rely on
that: they find what somebody did who could drop the guards or write to the file.
"""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx

BREAKS_MAX = 100
"""Breaks of one rule that a report lists."""
_ID_BYTES = 16


class BookCheck(NamedTuple):
    """A rule, and a query for the currency and the subject of each row that breaks it."""

    code: str
    rule: str
    query: str


@dataclass(frozen=True, slots=True)
class BookBreak:
    """One place where the room's books are not what they must be."""

    code: str
    rule: str
    currency: str
    subject: str
    """Id of a voucher (base64url) or of a user, or empty for a whole currency."""


def _house(kind: str) -> str:
    return (
        f"coalesce((SELECT posted FROM account a WHERE a.tenant = :tenant AND a.kind = '{kind}' "  # noqa: S608 - constants
        "AND a.asset = c.currency), 0)"
    )


def _legs(*legs: str) -> str:
    names = ", ".join(f"'{leg}'" for leg in legs)
    return (
        "coalesce((SELECT sum(p.amount) FROM offline_position p JOIN offline_voucher v "  # noqa: S608 - constants
        f"ON v.tenant = p.tenant AND v.id = p.root WHERE p.tenant = :tenant AND p.leg IN ({names}) "
        "AND v.currency = c.currency), 0)"
    )


def _accounts(expression: str) -> str:
    return (
        f"coalesce((SELECT sum({expression}) FROM offline_account u "  # noqa: S608 - constants
        "WHERE u.tenant = :tenant AND u.currency = c.currency), 0)"
    )


_CURRENCIES = (
    "(SELECT currency FROM offline_voucher WHERE tenant = :tenant "
    "UNION SELECT currency FROM offline_account WHERE tenant = :tenant "
    "UNION SELECT asset FROM account WHERE tenant = :tenant AND kind LIKE 'house_offline%') c"
)
_OPEN = (
    "coalesce((SELECT sum(v.unpaid) FROM offline_voucher v WHERE v.tenant = :tenant "
    "AND v.currency = c.currency), 0)"
)
_WRITTEN_OFF_DEBT = (
    "CASE WHEN u.written_off < u.owed - u.recovered THEN u.written_off "
    "ELSE u.owed - u.recovered END"
)


def _sums(code: str, rule: str, condition: str) -> BookCheck:
    return BookCheck(code, rule, f"SELECT c.currency, NULL FROM {_CURRENCIES} WHERE {condition}")  # noqa: S608 - constants


def _users(code: str, rule: str, kind: str, shown: str) -> BookCheck:
    return BookCheck(
        code,
        rule,
        f"""
        SELECT u.currency, u.user_id FROM offline_account u LEFT JOIN account a
          ON a.tenant = u.tenant AND a.kind = '{kind}' AND a.owner = u.user_id
          AND a.asset = u.currency
        WHERE u.tenant = :tenant AND coalesce(a.posted, 0) <> {shown}
        """,  # noqa: S608 - constants
    )


CHECKS = (
    _sums(
        "float",
        "the float is what open vouchers still back",
        f"{_house('house_offline_float')} <> {_OPEN}",
    ),
    _sums("clearing", "clearing is empty", f"{_house('house_offline_clearing')} <> 0"),
    BookCheck(
        "book",
        "the guarded sums are those of the rows",
        f"""
        SELECT c.currency, NULL FROM offline_book c WHERE c.tenant = :tenant AND (
          c.open_vouchers <> {_OPEN} OR c.float_posted <> {_house("house_offline_float")}
          OR c.clearing <> {_house("house_offline_clearing")})
        """,  # noqa: S608 - constants
    ),
    BookCheck(
        "voucher",
        "each voucher pays credits from its sources, its backing once, and all of it when closed",
        """
        SELECT v.currency, v.id FROM offline_voucher v LEFT JOIN (
          SELECT root,
            sum(CASE WHEN leg = 'backing' THEN amount ELSE 0 END) AS backing,
            sum(CASE WHEN leg IN ('credit', 'debt') THEN 0 ELSE amount END) AS sources,
            sum(CASE WHEN leg = 'credit' THEN amount ELSE 0 END) AS credits
          FROM offline_position WHERE tenant = :tenant GROUP BY root
        ) p ON p.root = v.id
        WHERE v.tenant = :tenant AND (coalesce(p.sources, 0) <> coalesce(p.credits, 0)
          OR coalesce(p.backing, 0) <> v.value - v.unpaid OR (v.closed AND v.unpaid <> 0))
        """,
    ),
    BookCheck(
        "position",
        "every position belongs to a voucher",
        """
        SELECT '', p.root FROM offline_position p LEFT JOIN offline_voucher v
          ON v.tenant = p.tenant AND v.id = p.root
        WHERE p.tenant = :tenant AND v.id IS NULL
        """,
    ),
    BookCheck(
        "hold",
        "what waits for claim-by is held in the ledger",
        """
        SELECT v.currency, v.id FROM offline_position p
          JOIN offline_voucher v ON v.tenant = p.tenant AND v.id = p.root
          LEFT JOIN hold h ON h.tenant = p.tenant AND h.id = p.hold AND h.state = 'open'
        WHERE p.tenant = :tenant AND p.held <> coalesce(h.amount - h.taken, 0)
        """,
    ),
    BookCheck(
        "debt",
        "what a user owes is the sum of the debts of all vouchers",
        """
        SELECT u.currency, u.user_id FROM offline_account u LEFT JOIN (
          SELECT v.currency, p.account, sum(p.amount) AS owed FROM offline_position p
            JOIN offline_voucher v ON v.tenant = p.tenant AND v.id = p.root
          WHERE p.tenant = :tenant AND p.leg = 'debt' GROUP BY v.currency, p.account
        ) d ON d.account = u.user_id AND d.currency = u.currency
        WHERE u.tenant = :tenant AND u.owed <> coalesce(d.owed, 0)
        """,
    ),
    _users(
        "receivable",
        "a user's debt in the ledger is what is outstanding and not written off",
        "user_receivable",
        "u.written_off - (u.owed - u.recovered + u.overdrawn)",
    ),
    _users(
        "collateral",
        "a user's collateral in the ledger is what no debt has used",
        "user_collateral",
        "u.collateral - u.secured - u.cushioned",
    ),
    _sums(
        "recovery_due",
        "what recovered debts go through is what was charged and not passed on",
        f"{_house('house_recovery_due')} <> {_legs('debt')} - {_legs('collateral')}",
    ),
    _sums(
        "passed_on",
        "no more is passed on than was recovered",
        f"{_legs('collateral')} > {_accounts('u.recovered')}",
    ),
    _sums(
        "written_off",
        "what was written off stands against what recovery due would get",
        f"-{_house('house_written_off')} <> {_accounts(_WRITTEN_OFF_DEBT)}",
    ),
    _sums(
        "loss",
        "the loss is what the issuer paid in place of others, and credit that was written off",
        f"-{_house('house_offline_loss')} <> {_legs('issuer', 'spared_i')} "
        f"+ {_accounts(f'u.written_off - ({_WRITTEN_OFF_DEBT})')}",
    ),
)


async def find_breaks(tx: Tx, tenant: int) -> list[BookBreak]:
    """Return everything that does not hold, at most `BREAKS_MAX` for each rule."""
    breaks: list[BookBreak] = []
    for check in CHECKS:
        rows = await tx.connection.execute(
            text(f"{check.query} LIMIT {BREAKS_MAX}"), {"tenant": tenant}
        )
        breaks += [BookBreak(check.code, check.rule, row[0], _name(row[1])) for row in rows]
    return breaks


def _name(subject: UUID | bytes | None) -> str:
    if subject is None:
        return ""
    if isinstance(subject, bytes):
        is_user = len(subject) == _ID_BYTES
        return str(UUID(bytes=subject)) if is_user else to_base64url(subject)
    return str(subject)
