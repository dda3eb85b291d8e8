"""Disputes: an accused owner contests a conflict, and officers say who bears its cost.

What a key signed stays a fact: the conflict stays, and so does the key's conviction. A verdict only
decides who pays. Upheld, the accused does. Overturned, the guarantee fund or the issuer does, also
for victims who turn up later, and what was taken from the accused comes back. Victims are paid as
before, or more.

A verdict about more than the policy's amount takes effect when a second officer gives the same.
"""

from dataclasses import dataclass, replace

from sqlalchemy import select

from offline_protocol.settlement import settle
from server.kit.auth import Caller
from server.kit.errors import Forbidden, InvalidRequest, NotFound
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.offline.audit import Officer, officer_of, record_deed
from server.offline.conflicts import OFFENDER, read_evidence
from server.offline.dispute_words import told
from server.offline.domain import OfflinePolicy
from server.offline.errors import (
    DisputeDecided,
    DisputeExists,
    DisputeTooLate,
    FundTooLow,
    OwnCase,
)
from server.offline.events import Event, EventType, lock_offline, tell
from server.offline.fund import fund_state
from server.offline.jobs import settle_anew
from server.offline.models import ConflictPartyRow, ConflictRow
from server.offline.oversight_models import DisputeRow
from server.offline.oversight_schemas import DisputeDecision
from server.offline.owners import Owners
from server.offline.policy import policy_in_force
from server.offline.positions import Positions
from server.offline.records import Grove, load_roots
from server.offline.terms import OVERTURNED, load_terms

OPEN, PROPOSED, UPHELD = "open", "proposed", "upheld"
_PROBE = "the cost of one fork"


def subject_of(conflict: bytes) -> str:
    """Return how the audit names a conflict."""
    return f"conflict/{to_base64url(conflict)}"


async def open_dispute(
    tx: Tx, caller: Caller, policy: OfflinePolicy, *, conflict: bytes, statement: str
) -> DisputeRow:
    """Contest a conflict of one's own; the same statement again changes nothing.

    Raises:
        NotFound: no such conflict concerns the caller.
        Forbidden: the caller is a victim of it and not accused.
        DisputeExists: it is contested already, with other words.
        DisputeTooLate: the policy's time for it is over.
    """
    await lock_offline(tx, caller.tenant)
    row = await tx.session.get(ConflictRow, (caller.tenant, conflict))
    role = await role_in(tx, caller, conflict)
    if row is None or role is None:
        raise NotFound(
            "No conflict with this id concerns you.", fix="GET /v1/offline/conflicts lists yours."
        )
    if role != OFFENDER:
        raise Forbidden("Only the owner of the accused device can contest a conflict.")
    known = await tx.session.get(DisputeRow, (caller.tenant, conflict))
    if known is not None:
        if known.statement != statement:
            raise DisputeExists(
                "You have contested this conflict already.",
                fix="GET /v1/offline/conflicts/{id} says where it stands.",
                state=known.state,
            )
        return known
    rules = await policy_in_force(tx, caller.tenant, policy)
    if tx.now > row.found_at + rules.dispute_within:
        raise DisputeTooLate(
            f"A conflict can be contested for {rules.dispute_within.days} days.",
            fix="Ask support.",
        )
    dispute = DisputeRow(
        tenant=caller.tenant,
        conflict=conflict,
        user_id=caller.user_id,
        state=OPEN,
        statement=statement,
        opened_at=tx.now,
        parent=read_evidence(row).first.body.parent,
        verdict=None,
        bearer=None,
        cause=None,
        reason=None,
        amount=None,
        proposed_by=None,
        proposed_at=None,
        decided_by=None,
        decided_at=None,
    )
    tx.session.add(dispute)
    await tx.session.flush()
    by = await officer_of(tx, caller)
    await _step(tx, dispute, row, by, "dispute_opened", reason=statement)
    return dispute


async def role_in(tx: Tx, caller: Caller, conflict: bytes) -> str | None:
    """Return the caller's part in a conflict, if any."""
    party = await tx.session.get(ConflictPartyRow, (caller.tenant, conflict, caller.user_id))
    return None if party is None else party.role


async def decide(
    tx: Tx,
    caller: Caller,
    policy: OfflinePolicy,
    *,
    conflict: bytes,
    decision: DisputeDecision,
) -> DisputeRow:
    """Give a verdict, or confirm the one that another officer proposed.

    The same verdict of the same officer again changes nothing.

    Raises:
        NotFound: nobody contests such a conflict.
        OwnCase: the officer is a party to it.
        InvalidRequest: an overturned dispute names no bearer, or an upheld one names one.
        DisputeDecided: another verdict stands.
        FundTooLow: the guarantee fund cannot bear it beside what it has promised.
    """
    await lock_offline(tx, caller.tenant)
    dispute = await tx.session.get(DisputeRow, (caller.tenant, conflict))
    row = await tx.session.get(ConflictRow, (caller.tenant, conflict))
    if dispute is None or row is None:
        raise NotFound("Nobody contests such a conflict.", fix="GET /v1/offline/disputes.")
    if await role_in(tx, caller, conflict) is not None:
        raise OwnCase("You are a party to this conflict.", fix="Leave it to another officer.")
    if (decision.bearer is None) == (decision.verdict == OVERTURNED):
        raise InvalidRequest(
            "An overturned dispute names who bears the cost; an upheld one names nobody.",
            field="bearer",
        )
    by = await officer_of(tx, caller)
    verdict = _Verdict(tx, policy, dispute, row, by, decision)
    if dispute.state not in {OPEN, PROPOSED}:
        if verdict.stands:
            return dispute
        raise DisputeDecided(f"The dispute was {dispute.state}.", state=dispute.state)
    await verdict.give()
    return dispute


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One officer's verdict on one dispute. The caller of `give` holds `lock_offline`."""

    tx: Tx
    policy: OfflinePolicy
    dispute: DisputeRow
    conflict: ConflictRow
    by: Officer
    decision: DisputeDecision

    @property
    def stands(self) -> bool:
        """Whether this is what was proposed or decided already."""
        mine = (self.decision.verdict, self.decision.bearer)
        return (self.dispute.verdict, self.dispute.bearer) == mine

    async def give(self) -> None:
        rules = await policy_in_force(self.tx, self.dispute.tenant, self.policy)
        cost = await cost_of_fork(self.tx, self.conflict, self.dispute.parent)
        if self.decision.bearer == "fund":
            await self._check_fund(rules, cost)
        if not needs_second(rules, self.conflict, cost):
            await self._decide(cost)
        elif self.dispute.proposed_by in {None, self.by.id} or not self.stands:
            await self._propose(cost)
        else:
            await self._decide(cost)

    async def _check_fund(self, rules: OfflinePolicy, cost: int) -> None:
        if self.conflict.currency is None:
            return
        state = await fund_state(self.tx, self.dispute.tenant, self.conflict.currency, rules)
        if state.floor is not None and cost > state.balance - state.reserved - state.floor:
            raise FundTooLow(
                f"Beside what it has promised the fund has no {cost} minor units "
                f"of {self.conflict.currency} above its floor.",
                fix="Endow the fund, or let the issuer bear the cost.",
                cost=cost,
            )

    async def _propose(self, cost: int) -> None:
        if self.dispute.proposed_by == self.by.id and self.stands:
            return
        self._write(cost)
        self.dispute.state = PROPOSED
        self.dispute.proposed_by, self.dispute.proposed_at = self.by.id, self.tx.now
        await self._keep("dispute_proposed")

    async def _decide(self, cost: int) -> None:
        self._write(cost)
        self.dispute.state = self.decision.verdict
        self.dispute.decided_by, self.dispute.decided_at = self.by.id, self.tx.now
        await self._keep(f"dispute_{self.decision.verdict}")
        if self.decision.verdict == OVERTURNED and self.conflict.root is not None:
            roots = [self.conflict.root]
            await settle_anew(self.tx, self.dispute.tenant, self.policy, roots=roots)

    def _write(self, cost: int) -> None:
        self.dispute.verdict = self.decision.verdict
        self.dispute.bearer = self.decision.bearer
        self.dispute.cause = self.decision.cause
        self.dispute.reason = self.decision.reason
        self.dispute.amount = cost

    async def _keep(self, action: str) -> None:
        await self.tx.session.flush()
        await _step(
            self.tx,
            self.dispute,
            self.conflict,
            self.by,
            action,
            reason=self.decision.reason,
            bearer=self.decision.bearer,
            cause=self.decision.cause,
            amount=self.dispute.amount,
            currency=self.conflict.currency,
        )


def needs_second(rules: OfflinePolicy, conflict: ConflictRow, cost: int) -> bool:
    """Return whether a verdict about so much takes two officers.

    It does where a double spending is known from a proof only: nobody can say what it will cost.
    """
    if conflict.currency is None:
        return conflict.kind == "fork"
    limit = rules.limits(conflict.currency).four_eyes_over
    return limit is not None and cost > limit


async def cost_of_fork(tx: Tx, conflict: ConflictRow, parent: bytes) -> int:
    """Return what one fork costs beyond the units themselves, as its voucher is known now.

    The settlement itself says it: somebody who bears that fork alone owes exactly this.
    """
    if conflict.root is None or conflict.kind != "fork":
        return 0
    grove, owners = Grove(), Owners(tx, conflict.tenant)
    await load_roots(tx, conflict.tenant, [conflict.root], grove)
    tree, row = grove.trees[conflict.root], grove.rows[conflict.root]
    await owners.learn([tree])
    terms = await load_terms(
        tx,
        conflict.tenant,
        vouchers=grove.rows,
        users={row.id: owners.users_in(tree)},
        positions=Positions(conflict.tenant),
    )
    now = int(tx.now.timestamp())
    result = settle(
        [tree.settled_by()],
        account_of=lambda key: str(owners.user_of(key.id)),
        excluded={},
        instant_limit={},
        collateral={},
        fund_cap=0,
        now=max(now, row.claim_by) if row.closed else now,
        terms={row.id: replace(terms.by_root[row.id], borne_by={parent: _PROBE})},
    )
    return result.roots[0].debts.get(_PROBE, 0)


async def _step(
    tx: Tx,
    dispute: DisputeRow,
    conflict: ConflictRow,
    by: Officer,
    action: str,
    *,
    reason: str,
    **detail: object,
) -> None:
    """Keep a step and tell it to the accused and the victims, each in their own words."""
    subject = subject_of(dispute.conflict)
    await record_deed(tx, dispute.tenant, by, action, subject=subject, reason=reason, **detail)
    parties = await tx.session.scalars(
        select(ConflictPartyRow)
        .where(
            ConflictPartyRow.tenant == dispute.tenant,
            ConflictPartyRow.conflict == dispute.conflict,
        )
        .order_by(ConflictPartyRow.user_id)
    )
    step = action.removeprefix("dispute_")
    events = [
        Event(
            EventType.DISPUTE_STEP,
            party.user_id,
            {
                "conflict_id": to_base64url(dispute.conflict),
                "step": step,
                "role": party.role,
                "text": told(step, party.role),
                "amount": conflict.hi - conflict.lo,
                "currency": conflict.currency,
            },
        )
        for party in parties
    ]
    await tell(tx, dispute.tenant, events)
