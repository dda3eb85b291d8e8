"""A card company for all tests, a gateway to it, and people with money."""

from collections.abc import AsyncIterator, Iterator

import pytest

from server.kit.auth import Caller
from server.kit.unit_of_work import UnitOfWork
from server.payments import StripeGateway
from tests.fakes.card_company import API_KEY, CardCompany, card_company
from tests.integration.payments.cards.books import Town
from tests.integration.payments.people import join


@pytest.fixture(scope="package")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CardCompany]:
    with card_company(tmp_path_factory.mktemp("company")) as running:
        yield running


@pytest.fixture
def company(_company: CardCompany) -> CardCompany:
    """The card company, with nothing in its memory; it sends webhooks when it is told to."""
    _company.control("reset")
    _company.control("webhooks", mode="hold")
    return _company


@pytest.fixture
async def stripe_gateway(company: CardCompany) -> AsyncIterator[StripeGateway]:
    gateway = StripeGateway(API_KEY, url=company.url)
    yield gateway
    await gateway.close()


@pytest.fixture
async def ada(uow: UnitOfWork) -> Caller:
    return await join(uow)


@pytest.fixture
def town(uow: UnitOfWork, stripe_gateway: StripeGateway, company: CardCompany, ada: Caller) -> Town:
    return Town(uow, stripe_gateway, company, ada)
