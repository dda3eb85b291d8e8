"""Limits and notes of single accounts: enforced by the database, with a history that stays."""

import asyncio
from uuid import UUID

import pytest

from server.kit.errors import InvalidRequest
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, verify_ledger
from server.ledger.account_books import (
    AccountLimit,
    limit_account,
    limits_of,
    note_account,
    notes_of,
)
from server.ledger.book_errors import BalanceAboveCeiling, LimitUnfit
from tests.conftest import Database
from tests.integration.ledger.ledgers import REFUSALS, RawSql, balance_of, post, results, verified
from tests.unit.ledger.books import ANNA, BERK, CAROL, GATEWAY, capture, fund, hold, move

FEES = AccountRef(AccountKind.HOUSE_FEES, "EUR")


async def _limit(uow: UnitOfWork, ref: AccountRef, floor: int | None) -> AccountLimit:
    return await uow.run(lambda tx: limit_account(tx, ref, floor=floor, reason="agreed", by="olga"))


async def test_a_credit_line_lets_an_account_go_that_low_and_no_lower(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100))
    await _limit(uow, ANNA, -50)
    assert await results(uow, move(ANNA, BERK, 140), move(ANNA, BERK, 11)) == [
        "applied",
        "insufficient_funds",
    ]
    assert (await balance_of(uow, ANNA)).posted == -40
    assert await results(uow, hold(ANNA, BERK, 5)) == ["insufficient_funds"]
    assert await results(uow, move(ANNA, BERK, 10)) == ["applied"]
    await verified(uow)


async def test_a_higher_floor_keeps_a_reserve(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100))
    await _limit(uow, ANNA, 30)
    assert await results(uow, move(ANNA, BERK, 71), move(ANNA, BERK, 70)) == [
        "insufficient_funds",
        "applied",
    ]
    await verified(uow)


async def test_a_limit_below_which_the_account_stands_is_refused(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100), hold(ANNA, BERK, 40))
    with pytest.raises(LimitUnfit):
        await _limit(uow, ANNA, 61)
    await _limit(uow, ANNA, 60)
    with pytest.raises(LimitUnfit):
        await _limit(uow, ANNA, None)
    with pytest.raises(InvalidRequest):
        await _limit(uow, ANNA, -(2**62) - 1)
    with pytest.raises(InvalidRequest):
        await uow.run(lambda tx: limit_account(tx, ANNA, floor=0, reason=" ", by="olga"))
    assert [limit.floor for limit in await uow.read(lambda tx: limits_of(tx, ANNA))] == [60]
    await verified(uow)


async def test_the_history_of_limits_stays_and_the_newest_counts(
    uow: UnitOfWork, database: Database
) -> None:
    for floor in (-10, -20, 0):
        await _limit(uow, BERK, floor)
    limits = await uow.read(lambda tx: limits_of(tx, BERK))
    assert [(limit.number, limit.floor) for limit in limits] == [(3, 0), (2, -20), (1, -10)]
    assert await results(uow, move(BERK, ANNA, 1)) == ["insufficient_funds"]
    raw = RawSql(database)
    for statement in (
        "DELETE FROM account_limit",
        "UPDATE account_limit SET floor = -1000",
        "UPDATE account SET floor = -1000",
        "UPDATE account SET floor = NULL",
        "UPDATE account SET floor = -10",
    ):
        with pytest.raises(REFUSALS):
            await raw.run(statement)
    insert = (
        "INSERT INTO account_limit (tenant, account, number, floor, reason, set_by, at) "
        "VALUES (1, ?, ?, -5, 'x', 'x', 0)"
    )
    for number in (3, 5):
        with pytest.raises(REFUSALS):
            await raw.run(insert, values=(raw.id(BERK.id), number))
    with pytest.raises(REFUSALS):
        await raw.run(insert, values=(raw.id(ANNA.id), 2))
    await verified(uow)


async def test_a_house_account_can_have_a_floor_and_lose_it(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 50), move(ANNA, FEES, 20))
    await _limit(uow, FEES, 0)
    assert await results(uow, move(FEES, ANNA, 21)) == ["insufficient_funds"]
    await _limit(uow, FEES, None)
    assert await results(uow, move(FEES, ANNA, 21)) == ["applied"]
    await verified(uow)


async def test_limits_and_payments_race(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100))

    async def pay() -> str:
        return (await results(uow, move(ANNA, BERK, 10)))[0]

    async def raise_floor() -> str:
        try:
            await _limit(uow, ANNA, 55)
        except LimitUnfit:
            return "unfit"
        return "set"

    *paid, limit = await asyncio.gather(*(pay() for _ in range(10)), raise_floor())
    left = (await balance_of(uow, ANNA)).posted
    assert left == 100 - 10 * paid.count("applied")
    assert left >= 55 if limit == "set" else left < 55
    await verified(uow)


async def test_a_floor_that_no_limit_says_is_found(uow: UnitOfWork, database: Database) -> None:
    await post(uow, fund(ANNA, 100))
    await _limit(uow, ANNA, -10)
    raw = RawSql(database)
    if database.dialect == "sqlite":
        await raw.run("DROP TRIGGER account_floor_follows", "UPDATE account SET floor = -100")
    else:
        await raw.run("ALTER TABLE account DISABLE TRIGGER USER", "UPDATE account SET floor = -100")
    report = await uow.read(verify_ledger)
    assert {each.code for each in report.breaks} == {"floor"}


async def test_notes_about_an_account_only_grow(uow: UnitOfWork, database: Database) -> None:
    for value in ({"iban": "DE00"}, {"iban": "DE01"}, None):
        await uow.run(
            lambda tx, value=value: note_account(tx, ANNA, name="bank", value=value, by="olga")  # type: ignore[misc]
        )
    notes = await uow.read(lambda tx: notes_of(tx, ANNA))
    assert [(note.number, note.value) for note in notes] == [
        (3, None),
        (2, {"iban": "DE01"}),
        (1, {"iban": "DE00"}),
    ]
    with pytest.raises(REFUSALS):
        await RawSql(database).run("UPDATE account_note SET name = 'x'")
    with pytest.raises(InvalidRequest):
        await uow.run(lambda tx: note_account(tx, ANNA, name="", value=1, by="olga"))


# Ceilings


async def _ceiling(uow: UnitOfWork, ref: AccountRef, ceiling: int | None) -> None:
    await uow.run(
        lambda tx: limit_account(
            tx, ref, floor=0, ceiling=ceiling, reason="small account", by="olga"
        )
    )


async def test_no_entry_takes_an_account_above_its_ceiling(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100))
    await _ceiling(uow, BERK, 50)
    held = hold(ANNA, BERK, 30)
    assert await results(uow, move(ANNA, BERK, 40), held) == ["applied", "applied"]
    late = move(ANNA, BERK, 11)
    for refused in (late, capture(held, 11)):
        with pytest.raises(BalanceAboveCeiling):
            await post(uow, fund(CAROL, 1), refused)
    assert (await balance_of(uow, CAROL)).version == 0
    assert await results(uow, move(ANNA, BERK, 10)) == ["applied"]
    with pytest.raises(LimitUnfit):
        await _ceiling(uow, BERK, 49)
    await _ceiling(uow, BERK, None)
    assert await results(uow, late, capture(held, 30)) == ["applied", "applied"]
    await verified(uow)


async def test_the_database_itself_keeps_to_ceilings(uow: UnitOfWork, database: Database) -> None:
    await post(uow, fund(ANNA, 100))
    await _ceiling(uow, ANNA, 100)
    raw = RawSql(database)
    for statement in (
        "UPDATE account SET ceiling = NULL",
        "UPDATE account SET ceiling = 1000",
        "UPDATE account_limit SET ceiling = NULL",
    ):
        with pytest.raises(REFUSALS):
            await raw.run(statement)
    columns = "tenant, id, kind, asset, posted, held, version, at, opened_at, ceiling"
    with pytest.raises(REFUSALS):
        await raw.run(
            f"INSERT INTO account ({columns}) VALUES (1, ?, 'house_fees', 'USD', 0, 0, 0, 0, 0, 5)",
            values=(raw.id(UUID(int=4)),),
        )
    if database.dialect == "sqlite":
        fields = (
            1, raw.id(UUID(int=5)), "post", "raw", "applied", raw.id(GATEWAY.id), raw.id(ANNA.id),
            "EUR", 1, 2, 2, 2**52, 2**52, bytes(32),
        )  # fmt: skip
        with pytest.raises(REFUSALS):
            await raw.run(
                "INSERT OR IGNORE INTO entry (tenant, id, operation, kind, outcome, debit, credit, "
                "asset, amount, debit_version, credit_version, effective_at, at, fingerprint) "
                f"VALUES ({', '.join('?' * 14)})",
                values=fields,
            )
    await verified(uow)


async def test_payments_race_to_a_ceiling(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 1000))
    await _ceiling(uow, BERK, 45)

    async def pay() -> bool:
        try:
            return (await results(uow, move(ANNA, BERK, 10))) == ["applied"]
        except BalanceAboveCeiling:
            return False

    assert sum(await asyncio.gather(*(pay() for _ in range(12)))) == 4
    assert (await balance_of(uow, BERK)).posted == 40
    await verified(uow)
