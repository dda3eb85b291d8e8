from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.offline import IssuerKeys, OfflinePolicy
from tests.fakes.clock import ManualClock
from tests.integration.offline.town import Town, issuer_keys, policy, town_in

MakeTown = Callable[..., Town]


@pytest.fixture
def keys(tmp_path: Path, clock: ManualClock) -> IssuerKeys:
    return issuer_keys(tmp_path / "keys", clock)


@pytest.fixture
def make_town(engine: AsyncEngine, clock: ManualClock, keys: IssuerKeys) -> MakeTown:
    def make(rules: OfflinePolicy | None = None, *, tenant: int = 1, seed: object = 0) -> Town:
        return town_in(engine, clock, keys, rules or policy(), tenant=tenant, seed=seed)

    return make


@pytest.fixture
def town(make_town: MakeTown) -> Town:
    return make_town()
