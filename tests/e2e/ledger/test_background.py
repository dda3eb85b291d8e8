"""The serving process closes days and publishes liabilities by itself."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from offline_protocol.keys import PublicKey
from server.app import Ports, create_app
from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    LiabilityRoot,
    liability_roots,
    post_many,
    verify_ledger,
)
from server.settings import Settings
from tests.conftest import Database
from tests.fakes.clock import ManualClock


async def test_a_day_is_closed_and_published_without_anybody_asking(
    database: Database, uow: UnitOfWork, clock: ManualClock, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
        background_interval_ms=10,
        publish_liabilities=True,
    )
    request = EntryRequest(
        id=UUID(int=5),
        kind="test",
        debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR"),
        credit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", UUID(int=6)),
        amount=101,
    )
    await uow.run(lambda tx: post_many(tx, [request]))
    clock.advance(timedelta(days=2))
    app = create_app(settings, Ports(clock=clock))

    async def published() -> list[LiabilityRoot]:
        return await uow.read(lambda tx: liability_roots(tx, 1))

    async with app.lifespan():
        while not (roots := await published()):  # noqa: ASYNC110 - the database says so
            await asyncio.sleep(0.01)
    assert [(root.asset, root.total) for root in roots] == [("EUR", 101)]
    signer = PublicKey(roots[0].public_key)
    report = await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[signer]))
    assert report.sound, report.as_text()
    assert report.days[1][1] == roots[0].day_hash
