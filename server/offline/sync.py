"""One idempotent, resumable call: a device tells all that it knows and hears what it missed.

Everything of one batch happens in one transaction: records are judged and stored, conflicts found,
vouchers settled, differences posted, events written. Half a batch is never seen, and the same batch
again changes nothing. Signatures of large batches are checked before that transaction begins.
"""

import asyncio

from offline_protocol.rules import TrustContext
from server.kit.auth import Caller
from server.kit.schema import from_base64url
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.admission import Admission
from server.offline.batch import Batch, read_batch
from server.offline.domain import OfflinePolicy
from server.offline.events import lock_offline
from server.offline.history import MARK_BYTES
from server.offline.issuer_keys import IssuerKeys
from server.offline.owners import Owners
from server.offline.policy import policy_in_force
from server.offline.receipts import check_ahead
from server.offline.schemas import SyncAnswer, SyncRequest
from server.offline.settlement import run_settling
from server.offline.sync_batch import SyncBatch
from server.offline.trees import Judge
from server.offline.vouchers import calling_device

VERIFY_AHEAD_MIN = 16
"""Records in a batch from which on reading twice is cheaper than a long write lock."""


async def synchronise(
    uow: UnitOfWork, keys: IssuerKeys, policy: OfflinePolicy, caller: Caller, data: SyncRequest
) -> SyncAnswer:
    """Take a device's records, settle what they change, and return its news.

    Raises:
        InvalidRequest: ``history`` is none that this server gave to anybody.
        Forbidden: the call does not come from an enrolled device.
        Unavailable: the database was too busy.
    """
    judge = Judge(TrustContext(keys.key_set.body, now=0))
    history = None
    if data.history is not None:
        history = from_base64url(data.history, field="history", size_max=MARK_BYTES)
    if len(data.records) < VERIFY_AHEAD_MIN:
        batch = read_batch(data.records)
        ahead: list[Admission] = []
    else:
        batch = await asyncio.to_thread(read_batch, data.records)
        ahead = [await _verify_ahead(uow, caller, judge, batch)]

    async def command(tx: Tx) -> SyncAnswer:
        await lock_offline(tx, caller.tenant)
        device = await calling_device(tx, caller)
        rules = await policy_in_force(tx, caller.tenant, policy)
        work = SyncBatch(tx, keys, rules, caller, device, judge, batch.again(), data.held)
        # What was decided ahead is used up by the first attempt.
        work.ahead = ahead.pop() if ahead else None
        return await work.run(data.cursor, history)

    return await run_settling(uow, caller.tenant, command)


async def _verify_ahead(uow: UnitOfWork, caller: Caller, judge: Judge, batch: Batch) -> Admission:
    """Decide outside the write lock and off the event loop, so that signatures hold up nobody."""
    transfers = batch.all_transfers

    async def load(tx: Tx) -> Admission:
        owners = Owners(tx, caller.tenant)
        admission = Admission(caller.tenant, judge, int(tx.now.timestamp()), owners)
        await admission.load(tx, transfers)
        return admission

    admission = await uow.read(load)

    def verify() -> None:
        admission.decide(transfers)
        check_ahead(judge, batch, admission.grove)

    await asyncio.to_thread(verify)
    return admission
