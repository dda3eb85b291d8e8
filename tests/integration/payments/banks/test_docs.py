"""What docs/banks.md tells a bank's developer is what the server takes."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.clock import SystemClock
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.payments.banks.notices import receive_notice
from server.payments.banks.schemas import Notice
from server.payments.banks.signatures import HEADER
from tests.integration.payments.banks.partner import VAULT, WINDOW, make_partner

PAGE = Path(__file__).parents[4] / "docs" / "banks.md"


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_example_signs_and_its_notice_is_taken(engine: AsyncEngine) -> None:
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    partner = await make_partner(uow, clock)
    example: dict[str, Any] = {}
    exec(_block("python"), example)  # noqa: S102 - our own page
    body, headers = example["signed"](partner.secret, json.loads(_block("json")))
    outcome = await receive_notice(
        uow,
        VAULT,
        tenant=1,
        bank_id=partner.bank.id,
        signature=headers[HEADER],
        body=body,
        notice=msgspec.json.decode(body, type=Notice),
        window=WINDOW,
    )
    assert outcome == ("suspense", False)
    assert await partner.holds() == 2_500
