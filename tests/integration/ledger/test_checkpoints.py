"""What kept checkpoints find, and what one side of an entry can be shown, on both databases."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from offline_protocol.keys import SoftwareSigner
from server.kit.errors import InvalidRequest, NotFound
from server.kit.unit_of_work import UnitOfWork
from server.ledger import close_days, prove_entry, seal_once, verify_ledger, views
from server.ledger.book_errors import NotSealedYet
from server.ledger.canonical import canonical
from server.ledger.chain import FIRST_PREVIOUS, Seal
from server.ledger.checkpoints import CheckpointReport, check_checkpoints, read_checkpoints
from server.ledger.entry_proofs import OwnProof, prove_own_entry
from server.ledger.leaves import leaf_hashes
from server.ledger.schemas import CheckpointView
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import RawSql, post, verified
from tests.unit.ledger.books import ANNA, BERK, CAROL, START, fund, move

SIGNER = SoftwareSigner(bytes(range(32)))
DAY = timedelta(days=1)


async def _keep(uow: UnitOfWork) -> CheckpointView:
    return await uow.read(lambda tx: views.checkpoint(tx, 1))


async def _check(uow: UnitOfWork, *kept: CheckpointView) -> CheckpointReport:
    return await uow.read(lambda tx: check_checkpoints(tx, kept, trusted_keys=[SIGNER.public_key]))


async def _grow(uow: UnitOfWork, times: int = 3) -> None:
    for _ in range(times):
        await post(uow, fund(ANNA, 10))
        await seal_once(uow, SIGNER)


async def test_old_checkpoints_are_on_the_way_to_the_present_end(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await _grow(uow)
    first = await _keep(uow)
    await _grow(uow, 5)
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=START.date())
    second = await _keep(uow)
    await _grow(uow)
    report = await _check(uow, first, second)
    assert report.sound, report.as_text()
    assert (report.checkpoints, report.links) == (2, 9)
    text = "\n".join(msgspec.json.encode(each).decode() for each in (first, second))
    assert read_checkpoints(f"{text}\n\n") == [first, second]


async def test_an_empty_ledger_has_a_checkpoint_that_says_nothing(uow: UnitOfWork) -> None:
    empty = await _keep(uow)
    assert (empty.seal, empty.day) == (None, None)
    await _grow(uow)
    assert (await _check(uow, empty)).sound


async def _rewrite(database: Database) -> None:
    """Write history anew: other movements, sealed and signed with the right key."""
    raw = RawSql(database)
    tables = ["leaf", "seal", "entry", "posting", "account", "unsealed", "closed_day"]
    tables += ["day_balance", "day_total", "day_cutoff"]
    if database.dialect == "sqlite":
        kept = await raw.run("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        await raw.run(*(f"DROP TRIGGER {name}" for name, _ in kept))
        await raw.run(*(f"DELETE FROM {table}" for table in tables))
        await raw.run(*(sql for _, sql in kept))
    else:
        await raw.run(*(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables))
        await raw.run(*(f"DELETE FROM {table}" for table in tables))
        await raw.run(*(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables))


async def test_a_history_that_was_written_anew_is_found_by_a_kept_checkpoint_alone(
    uow: UnitOfWork, clock: ManualClock, database: Database
) -> None:
    await _grow(uow)
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=START.date())
    kept = await _keep(uow)
    await _rewrite(database)
    await post(uow, fund(BERK, 10))
    await seal_once(uow, SIGNER)
    await _grow(uow)
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=START.date() + DAY)
    forged = await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[SIGNER.public_key]))
    assert forged.sound
    report = await _check(uow, kept)
    assert set(report.problems) == {"seal 3 is not what it was", "closed day 2026-03-02 is gone"}
    assert kept.seal is not None
    heads = {1: (kept.seal.number, bytes.fromhex(kept.seal.hash))}
    found = await uow.read(lambda tx: verify_ledger(tx, kept_heads=heads))
    assert [each.code for each in found.breaks] == ["kept_head"]


async def test_a_chain_that_was_cut_is_found(uow: UnitOfWork, database: Database) -> None:
    await _grow(uow, 4)
    kept = await _keep(uow)
    await _rewrite(database)
    await _grow(uow, 2)
    assert "seal 4 is gone" in (await _check(uow, kept)).problems


async def test_a_damaged_or_forged_checkpoint_says_so(uow: UnitOfWork, clock: ManualClock) -> None:
    await _grow(uow)
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=START.date())
    kept = await _keep(uow)
    assert kept.seal is not None
    assert kept.day is not None
    other = SoftwareSigner(bytes(32))
    forged = Seal(1, 3, 3, bytes(32), FIRST_PREVIOUS, START)
    seals = (
        msgspec.structs.replace(kept.seal, root="00" * 32),
        msgspec.structs.replace(kept.seal, root="zz"),
        msgspec.structs.replace(kept.seal, signature="00" * 64),
        msgspec.structs.replace(
            kept.seal,
            public_key=other.public_key.raw.hex(),
            signature=other.sign(bytes.fromhex(kept.seal.hash)).hex(),
        ),
        msgspec.structs.replace(kept.seal, public_key=None, signature=None),
        msgspec.structs.replace(kept.seal, root="00" * 32, hash=forged.hash.hex()),
        msgspec.structs.replace(kept.seal, number=99),
    )
    for seal in seals:
        report = await _check(uow, msgspec.structs.replace(kept, seal=seal))
        assert not report.sound, seal
    day = msgspec.structs.replace(kept.day, hash="00" * 32)
    assert not (await _check(uow, msgspec.structs.replace(kept, day=day))).sound


@pytest.mark.parametrize("text", ["{", "[]", '{"tenant": 1}', "null", '{"tenant": "1"}', "\x00"])
def test_a_file_with_something_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_checkpoints(text)


# Proofs of single entries


def _leaf_of(own: OwnProof) -> bytes:
    """Make the leaf again, as a stranger reads docs/ledger.md."""
    digests = []
    for part in own.parts:
        if part.key is not None and part.content is not None:
            assert part.digest == hashlib.sha256(part.key + part.content).digest()
        digests.append(part.digest)
    return hashlib.sha256(b"\x00" + b"".join(digests)).digest()


async def test_each_side_sees_the_movement_and_its_own_posting(uow: UnitOfWork) -> None:
    paid = move(ANNA, BERK, 30, memo={"secret": "note"})
    await post(uow, fund(ANNA, 100), paid)

    async def proof(owner: UUID | None, entry: UUID = paid.id) -> OwnProof:
        assert owner is not None
        return await uow.read(lambda tx: prove_own_entry(tx, 1, owner, entry))

    with pytest.raises(NotSealedYet):
        await proof(ANNA.owner)
    await seal_once(uow, SIGNER)
    for ref, leg in ((ANNA, "debit"), (BERK, "credit")):
        own = await proof(ref.owner)
        shown = {part.name for part in own.parts if part.content is not None}
        assert shown == {"movement", leg}
        assert {part.name for part in own.parts if part.key is not None} == shown
        assert _leaf_of(own) == own.proof.leaf
        assert own.proof.holds()
        movement = own.parts[0].content
        assert movement is not None
        assert canonical(paid.id) in movement
        assert canonical("EUR", 30) in movement
        assert all(b"note" not in (part.content or b"") for part in own.parts)
    for owner, entry in ((CAROL.owner, paid.id), (ANNA.owner, UUID(int=99))):
        with pytest.raises(NotFound):
            await proof(owner, entry)
    with pytest.raises(NotFound):
        await uow.read(lambda tx: prove_own_entry(tx, 2, ANNA.owner or paid.id, paid.id))


async def test_the_same_movements_have_other_leaves(uow: UnitOfWork) -> None:
    """Without the random bytes, a hidden balance could be found by trying."""
    first = move(ANNA, BERK, 1)
    await post(uow, fund(ANNA, 100), first)
    await seal_once(uow, SIGNER)
    proof = await uow.read(lambda tx: prove_entry(tx, 1, first.id))
    own = await uow.read(lambda tx: prove_own_entry(tx, 1, UUID(int=1), first.id))
    assert proof is not None
    hidden = next(part for part in own.parts if part.name == "credit")
    at = proof.seal.at
    assert at is not None
    micro = int(START.timestamp() * 1_000_000)
    tried = canonical(1, BERK.id, 1, first.id, "credit", 1, 1, micro, micro)
    assert hashlib.sha256(tried).digest() != hidden.digest
    assert replace(proof, leaf=bytes(32)).holds() is False


async def test_leaves_from_before_there_were_parts_still_verify(
    uow: UnitOfWork, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "server.ledger.chain.leaf_hashes",
            lambda tx, tenant, blinds: leaf_hashes(tx, tenant, dict.fromkeys(blinds)),
        )
        paid = fund(ANNA, 10)
        await post(uow, paid)
        await seal_once(uow, SIGNER)
    raw = RawSql(database)
    if database.dialect == "sqlite":
        (guard,) = await raw.run("SELECT sql FROM sqlite_master WHERE name = 'leaf_stays'")
        await raw.run("DROP TRIGGER leaf_stays", "UPDATE leaf SET blind = NULL", guard[0])
    else:
        await raw.run(
            "ALTER TABLE leaf DISABLE TRIGGER USER",
            "UPDATE leaf SET blind = NULL",
            "ALTER TABLE leaf ENABLE TRIGGER USER",
        )
    await _grow(uow)
    await verified(uow)
    with pytest.raises(NotSealedYet):
        await uow.read(lambda tx: prove_own_entry(tx, 1, UUID(int=1), paid.id))
