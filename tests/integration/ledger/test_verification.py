"""Somebody who can drop the guards changes the books. Each change is found, on both databases."""

from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from offline_protocol.keys import SoftwareSigner
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, LedgerReport, seal_once, verify_ledger
from tests.conftest import Database
from tests.integration.ledger.ledgers import RawSql, post, verified
from tests.unit.ledger.books import ANNA, BERK, capture, fund, hold, move, release

FUNDED, PAID, HELD, TAKEN = (UUID(int=number) for number in (0xF0, 0xA1, 0xB2, 0xC3))
SIGNER = SoftwareSigner(bytes(range(32)))


class Intruder:
    """Has dropped every trigger and constraint that is in the way."""

    def __init__(self, raw: RawSql) -> None:
        self._raw = raw

    @classmethod
    async def enter(cls, database: Database) -> "Intruder":
        raw = RawSql(database)
        if raw.dialect == "sqlite":
            triggers = await raw.run("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            await raw.run(*(f"DROP TRIGGER {name}" for (name,) in triggers))
        else:
            checks = await raw.run(
                "SELECT conrelid::regclass::text, conname FROM pg_constraint "
                "WHERE contype = 'c' AND conrelid <> 0"
            )
            await raw.run(
                *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in _TABLES),
                *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name in checks),
            )
        return cls(raw)

    async def run(self, *statements: str, ids: tuple[UUID, ...] = ()) -> None:
        pragma = ["PRAGMA ignore_check_constraints = ON"] if self._raw.dialect == "sqlite" else []
        await self._raw.run(*pragma, *statements, values=[self._raw.id(id_) for id_ in ids])


_TABLES = ("asset", "account", "entry", "posting", "hold", "leaf", "seal", "unsealed")


@pytest.fixture
async def intruder(uow: UnitOfWork, database: Database) -> Intruder:
    """A ledger of two seals, in the hands of somebody who can do anything."""
    held = hold(ANNA, BERK, 20, id=HELD)
    await post(uow, fund(ANNA, 100, id=FUNDED), move(ANNA, BERK, 30, id=PAID))
    await seal_once(uow, SIGNER)
    done = hold(ANNA, BERK, 7)
    await post(uow, held, capture(held, 5, id=TAKEN), done, release(done))
    await seal_once(uow, SIGNER)
    await post(uow, fund(BERK, 1))
    await verified(uow)
    return await Intruder.enter(database)


async def _codes(uow: UnitOfWork) -> set[str]:
    report = await uow.read(verify_ledger)
    assert report.sound == (not report.breaks)
    return {b.code for b in report.breaks}


_SEALED = {
    "the amount of an entry": ("UPDATE entry SET amount = 31 WHERE id = ?", PAID),
    "the memo of an entry": ("UPDATE entry SET memo = '{}' WHERE id = ?", PAID),
    "the time of an entry": ("UPDATE entry SET at = at - 1 WHERE id = ?", FUNDED),
    "who was paid": ("UPDATE entry SET kind = 'gift' WHERE id = ?", PAID),
    "the time of a posting": ("UPDATE posting SET effective_at = 1 WHERE entry = ?", PAID),
    "an entry is gone": ("DELETE FROM entry WHERE id = ?", PAID),
    "its postings are gone": ("DELETE FROM posting WHERE entry = ?", PAID),
}


async def test_a_change_of_a_sealed_entry_is_found_by_its_hash(
    uow: UnitOfWork, intruder: Intruder
) -> None:
    seen: set[str] = set()
    for what, (statement, id_) in _SEALED.items():
        await intruder.run(statement, ids=(id_,))
        report = await uow.read(verify_ledger)
        found = {b.subject for b in report.breaks if b.code == "entry_changed"}
        assert str(id_) in found, what
        seen |= found
    assert seen == {str(FUNDED), str(PAID)}


_CHANGES = {
    "account SET posted = posted + 1 WHERE kind = 'user_available'": {"balance", "sum"},
    "account SET version = version + 1": {"balance"},
    "account SET held = 0": {"held"},
    "account SET floor = -5 WHERE floor = 0": {"floor"},
    "account SET floor = NULL": {"floor"},
    "account SET asset = 'USD' WHERE floor IS NULL": {"account_unknown", "sum"},
    "posting SET delta = 31, balance = 31 WHERE delta = 30": {"credit_leg", "versions", "balance"},
    "posting SET at = at - 1 WHERE version = 2 AND delta < 0": {"debit_leg", "versions"},
    "posting SET version = 9 WHERE version = 3": {"versions", "debit_leg", "posting_alone"},
    "hold SET taken = 6 WHERE state = 'open'": {"hold_follows", "held"},
    "hold SET state = 'released' WHERE state = 'open'": {"hold_follows", "held"},
    "hold SET amount = 8 WHERE amount = 7": {"hold_follows"},
    "entry SET outcome = 'refused' WHERE operation = 'post'": {"entry_shape", "entry_changed"},
    "seal SET previous = root WHERE number = 2": {"seal_link", "seal_hash"},
    "seal SET root = previous WHERE number = 2": {"seal_root", "seal_hash"},
    "seal SET at = at + 1 WHERE number = 2": {"seal_hash"},
    "seal SET signature = (SELECT signature FROM seal WHERE number = 1) WHERE number = 2": {
        "seal_signature"
    },
    "asset SET scale = 3 WHERE code = 'EUR'": {"asset"},
}
_LOSSES = {
    "hold WHERE amount = 7": {"hold_missing"},
    "unsealed": {"unqueued"},
    "leaf WHERE position = 3": {"leaf_gap", "seal_root", "unqueued"},
    "seal WHERE number = 2": {"leaf_beyond"},
    "seal WHERE number = 1": {"seal_link"},
    "asset WHERE code = 'JPY'": {"asset"},
}


class _Undo(Exception):
    pass


@pytest.mark.usefixtures("intruder")
async def test_every_kind_of_change_is_found(uow: UnitOfWork) -> None:
    reports: list[LedgerReport] = []

    async def tamper(tx: Tx, statement: str) -> None:
        if tx.dialect == "sqlite":
            await tx.connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        done = await tx.connection.exec_driver_sql(statement)
        assert done.rowcount > 0, statement
        reports.append(await verify_ledger(tx))
        raise _Undo

    cases = {f"UPDATE {change}": codes for change, codes in _CHANGES.items()}
    cases |= {f"DELETE FROM {loss}": codes for loss, codes in _LOSSES.items()}
    for statement, codes in cases.items():
        with pytest.raises(_Undo):
            await uow.run(lambda tx, statement=statement: tamper(tx, statement))  # type: ignore[misc]
        found = {b.code for b in reports.pop().breaks}
        assert codes <= found, statement
    await verified(uow)


async def test_a_balanced_forgery_is_found_by_the_queue_or_the_chain(
    uow: UnitOfWork, intruder: Intruder
) -> None:
    """Money from nowhere, both legs and both balances right, every sum still zero."""
    columns = (
        "tenant, id, operation, kind, outcome, debit, credit, asset, amount, debit_version, "
        "credit_version, effective_at, at, fingerprint"
    )
    gateway = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR")
    forged = UUID(int=0xDEAD)
    await intruder.run(
        f"INSERT INTO entry ({columns}) SELECT e.tenant, ?, e.operation, e.kind, e.outcome, "
        "e.debit, e.credit, e.asset, 1000, d.version + 1, c.version + 1, d.at, d.at, e.fingerprint "
        "FROM entry e JOIN account d ON d.id = e.debit JOIN account c ON c.id = e.credit "
        "WHERE e.id = ?",
        ids=(forged, FUNDED),
    )
    for account, sign, leg in ((gateway, -1, "debit"), (ANNA, 1, "credit")):
        await intruder.run(
            f"INSERT INTO posting SELECT tenant, id, version + 1, ?, '{leg}', {sign * 1000}, "
            f"posted + {sign * 1000}, at, at FROM account WHERE id = ?",
            ids=(forged, account.id),
        )
        await intruder.run(
            f"UPDATE account SET posted = posted + {sign * 1000}, version = version + 1 "
            "WHERE id = ?",
            ids=(account.id,),
        )
    report = await uow.read(verify_ledger)
    assert ("unqueued", str(forged)) in {(b.code, b.subject) for b in report.breaks}


async def test_a_rebuilt_chain_is_found_by_its_key_or_by_a_kept_head(
    uow: UnitOfWork, intruder: Intruder
) -> None:
    """The whole chain is thrown away and sealed anew over changed entries, consistently."""
    before = await uow.read(verify_ledger)
    await intruder.run("UPDATE entry SET memo = 'never happened' WHERE id = ?", ids=(PAID,))
    await intruder.run(
        "INSERT INTO unsealed (tenant, at, entry) SELECT e.tenant, e.at, e.id FROM entry e "
        "JOIN leaf l ON l.tenant = e.tenant AND l.entry = e.id"
    )
    await intruder.run("DELETE FROM leaf")
    await intruder.run("DELETE FROM seal")
    while await seal_once(uow, SoftwareSigner(bytes(32))):
        pass
    assert (await uow.read(verify_ledger)).sound
    by_key = await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[SIGNER.public_key]))
    assert {b.code for b in by_key.breaks} == {"seal_signer"}
    by_head = await uow.read(lambda tx: verify_ledger(tx, kept_heads=before.heads))
    assert {b.code for b in by_head.breaks} == {"kept_head"}


async def test_clearing_that_was_left_full_is_refused_and_past_the_guard_it_is_found(
    uow: UnitOfWork, database: Database
) -> None:
    clearing = AccountRef(AccountKind.HOUSE_OFFLINE_CLEARING, "EUR")
    with pytest.raises(IntegrityError):
        await post(uow, fund(clearing, 5))
    assert await _codes(uow) == set()
    where = "" if database.dialect == "sqlite" else " ON account"
    await RawSql(database).run(f"DROP TRIGGER offline_book_clearing{where}")
    await post(uow, fund(clearing, 5))
    assert await _codes(uow) == {"clearing"}


async def test_a_report_says_what_is_broken_and_where(uow: UnitOfWork, intruder: Intruder) -> None:
    await intruder.run("UPDATE account SET held = held + 1 WHERE id = ?", ids=(ANNA.id,))
    report = await uow.read(verify_ledger)
    (found,) = report.breaks
    assert (found.code, found.tenant, found.subject) == ("held", 1, str(ANNA.id))
    assert str(ANNA.id) in report.as_text()
    assert report.as_json()["sound"] is False


async def test_an_empty_ledger_is_sound(uow: UnitOfWork) -> None:
    report = await verified(uow)
    assert "The ledger is sound." in report.as_text()
