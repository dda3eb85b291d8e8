import asyncio
from dataclasses import replace
from functools import partial

from sqlalchemy import func, select

from offline_protocol.keys import SoftwareSigner
from server.kit.unit_of_work import UnitOfWork
from server.ledger import Seal, prove_entry, seal_once, verify_ledger
from server.ledger.chain import FIRST_PREVIOUS
from server.ledger.models import LeafRow
from tests.integration.ledger.ledgers import post, results, verified
from tests.unit.ledger.books import ANNA, BERK, START, fund, hold, move, user

SIGNER = SoftwareSigner(bytes(range(32)))


async def _seal_all(uow: UnitOfWork, limit: int = 1000) -> list[Seal]:
    seals = []
    while seal := await seal_once(uow, SIGNER, limit=limit):
        seals.append(seal)
    return seals


async def test_seals_follow_each_other_and_cover_every_entry(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100))
    await post(uow, *(move(ANNA, BERK, 1) for _ in range(9)))
    assert await results(uow, move(ANNA, BERK, 1000), hold(ANNA, BERK, 1)) == [
        "insufficient_funds",
        "applied",
    ]
    seals = await _seal_all(uow, limit=5)
    assert [(seal.number, seal.last_position) for seal in seals] == [(1, 5), (2, 10), (3, 12)]
    assert seals[0].previous == FIRST_PREVIOUS
    assert [seal.previous for seal in seals[1:]] == [seal.hash for seal in seals[:-1]]
    report = await verified(uow)
    assert report.counts["unsealed"] == 0
    assert report.heads == {1: (3, seals[-1].hash)}


async def test_there_is_nothing_to_seal_in_an_empty_ledger(uow: UnitOfWork) -> None:
    assert await seal_once(uow) is None


async def test_tenants_have_chains_of_their_own(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 1))
    await post(uow, fund(user(1, tenant=2), 1))
    first = await seal_once(uow, tenant=2)
    assert first is not None
    assert (first.tenant, first.number, first.last_position) == (2, 1, 1)
    assert await seal_once(uow, tenant=2) is None
    assert (await verified(uow)).counts["unsealed"] == 1


async def test_concurrent_sealers_seal_every_entry_once(uow: UnitOfWork) -> None:
    await post(uow, *(fund(ANNA, 1) for _ in range(40)))

    async def sealer() -> list[Seal]:
        return [seal for _ in range(10) if (seal := await seal_once(uow, limit=3))]

    sealed = [
        seal for seals in await asyncio.gather(*(sealer() for _ in range(5))) for seal in seals
    ]
    sealed += await _seal_all(uow)
    assert sorted(seal.number for seal in sealed) == list(range(1, len(sealed) + 1))
    count = await uow.read(
        lambda tx: tx.connection.scalar(select(func.count()).select_from(LeafRow))
    )
    assert count == 40
    await verified(uow)


async def test_sealing_goes_on_while_others_post(uow: UnitOfWork) -> None:
    async def poster() -> None:
        for _ in range(10):
            await post(uow, fund(ANNA, 1))

    async def sealer() -> None:
        for _ in range(10):
            await seal_once(uow, limit=7)

    await asyncio.gather(*(poster() for _ in range(4)), sealer())
    await _seal_all(uow)
    report = await verified(uow)
    assert (report.counts["entries"], report.counts["unsealed"]) == (40, 0)


async def test_an_entry_is_proved_without_the_others(uow: UnitOfWork) -> None:
    requests = [fund(ANNA, n + 1) for n in range(11)]
    await post(uow, *requests)
    assert await uow.read(lambda tx: prove_entry(tx, 1, requests[0].id)) is None
    await _seal_all(uow, limit=7)
    for request in requests:
        proof = await uow.read(partial(prove_entry, tenant=1, entry=request.id))
        assert proof is not None
        assert proof.holds()
        other = type(proof)(bytes(32), proof.index, proof.size, proof.path, proof.seal)
        assert not other.holds()


async def test_signed_seals_verify_under_the_trusted_key_alone(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 1))
    await _seal_all(uow)
    mine, other = SIGNER.public_key, SoftwareSigner(bytes(32)).public_key
    assert (await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[mine]))).sound
    report = await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[other]))
    assert [b.code for b in report.breaks] == ["seal_signer"]


async def test_an_unsigned_seal_is_found_where_signatures_are_asked_for(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 1))
    await seal_once(uow)
    report = await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[SIGNER.public_key]))
    assert [b.code for b in report.breaks] == ["seal_unsigned"]


async def test_a_seal_kept_elsewhere_must_still_be_there(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 1))
    (seal,) = await _seal_all(uow)
    kept = {1: (1, seal.hash)}
    assert (await uow.read(lambda tx: verify_ledger(tx, kept_heads=kept))).sound
    rewritten = {1: (1, bytes(32))}
    report = await uow.read(lambda tx: verify_ledger(tx, kept_heads=rewritten))
    assert [b.code for b in report.breaks] == ["kept_head"]


def test_the_hash_of_a_seal_covers_all_of_it() -> None:
    seal = Seal(1, 2, 3, bytes(32), bytes(32), START)
    others = (
        replace(seal, tenant=2),
        replace(seal, number=3),
        replace(seal, last_position=4),
        replace(seal, root=bytes([1] * 32)),
        replace(seal, previous=bytes([1] * 32)),
        replace(seal, at=START.replace(year=2027)),
    )
    assert len({seal.hash, *(other.hash for other in others)}) == 7
