"""Verifying the whole ledger: everything is recomputed, nothing is mended.

Three things are compared: the rows with each other (`checks`), the table of assets with the code,
and every sealed entry with the hash chain. Runs in one read transaction, which both databases
serve from one snapshot, so posting goes on meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Row, func, select, text

from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey
from server.kit.money import ASSETS
from server.kit.unit_of_work import Tx
from server.ledger.book_models import ClosedDayRow
from server.ledger.chain import FIRST_PREVIOUS, Seal
from server.ledger.checks import CHECKS
from server.ledger.day_checks import CHECKS as DAY_CHECKS
from server.ledger.day_checks import check_closed_days
from server.ledger.days import date_of
from server.ledger.leaves import leaf_hashes
from server.ledger.merkle import root_of
from server.ledger.models import (
    AccountRow,
    AssetRow,
    EntryRow,
    LeafRow,
    PostingRow,
    SealRow,
    UnsealedRow,
)

BREAKS_MAX = 1000
"""Breaks of one rule that a report lists."""


@dataclass(frozen=True, slots=True)
class Break:
    """One place where the ledger is not what it must be."""

    code: str
    rule: str
    tenant: int
    subject: str
    """Id of the entry or account, or the number of the seal."""


@dataclass(slots=True)
class LedgerReport:
    """What was looked at, and what does not hold."""

    counts: dict[str, int]
    breaks: list[Break] = field(default_factory=list)
    heads: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """By tenant, the number and hash of the last seal: what to keep elsewhere."""
    days: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """By tenant, the number (see `days.date_of`) and hash of the last closed day."""

    @property
    def sound(self) -> bool:
        return not self.breaks

    def as_json(self) -> dict[str, object]:
        return {
            "sound": self.sound,
            "counts": self.counts,
            "heads": {
                str(tenant): {"seal": number, "hash": digest.hex()}
                for tenant, (number, digest) in self.heads.items()
            },
            "closed_days": {
                str(tenant): {"day": str(date_of(day)), "hash": digest.hex()}
                for tenant, (day, digest) in self.days.items()
            },
            "breaks": [
                {"code": b.code, "rule": b.rule, "tenant": b.tenant, "subject": b.subject}
                for b in self.breaks
            ],
        }

    def as_text(self) -> str:
        lines = [", ".join(f"{count} {name}" for name, count in self.counts.items())]
        lines += [
            f"tenant {tenant}: last seal {number}:{digest.hex()}"
            for tenant, (number, digest) in self.heads.items()
        ]
        lines += [
            f"tenant {tenant}: closed up to {date_of(day)}, {digest.hex()}"
            for tenant, (day, digest) in self.days.items()
        ]
        lines += [
            f"BROKEN {b.code}: {b.rule} (tenant {b.tenant}, {b.subject})" for b in self.breaks
        ]
        lines.append("The ledger is sound." if self.sound else f"Breaks found: {len(self.breaks)}.")
        return "\n".join(lines)


async def verify_ledger(
    tx: Tx,
    *,
    trusted_keys: Iterable[PublicKey] | None = None,
    kept_heads: Mapping[int, tuple[int, bytes]] | None = None,
) -> LedgerReport:
    """Recompute the ledger of every tenant and report what does not hold.

    Args:
        tx: a read transaction, best the one of `UnitOfWork.read`.
        trusted_keys: when given, every seal must be signed by one of them.
        kept_heads: seals kept elsewhere, as in `LedgerReport.heads`; they must still be there.
    """
    report = LedgerReport(await _counts(tx))
    for check in (*CHECKS, *DAY_CHECKS):
        rows = await tx.connection.execute(text(f"{check.query} LIMIT {BREAKS_MAX}"))
        report.breaks += [Break(check.code, check.rule, row[0], _name(row[1])) for row in rows]
    await _check_assets(tx, report)
    trusted = None if trusted_keys is None else {key.raw for key in trusted_keys}
    heads = kept_heads or {}
    for tenant in sorted({*await _tenants(tx), *heads}):
        chain = _ChainCheck(tx, report, tenant, trusted)
        await chain.run(heads.get(tenant))
        if last := await check_closed_days(tx, tenant, chain.broken, trusted):
            report.days[tenant] = last
    return report


class _ChainCheck:
    """Walks the seals of a tenant from the first to the last."""

    def __init__(
        self, tx: Tx, report: LedgerReport, tenant: int, trusted: set[bytes] | None
    ) -> None:
        self._tx = tx
        self._report = report
        self._tenant = tenant
        self._trusted = trusted

    async def run(self, kept: tuple[int, bytes] | None) -> None:
        rows = await self._tx.connection.execute(
            select(SealRow.__table__).where(SealRow.tenant == self._tenant).order_by(SealRow.number)
        )
        number, position, previous = 0, 0, FIRST_PREVIOUS
        found = kept is None
        for row in rows.all():
            if row.number != number + 1 or row.previous != previous:
                self.broken("seal_link", "each seal follows the one before it", str(row.number))
            await self._block(row, position)
            number, position, previous = row.number, row.last_position, row.hash
            found = found or (row.number, row.hash) == kept
        if number:
            self._report.heads[self._tenant] = (number, previous)
        if not found:
            number, digest = kept or (0, b"")
            subject = f"{number}:{digest.hex()}"
            self.broken("kept_head", "a seal known from elsewhere is still there", subject)
        beyond = await self._tx.connection.scalar(
            select(func.count()).where(LeafRow.tenant == self._tenant, LeafRow.position > position)
        )
        if beyond:
            self.broken("leaf_beyond", "every leaf is under a seal", f"{beyond} leaves")

    async def _block(self, row: Row[tuple[object, ...]], after: int) -> None:
        seal = Seal(self._tenant, row.number, row.last_position, row.root, row.previous, row.at)
        if seal.hash != row.hash:
            self.broken("seal_hash", "a seal's hash is that of its content", str(row.number))
        self._check_signature(row)
        leaves = (
            await self._tx.connection.execute(
                select(LeafRow.position, LeafRow.entry, LeafRow.hash, LeafRow.blind)
                .where(
                    LeafRow.tenant == self._tenant,
                    LeafRow.position > after,
                    LeafRow.position <= row.last_position,
                )
                .order_by(LeafRow.position)
            )
        ).all()
        if [leaf.position for leaf in leaves] != list(range(after + 1, row.last_position + 1)):
            self.broken("leaf_gap", "leaves have every position", str(row.number))
        if root_of([leaf.hash for leaf in leaves]) != row.root:
            self.broken("seal_root", "a seal's root is that of its leaves", str(row.number))
        blinds = {leaf.entry: leaf.blind for leaf in leaves}
        now = await leaf_hashes(self._tx, self._tenant, blinds)
        for leaf in leaves:
            if now.get(leaf.entry) != leaf.hash:
                self.broken("entry_changed", "a sealed entry is what it was", _name(leaf.entry))

    def _check_signature(self, row: Row[tuple[object, ...]]) -> None:
        if row.signature is None:
            if self._trusted is not None:
                self.broken("seal_unsigned", "every seal is signed", str(row.number))
            return
        try:
            PublicKey(row.public_key).verify(row.hash, row.signature)
        except ProtocolError:
            self.broken("seal_signature", "a seal's signature is good", str(row.number))
        if self._trusted is not None and row.public_key not in self._trusted:
            self.broken("seal_signer", "seals are signed by a trusted key", str(row.number))

    def broken(self, code: str, rule: str, subject: str) -> None:
        self._report.breaks.append(Break(code, rule, self._tenant, subject))


async def _counts(tx: Tx) -> dict[str, int]:
    tables = {
        "accounts": AccountRow,
        "entries": EntryRow,
        "postings": PostingRow,
        "seals": SealRow,
        "unsealed": UnsealedRow,
    }
    return {
        name: int(await tx.connection.scalar(select(func.count()).select_from(row)) or 0)
        for name, row in tables.items()
    }


async def _tenants(tx: Tx) -> Sequence[int]:
    sealed = select(LeafRow.tenant).union(select(SealRow.tenant), select(ClosedDayRow.tenant))
    return sorted(await tx.connection.scalars(sealed))


async def _check_assets(tx: Tx, report: LedgerReport) -> None:
    rows = await tx.connection.execute(select(AssetRow.code, AssetRow.scale))
    stored = {row.code: row.scale for row in rows}
    for code in sorted(stored.keys() | ASSETS.keys()):
        known = ASSETS.get(code)
        if known is None or stored.get(code) != known.scale:
            rule = "assets are stored with the scale that the code counts them in"
            report.breaks.append(Break("asset", rule, 0, code))


def _name(subject: UUID | bytes | str) -> str:
    return str(UUID(bytes=subject)) if isinstance(subject, bytes) else str(subject)
