"""A process that synchronises and kills itself (SIGKILL) at a chosen database statement.

Run as ``python -m tests.integration.offline.killed PLAN``; the plan is a JSON file. Prints
``survived`` when it reached the end first.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import event

from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.offline import load_issuer_keys, synchronise
from server.offline.schemas import RecordUpload, SyncRequest
from tests.fakes.clock import ManualClock
from tests.integration.offline.town import policy


async def main(plan: dict[str, Any]) -> None:
    clock = ManualClock()
    engine = create_engine(plan["url"], pool_size=1)
    left = plan["statements"]

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    event.listen(engine.sync_engine, "commit", count)
    caller = Caller(
        tenant=plan["tenant"],
        user_id=UUID(plan["user"]),
        session_id=UUID(plan["user"]),
        role="user",
        device_id=UUID(plan["device"]),
    )
    records = [RecordUpload(kind="transfer", object=text) for text in plan["records"]]
    await synchronise(
        UnitOfWork(engine, clock=clock, ids=SystemIds(clock)),
        load_issuer_keys(Path(plan["keys"]), Vault(b"m" * 32), clock),
        policy(),
        caller,
        SyncRequest(cursor=0, records=records),
    )
    await engine.dispose()
    sys.stdout.write("survived")


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="ascii"))))
