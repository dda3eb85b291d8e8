import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from server.kit.crypto import Vault
from server.kit.messaging import (
    ATTEMPTS_MAX,
    Message,
    SpoolSender,
    deliver_messages,
    enqueue_message,
)
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

VAULT = Vault(b"k" * 32)
MESSAGE = Message(channel="sms", to="+905551112233", text="Your code is 123456.")


class BrokenSender:
    async def send(self, message: Message) -> None:
        raise ConnectionError(message.channel)


async def _enqueue(uow: UnitOfWork) -> None:
    await uow.run(lambda tx: enqueue_message(tx, VAULT, MESSAGE, tenant=1))


async def _rows(uow: UnitOfWork) -> list[tuple[str, bytes]]:
    async def query(tx: Tx) -> list[tuple[str, bytes]]:
        found = await tx.connection.execute(text("SELECT state, sealed FROM outgoing_message"))
        return [(row.state, bytes(row.sealed)) for row in found]

    return await uow.read(query)


async def test_a_message_is_delivered_once_and_leaves_no_trace(uow: UnitOfWork) -> None:
    sender = KeptMessages()
    await _enqueue(uow)
    assert b"123456" not in (await _rows(uow))[0][1]
    assert await deliver_messages(uow, sender, VAULT) == 1
    assert await deliver_messages(uow, sender, VAULT) == 0
    assert sender.sent == [MESSAGE]
    assert await _rows(uow) == []


async def test_a_transaction_that_fails_sends_nothing(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await enqueue_message(tx, VAULT, MESSAGE, tenant=1)
        raise LookupError

    with pytest.raises(LookupError):
        await uow.run(command)
    assert await deliver_messages(uow, KeptMessages(), VAULT) == 0


async def test_a_failed_message_is_tried_again_later_and_given_up_in_the_end(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await _enqueue(uow)
    await deliver_messages(uow, BrokenSender(), VAULT)
    sender = KeptMessages()
    assert await deliver_messages(uow, sender, VAULT) == 0, "too early to try again"
    for _ in range(ATTEMPTS_MAX - 1):
        clock.advance(timedelta(days=1))
        await deliver_messages(uow, BrokenSender(), VAULT)
    clock.advance(timedelta(days=1))
    assert await deliver_messages(uow, sender, VAULT) == 0
    assert [state for state, _ in await _rows(uow)] == ["dead"]


async def test_the_sandbox_spool_writes_a_file_for_each_message(tmp_path: Path) -> None:
    sender = SpoolSender(tmp_path / "spool")
    await sender.send(MESSAGE)
    await sender.send(MESSAGE)
    files = sorted((tmp_path / "spool").iterdir())
    assert len(files) == 2
    assert json.loads(files[0].read_text())["text"] == MESSAGE.text
