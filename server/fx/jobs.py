"""Work in the background: loading rates, forgetting quotes that nobody took."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from fractions import Fraction

from sqlalchemy import delete

from server.fx.models import QuoteRow
from server.fx.provider import RateProvider, RateSheet, RatesUnavailable
from server.fx.rates import newest_rates, store_rates
from server.kit.money import ASSETS
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork

KEPT = timedelta(days=1)
"""How long a quote that was not taken is remembered after it ended."""
PAUSE_S = 900.0
"""Between two questions to the source of rates."""
JUMP_MAX = Fraction(3, 2)
"""A currency that changed by more from one rate to the next is believed to an officer only."""
_AHEAD = timedelta(days=1)
"""A sheet of tomorrow can come from a place east of us."""
_log = get_logger(__name__)


async def load_rates(uow: UnitOfWork, provider: RateProvider, *, tenant: int) -> list[str]:
    """Fetch the newest sheet and store what it adds; return the currencies that changed.

    The provider is asked outside any transaction.

    Raises:
        RatesUnavailable: it has no sheet now, or one of a day to come.
    """
    return await _take_over(uow, provider.name, await provider.fetch(), tenant)


async def refresh_rates(
    uow: UnitOfWork, provider: RateProvider | None, *, tenant: int
) -> list[str]:
    """Load rates; when the provider has nothing, those that are known stay, and age."""
    if provider is None:
        return []
    return await _quietly(load_rates(uow, provider, tenant=tenant))


class RateJob:
    """The background's way to `refresh_rates`: a source slow to answer holds up no other job.

    Each call looks whether an answer has come, or starts to ask again after a pause.
    """

    def __init__(self, uow: UnitOfWork, provider: RateProvider | None, *, tenant: int) -> None:
        self._uow = uow
        self._provider = provider
        self._tenant = tenant
        self._asked: asyncio.Task[RateSheet] | None = None
        self._not_before = 0.0

    async def __call__(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        if self._provider is None:
            return []
        if self._asked is None and now >= self._not_before:
            self._not_before = now + PAUSE_S
            self._asked = asyncio.create_task(self._fetch(self._provider))
        if self._asked is None or not self._asked.done():
            return []
        asked, self._asked = self._asked, None
        return await _quietly(self._store(self._provider.name, asked))

    async def _store(self, source: str, asked: asyncio.Task[RateSheet]) -> list[str]:
        return await _take_over(self._uow, source, asked.result(), self._tenant)

    @staticmethod
    async def _fetch(provider: RateProvider) -> RateSheet:
        return await provider.fetch()


async def purge_quotes(uow: UnitOfWork) -> int:
    """Delete quotes that ended a day ago and were not taken; return how many."""

    async def command(tx: Tx) -> int:
        gone = await tx.connection.execute(
            delete(QuoteRow).where(QuoteRow.expires_at < tx.now - KEPT, QuoteRow.taken_at.is_(None))
        )
        return gone.rowcount

    return await uow.run(command)


async def _quietly(work: Awaitable[list[str]]) -> list[str]:
    try:
        return await work
    except RatesUnavailable as error:
        _log.warning("rates_unavailable", reason=str(error))
        return []


async def _take_over(uow: UnitOfWork, source: str, sheet: RateSheet, tenant: int) -> list[str]:
    if changed := await uow.run(lambda tx: _store(tx, tenant, sheet, source)):
        _log.info("rates_loaded", day=str(sheet.on), currencies=len(changed))
    return changed


async def _store(tx: Tx, tenant: int, sheet: RateSheet, source: str) -> list[str]:
    if sheet.on > (tx.now + _AHEAD).date():
        raise RatesUnavailable(f"the sheet is of {sheet.on}, which is still to come")
    known = await newest_rates(tx, tenant, [code for code in sheet.rates if code in ASSETS])
    believed = {
        code: text
        for code, text in sheet.rates.items()
        if code not in known or not _jumps(known[code].per_euro, Fraction(text))
    }
    if jumped := sorted(sheet.rates.keys() - believed.keys()):
        _log.error("rates_jumped", day=str(sheet.on), currencies=jumped, advice="set them by hand")
    return await store_rates(tx, tenant, believed, on=sheet.on, source=source)


def _jumps(before: Fraction, after: Fraction) -> bool:
    return not 1 / JUMP_MAX <= after / before <= JUMP_MAX
