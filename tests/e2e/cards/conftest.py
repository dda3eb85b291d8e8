"""Ada and an officer, on a server whose card gateway is a company with Stripe's interface."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar

from server.app import Ports, create_app
from server.kit.clock import SystemClock
from server.kit.workflows import WorkflowPlace, prepare_books
from server.settings import Settings
from tests.conftest import Database
from tests.e2e.identity.conftest import ada, client, deliver
from tests.fakes.card_company import API_KEY, CardCompany, card_company
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

__all__ = ["ada", "client", "deliver"]


@pytest.fixture
def clock() -> ManualClock:
    """The company lives in real time."""
    return ManualClock(SystemClock().now())


@pytest.fixture
def company(tmp_path: Path) -> Iterator[CardCompany]:
    with card_company(tmp_path / "company") as running:
        running.control("webhooks", mode="hold")
        yield running


@pytest.fixture
def app(
    database: Database,
    tmp_path: Path,
    clock: ManualClock,
    messages: KeptMessages,
    company: CardCompany,
) -> Litestar:
    prepare_books(WorkflowPlace.beside(database.url))
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
        card_gateway="stripe",
        stripe_key=API_KEY,
        stripe_url=company.url,
        stripe_webhook_secrets="whsec_test",
    )
    ports = Ports(clock=clock, messages=messages, background=False, workflows=True)
    return create_app(settings, ports)
