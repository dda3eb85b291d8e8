"""What anybody with the password or the file can type, and what the database says to it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from server.kit.unit_of_work import UnitOfWork
from server.ledger import seal_once
from tests.conftest import Database
from tests.integration.ledger.ledgers import REFUSALS, RawSql, post, verified
from tests.unit.ledger.books import ANNA, BERK, CAROL, GATEWAY, capture, fund, hold, move, user

NEW = UUID(int=0xBAD)
LATER = 2_000_000_000_000_000

ENTRY = (
    "tenant, id, operation, kind, outcome, reason, debit, credit, asset, amount, debit_version, "
    "credit_version, hold, chain, expires_at, effective_at, at, fingerprint, memo"
)
POSTING = "tenant, account, version, entry, leg, delta, balance, at, effective_at"


@dataclass(frozen=True)
class Guarded:
    raw: RawSql
    paid: UUID
    held: UUID
    waiting: UUID

    async def refused(self, *statements: str, values: tuple[Any, ...] = ()) -> None:
        """Assert that the database itself refuses the statements, as one transaction."""
        plain = tuple(self.raw.id(v) if isinstance(v, UUID) else v for v in values)
        try:
            await self.raw.run(*statements, values=plain)
        except REFUSALS:
            return
        pytest.fail(f"the database took {statements} with {values}")

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await self.raw.run(query)


@pytest.fixture
async def guarded(uow: UnitOfWork, database: Database) -> Guarded:
    """Anna: 100 funded, 30 paid to Berk (sealed), 20 held and 5 of it captured."""
    paid, held = move(ANNA, BERK, 30), hold(ANNA, BERK, 20)
    await post(uow, fund(ANNA, 100), paid)
    await seal_once(uow)
    waiting = capture(held, 5)
    await post(uow, held, waiting)
    return Guarded(RawSql(database), paid.id, held.id, waiting.id)


@pytest.fixture(autouse=True)
async def _still_sound(uow: UnitOfWork, guarded: Guarded) -> AsyncIterator[None]:
    yield
    report = await verified(uow)
    assert report.counts == {
        "accounts": 3,
        "entries": 4,
        "postings": 6,
        "seals": 1,
        "unsealed": 2,
    }, guarded.raw.dialect


TABLES = ("asset", "account", "entry", "posting", "hold", "leaf", "seal", "unsealed")


CHANGES = (
    "entry SET amount = 3000",
    "entry SET memo = 'other'",
    "entry SET reason = NULL",
    "posting SET delta = delta * 2",
    "posting SET balance = balance + 1",
    "posting SET version = version + 100",
    "leaf SET hash = hash",
    "leaf SET position = position + 1",
    "seal SET signature = NULL",
    "asset SET scale = 3",
    "unsealed SET at = at + 1",
    "account SET posted = posted + 1",
    "account SET posted = posted + 1, version = version + 1",
    "account SET held = 0",
    "account SET held = held + 1",
    "account SET floor = -1000000",
    "account SET kind = 'house_capital'",
    "account SET asset = 'USD'",
    "account SET owner = NULL",
    "account SET at = at + 1",
    "account SET at = 0",
    "account SET version = version - 1",
    "hold SET taken = 0",
    "hold SET taken = 20, state = 'captured'",
    "hold SET state = 'released'",
    "hold SET amount = amount + 1",
    "hold SET expires_at = 1",
)


async def test_rows_are_never_deleted(guarded: Guarded) -> None:
    for table in TABLES:
        assert await guarded.rows(f"SELECT 1 FROM {table}")
        await guarded.refused(f"DELETE FROM {table}")
        if guarded.raw.dialect == "postgresql":
            await guarded.refused(f"TRUNCATE {table} CASCADE")


async def test_nothing_is_changed_afterwards(guarded: Guarded) -> None:
    for change in CHANGES:
        await guarded.refused(f"UPDATE {change}")
        if guarded.raw.dialect == "sqlite":
            await guarded.refused(f"UPDATE OR REPLACE {change}")


async def test_an_account_cannot_go_back_to_an_earlier_state(guarded: Guarded) -> None:
    await guarded.refused(
        "UPDATE account SET posted = 100, version = 1 WHERE id = ?", values=(ANNA.id,)
    )


async def test_an_account_with_money_cannot_be_closed(guarded: Guarded) -> None:
    await guarded.refused("UPDATE account SET closed_at = 1 WHERE id = ?", values=(ANNA.id,))


async def test_accounts_are_not_born_rich(guarded: Guarded) -> None:
    await guarded.refused(
        "INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at, "
        "opened_at) VALUES (1, ?, 'user_available', 'EUR', NULL, 0, 1000, 0, 0, 0, 0)",
        values=(NEW,),
    )


async def test_accounts_count_known_assets(guarded: Guarded) -> None:
    await guarded.refused(
        *(["PRAGMA foreign_keys = ON"] if guarded.raw.dialect == "sqlite" else []),
        "INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at, "
        "opened_at) VALUES (1, ?, 'user_available', 'XXX', NULL, 0, 1, 0, 0, 0, 0)",
        values=(NEW,),
    )


# One leg without the other


def _posting(guarded: Guarded, **changed: object) -> tuple[str, tuple[Any, ...]]:
    """Return the insert of a credit for Berk that continues his account, and its values."""
    fields: dict[str, object] = {
        "tenant": 1,
        "account": BERK.id,
        "version": 3,
        "entry": guarded.paid,
        "leg": "credit",
        "delta": 10,
        "balance": 45,
        "at": LATER,
        "effective_at": LATER,
    }
    fields |= changed
    marks = ", ".join("?" * len(fields))
    return f"INSERT INTO posting ({', '.join(fields)}) VALUES ({marks})", tuple(fields.values())


_LONE: dict[str, dict[str, object]] = {
    "second credit for an entry": {},
    "no such entry": {"entry": NEW},
    "gap": {"version": 4},
    "version taken": {"version": 1, "delta": 30, "balance": 30},
    "balance does not continue": {"balance": 46},
    "debit": {"leg": "debit", "delta": -10, "balance": 25},
    "the same amount again": {"delta": 30, "balance": 65},
    "another account": {"account": CAROL.id, "version": 1, "delta": 30, "balance": 30},
}


async def test_a_posting_is_never_written_by_itself(guarded: Guarded) -> None:
    for changed in _LONE.values():
        statement, values = _posting(guarded, **changed)
        await guarded.refused(statement, values=values)


async def test_a_posting_is_never_replaced(guarded: Guarded) -> None:
    if guarded.raw.dialect == "postgresql":
        statement, values = _posting(guarded, version=1, delta=3000, balance=3000)
        await guarded.refused(
            f"{statement} ON CONFLICT (tenant, account, version) DO UPDATE SET delta = 3000",
            values=values,
        )
        return
    for replacing in ("INSERT OR REPLACE INTO", "REPLACE INTO", "INSERT OR FAIL INTO"):
        for table in ("posting", "entry", "hold", "account", "leaf", "seal", "asset", "unsealed"):
            await guarded.refused(f"{replacing} {table} SELECT * FROM {table}")


async def test_an_account_is_never_opened_anew(guarded: Guarded) -> None:
    replacing = " OR REPLACE" if guarded.raw.dialect == "sqlite" else ""
    await guarded.refused(
        f"INSERT{replacing} INTO account (tenant, id, kind, asset, owner, floor, posted, held, "
        "version, at, opened_at) VALUES (1, ?, 'house_capital', 'EUR', NULL, NULL, 0, 0, 0, 0, 0)",
        values=(ANNA.id,),
    )


async def test_an_applied_entry_is_never_replaced_by_a_refused_one(guarded: Guarded) -> None:
    changed = {"outcome": "refused", "reason": "account_closed"}
    versions = {"debit_version": None, "credit_version": None}
    for id_ in (guarded.paid, guarded.waiting, guarded.held):
        statement, values = _entry(id=id_, **changed, **versions)
        if guarded.raw.dialect == "sqlite":
            statement = statement.replace("INSERT", "INSERT OR REPLACE")
        await guarded.refused(statement, values=values)


# Entries that do not fit


def _entry(**changed: object) -> tuple[str, tuple[Any, ...]]:
    """Return the insert of a movement of 10 from Anna to Berk that would be applied."""
    fields: dict[str, object] = dict.fromkeys(ENTRY.split(", "))
    fields |= {
        "tenant": 1,
        "id": NEW,
        "operation": "post",
        "kind": "raw",
        "outcome": "applied",
        "debit": ANNA.id,
        "credit": BERK.id,
        "asset": "EUR",
        "amount": 10,
        "debit_version": 4,
        "credit_version": 3,
        "effective_at": LATER,
        "at": LATER,
        "fingerprint": bytes(32),
    }
    fields |= changed
    marks = ", ".join("?" * len(fields))
    return f"INSERT INTO entry ({ENTRY}) VALUES ({marks})", tuple(fields.values())


_UNFIT: dict[str, dict[str, object]] = {
    "one version missing": {"credit_version": None},
    "no versions": {"debit_version": None, "credit_version": None},
    "stale version": {"debit_version": 3},
    "version gap": {"debit_version": 5},
    "gap on the other side": {"credit_version": 4},
    "more than is available": {"amount": 66},
    "negative amount": {"amount": -10},
    "nothing": {"amount": 0},
    "to itself": {"credit": ANNA.id, "credit_version": 5},
    "unknown account": {"credit": user(99).id, "credit_version": 1},
    "another asset": {"asset": "USD"},
    "another tenant": {"tenant": 2},
    "earlier than its account": {"at": 1},
    "refused yet applied": {"outcome": "refused", "reason": "insufficient_funds"},
    "refused without reason": {"outcome": "refused", "debit_version": None, "credit_version": None},
    "unknown operation": {"operation": "mint"},
    "short fingerprint": {"fingerprint": b"short"},
    "hold beyond what is available": {
        "operation": "hold",
        "amount": 66,
        "debit_version": None,
        "credit_version": None,
    },
    "capture of no hold": {"operation": "capture", "hold": NEW},
    "release of no hold": {
        "operation": "release",
        "hold": NEW,
        "debit_version": None,
        "credit_version": None,
    },
}


async def test_an_entry_that_does_not_fit_is_refused(guarded: Guarded) -> None:
    for changed in _UNFIT.values():
        statement, values = _entry(**changed)
        await guarded.refused(statement, values=values)


async def test_no_conflict_clause_lets_half_an_entry_in(guarded: Guarded) -> None:
    if guarded.raw.dialect == "postgresql":
        statement, values = _entry(debit_version=5)
        await guarded.refused(f"{statement} ON CONFLICT DO NOTHING", values=values)
        return
    for changed in _UNFIT.values():
        statement, values = _entry(**changed)
        for policy in ("FAIL", "REPLACE", "ROLLBACK"):
            await guarded.refused(statement.replace("INSERT", f"INSERT OR {policy}"), values=values)
        # Ignoring may skip the row without an error; what counts is that nothing is there.
        plain = [value.bytes if isinstance(value, UUID) else value for value in values]
        with contextlib.suppress(*REFUSALS):
            await guarded.raw.run(statement.replace("INSERT", "INSERT OR IGNORE"), values=plain)
        assert await guarded.rows("SELECT count(*) FROM entry") == [(4,)]


_BEYOND: dict[str, dict[str, object]] = {
    "more than is left": {"amount": 16},
    "other account": {"amount": 1, "credit": GATEWAY.id, "credit_version": 2},
    "part of it": {"operation": "release", "amount": 14},
    "expiry of one without end": {"operation": "expire", "amount": 15},
}


async def test_a_hold_gives_only_what_it_has(guarded: Guarded) -> None:
    for changed in _BEYOND.values():
        fields = {"operation": "capture", "hold": guarded.held} | changed
        if fields["operation"] != "capture":
            fields |= {"debit_version": None, "credit_version": None}
        statement, values = _entry(**fields)
        await guarded.refused(statement, values=values)


async def test_an_entry_comes_only_once(guarded: Guarded) -> None:
    statement, values = _entry(id=guarded.paid)
    await guarded.refused(statement, values=values)


async def test_a_hold_is_never_written_by_itself(guarded: Guarded) -> None:
    await guarded.refused(
        "INSERT INTO hold (tenant, id, debit, credit, amount, taken, state, at) "
        "VALUES (1, ?, ?, ?, 5, 0, 'open', 0)",
        values=(NEW, ANNA.id, BERK.id),
    )


async def test_the_queue_takes_only_fresh_entries(guarded: Guarded) -> None:
    insert = "INSERT INTO unsealed (tenant, at, entry) VALUES (1, 0, ?)"
    await guarded.refused(insert, values=(NEW,))
    await guarded.refused(insert, values=(guarded.paid,))


async def test_an_entry_cannot_slip_out_of_the_queue(guarded: Guarded) -> None:
    await guarded.refused("DELETE FROM unsealed WHERE entry = ?", values=(guarded.waiting,))


async def test_an_entry_is_sealed_once(guarded: Guarded) -> None:
    await guarded.refused(
        "INSERT INTO leaf (tenant, position, entry, hash) VALUES (1, 9, ?, ?)",
        values=(guarded.paid, bytes(32)),
    )


async def test_the_entry_that_the_refused_ones_are_made_from_does_fit(
    guarded: Guarded, uow: UnitOfWork
) -> None:
    statement, values = _entry()
    plain = tuple(guarded.raw.id(v) if isinstance(v, UUID) else v for v in values)
    if guarded.raw.dialect == "postgresql":
        for place in range(1, len(plain) + 1):
            statement = statement.replace("?", f"${place}", 1)
    async with uow.engine.connect() as connection, connection.begin() as transaction:
        await connection.exec_driver_sql(statement, plain)
        found = await connection.exec_driver_sql(
            "SELECT posted, version FROM account WHERE version >= 3 ORDER BY version"
        )
        assert [tuple(row) for row in found] == [(45, 3), (55, 4)]
        await transaction.rollback()
