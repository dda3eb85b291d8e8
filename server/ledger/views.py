"""What the ledger's addresses show, put together from its reads."""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import select

from server.kit.auth import Caller
from server.kit.db import to_microseconds
from server.kit.errors import InvalidRequest, NotFound
from server.kit.schema import in_utc, to_base64url
from server.kit.unit_of_work import Tx
from server.ledger.book_models import ClosedDayRow
from server.ledger.chain import Seal, seal_of
from server.ledger.chart import AccountKind, AccountRef
from server.ledger.days import closed_day_of
from server.ledger.entry_proofs import OwnProof
from server.ledger.liabilities import LiabilityProof, LiabilityRoot
from server.ledger.models import AccountRow, SealRow
from server.ledger.past import Times, account_by_id, account_statement
from server.ledger.queries import balance
from server.ledger.reconciliation import last_report, mirrors_of
from server.ledger.schemas import (
    AccountView,
    CheckpointView,
    ClosedDayView,
    EntryProofView,
    LiabilityProofView,
    LiabilityRootView,
    MirrorView,
    PartView,
    SealView,
    StatementLineView,
    StatementView,
    TrialBalanceView,
    TrialLineView,
)
from server.ledger.trial_balance import TrialBalance, closed_trial_balance, trial_balance

PERIOD_MAX = timedelta(days=3660)
_DIGITS_MAX = 18
_TICK = timedelta(microseconds=1)
OWN_ACCOUNTS = {
    "available": AccountKind.USER_AVAILABLE,
    "emergency": AccountKind.USER_EMERGENCY,
    "collateral": AccountKind.USER_COLLATERAL,
}


async def own_statement(
    tx: Tx,
    caller: Caller,
    *,
    currency: str,
    account: str,
    begin: datetime | None,
    end: datetime | None,
    cursor: str | None,
    limit: int,
) -> StatementView:
    """Return a page of the statement of one of the caller's accounts.

    Raises:
        UnknownCurrency: this server does not know the currency.
        InvalidRequest: the period or the cursor makes no sense.
    """
    until = tx.now + _TICK if end is None else in_utc(end, field="end")
    since = until - timedelta(days=30) if begin is None else in_utc(begin, field="begin")
    if not timedelta(0) < until - since <= PERIOD_MAX:
        raise InvalidRequest("The period ends after it begins, within ten years.", field="end")
    after = _version(cursor)
    ref = AccountRef(OWN_ACCOUNTS[account], currency, caller.user_id, caller.tenant)
    page = await account_statement(
        tx, ref, begin=since, end=until, after_version=after, limit=limit
    )
    return StatementView(
        currency=currency,
        account=account,
        begin=page.begin,
        end=page.end,
        opening=page.opening,
        closing=page.closing,
        lines=[
            StatementLineView(
                entry=line.entry,
                kind=line.kind,
                amount=line.delta,
                balance=line.balance,
                at=line.at,
                effective_at=line.effective_at,
            )
            for line in page.lines
        ],
        next_cursor=None if page.next_version is None else str(page.next_version),
    )


def _version(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _DIGITS_MAX):
        raise InvalidRequest(
            "The cursor is not one that this list gave.",
            fix="Use next_cursor of the page before, or leave it out to begin.",
        )
    return int(cursor)


def entry_proof_view(entry: UUID, own: OwnProof) -> EntryProofView:
    proof = own.proof
    return EntryProofView(
        entry=entry,
        parts=[
            PartView(
                name=part.name,
                digest=part.digest.hex(),
                key=_hex(part.key),
                content=None if part.content is None else to_base64url(part.content),
            )
            for part in own.parts
        ],
        leaf=proof.leaf.hex(),
        index=proof.index,
        size=proof.size,
        path=[node.hex() for node in proof.path],
        seal=seal_view(proof.seal, proof.public_key, proof.signature),
    )


def seal_view(seal: Seal, public_key: bytes | None, signature: bytes | None) -> SealView:
    return SealView(
        number=seal.number,
        last_position=seal.last_position,
        root=seal.root.hex(),
        previous=seal.previous.hex(),
        hash=seal.hash.hex(),
        at_us=to_microseconds(seal.at),
        public_key=_hex(public_key),
        signature=_hex(signature),
    )


async def checkpoint(tx: Tx, tenant: int) -> CheckpointView:
    """Return the last seal and the last closed day."""
    seal = (
        await tx.connection.execute(
            select(SealRow.__table__)
            .where(SealRow.tenant == tenant)
            .order_by(SealRow.number.desc())
            .limit(1)
        )
    ).first()
    days = await closed_days(tx, tenant, limit=1)
    return CheckpointView(
        tenant=tenant,
        seal=None if seal is None else seal_view(*seal_of(seal)),
        day=days[0] if days else None,
    )


async def closed_days(
    tx: Tx, tenant: int, *, before: int | None = None, limit: int = 100
) -> list[ClosedDayView]:
    """Return closed days, the newest first, before a day's number."""
    query = select(ClosedDayRow.__table__).where(ClosedDayRow.tenant == tenant)
    if before is not None:
        query = query.where(ClosedDayRow.day < before)
    rows = await tx.connection.execute(query.order_by(ClosedDayRow.day.desc()).limit(limit))
    return [
        ClosedDayView(
            day=closed_day_of(row).date,
            accounts=row.accounts,
            postings=row.postings,
            seal=row.seal,
            hash=row.hash.hex(),
            previous=row.previous.hex(),
            at=row.at,
            public_key=_hex(row.public_key),
            signature=_hex(row.signature),
        )
        for row in rows
    ]


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def root_view(root: LiabilityRoot) -> LiabilityRootView:
    return msgspec.convert(root.as_json(), LiabilityRootView)


def proof_view(proof: LiabilityProof) -> LiabilityProofView:
    return msgspec.convert(proof.as_json(), LiabilityProofView)


async def trial_balance_view(
    tx: Tx, tenant: int, *, at: datetime | None, by: Times, day: date | None
) -> TrialBalanceView:
    """Return the trial balance now, at an instant, or as a day was closed.

    Raises:
        InvalidRequest: both an instant and a day are asked for.
        DayNotClosed: the day is not closed.
    """
    if at is not None and day is not None:
        raise InvalidRequest("Ask for an instant or for a day, not for both.", field="day")
    report: TrialBalance
    if day is not None:
        report = await closed_trial_balance(tx, tenant, day)
    else:
        report = await trial_balance(tx, tenant, at=at and in_utc(at, field="at"), by=by)
    return TrialBalanceView(
        balanced=report.balanced,
        totals=report.totals,
        lines=[
            TrialLineView(
                currency=line.asset,
                kind=line.kind,
                account_class=line.account_class,
                accounts=line.accounts,
                amount=line.shown,
            )
            for line in report.lines
        ],
    )


async def mirror_views(tx: Tx, tenant: int) -> list[MirrorView]:
    """Return every mirror account with the last statement it was compared with."""
    found = []
    for mirror in await mirrors_of(tx, tenant):
        report = await last_report(tx, mirror)
        found.append(
            MirrorView(
                account=mirror.id,
                kind=mirror.kind,
                currency=mirror.asset,
                owner=mirror.owner,
                balance=(await balance(tx, mirror)).shown,
                statement=None if report is None else report.statement,
                last_day=None if report is None else report.last_day,
                closing_balance=None if report is None else report.closing_balance,
                unexplained=None if report is None else report.unexplained,
                breaks=0 if report is None else len(report.breaks),
                sound=report is not None and report.sound,
            )
        )
    return found


async def named_account(tx: Tx, tenant: int, account: UUID) -> AccountRef:
    """Return the name of an account.

    Raises:
        NotFound: it was never opened.
    """
    ref = await account_by_id(tx, tenant, account)
    if ref is None:
        raise NotFound("There is no such account.")
    return ref


async def account_view(tx: Tx, tenant: int, account: UUID) -> AccountView:
    ref = await named_account(tx, tenant, account)
    now = await balance(tx, ref)
    closed = await tx.connection.scalar(
        select(AccountRow.closed_at.is_not(None)).where(
            AccountRow.tenant == tenant, AccountRow.id == account
        )
    )
    return AccountView(
        id=ref.id,
        kind=ref.kind,
        currency=ref.asset,
        owner=ref.owner,
        balance=now.shown,
        held=now.held,
        entries=now.version,
        closed=bool(closed),
    )
