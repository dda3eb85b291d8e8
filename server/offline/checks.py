"""What must hold between this room's rows and the ledger, and a settlement that would break it.

Every settlement is checked in its own transaction, from the database and not from what the code
believes to have written: what it changed by `check_settled`, before the commit, and the sums once
more by the database itself when it commits (see `guards`). `find_breaks` checks everything.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import case, func, select
from sqlalchemy.exc import IntegrityError

from server.kit.schema import to_base64url
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.audit import SERVER, record_deed
from server.offline.errors import SettlementUnsound
from server.offline.events import lock_offline, turn_of
from server.offline.models import PositionRow, VoucherRow
from server.offline.oversight_models import AuditRow, BookRow
from server.offline.postings import SOURCES, Leg
from server.offline.records import slices

_EVIDENCE_MAX = 20
_QUIET = timedelta(hours=1)
"""The same refusal again within this time is logged, and not kept once more."""
_REFUSED: Final = "settlement_refused"
_GUARDS = ("offline_book", "FOREIGN KEY constraint failed", "ck_offline_", "offline: ")
"""What the database says when one of this room's guards or constraints refuses."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RootSums:
    """What is stored about one voucher, in minor units."""

    root: bytes
    value: int
    unpaid: int
    closed: bool
    backing: int
    sources: int
    credits: int

    @property
    def sound(self) -> bool:
        """Whether nothing was created or lost: paid from what was set aside, and once."""
        return (
            self.credits == self.sources
            and self.backing == self.value - self.unpaid
            and not (self.closed and self.unpaid)
        )

    def as_json(self) -> dict[str, object]:
        return {
            "voucher_id": to_base64url(self.root),
            "value": self.value,
            "unpaid": self.unpaid,
            "closed": self.closed,
            "backing": self.backing,
            "sources": self.sources,
            "credits": self.credits,
        }


async def check_settled(tx: Tx, tenant: int, currency: str, roots: Collection[bytes]) -> None:
    """Check the vouchers that a settlement changed, and the sums of their currency.

    Raises:
        SettlementUnsound: something does not agree; the caller must not commit.
    """
    await tx.session.flush()
    broken = [sums async for sums in _sums_of(tx, tenant, roots) if not sums.sound]
    book = (
        await tx.session.execute(
            select(BookRow.open_vouchers, BookRow.float_posted, BookRow.clearing).where(
                BookRow.tenant == tenant, BookRow.currency == currency
            )
        )
    ).one_or_none()
    opened, posted, clearing = (0, 0, 0) if book is None else book
    if not broken and opened == posted and clearing == 0:
        return
    raise SettlementUnsound(
        {
            "currency": currency,
            "open_vouchers": opened,
            "float": posted,
            "clearing": clearing,
            "vouchers": [sums.as_json() for sums in broken[:_EVIDENCE_MAX]],
            "vouchers_broken": len(broken),
        }
    )


async def _sums_of(tx: Tx, tenant: int, roots: Iterable[bytes]) -> Any:
    sources = case(
        (PositionRow.leg.in_(sorted(leg.value for leg in SOURCES)), PositionRow.amount), else_=0
    )
    for names in slices(sorted(roots)):
        query = (
            select(
                *(VoucherRow.id, VoucherRow.value, VoucherRow.unpaid, VoucherRow.closed),
                func.coalesce(func.sum(_only(Leg.BACKING)), 0),
                func.coalesce(func.sum(sources), 0),
                func.coalesce(func.sum(_only(Leg.CREDIT)), 0),
            )
            .outerjoin(
                PositionRow,
                (PositionRow.tenant == VoucherRow.tenant) & (PositionRow.root == VoucherRow.id),
            )
            .where(VoucherRow.tenant == tenant, VoucherRow.id.in_(names))
            .group_by(VoucherRow.id, VoucherRow.value, VoucherRow.unpaid, VoucherRow.closed)
        )
        for root, value, unpaid, closed, *sums in await tx.session.execute(query):
            yield RootSums(root, value, unpaid, closed, *map(int, sums))


def _only(leg: Leg) -> Any:
    return case((PositionRow.leg == leg.value, PositionRow.amount), else_=0)


def unsound(error: IntegrityError) -> SettlementUnsound | None:
    """Return the refusal behind an error of the database, when one of our guards raised it."""
    said = str(error.orig)
    if not any(guard in said for guard in _GUARDS):
        return None
    return SettlementUnsound({"database": said.partition("\n")[0][:300]})


async def report_unsound(uow: UnitOfWork, tenant: int, refusal: SettlementUnsound) -> None:
    """Tell operators of a settlement that was not committed, in a transaction of its own."""
    evidence = dict(refusal.evidence)
    _log.error("offline_settlement_refused", tenant=tenant, **evidence)
    subject = f"book/{evidence.get('currency', 'any')}"

    async def keep(tx: Tx) -> None:
        await lock_offline(tx, tenant)
        last = await tx.session.scalar(
            select(AuditRow)
            .where(AuditRow.tenant == tenant, AuditRow.subject == subject)
            .order_by(AuditRow.seq.desc())
            .limit(1)
        )
        if last is None or last.detail != evidence or last.at < tx.now - _QUIET:
            reason = "the books would not have agreed"
            await record_deed(
                tx, tenant, SERVER, _REFUSED, subject=subject, reason=reason, **evidence
            )

    await uow.run(keep, turn=turn_of(tenant))
