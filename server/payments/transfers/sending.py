"""Sending: many transfers at once, each with its own result or its own refusal.

A transaction is dear and a transfer is cheap, so `send_keyed` takes whatever orders are waiting and
needs a handful of statements for them, however many they are. What it locks it always locks in the
same order, so that two of them never wait for each other in a ring: idempotency keys, limits,
accounts; the rest are inserts.

An answer under a key is final, also a "no": the same request with the same key gets it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from server.fx import take_quote, void_quotes
from server.identity import Payees
from server.kit.claims import Claim, change_answers, claim_many
from server.kit.errors import InternalError, TallyError, all_refusals
from server.kit.unit_of_work import Tx
from server.ledger import Outcome, Refusal, post_many
from server.payments.limits import PastUse, give_back, use_limits
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import KeyedOrder, Order
from server.payments.transfers.pending import waiting_of
from server.payments.transfers.plans import Plan, exchanged, people_of, plan_order, waits
from server.payments.transfers.recording import record, sent_view
from server.payments.transfers.schemas import TransferView
from server.payments.transfers.views import transfer_views

OPERATION = "transfer"
Answer = TransferView | TallyError


class _Refused(msgspec.Struct):
    """A "no" as it is kept under its key."""

    code: str
    detail: str
    fix: str | None
    members: dict[str, object]


class _Kept(msgspec.Struct, omit_defaults=True):
    """What is kept under a key: the transfer, or why there is none."""

    transfer: UUID | None = None
    refused: _Refused | None = None


async def send_keyed(tx: Tx, desk: TransferDesk, orders: Sequence[KeyedOrder]) -> list[Answer]:
    """Send each order once for its key; return the first answers, in their order.

    All are of one tenant. A transfer that was sent before is returned as it stands now.
    """
    tenant = desk.tenant
    ids = [tx.ids.uuid() for _ in orders]
    claims = [
        Claim(one.order.sender, one.key, one.digest, msgspec.json.encode(_Kept(transfer=id_)))
        for id_, one in zip(ids, orders, strict=True)
    ]
    known = await claim_many(tx, tenant=tenant, operation=OPERATION, claims=claims)
    new = [at for at, answer in enumerate(known) if answer is None]
    made = await send(tx, desk, [(ids[at], orders[at].order) for at in new])
    refused = [
        (orders[at].order.sender, orders[at].key, _kept_refusal(answer))
        for at, answer in zip(new, made, strict=True)
        if isinstance(answer, TallyError)
    ]
    await change_answers(tx, tenant=tenant, operation=OPERATION, answers=refused)
    answers: dict[int, Answer] = dict(zip(new, made, strict=True))
    if len(new) < len(orders):
        here = {ids[at]: answer for at, answer in answers.items()}
        answers |= await _earlier(tx, desk, orders, known, here)
    return [answers[at] for at in range(len(orders))]


async def send(tx: Tx, desk: TransferDesk, orders: Sequence[tuple[UUID, Order]]) -> list[Answer]:
    """Send orders, each under the id its transfer will have; return results in their order.

    The ids were never used before. A refusal leaves nothing behind but the ledger's record of it.
    """
    if not orders:
        return []
    people = await people_of(tx, desk.tenant, [order for _, order in orders])
    room = await _room(tx, desk, people, [order for _, order in orders])
    answers: dict[UUID, Answer] = {}
    plans: list[Plan] = []
    for id_, order in orders:
        try:
            plans.append(await _quoted(tx, plan_order(id_, order, people, room)))
        except TallyError as refusal:
            answers[id_] = refusal
    refusals = await _move(tx, desk.tenant, plans)
    await void_quotes(tx, desk.tenant, _quotes_of(plan for plan in plans if plan.id in refusals))
    moved = [plan for plan in plans if plan.id not in refusals]
    await record(tx, desk, moved)
    answers |= refusals | {plan.id: sent_view(tx, plan) for plan in moved}
    return [answers[id_] for id_, _ in orders]


async def _quoted(tx: Tx, plan: Plan) -> Plan:
    """Return the plan, across currencies when it has a quote. A refusal uses the quote up as well.

    Raises:
        QuoteUnknown, QuoteTaken, QuoteExpired, QuoteMismatch: the quote cannot be used for this.
    """
    order = plan.order
    if order.quote_id is None or plan.receiver is None:
        return plan
    quote = await take_quote(
        tx, order.tenant, order.sender, order.quote_id, payee_id=plan.receiver.id
    )
    try:
        return exchanged(plan, quote)
    except TallyError:
        await void_quotes(tx, order.tenant, [quote.id])
        raise


def _quotes_of(plans: Iterable[Plan]) -> list[UUID]:
    return [plan.order.quote_id for plan in plans if plan.order.quote_id is not None]


async def _room(
    tx: Tx, desk: TransferDesk, people: Payees, orders: Sequence[Order]
) -> dict[UUID, int]:
    """Return how many more transfers may wait, of each sender to an address of nobody."""
    senders = {order.sender for order in orders if waits(order, people)}
    waiting = await waiting_of(tx, desk.tenant, senders)
    return {sender: desk.policy.pending_max - waiting.get(sender, 0) for sender in senders}


async def _move(tx: Tx, tenant: int, plans: Sequence[Plan]) -> dict[UUID, TallyError]:
    """Count against the limits and post; return the refusals, by transfer."""
    limits = await use_limits(tx, tenant, [plan.use for plan in plans])
    refusals: dict[UUID, TallyError] = {
        plan.id: refusal for plan, refusal in zip(plans, limits, strict=True) if refusal is not None
    }
    allowed = [plan for plan in plans if plan.id not in refusals]
    outcomes = await post_many(tx, [entry for plan in allowed for entry in plan.entries])
    by_entry = {outcome.id: outcome for outcome in outcomes}
    unused = []
    for plan in allowed:
        if refusal := _refusal([by_entry[entry.id] for entry in plan.entries]):
            refusals[plan.id] = refusal
            unused.append(PastUse(plan.use, tx.now))
    await give_back(tx, tenant, unused)
    return refusals


def _refusal(outcomes: Sequence[Outcome]) -> TallyError | None:
    """Return why a transfer was not posted: the entry that failed, not those it took along."""
    failed = [outcome for outcome in outcomes if not outcome.applied]
    failed.sort(key=lambda outcome: outcome.reason is Refusal.CHAIN_FAILED)
    try:
        for outcome in failed[:1]:
            outcome.raise_for_refusal()
    except TallyError as refusal:
        return refusal
    return None


async def _earlier(
    tx: Tx,
    desk: TransferDesk,
    orders: Sequence[KeyedOrder],
    known: Sequence[bytes | TallyError | None],
    here: Mapping[UUID, Answer],
) -> dict[int, Answer]:
    """Return the answers that keys had before, also those of this batch, and the conflicts."""
    answers: dict[int, Answer] = {}
    sent: dict[int, UUID] = {}
    for at, answer in enumerate(known):
        if isinstance(answer, TallyError):
            answers[at] = answer
        elif answer is not None:
            kept = msgspec.json.decode(answer, type=_Kept)
            if kept.refused is not None:
                answers[at] = _refusal_of(kept.refused)
            elif kept.transfer is not None and kept.transfer in here:
                answers[at] = here[kept.transfer]
            elif kept.transfer is not None:
                sent[at] = kept.transfer
    for at, id_ in sent.items():
        (answers[at],) = await transfer_views(tx, desk, orders[at].order.sender, [id_])
    return answers


def _kept_refusal(refusal: TallyError) -> bytes:
    said = _Refused(refusal.code, refusal.detail, refusal.fix, dict(refusal.members))
    return msgspec.json.encode(_Kept(refused=said))


def _refusal_of(kept: _Refused) -> TallyError:
    for kind in all_refusals():
        if kind.code == kept.code:
            return kind(kept.detail, fix=kept.fix, **kept.members)
    return InternalError(f"The request was refused before: {kept.detail}")
