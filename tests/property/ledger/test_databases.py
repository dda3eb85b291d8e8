"""The same random programs in memory and on both databases: the same answers, the same books."""

import itertools
from uuid import UUID

from hypothesis import HealthCheck, given, settings

from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountRef, EntryRequest
from tests.integration.ledger.ledgers import balance_of, results, verified
from tests.property.ledger.test_decisions import REFS, programs
from tests.unit.ledger.books import Books

_tenants = itertools.count(1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=programs())
async def test_a_database_answers_as_the_pure_core_does(
    uow: UnitOfWork, batches: list[list[EntryRequest]]
) -> None:
    tenant = next(_tenants)
    books = Books(*(_moved(ref, tenant) for ref in REFS))
    for batch in batches:
        requests = [_in_tenant(request, tenant) for request in batch]
        expected = {e.id: str(e.reason or "applied") for e in books.decide(*requests).entries}
        assert await results(uow, *requests) == [expected[request.id] for request in requests]
    for ref in REFS:
        account = books.account(_moved(ref, tenant))
        stored = await balance_of(uow, _moved(ref, tenant))
        assert (stored.posted, stored.held, stored.version) == (
            account.posted,
            account.held,
            account.version,
        )
    await verified(uow)


def _moved(ref: AccountRef, tenant: int) -> AccountRef:
    return AccountRef(ref.kind, ref.asset, ref.owner, tenant)


def _in_tenant(request: EntryRequest, tenant: int) -> EntryRequest:
    fields: dict[str, object] = {
        name: getattr(request, name) for name in EntryRequest.__dataclass_fields__
    }
    fields |= {"debit": _moved(request.debit, tenant), "credit": _moved(request.credit, tenant)}
    assert isinstance(fields["id"], UUID)
    return EntryRequest(**fields)  # type: ignore[arg-type]
