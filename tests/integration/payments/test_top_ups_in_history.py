"""Top-ups stand in the history, each once."""

from datetime import timedelta
from pathlib import Path

import pytest

from server.kit.unit_of_work import UnitOfWork
from server.payments import SandboxGateway, top_up
from server.payments.history import page
from tests.fakes.clock import ManualClock
from tests.integration.payments.people import join, wish


@pytest.fixture
def gateway(tmp_path: Path) -> SandboxGateway:
    return SandboxGateway(tmp_path / "cards.sqlite")


async def test_history_gives_every_change_once_the_newest_first(
    uow: UnitOfWork, gateway: SandboxGateway, clock: ManualClock
) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    amounts = []
    for number in range(1, 8):
        currency = "EUR" if number % 3 else "TRY"
        clock.advance(timedelta(seconds=1))
        await top_up(uow, gateway, ada, wish(amount=number, currency=currency), key=f"k{number}")
        amounts.append((currency, number))
    await top_up(uow, gateway, bob, wish(), key="k")

    found = []
    cursor: str | None = None
    while True:
        at = cursor
        part = await uow.read(lambda tx, at=at: page(tx, ada, cursor=at, limit=2))  # type: ignore[misc]
        assert len(part.items) <= 2
        found += part.items
        cursor = part.next_cursor
        if cursor is None:
            break
        if len(found) == 2:
            clock.advance(timedelta(seconds=1))
            await top_up(uow, gateway, ada, wish(amount=99), key="meanwhile")
    assert [(item.currency, item.amount) for item in found] == amounts[::-1]
    assert {item.kind for item in found} == {"payments.top_up"}
