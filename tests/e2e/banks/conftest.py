"""The people of the identity tests, and a bank that they pay into."""

import pytest

from server.kit.unit_of_work import UnitOfWork
from tests.e2e.identity.conftest import ada, client, deliver, eve
from tests.fakes.clock import ManualClock
from tests.integration.payments.banks.partner import Partner, make_partner

__all__ = ["ada", "client", "deliver", "eve"]


@pytest.fixture
async def partner(uow: UnitOfWork, clock: ManualClock) -> Partner:
    return await make_partner(uow, clock)
