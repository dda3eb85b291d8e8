"""Checkpoints kept elsewhere: comparing what the books said then with what they say now.

A checkpoint is what GET /v1/ledger/checkpoint answers and `tallystick checkpoints export` writes:
the last seal and the last closed day, signed. It costs nothing to keep, and whoever has an old one
can tell whether anything before it was changed, even by somebody who holds the database and the
signing key.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import select

from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey
from server.kit.db import from_microseconds
from server.kit.errors import InvalidRequest
from server.kit.unit_of_work import Tx
from server.ledger.book_models import ClosedDayRow
from server.ledger.chain import Seal
from server.ledger.days import closed_day_of, number_of
from server.ledger.models import SealRow
from server.ledger.schemas import CheckpointView, ClosedDayView, SealView

CHECKPOINTS_MAX = 100_000


@dataclass(slots=True)
class CheckpointReport:
    """What became of kept checkpoints. ``links`` is how many seals were followed since."""

    checkpoints: int = 0
    links: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, object]:
        return {
            "sound": self.sound,
            "checkpoints": self.checkpoints,
            "links": self.links,
            "problems": self.problems,
        }

    def as_text(self) -> str:
        lines = [f"{self.checkpoints} checkpoints, {self.links} seals followed since the first."]
        lines += [f"BROKEN {problem}" for problem in self.problems]
        lines.append("All of them still hold." if self.sound else "The books were changed.")
        return "\n".join(lines)


def read_checkpoints(text: str) -> list[CheckpointView]:
    """Read checkpoints, one JSON document a line.

    Raises:
        InvalidRequest: a line is none, or there are too many.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > CHECKPOINTS_MAX:
        raise InvalidRequest(f"A file has at most {CHECKPOINTS_MAX} checkpoints.")
    try:
        return [msgspec.json.decode(line, type=CheckpointView) for line in lines]
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest(f"The file holds something else than checkpoints: {error}.") from error


async def check_checkpoints(
    tx: Tx, kept: Sequence[CheckpointView], *, trusted_keys: Iterable[PublicKey] | None = None
) -> CheckpointReport:
    """Compare kept checkpoints with the books as they are now."""
    report = CheckpointReport(len(kept))
    trusted = None if trusted_keys is None else {key.raw.hex() for key in trusted_keys}
    for tenant in sorted({each.tenant for each in kept}):
        own = [each for each in kept if each.tenant == tenant]
        seals = {each.seal.number: each.seal for each in own if each.seal is not None}
        for each in own:
            if each.seal is not None:
                _check_seal(report, tenant, each.seal, trusted)
            if each.day is not None:
                await _check_day(tx, report, tenant, each.day, trusted)
        if seals:
            await _follow(tx, report, tenant, [e.seal for e in own if e.seal is not None])
    return report


def _check_seal(
    report: CheckpointReport, tenant: int, kept: SealView, trusted: set[str] | None
) -> None:
    """Check a kept seal by itself: its hash is that of its content, and signed."""
    try:
        digest = Seal(
            tenant,
            kept.number,
            kept.last_position,
            bytes.fromhex(kept.root),
            bytes.fromhex(kept.previous),
            from_microseconds(kept.at_us),
        ).hash.hex()
    except (ValueError, OverflowError):
        digest = ""
    if digest != kept.hash:
        report.problems.append(f"the kept seal {kept.number} is damaged: its hash is another")
    _check_signature(report, f"seal {kept.number}", kept.hash, kept.public_key, kept.signature)
    if trusted is not None and kept.public_key not in trusted:
        report.problems.append(f"the kept seal {kept.number} is not signed by a trusted key")


async def _check_day(
    tx: Tx, report: CheckpointReport, tenant: int, kept: ClosedDayView, trusted: set[str] | None
) -> None:
    row = (
        await tx.connection.execute(
            select(ClosedDayRow.__table__).where(
                ClosedDayRow.tenant == tenant, ClosedDayRow.day == number_of(kept.day)
            )
        )
    ).first()
    name = f"closed day {kept.day}"
    _check_signature(report, name, kept.hash, kept.public_key, kept.signature)
    if trusted is not None and kept.public_key not in trusted:
        report.problems.append(f"the kept {name} is not signed by a trusted key")
    if row is None:
        report.problems.append(f"{name} is gone")
    elif row.hash.hex() != kept.hash or closed_day_of(row).hash != row.hash:
        report.problems.append(f"{name} is not what it was")


def _check_signature(
    report: CheckpointReport, name: str, digest: str, key: str | None, signature: str | None
) -> None:
    if key is None or signature is None:
        return
    try:
        PublicKey(bytes.fromhex(key)).verify(bytes.fromhex(digest), bytes.fromhex(signature))
    except (ProtocolError, ValueError):
        report.problems.append(f"the signature of the kept {name} is not good")


async def _follow(tx: Tx, report: CheckpointReport, tenant: int, kept: Sequence[SealView]) -> None:
    """Walk from the first kept seal to the last there is: every kept one is on the way."""
    wanted: dict[int, set[str]] = {}
    for each in kept:
        wanted.setdefault(each.number, set()).add(each.hash)
    rows = await tx.connection.execute(
        select(SealRow.__table__)
        .where(SealRow.tenant == tenant, SealRow.number >= min(wanted))
        .order_by(SealRow.number)
    )
    previous: bytes | None = None
    number = min(wanted)
    for row in rows.all():
        seal = Seal(tenant, row.number, row.last_position, row.root, row.previous, row.at)
        linked = previous is None or row.previous == previous
        if row.number != number or not linked or seal.hash != row.hash:
            report.problems.append(f"seal {row.number} does not follow the one before it")
        report.links += 1
        if wanted.pop(row.number, {row.hash.hex()}) != {row.hash.hex()}:
            report.problems.append(f"seal {row.number} is not what it was")
        previous, number = row.hash, row.number + 1
    report.problems += [f"seal {number} is gone" for number in sorted(wanted)]
