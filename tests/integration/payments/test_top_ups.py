"""A card is charged once and credited once, whatever breaks in between."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest

from server.kit.auth import Caller
from server.kit.errors import IdempotencyConflict, NotFound
from server.kit.money import UnknownCurrency
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    close_account,
    post_many,
    trial_balance,
)
from server.payments import GatewayPayment, PaymentStatus, SandboxGateway, resume_top_ups, top_up
from server.payments.cards.errors import TopUpTooLarge
from server.payments.cards.top_ups import TOP_UP_MAX, own_top_up
from server.payments.errors import PhoneUnconfirmed
from server.payments.gateway import GatewayUnavailable
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.payments.people import NAMES, available, join, wish

ROOT = Path(__file__).parents[3]
LATER = timedelta(minutes=5)


@pytest.fixture
def gateway(tmp_path: Path) -> SandboxGateway:
    return SandboxGateway(tmp_path / "cards.sqlite")


async def test_a_card_that_works_credits_the_user(uow: UnitOfWork, gateway: SandboxGateway) -> None:
    ada = await join(uow)
    row = await top_up(uow, gateway, ada, wish(), key="k")
    assert (row.status, row.reason) == ("succeeded", None)
    assert await available(uow, ada) == 2_500
    trial = await uow.read(lambda tx: trial_balance(tx, 1))
    assert {line.kind: line.shown for line in trial.lines} == {
        AccountKind.HOUSE_CARD_GATEWAY: 2_500,
        AccountKind.USER_AVAILABLE: 2_500,
    }


@pytest.mark.parametrize(
    ("card", "reason"), [("sandbox-declined", "card_declined"), ("nonsense", "card_unknown")]
)
async def test_a_declined_card_credits_nothing_and_says_why(
    uow: UnitOfWork, gateway: SandboxGateway, card: str, reason: str
) -> None:
    ada = await join(uow)
    row = await top_up(uow, gateway, ada, wish(card), key="k")
    assert (row.status, row.reason) == ("declined", reason)
    assert await available(uow, ada) == 0


async def test_the_same_key_charges_once_and_another_body_conflicts(
    uow: UnitOfWork, gateway: SandboxGateway
) -> None:
    ada = await join(uow)
    rows = [await top_up(uow, gateway, ada, wish(), key="k") for _ in range(3)]
    assert len({row.id for row in rows}) == 1
    assert await gateway.charged() == 1
    with pytest.raises(IdempotencyConflict):
        await top_up(uow, gateway, ada, wish(amount=2_501), key="k")
    assert await available(uow, ada) == 2_500


async def test_many_requests_with_one_key_at_once_charge_once(
    uow: UnitOfWork, gateway: SandboxGateway
) -> None:
    ada = await join(uow)
    rows = await asyncio.gather(*(top_up(uow, gateway, ada, wish(), key="k") for _ in range(6)))
    assert {row.status for row in rows} == {"succeeded"}
    assert await gateway.charged() == 1
    assert await available(uow, ada) == 2_500


async def test_two_users_with_one_key_are_two_top_ups(
    uow: UnitOfWork, gateway: SandboxGateway
) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    for caller in (ada, bob):
        await top_up(uow, gateway, caller, wish(), key="k")
    assert await gateway.charged() == 2
    assert await available(uow, bob) == 2_500


async def test_a_lost_answer_is_found_by_the_retry(
    uow: UnitOfWork, gateway: SandboxGateway
) -> None:
    ada = await join(uow)
    first = await top_up(uow, gateway, ada, wish("sandbox-lost-answer"), key="k")
    assert first.status == "pending"
    assert await available(uow, ada) == 0
    second = await top_up(uow, gateway, ada, wish("sandbox-lost-answer"), key="k")
    assert second.status == "succeeded"
    assert await gateway.charged() == 1
    assert await available(uow, ada) == 2_500


@pytest.mark.parametrize("card", ["sandbox-lost-answer", "sandbox-pending"])
async def test_the_background_job_finds_out_by_itself(
    uow: UnitOfWork, gateway: SandboxGateway, clock: ManualClock, card: str
) -> None:
    ada = await join(uow)
    await top_up(uow, gateway, ada, wish(card), key="k")
    assert await resume_top_ups(uow, gateway) == 0, "too early: the answer may still come"
    clock.advance(LATER)
    assert await resume_top_ups(uow, gateway) == 1
    assert await resume_top_ups(uow, gateway) == 0
    assert await available(uow, ada) == 2_500
    assert await gateway.charged() == 1


async def test_an_unreachable_gateway_leaves_it_pending_for_a_day_and_then_declined(
    uow: UnitOfWork, gateway: SandboxGateway, clock: ManualClock
) -> None:
    ada = await join(uow)
    row = await top_up(uow, gateway, ada, wish("sandbox-unreachable"), key="k")
    assert row.status == "pending"
    clock.advance(timedelta(hours=2))
    assert await resume_top_ups(uow, gateway) == 0
    clock.advance(timedelta(hours=23))
    assert await resume_top_ups(uow, gateway) == 1
    after = await uow.read(lambda tx: own_top_up(tx, ada, row.id))
    assert (after.status, after.reason) == ("declined", "gateway_unreachable")
    assert await available(uow, ada) == 0


class _RetriedMeanwhile(SandboxGateway):
    """The sandbox, and a user who sends the request again right after the job has looked."""

    def __init__(self, sandbox: SandboxGateway, uow: UnitOfWork, caller: Caller) -> None:
        super().__init__(sandbox._path)
        self._sandbox, self._uow, self._caller = sandbox, uow, caller

    async def create_payment(self, **_: object) -> GatewayPayment:
        raise GatewayUnavailable("never from here")

    async def find_payment(self, idempotency_key: str, **_: object) -> GatewayPayment | None:
        found = await self._sandbox.find_payment(idempotency_key)
        await top_up(self._uow, self._sandbox, self._caller, wish(), key="k")
        return found


@pytest.mark.parametrize("hours", [24, 26])
async def test_a_retry_that_meets_the_job_giving_up_charges_no_card_in_vain(
    uow: UnitOfWork, gateway: SandboxGateway, clock: ManualClock, hours: int
) -> None:
    ada = await join(uow)
    meeting = _RetriedMeanwhile(gateway, uow, ada)
    row = await top_up(uow, meeting, ada, wish(), key="k")
    clock.advance(timedelta(hours=hours))
    await resume_top_ups(uow, meeting)
    clock.advance(timedelta(hours=2))
    assert await resume_top_ups(uow, gateway) <= 1
    after = await uow.read(lambda tx: own_top_up(tx, ada, row.id))
    assert after.status == "declined"
    assert await gateway.charged() == 0


async def test_a_top_up_that_cannot_be_settled_stops_no_other(
    uow: UnitOfWork, gateway: SandboxGateway, clock: ManualClock
) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    for caller in (ada, bob):
        await top_up(uow, gateway, caller, wish("sandbox-pending"), key="k")
    await uow.run(lambda tx: _close_first_account(tx, ada))
    clock.advance(LATER)
    assert await resume_top_ups(uow, gateway) == 1
    assert await available(uow, bob) == 2_500


async def _close_first_account(tx: Tx, caller: Caller) -> None:
    ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", caller.user_id)
    entry = EntryRequest(
        id=caller.user_id,
        kind="test.open",
        debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR", None),
        credit=ref,
        amount=1,
    )
    back = EntryRequest(
        id=uuid5(NAMES, "empty"),
        kind="test.empty",
        debit=entry.credit,
        credit=entry.debit,
        amount=1,
    )
    await post_many(tx, [entry, back])
    await close_account(tx, ref)


async def test_a_process_asks_its_card_gateway_about_its_own_tenant_only(
    uow: UnitOfWork, gateway: SandboxGateway, clock: ManualClock
) -> None:
    ada = await join(uow)
    row = await top_up(uow, gateway, ada, wish("sandbox-pending"), key="k")
    clock.advance(LATER)
    assert await resume_top_ups(uow, gateway, tenant=2) == 0
    again = await uow.read(lambda tx: own_top_up(tx, ada, row.id))
    assert (again.status, again.attempts) == ("pending", 0)
    assert await resume_top_ups(uow, gateway, tenant=1) == 1


class _Dies(SandboxGateway):
    """Charges through the real sandbox and then kills this process."""

    async def create_payment(self, **wish: Any) -> GatewayPayment:
        await super().create_payment(**wish)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("dead processes do not come here")


async def dying_process(url: str, cards: Path) -> None:
    """What the child of the next test runs."""
    from server.kit.db import create_engine  # noqa: PLC0415
    from server.kit.ids import SystemIds  # noqa: PLC0415

    clock = ManualClock()
    uow = UnitOfWork(create_engine(url), clock=clock, ids=SystemIds(clock))
    ada = uuid5(NAMES, "ada")
    caller = Caller(tenant=1, user_id=ada, session_id=ada, role="user")
    await top_up(uow, _Dies(cards), caller, wish(), key="k")


async def test_a_kill_after_the_charge_and_before_the_credit_loses_nothing(
    uow: UnitOfWork, database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    ada = await join(uow)
    cards = tmp_path / "cards.sqlite"
    code = (
        "import asyncio, pathlib\n"
        "from tests.integration.payments.test_top_ups import dying_process\n"
        f"asyncio.run(dying_process({database.url!r}, pathlib.Path({str(cards)!r})))\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL
    gateway = SandboxGateway(cards)
    assert await gateway.charged() == 1
    assert await available(uow, ada) == 0

    clock.advance(LATER)
    assert await resume_top_ups(uow, gateway) == 1
    again = await top_up(uow, gateway, ada, wish(), key="k")
    assert again.status == "succeeded"
    assert await gateway.charged() == 1
    assert await available(uow, ada) == 2_500


class _Late(SandboxGateway):
    """Answers that a payment is pending, and never anything else."""

    async def create_payment(self, **_: object) -> GatewayPayment:
        return GatewayPayment("late", PaymentStatus.PENDING)

    async def find_payment(self, idempotency_key: str, **_: object) -> GatewayPayment | None:
        raise GatewayUnavailable(idempotency_key)


async def test_a_gateway_that_is_down_is_asked_less_and_less_often(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    ada = await join(uow)
    row = await top_up(uow, _Late(Path("unused")), ada, wish(), key="k")
    waits = []
    for _ in range(4):
        now = await uow.read(lambda tx: own_top_up(tx, ada, row.id))
        waits.append(now.retry_at - clock.now())
        clock.advance(waits[-1])
        assert await resume_top_ups(uow, _Late(Path("unused"))) == 0
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


async def test_refusals_come_before_the_card_is_charged(
    uow: UnitOfWork, gateway: SandboxGateway
) -> None:
    eve = await join(uow, "eve", confirmed=False)
    ada = await join(uow)
    with pytest.raises(PhoneUnconfirmed):
        await top_up(uow, gateway, eve, wish(), key="k")
    with pytest.raises(TopUpTooLarge):
        await top_up(uow, gateway, ada, wish(amount=TOP_UP_MAX + 1), key="k")
    with pytest.raises(UnknownCurrency):
        await top_up(uow, gateway, ada, wish(currency="XXX"), key="k")
    assert await gateway.charged() == 0


async def test_another_persons_top_up_is_not_found(
    uow: UnitOfWork, gateway: SandboxGateway
) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    row = await top_up(uow, gateway, ada, wish(), key="k")
    with pytest.raises(NotFound):
        await uow.read(lambda tx: own_top_up(tx, bob, row.id))
