"""One idempotent, resumable call: a device tells all that it knows and hears what it missed.

Everything of one batch happens in one transaction: records are judged and stored, conflicts found,
vouchers settled, differences posted, events written. Half a batch is never seen, and the same batch
again changes nothing. Signatures of large batches are checked before that transaction begins.
"""

import asyncio

from offline_protocol.cose import Signed
from offline_protocol.rules import TrustContext
from offline_protocol.transfers import Transfer
from server.kit.auth import Caller
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.admission import Admission
from server.offline.batch import read_batch
from server.offline.domain import OfflinePolicy
from server.offline.events import lock_offline
from server.offline.issuer_keys import IssuerKeys
from server.offline.owners import Owners
from server.offline.schemas import SyncAnswer, SyncRequest
from server.offline.settlement import run_settling
from server.offline.sync_batch import SyncBatch
from server.offline.trees import Judge
from server.offline.vouchers import calling_device

VERIFY_AHEAD_MIN = 16
"""Transfers in a batch from which on reading everything twice is cheaper than a long write lock."""


async def synchronise(
    uow: UnitOfWork, keys: IssuerKeys, policy: OfflinePolicy, caller: Caller, data: SyncRequest
) -> SyncAnswer:
    """Take a device's records, settle what they change, and return its news.

    Raises:
        Forbidden: the call does not come from an enrolled device.
        Unavailable: the database was too busy.
    """
    judge = Judge(TrustContext(keys.key_set.body, now=0))
    batch = read_batch(data.records)
    if len(batch.all_transfers) >= VERIFY_AHEAD_MIN:
        await _verify_ahead(uow, caller, judge, batch.all_transfers)

    async def command(tx: Tx) -> SyncAnswer:
        await lock_offline(tx, caller.tenant)
        device = await calling_device(tx, caller)
        work = SyncBatch(tx, keys, policy, caller, device, judge, read_batch(data.records))
        return await work.run(data.cursor)

    return await run_settling(uow, caller.tenant, command)


async def _verify_ahead(
    uow: UnitOfWork, caller: Caller, judge: Judge, transfers: list[Signed[Transfer]]
) -> None:
    """Let the judge see the signatures outside the write lock and off the event loop."""

    async def load(tx: Tx) -> Admission:
        owners = Owners(tx, caller.tenant)
        admission = Admission(caller.tenant, judge, int(tx.now.timestamp()), owners)
        await admission.load(tx, transfers)
        return admission

    admission = await uow.read(load)
    await asyncio.to_thread(admission.decide, transfers)
