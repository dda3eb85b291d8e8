"""Checking closed days: their figures against the postings, their hashes against each other."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import select

from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey
from server.kit.unit_of_work import Tx
from server.ledger.book_guards import DAY_US
from server.ledger.book_models import ClosedDayRow, DayBalanceRow
from server.ledger.chain import FIRST_PREVIOUS
from server.ledger.checks import Check
from server.ledger.days import DayBalance, closed_day_of, day_totals, root_over, totals_digest
from server.ledger.models import SealRow

Broken = Callable[[str, str, str], None]
"""Takes the code of a rule, the rule, and the day that breaks it."""

_CLOSED = "(SELECT tenant, min(day) AS first, max(day) AS last FROM closed_day GROUP BY tenant)"

CHECKS = (
    Check(
        "day_postings",
        "a closed day's figures of an account are the sums of what took effect on it",
        f"""
        SELECT DISTINCT tenant, account FROM (
          SELECT tenant, account, day, sum(debits) AS debits, sum(credits) AS credits,
            sum(postings) AS postings
          FROM (
            SELECT tenant, account, day, -debits AS debits, -credits AS credits,
              -postings AS postings FROM day_balance
            UNION ALL
            SELECT p.tenant, p.account,
              CASE WHEN p.effective_at / {DAY_US} < c.first THEN c.first
                ELSE p.effective_at / {DAY_US} END,
              CASE WHEN p.delta < 0 THEN -p.delta ELSE 0 END,
              CASE WHEN p.delta > 0 THEN p.delta ELSE 0 END, 1
            FROM posting p JOIN {_CLOSED} c ON c.tenant = p.tenant
            WHERE p.effective_at < (c.last + 1) * {DAY_US}
          ) both_sides GROUP BY tenant, account, day
        ) sums WHERE debits <> 0 OR credits <> 0 OR postings <> 0
        """,  # noqa: S608 - no outside text
    ),
    Check(
        "day_balance",
        "an account's balances at the ends of days follow each other",
        """
        SELECT DISTINCT tenant, account FROM (
          SELECT tenant, account, debits, credits, balance,
            coalesce(lag(balance) OVER (PARTITION BY tenant, account ORDER BY day), 0) AS last
          FROM day_balance
        ) steps WHERE balance <> last + credits - debits
        """,
    ),
    Check(
        "day_total",
        "the sums of a closed day are those of its accounts, and follow those of the day before",
        """
        SELECT DISTINCT t.tenant, t.kind FROM (
          SELECT tenant, day, asset, kind, debits, credits, balance, coalesce(
            lag(balance) OVER (PARTITION BY tenant, asset, kind ORDER BY day), 0) AS last
          FROM day_total
        ) t LEFT JOIN (
          SELECT b.tenant, b.day, a.asset, a.kind, sum(b.debits) AS debits,
            sum(b.credits) AS credits
          FROM day_balance b JOIN account a ON a.tenant = b.tenant AND a.id = b.account
          GROUP BY b.tenant, b.day, a.asset, a.kind
        ) s ON s.tenant = t.tenant AND s.day = t.day AND s.asset = t.asset AND s.kind = t.kind
        WHERE t.balance <> t.last + t.credits - t.debits
          OR t.debits <> coalesce(s.debits, 0) OR t.credits <> coalesce(s.credits, 0)
        """,
    ),
    Check(
        "day_sum",
        "the sums of an asset at the end of a day come to zero",
        "SELECT tenant, asset FROM day_total GROUP BY tenant, day, asset HAVING sum(balance) <> 0",
    ),
)


async def check_closed_days(
    tx: Tx, tenant: int, broken: Broken, trusted: set[bytes] | None
) -> tuple[int, bytes] | None:
    """Walk the closed days of a tenant; return number and hash of the last one."""
    rows = await tx.connection.execute(
        select(ClosedDayRow.__table__)
        .where(ClosedDayRow.tenant == tenant)
        .order_by(ClosedDayRow.day)
    )
    previous, before = FIRST_PREVIOUS, None
    for row in rows.all():
        closed = closed_day_of(row)
        name = str(closed.date)
        if closed.hash != row.hash:
            broken("day_hash", "a closed day's hash is that of its content", name)
        if closed.previous != previous or (before is not None and closed.day != before + 1):
            broken("day_link", "each closed day follows the one before it", name)
        figures = await _figures(tx, tenant, closed.day)
        if root_over(figures) != closed.root or len(figures) != closed.accounts:
            broken("day_root", "a closed day's root is that of its balances", name)
        if totals_digest(await day_totals(tx, tenant, closed.day)) != closed.totals:
            broken("day_totals", "a closed day's sums are what was signed", name)
        if closed.seal and await _seal_hash(tx, tenant, closed.seal) != closed.seal_hash:
            broken("day_seal", "the seal that a closed day names is still there", name)
        if problem := _signature_problem(row.hash, row.public_key, row.signature, trusted):
            broken("day_signature", problem, name)
        previous, before = row.hash, closed.day
    return None if before is None else (before, previous)


def _signature_problem(
    digest: bytes, key: bytes | None, signature: bytes | None, trusted: set[bytes] | None
) -> str | None:
    if key is None or signature is None:
        return None if trusted is None else "every closed day is signed"
    try:
        PublicKey(key).verify(digest, signature)
    except ProtocolError:
        return "a closed day's signature is good"
    if trusted is not None and key not in trusted:
        return "closed days are signed by a trusted key"
    return None


async def _figures(tx: Tx, tenant: int, day: int) -> list[DayBalance]:
    rows = await tx.connection.execute(
        select(
            DayBalanceRow.account,
            DayBalanceRow.postings,
            DayBalanceRow.debits,
            DayBalanceRow.credits,
            DayBalanceRow.balance,
        )
        .where(DayBalanceRow.tenant == tenant, DayBalanceRow.day == day)
        .order_by(DayBalanceRow.account)
    )
    return [DayBalance(UUID(bytes=row[0].bytes), *row[1:]) for row in rows]


async def _seal_hash(tx: Tx, tenant: int, number: int) -> bytes | None:
    found = select(SealRow.hash).where(SealRow.tenant == tenant, SealRow.number == number)
    return await tx.connection.scalar(found)
