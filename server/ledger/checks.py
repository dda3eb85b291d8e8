"""What must hold for the rows of the ledger, as queries that return the rows where it does not.

The guards make each of these impossible to break by ordinary statements. The checks do not rely on
that: they find what somebody did who could drop the guards or write to the file.
"""

from typing import NamedTuple

from server.ledger.chart import CHART


class Check(NamedTuple):
    """A rule, and a query for the tenant and the subject of each row that breaks it."""

    code: str
    rule: str
    query: str


def _leg(leg: str, delta: str) -> str:
    return f"""
        SELECT e.tenant, e.id FROM entry e LEFT JOIN posting p
          ON p.tenant = e.tenant AND p.account = e.{leg} AND p.version = e.{leg}_version
          AND p.entry = e.id AND p.leg = '{leg}' AND p.delta = {delta}
          AND p.at = e.at AND p.effective_at = e.effective_at
        WHERE e.{leg}_version IS NOT NULL AND p.entry IS NULL
    """  # noqa: S608 - no outside text


_HOLD_SUMS = """
    SELECT h.tenant, h.id,
      coalesce(sum(CASE WHEN e.operation = 'capture' THEN e.amount END), 0) AS captured,
      max(CASE e.operation WHEN 'release' THEN 'released' WHEN 'expire' THEN 'expired' END) AS ended
    FROM hold h LEFT JOIN entry e
      ON e.tenant = h.tenant AND e.hold = h.id AND e.outcome = 'applied'
    GROUP BY h.tenant, h.id
"""

_CLEARING = ", ".join(f"'{kind}'" for kind, rule in CHART.items() if rule.clears)
_FLOORS = " OR ".join(
    f"(a.kind = '{kind}' AND "
    + (
        "a.floor IS NOT NULL)"
        if rule.floor is None
        else f"(a.floor IS NULL OR a.floor <> {rule.floor}))"
    )
    for kind, rule in CHART.items()
)

CHECKS = (
    Check("debit_leg", "every movement has its debit posting", _leg("debit", "-e.amount")),
    Check("credit_leg", "every movement has its credit posting", _leg("credit", "e.amount")),
    Check(
        "entry_shape",
        "exactly the applied posts and captures have postings",
        """
        SELECT tenant, id FROM entry
        WHERE (debit_version IS NOT NULL)
            <> (outcome = 'applied' AND operation IN ('post', 'capture'))
          OR (credit_version IS NULL) <> (debit_version IS NULL)
          OR (reason IS NULL) <> (outcome = 'applied')
        """,
    ),
    Check(
        "posting_alone",
        "every posting belongs to the entry that it names",
        """
        SELECT p.tenant, p.entry FROM posting p LEFT JOIN entry e
          ON e.tenant = p.tenant AND e.id = p.entry
          AND ((e.debit = p.account AND e.debit_version = p.version)
            OR (e.credit = p.account AND e.credit_version = p.version))
        WHERE e.id IS NULL
        """,
    ),
    Check(
        "versions",
        "an account's postings follow each other: versions, balances, times",
        """
        SELECT DISTINCT tenant, account FROM (
          SELECT tenant, account, version, delta, balance, at,
            coalesce(lag(version) OVER w, 0) AS last_version,
            coalesce(lag(balance) OVER w, 0) AS last_balance,
            coalesce(lag(at) OVER w, at) AS last_at
          FROM posting WINDOW w AS (PARTITION BY tenant, account ORDER BY version)
        ) steps
        WHERE version <> last_version + 1 OR balance <> last_balance + delta OR at < last_at
        """,
    ),
    Check(
        "balance",
        "an account's balance and version are those of its postings",
        """
        SELECT a.tenant, a.id FROM account a LEFT JOIN (
          SELECT tenant, account, sum(delta) AS posted, max(version) AS version
          FROM posting GROUP BY tenant, account
        ) p ON p.tenant = a.tenant AND p.account = a.id
        WHERE a.posted <> coalesce(p.posted, 0) OR a.version <> coalesce(p.version, 0)
        """,
    ),
    Check(
        "account_unknown",
        "both accounts of an entry exist and count its asset",
        """
        SELECT e.tenant, e.id FROM entry e
          LEFT JOIN account d ON d.tenant = e.tenant AND d.id = e.debit AND d.asset = e.asset
          LEFT JOIN account c ON c.tenant = e.tenant AND c.id = e.credit AND c.asset = e.asset
        WHERE d.id IS NULL OR c.id IS NULL
        """,
    ),
    Check(
        "floor",
        "accounts are within their limits; a floor is its kind's, or the one that was set",
        f"""
        SELECT a.tenant, a.id FROM account a LEFT JOIN account_limit l
          ON l.tenant = a.tenant AND l.account = a.id AND l.number = (SELECT max(n.number)
            FROM account_limit n WHERE n.tenant = a.tenant AND n.account = a.id)
        WHERE (a.floor IS NOT NULL AND a.posted - a.held < a.floor) OR a.held < 0
          OR a.posted > a.ceiling
          OR (l.account IS NULL AND (a.ceiling IS NOT NULL OR {_FLOORS}))
          OR (l.account IS NOT NULL AND coalesce(a.ceiling <> l.ceiling,
            (a.ceiling IS NULL) <> (l.ceiling IS NULL)))
          OR (l.account IS NOT NULL AND ((a.floor IS NULL) <> (l.floor IS NULL)
            OR a.floor <> l.floor))
        """,  # noqa: S608 - no outside text
    ),
    Check(
        "held",
        "what an account holds back is what is left of its open holds",
        """
        SELECT a.tenant, a.id FROM account a LEFT JOIN (
          SELECT tenant, debit, sum(amount - taken) AS rest
          FROM hold WHERE state = 'open' GROUP BY tenant, debit
        ) h ON h.tenant = a.tenant AND h.debit = a.id
        WHERE a.held <> coalesce(h.rest, 0)
        """,
    ),
    Check(
        "hold_follows",
        "a hold is what its entries say",
        f"""
        SELECT h.tenant, h.id FROM hold h
          JOIN ({_HOLD_SUMS}) s ON s.tenant = h.tenant AND s.id = h.id
          LEFT JOIN entry e
          ON e.tenant = h.tenant AND e.id = h.id AND e.operation = 'hold'
          AND e.outcome = 'applied' AND e.debit = h.debit AND e.credit = h.credit
          AND e.amount = h.amount AND coalesce(e.expires_at, 0) = coalesce(h.expires_at, 0)
        WHERE e.id IS NULL OR h.taken <> s.captured OR h.state <> coalesce(s.ended,
          CASE WHEN h.taken = h.amount THEN 'captured' ELSE 'open' END)
        """,  # noqa: S608 - no outside text
    ),
    Check(
        "hold_missing",
        "every entry about a hold has its hold",
        """
        SELECT e.tenant, e.id FROM entry e LEFT JOIN hold h
          ON h.tenant = e.tenant AND h.debit = e.debit AND h.credit = e.credit
          AND h.id = CASE WHEN e.operation = 'hold' THEN e.id ELSE e.hold END
        WHERE e.outcome = 'applied' AND e.operation <> 'post' AND h.id IS NULL
        """,
    ),
    Check(
        "sum",
        "the balances of an asset sum to zero",
        "SELECT tenant, asset FROM account GROUP BY tenant, asset HAVING sum(posted) <> 0",
    ),
    Check(
        "clearing",
        "clearing accounts are empty when no command is running",
        f"SELECT tenant, id FROM account WHERE kind IN ({_CLEARING}) AND posted <> 0",  # noqa: S608
    ),
    Check(
        "unqueued",
        "every entry is either sealed or waits to be",
        """
        SELECT e.tenant, e.id FROM entry e
          LEFT JOIN leaf l ON l.tenant = e.tenant AND l.entry = e.id
          LEFT JOIN unsealed u ON u.tenant = e.tenant AND u.at = e.at AND u.entry = e.id
        WHERE (l.entry IS NULL) = (u.entry IS NULL)
        """,
    ),
)
