"""A conflict as officers see it: the evidence, read; the parties; what the voucher paid; the steps.

Parties see less: the steps in their own words (`dispute_view`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import literal, select, tuple_

from offline_protocol.certificates import KeySet
from offline_protocol.cose import Signed
from offline_protocol.errors import ProtocolError
from offline_protocol.fraud import FraudProof, verify_clone_alarm, verify_fraud_proof
from offline_protocol.transfers import Transfer, TransferKind
from server.identity import UserView, device_by_id, users_by_id
from server.kit.auth import Caller
from server.kit.db import UtcTime
from server.kit.errors import InvalidRequest, NotFound
from server.kit.schema import Page, to_base64url
from server.kit.unit_of_work import Tx
from server.offline.conflicts import read_evidence
from server.offline.debts import standings_of
from server.offline.deeds import deeds_about
from server.offline.dispute_words import told
from server.offline.disputes import cost_of_fork, needs_second, role_in, subject_of
from server.offline.domain import OfflinePolicy
from server.offline.models import (
    ConflictPartyRow,
    ConflictRow,
    PositionRow,
    TransferRow,
    VoucherRow,
)
from server.offline.oversight_models import AuditRow, DisputeRow
from server.offline.oversight_schemas import (
    CaseView,
    DisputeItem,
    DisputeStep,
    DisputeView,
    PartyView,
    SettlementEffect,
    SignedTransferView,
)
from server.offline.owners import Owners
from server.offline.policy import policy_in_force
from server.offline.postings import SOURCES, Leg
from server.offline.queries import conflict_key

_STEPS_MAX = 100


async def dispute_view(tx: Tx, caller: Caller, conflict: bytes) -> DisputeView:
    """Return a dispute to the parties of its conflict.

    Raises:
        NotFound: no such conflict concerns the caller, or nobody contests it.
    """
    role = await role_in(tx, caller, conflict)
    dispute = await tx.session.get(DisputeRow, (caller.tenant, conflict))
    row = await tx.session.get(ConflictRow, (caller.tenant, conflict))
    if role is None or dispute is None or row is None:
        raise NotFound(
            "No dispute about a conflict with this id concerns you.",
            fix="GET /v1/offline/conflicts lists the conflicts that do.",
        )
    return await _dispute(tx, dispute, row, role)


async def list_disputes(
    tx: Tx, tenant: int, *, state: str, cursor: str | None, limit: int
) -> Page[DisputeItem]:
    """Return disputes of one state, the oldest first.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    query = (
        select(DisputeRow, ConflictRow)
        .join(
            ConflictRow,
            (ConflictRow.tenant == DisputeRow.tenant) & (ConflictRow.id == DisputeRow.conflict),
        )
        .where(DisputeRow.tenant == tenant, DisputeRow.state == state)
        .order_by(DisputeRow.opened_at, DisputeRow.conflict)
        .limit(limit + 1)
    )
    if cursor is not None:
        after = await tx.session.get(DisputeRow, (tenant, conflict_key(cursor)))
        if after is None:
            raise InvalidRequest("The cursor is not one that this list gave.", field="cursor")
        place = tuple_(DisputeRow.opened_at, DisputeRow.conflict)
        query = query.where(place > tuple_(literal(after.opened_at, UtcTime), after.conflict))
    rows = (await tx.session.execute(query)).all()
    items = [
        DisputeItem(
            conflict_id=to_base64url(dispute.conflict),
            state=dispute.state,
            user_id=dispute.user_id,
            opened_at=dispute.opened_at,
            amount=conflict.hi - conflict.lo,
            currency=conflict.currency,
            proposed_by=dispute.proposed_by,
            verdict=dispute.verdict,
        )
        for dispute, conflict in rows[:limit]
    ]
    return Page(items=items, next_cursor=items[-1].conflict_id if len(rows) > limit else None)


async def _dispute(tx: Tx, dispute: DisputeRow, row: ConflictRow, role: str) -> DisputeView:
    deeds = await tx.session.scalars(
        select(AuditRow)
        .where(AuditRow.tenant == dispute.tenant, AuditRow.subject == subject_of(dispute.conflict))
        .order_by(AuditRow.seq)
        .limit(_STEPS_MAX)
    )
    steps = [(deed.at, deed.action.removeprefix("dispute_")) for deed in deeds]
    return DisputeView(
        conflict_id=to_base64url(dispute.conflict),
        state=dispute.state,  # type: ignore[arg-type]
        role=role,
        amount=row.hi - row.lo,
        currency=row.currency,
        opened_at=dispute.opened_at,
        decided_at=dispute.decided_at,
        steps=[
            DisputeStep(at=at, step=step, text=told(step, role))  # type: ignore[arg-type]
            for at, step in steps
        ],
    )


async def case_view(
    tx: Tx, caller: Caller, conflict: bytes, *, key_set: KeySet, policy: OfflinePolicy
) -> CaseView:
    """Return a conflict with everything that is known about it.

    Raises:
        NotFound: there is no such conflict.
    """
    row = await tx.session.get(ConflictRow, (caller.tenant, conflict))
    if row is None:
        raise NotFound("There is no such conflict.", fix="GET /v1/offline/conflicts lists them.")
    return await _Case(tx, row, await policy_in_force(tx, caller.tenant, policy)).view(key_set)


@dataclass(frozen=True, slots=True)
class _Case:
    tx: Tx
    row: ConflictRow
    policy: OfflinePolicy

    async def view(self, key_set: KeySet) -> CaseView:
        tx, row = self.tx, self.row
        evidence = read_evidence(row)
        dispute = await tx.session.get(DisputeRow, (row.tenant, row.id))
        device = await device_by_id(tx, row.tenant, row.device_id)
        assert device is not None, "devices stay"
        positions = await self._positions()
        parties = await self._parties(positions)
        cost = await cost_of_fork(tx, row, evidence.first.body.parent)
        return CaseView(
            conflict_id=to_base64url(row.id),
            kind="fork" if row.kind == "fork" else "clone",
            found_at=row.found_at,
            lo=row.lo,
            hi=row.hi,
            currency=row.currency,
            accused=next(party for party in parties if party.user_id == row.user_id),
            device_id=row.device_id,
            device_key_id=to_base64url(row.key_id),
            device_status=device.status.value,
            proof=to_base64url(row.proof),
            proof_verifies=_verifies(row, key_set),
            transfers=await self._transfers([evidence.first, evidence.second]),
            parties=parties,
            effect=await self._effect(positions, cost),
            standing=await standings_of(tx, row.tenant, row.user_id),
            dispute=None if dispute is None else await _dispute(tx, dispute, row, "offender"),
            statement=None if dispute is None else dispute.statement,
            verdict=None if dispute is None else dispute.verdict,
            bearer=None if dispute is None else dispute.bearer,
            cause=None if dispute is None else dispute.cause,
            verdict_reason=None if dispute is None else dispute.reason,
            proposed_by=None if dispute is None else dispute.proposed_by,
            needs_second_officer=needs_second(self.policy, row, cost),
            steps=await deeds_about(tx, row.tenant, subject_of(row.id), limit=_STEPS_MAX),
        )

    async def _positions(self) -> Sequence[PositionRow]:
        query = select(PositionRow).where(
            PositionRow.tenant == self.row.tenant, PositionRow.root == self.row.root
        )
        return (await self.tx.session.scalars(query)).all() if self.row.root else []

    async def _parties(self, positions: Sequence[PositionRow]) -> list[PartyView]:
        rows = (
            await self.tx.session.scalars(
                select(ConflictPartyRow).where(
                    ConflictPartyRow.tenant == self.row.tenant,
                    ConflictPartyRow.conflict == self.row.id,
                )
            )
        ).all()
        users = await users_by_id(self.tx, self.row.tenant, {row.user_id for row in rows})
        credits_of = {p.account: p for p in positions if p.leg == Leg.CREDIT}
        return [
            _party(users[row.user_id], row.role, credits_of.get(row.user_id))
            for row in sorted(rows, key=lambda row: (row.role, row.user_id))
        ]

    async def _transfers(self, transfers: Sequence[Signed[Transfer]]) -> list[SignedTransferView]:
        owners = Owners(self.tx, self.row.tenant)
        await owners.learn_keys({each.body.payee.id for each in transfers})
        await owners.learn_users({device.user_id for device in owners.devices.values()})
        query = select(TransferRow.id, TransferRow.received_at).where(
            TransferRow.tenant == self.row.tenant,
            TransferRow.id.in_([each.id for each in transfers]),
        )
        received = dict((await self.tx.session.execute(query)).all())
        views = []
        for each in transfers:
            body = each.body
            claimed = body.kind is TransferKind.CLAIM or body.payee.id not in owners.devices
            payee = None if claimed else owners.users[owners.user_of(body.payee.id)]
            views.append(
                SignedTransferView(
                    id=to_base64url(each.id),
                    parent=to_base64url(body.parent),
                    lo=body.lo,
                    hi=body.hi,
                    sequence=body.sequence,
                    signed_at=datetime.fromtimestamp(body.time, UTC),
                    kind=body.kind.name.lower(),
                    request_id=to_base64url(body.request_id),
                    payee_key_id=to_base64url(body.payee.id),
                    payee_user=None if payee is None else payee.id,
                    payee_name=None if payee is None else payee.display_name,
                    received_at=received.get(each.id),
                    object=to_base64url(each.envelope),
                )
            )
        return views

    async def _effect(self, positions: Sequence[PositionRow], cost: int) -> SettlementEffect | None:
        if self.row.root is None:
            return None
        voucher = await self.tx.session.get_one(VoucherRow, (self.row.tenant, self.row.root))
        return SettlementEffect(
            voucher_id=to_base64url(voucher.id),
            value=voucher.value,
            closed=voucher.closed,
            claim_by=datetime.fromtimestamp(voucher.claim_by, UTC),
            sources={leg.name.lower(): _sum(positions, leg) for leg in sorted(SOURCES)},
            credits=_sum(positions, Leg.CREDIT),
            debts={str(p.account): p.amount for p in positions if p.leg == Leg.DEBT and p.amount},
            cost_of_fork=cost,
        )


def _sum(positions: Sequence[PositionRow], leg: Leg) -> int:
    return sum(position.amount for position in positions if position.leg == leg.value)


def _party(user: UserView, role: str, credit: PositionRow | None) -> PartyView:
    return PartyView(
        user_id=user.id,
        username=user.username,
        display_name=user.display_name,
        role=role,
        credited=0 if credit is None else credit.amount,
        held=0 if credit is None else credit.held,
    )


def _verifies(row: ConflictRow, key_set: KeySet) -> bool:
    """Whether the stored evidence convinces by itself, checked anew."""
    evidence = read_evidence(row)
    try:
        if isinstance(evidence, FraudProof):
            verify_fraud_proof(evidence, key_set)
        else:
            verify_clone_alarm(evidence, key_set)
    except ProtocolError:
        return False
    return True
