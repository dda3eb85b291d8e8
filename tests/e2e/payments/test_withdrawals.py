"""Withdrawals over HTTP, with real workflows and a bank that is a process of its own."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from httpx import Response
from litestar import Litestar
from sqlalchemy import update

from server.app import Ports, create_app
from server.identity import Role, set_role
from server.kit.auth import Caller
from server.kit.clock import SystemClock
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflows import WorkflowBook, WorkflowPlace, prepare_books
from server.ledger import AccountKind, AccountRef, EntryRequest, balance, post_many
from server.payments.banks.accounts import VERIFIED
from server.payments.banks.models import BankAccountRow
from server.payments.payouts import (
    PayableAccount,
    PayoutAnswer,
    PayoutDesk,
    PayoutOrder,
    RailUnavailable,
)
from server.payments.payouts.domain import DEFAULT_PACE
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.schemas import WithdrawalCreate
from server.payments.payouts.withdrawals import request_withdrawal
from server.settings import Settings
from tests.conftest import Database
from tests.factories.identity import Device, Person
from tests.fakes.bank_process import BankProcess, bank_process
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages
from tests.integration.payments.banks.partner import IBAN, Partner, make_partner

Json = dict[str, Any]
FEE = 50
WHY = {"reason": "the bank confirmed it by telephone"}


@pytest.fixture
def clock() -> ManualClock:
    """The bank lives in real time and looks at the times of signatures."""
    return ManualClock(SystemClock().now())


@pytest.fixture
def app(database: Database, tmp_path: Path, clock: ManualClock, messages: KeptMessages) -> Litestar:
    prepare_books(WorkflowPlace.beside(database.url))
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
    )
    ports = Ports(clock=clock, messages=messages, background=False, workflows=True)
    return create_app(settings, ports)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path / "bank") as process:
        yield process


@pytest.fixture
async def partner(uow: UnitOfWork, clock: ManualClock, bank: BankProcess) -> Partner:
    partner = await make_partner(uow, clock, api_url=bank.url, accounts={"EUR": IBAN})
    bank.configure(server="", bank_id=str(partner.bank.id), secret=partner.secret)
    return partner


@pytest.fixture
async def payer(uow: UnitOfWork, partner: Partner, ada: Person) -> Device:
    """Ada with 1,000.00 EUR that lie with the bank."""
    device = await ada.join()
    me = (await ask(device, "GET", "/v1/me")).json()
    await deposit(uow, partner, UUID(me["id"]), 100_000)
    return device


async def deposit(uow: UnitOfWork, partner: Partner, user: UUID, amount: int) -> None:
    entry = EntryRequest(
        id=uuid5(user, "riches"),
        kind="test.deposit",
        debit=AccountRef(AccountKind.BANK_MONEY, "EUR", partner.bank.id),
        credit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", user),
        amount=amount,
    )
    (outcome,) = await uow.run(lambda tx: post_many(tx, [entry]))
    outcome.raise_for_refusal()


async def ask(device: Device, method: str, path: str, **options: Any) -> Response:
    headers = {"Authorization": f"Bearer {device.tokens['access_token']}"}
    return await device.client.request(
        method, path, headers=headers | options.pop("headers", {}), **options
    )


async def add_account(uow: UnitOfWork, device: Device, *, verified: bool = True) -> str:
    payee = {"name": "Ada", "iban": "DE75512108001245126199"}
    answer = await ask(
        device,
        "POST",
        "/v1/bank-accounts",
        json={"currency": "EUR", "payee": payee},
        headers={"Idempotency-Key": "account"},
    )
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["id"]

    async def verify(tx: Tx) -> None:
        row = update(BankAccountRow).where(BankAccountRow.id == UUID(id_))
        await tx.connection.execute(row.values(state=VERIFIED, verified_at=tx.now))

    if verified:
        await uow.run(verify)
    return id_


async def withdraw(device: Device, account: str, amount: int = 2_500, key: str = "k") -> Response:
    wish = {"amount": amount, "currency": "EUR", "bank_account": account}
    return await ask(device, "POST", "/v1/withdrawals", json=wish, headers={"Idempotency-Key": key})


async def awaited(ask_again: Callable[[], Awaitable[list[Json]]], *, some: bool) -> list[Json]:
    """Ask until there are some, or none."""
    while bool(found := await ask_again()) is not some:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return found


async def second_after(moment: str) -> None:
    """Wait for the next second: on SQLite the workflows' books keep no shorter times."""
    left = datetime.fromisoformat(moment) + timedelta(seconds=1) - SystemClock().now()
    await asyncio.sleep(max(left.total_seconds(), 0))


async def until(device: Device, id_: str, holds: Callable[[Json], bool]) -> Json:
    while True:
        view: Json = (await ask(device, "GET", f"/v1/withdrawals/{id_}")).json()
        if holds(view):
            return view
        await asyncio.sleep(0.05)


async def test_money_goes_out_to_a_verified_account(
    uow: UnitOfWork, payer: Device, partner: Partner, bank: BankProcess
) -> None:
    account = await add_account(uow, payer)
    bank.control("POST", "modes", {"next": ["lost_answer"]})
    made = await withdraw(payer, account)
    assert made.status_code == 201, made.text
    assert made.json()["fee"] == FEE
    paid = await until(payer, made.json()["id"], lambda view: view["state"] == "paid")
    assert [step["what"] for step in paid["steps"]] == [
        "You asked for 25.00 EUR; it is set aside, with a fee of 0.50 EUR.",
        "We began to hand it to the bank. It can no longer be cancelled.",
        "The bank has it.",
        "The bank paid it out.",
    ]
    assert paid["bank_account_label"].endswith("6199")
    orders = [json.loads(row["body"]) for row in bank.control("GET", "payouts")]
    assert [order["amount"] for order in orders] == [2_500]
    assert await partner.holds() == 100_000 - 2_500
    again = await withdraw(payer, account)
    assert again.json()["id"] == made.json()["id"]
    listed = (await ask(payer, "GET", "/v1/withdrawals")).json()
    assert [item["id"] for item in listed["items"]] == [made.json()["id"]]
    late = await ask(payer, "POST", f"/v1/withdrawals/{made.json()['id']}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "withdrawal_sent")


async def test_what_cannot_be_withdrawn_says_why(uow: UnitOfWork, payer: Device) -> None:
    unverified = await add_account(uow, payer, verified=False)
    answers = [
        await withdraw(payer, unverified),
        await withdraw(payer, str(UUID(int=5))),
        await withdraw(payer, unverified, amount=1),
        await ask(payer, "POST", "/v1/withdrawals", json={}),
    ]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [
        (answers[0].status_code, "bank_account_unverified"),
        (404, "not_found"),
        (422, "withdrawal_too_small"),
        (400, "invalid_request"),
    ]
    terms = (await ask(payer, "GET", "/v1/withdrawals/terms")).json()["terms"]
    lira = {"currency": "TRY", "minimum": 10_000, "maximum": 5_000_000, "fee": 500}
    assert lira in terms


async def strand(uow: UnitOfWork, database: Database, device: Device, partner: Partner) -> str:
    """Ask for a withdrawal by a rail that the server does not have; return its id."""
    me = UUID((await ask(device, "GET", "/v1/me")).json()["id"])

    async def payable(tx: Tx, tenant: int, user_id: UUID, account: UUID) -> PayableAccount:  # noqa: ARG001
        source = AccountRef(AccountKind.BANK_MONEY, "EUR", partner.bank.id)
        return PayableAccount("EUR", "somewhere", "gone", str(account), source)

    class Gone:
        name = "gone"

        async def send(self, order: PayoutOrder) -> PayoutAnswer:
            raise RailUnavailable(str(order.id))

        find = send

    book = WorkflowBook(WorkflowPlace.beside(database.url))
    desk = PayoutDesk(uow, book, payable, {"gone": Gone()})
    wish = WithdrawalCreate(amount=2_500, currency="EUR", bank_account=UUID(int=9))
    caller = Caller(tenant=1, user_id=me, session_id=me, role="user")
    view = await request_withdrawal(desk, caller, wish, key="stranded")
    await book.close()
    return str(view.id)


async def test_a_stuck_payout_is_seen_replayed_and_given_up_by_two_people(  # noqa: PLR0917
    uow: UnitOfWork,
    database: Database,
    payer: Device,
    partner: Partner,
    eve: Person,
    clock: ManualClock,
) -> None:
    helper = await eve.join()
    id_ = await strand(uow, database, payer, partner)
    stuck = await until(payer, id_, lambda view: view["needs_attention"])
    assert stuck["steps"][-1]["what"].endswith("a person is looking at it.")
    one = f"/v1/workflows/withdrawal/1.{id_}"
    for method, path in (("GET", "/v1/workflows/dead-letters"), ("POST", f"{one}/replay")):
        assert (await ask(helper, method, path)).status_code == 403
    await uow.run(lambda tx: set_role(tx, 1, "eve", Role.SUPPORT))

    async def dead() -> list[Json]:
        found = await ask(helper, "GET", "/v1/workflows/dead-letters")
        assert found.status_code == 200, found.text
        items: list[Json] = found.json()["items"]
        return items

    letters = await awaited(dead, some=True)
    assert [(each["key"], each["reason"]) for each in letters] == [
        (f"1.{id_}", "no rail is called gone")
    ]
    shown = (await ask(helper, "GET", one)).json()
    assert [step["name"] for step in shown["steps"]] == ["begin", "call"]
    assert shown["withdrawal"]["id"] == id_
    await second_after(letters[0]["failed_at"])
    replayed = await ask(helper, "POST", f"{one}/replay")
    assert replayed.status_code == 200, replayed.text

    async def failed_again() -> list[Json]:
        return [one for one in await dead() if one["failed_at"] != letters[0]["failed_at"]]

    await awaited(failed_again, some=True)
    early = await ask(helper, "POST", f"{one}/give-up", json=WHY)
    assert early.json()["code"] == "payout_under_way"
    clock.advance(DEFAULT_PACE.quiet)
    first = await ask(helper, "POST", f"{one}/give-up", json=WHY)
    assert first.json()["outcome"] == "proposed", first.text
    alone = await ask(helper, "POST", f"{one}/give-up", json=WHY)
    assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
    await uow.run(lambda tx: set_role(tx, 1, "ada", Role.ADMIN))
    second = await ask(payer, "POST", f"{one}/give-up", json=WHY)
    assert second.json()["outcome"] == "given_back", second.text
    await awaited(dead, some=False)
    ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", await user_of(uow, id_))
    assert (await uow.read(lambda tx: balance(tx, ref))).available == 100_000


async def user_of(uow: UnitOfWork, withdrawal: str) -> UUID:
    row = await uow.read(lambda tx: tx.session.get(WithdrawalRow, (1, UUID(withdrawal))))
    assert row is not None
    return row.user_id
