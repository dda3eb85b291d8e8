"""What was posted for each root, leg by leg, and the entries that lead to what should be posted."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select

from offline_protocol.settlement import RootSettlement, Settlement
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.ledger import EntryRequest
from server.offline.events import Event, EventType
from server.offline.models import PositionRow, VoucherRow
from server.offline.postings import BEARERS, NOBODY, Book, Leg

Place = tuple[Leg, UUID]
"""A leg of a root, and the account, or `NOBODY` for the legs of the house."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a leg should stand at; ``held`` is the part that waits for claim-by.

    ``promised`` is what was guaranteed of a credit, and stays so.
    """

    amount: int = 0
    held: int = 0
    promised: int = 0


@dataclass(frozen=True, slots=True)
class CreditChange:
    """A credit that moved, and the ids of the ledger entries that moved it."""

    user: UUID
    before: Target
    after: Target
    entries: tuple[UUID, ...] = ()


@dataclass(slots=True)
class Positions:
    """The stored positions of some roots. `store` adds the new ones; the rest is tracked."""

    tenant: int
    rows: dict[bytes, dict[Place, PositionRow]] = field(default_factory=dict)
    """By root."""
    fresh: list[PositionRow] = field(default_factory=list)
    credited: dict[bytes, list[CreditChange]] = field(default_factory=dict)

    def free_changes(self, result: Settlement) -> dict[UUID, int]:
        """Return how much each user's free credit would change, held parts left out."""
        changes: dict[UUID, int] = {}
        for root in result.roots:
            for (leg, user), old, new in self._steps(root):
                if leg is Leg.CREDIT:
                    change = (new.amount - new.held) - (old.amount - old.held)
                    changes[user] = changes.get(user, 0) + change
        return changes

    def final_collateral(
        self, vouchers: Mapping[bytes, VoucherRow], result: Settlement
    ) -> dict[UUID, int]:
        """Return the collateral that closed roots have used, by the debtor.

        Not what paid for a debt that ``result`` does not have any more: a dispute overturned it.
        """
        used: dict[UUID, int] = {}
        for root in result.roots:
            if not vouchers[root.voucher_id].closed:
                continue
            for (leg, user), row in self.rows.get(root.voucher_id, {}).items():
                amount = min(row.amount, root.debts.get(str(user), 0))
                if leg is Leg.COLLATERAL and amount:
                    used[user] = used.get(user, 0) + amount
        return used

    def paid_by_fund(self, user: UUID) -> int:
        """Return what the guarantee fund has paid for a cheat under these roots."""
        rows = (legs.get((Leg.FUND, user)) for legs in self.rows.values())
        return sum(row.amount for row in rows if row is not None)

    def move_to(self, root: RootSettlement, book: Book, *, revision: int) -> list[EntryRequest]:
        """Return the entries that bring a root to its settlement, and take them as posted."""
        subject = root.voucher_id.hex()
        entries: list[EntryRequest] = []
        for (leg, user), old, new in self._steps(root):
            row = self._row(root.voucher_id, (leg, user))
            before = len(entries)
            if new.amount != old.amount:
                by = new.amount - old.amount
                entries.append(book.change(leg, user, by, subject=subject, revision=revision))
            if new.held != old.held:
                if row.hold is not None:
                    entries.append(book.release(user, row.hold))
                row.hold = None
                if new.held:
                    hold = book.hold(user, new.held, subject=subject, revision=revision)
                    entries.append(hold)
                    row.hold = hold.id
            row.amount, row.held, row.promised = new.amount, new.held, new.promised
            if leg is Leg.CREDIT:
                change = CreditChange(user, old, new, tuple(each.id for each in entries[before:]))
                self.credited.setdefault(root.voucher_id, []).append(change)
        return entries

    def news_of(
        self, root: RootSettlement, currency: str, *, parties: Collection[UUID], closes: bool
    ) -> Iterator[Event]:
        """Return what to tell the users about the last `move_to` of a root.

        That it is closed is told to all ``parties``: also who passed value on, and got nothing
        in the end, may have a payment that waits for this verdict.
        """
        voucher = to_base64url(root.voucher_id)
        for change in self.credited.pop(root.voucher_id, ()):
            old, new = change.before, change.after
            about = {
                "voucher_id": voucher,
                "currency": currency,
                "entries": list(map(str, change.entries)),
            }
            if new.amount != old.amount:
                grew = new.amount > old.amount
                yield Event(
                    EventType.CREDITED if grew else EventType.CREDIT_REDUCED,
                    change.user,
                    about
                    | {
                        "amount": abs(new.amount - old.amount),
                        "total": new.amount,
                        "final": not new.held,
                    },
                )
            elif old.held and not new.held:
                yield Event(EventType.CREDIT_FINAL, change.user, about | {"amount": new.amount})
        if closes:
            for user in sorted({*parties, *map(UUID, root.credits)}):
                credit = root.credits.get(str(user))
                amount = 0 if credit is None else credit.amount
                body = {"voucher_id": voucher, "amount": amount, "currency": currency}
                yield Event(EventType.VOUCHER_CLOSED, user, body)

    async def store(self, tx: Tx) -> None:
        tx.session.add_all(self.fresh)
        await tx.session.flush()
        self.fresh = []

    def _steps(self, root: RootSettlement) -> list[tuple[Place, Target, Target]]:
        """Return the legs that change, with what they stand at and what they should."""
        known = self.rows.get(root.voucher_id, {})
        before = {place: Target(row.amount, row.held, row.promised) for place, row in known.items()}
        after = dict(_targets(root))
        both = (
            (place, before.get(place, Target()), after.get(place, Target()))
            for place in sorted(before.keys() | after.keys())
        )
        return [(place, old, new) for place, old, new in both if old != new]

    def _row(self, root: bytes, place: Place) -> PositionRow:
        legs = self.rows.setdefault(root, {})
        if place not in legs:
            leg, user = place
            legs[place] = PositionRow(
                tenant=self.tenant,
                root=root,
                leg=leg.value,
                account=user,
                amount=0,
                held=0,
                promised=0,
            )
            self.fresh.append(legs[place])
        return legs[place]


async def load_positions(tx: Tx, tenant: int, roots: Collection[bytes]) -> Positions:
    """Return what was posted for these roots."""
    positions = Positions(tenant)
    names = sorted(roots)
    for start in range(0, len(names), 500):
        query = select(PositionRow).where(
            PositionRow.tenant == tenant, PositionRow.root.in_(names[start : start + 500])
        )
        for row in await tx.session.scalars(query):
            positions.rows.setdefault(row.root, {})[Leg(row.leg), row.account] = row
    return positions


def _targets(root: RootSettlement) -> Iterator[tuple[Place, Target]]:
    """Return what every leg of a root should stand at."""
    sources = root.sources
    yield (Leg.BACKING, NOBODY), Target(sources.backing)
    yield (Leg.ISSUER, NOBODY), Target(sources.issuer)
    for account, amount in sources.collateral.items():
        spared = BEARERS.get(account)
        yield (
            (Leg.COLLATERAL, UUID(account)) if spared is None else (spared, NOBODY),
            Target(amount),
        )
    for account, amount in sources.fund.items():
        yield (Leg.FUND, UUID(account)), Target(amount)
    for user, amount in debts_of(root).items():
        yield (Leg.DEBT, user), Target(amount)
    for account, credit in root.credits.items():
        held = 0 if root.closed else credit.amount - credit.guaranteed
        yield (Leg.CREDIT, UUID(account)), Target(credit.amount, held, credit.guaranteed)


def debts_of(root: RootSettlement) -> dict[UUID, int]:
    """Return what each user owes under a root; what the house bears itself nobody owes."""
    return {
        UUID(account): amount for account, amount in root.debts.items() if account not in BEARERS
    }
