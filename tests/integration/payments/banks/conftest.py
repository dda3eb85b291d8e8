from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.clock import SystemClock
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.payments.banks import BankApi, BankRail, Carrier
from tests.fakes.bank_process import BankProcess, bank_process
from tests.fakes.clock import ManualClock
from tests.integration.payments.banks.partner import IBAN, VAULT, Partner, make_partner


@pytest.fixture
async def partner(uow: UnitOfWork, clock: ManualClock) -> Partner:
    return await make_partner(uow, clock)


@dataclass
class Town:
    """Our side with real time, and a bank that runs as a process."""

    uow: UnitOfWork
    partner: Partner
    process: BankProcess
    carrier: Carrier
    rail: BankRail


@pytest.fixture
async def town(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Town]:
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    api = BankApi(clock)
    with bank_process(tmp_path / "bank") as process:
        partner = await make_partner(uow, clock, api_url=process.url, accounts={"EUR": IBAN})
        process.configure(server="", bank_id=str(partner.bank.id), secret=partner.secret)
        carrier = Carrier(uow, VAULT, api)
        yield Town(uow, partner, process, carrier, BankRail(carrier))
    await api.close()
