"""Files of earlier releases are opened with everything in them."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from client_sdk import errors
from client_sdk.book import record_of
from client_sdk.core import State
from client_sdk.flows.receiving import Answer
from client_sdk.records import Exchange, Holding
from client_sdk.store import upgrades
from client_sdk.store.sealed import Value
from client_sdk.store.sqlite import Store
from client_sdk.testing import (
    Crash,
    CrashAt,
    Issuer,
    SeededEntropy,
    SetClock,
    new_wallet,
    quick_keys,
)
from client_sdk.wallet import Wallet
from offline_protocol.cose import unseal
from offline_protocol.fraud import find_clones, find_forks
from offline_protocol.transfers import Transfer
from tests.unit.client_sdk import version_1

KEYS = quick_keys("pw", entropy=SeededEntropy("old"))


class Past:
    """A wallet of today in every state, and the same as a file of version 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "old.db"
        self.issuer = Issuer()
        self.clock = SetClock()

    async def live(self) -> None:
        """Pay, be paid, return, leave one payment in doubt; then write it all down as of old."""
        self.amina = await new_wallet(self.issuer, "amina", 400, 300, clock=self.clock)
        self.baker = await new_wallet(
            self.issuer, "baker", 100, path=self.folder / "baker.db", clock=self.clock
        )
        for payer, payee, amount in (
            (self.amina, self.baker, 50),
            (self.baker, self.amina, 20),
            (self.amina, self.baker, 30),
        ):
            asked = await payee.request_payment(amount, "EUR")
            got = await payee.receive(await payer.frame_of((await payer.pay(asked.frame)).id))
            assert got.frame is not None
            await payer.receive(got.frame)
        assert got.exchange is not None
        back = await self.baker.return_payment(got.exchange.id)
        assert back.frame is not None
        await self.amina.receive(back.frame)
        asked = await self.baker.request_payment(70, "EUR")
        self.in_doubt = (await self.amina.pay(asked.frame)).id
        self.frame = await self.amina.frame_of(self.in_doubt)
        await self.amina.request_payment(5, "EUR")
        version_1.write(self.path, KEYS, self._rows())

    def _rows(self) -> Iterator[version_1.Row]:
        store = self.amina.book.store
        for table in ("single", "holding", "exchange", "message_out", "record"):
            for row in store.rows(table):
                link = b""
                payload: Any = row.payload
                if table == "record":
                    kind, data = record_of(row.payload)
                    link = unseal(Transfer, data).body.parent if kind == "transfer" else b""
                elif table == "holding":
                    payload = {name: payload[name] for name in version_1.HOLDING}
                elif table == "exchange":
                    drafts = [
                        {name: draft[name] for name in version_1.DRAFT}
                        for draft in payload["drafts"]
                    ]
                    payload = {name: payload[name] for name in version_1.EXCHANGE}
                    payload["drafts"] = drafts
                yield table, row.key, payload, row.flag, link

    async def open(self, **more: Any) -> Wallet:
        keys = quick_keys(
            "pw", entropy=SeededEntropy("now"), witness_folder=self.folder / "witness"
        )
        return await Wallet.open(self.path, keys=keys, clock=self.clock, **more)


@pytest.fixture
async def past(tmp_path: Path) -> Past:
    made = Past(tmp_path)
    await made.live()
    return made


async def test_money_of_the_first_release_is_all_there(past: Past) -> None:
    async with await past.open() as now:
        assert upgrades.version_of(now.book.store._connection) == upgrades.NEWEST
        assert not now.restored
        assert await now.balance() == await past.amina.balance()
        assert await now.history() == await past.amina.history()
        assert await now.frame_of(past.in_doubt) == past.frame
        assert now.key_id == past.amina.key_id


async def test_what_was_in_doubt_then_is_resolved_now(past: Past) -> None:
    async with await past.open() as now:
        got = await past.baker.receive(await now.frame_of(past.in_doubt))
        assert (got.answer, got.frame is not None) == (Answer.PAID, True)
        await now.receive(got.frame or b"")
        assert (await now.exchange(past.in_doubt)).state is State.ACKED
        asked = await past.baker.request_payment(40, "EUR")
        sent = await now.pay(asked.frame)
        assert (await past.baker.receive(await now.frame_of(sent.id))).answer is Answer.PAID
        signed = [(now.book.signer.public_key, one) for one in await now.signed_transfers()]
        assert not find_forks(one for _, one in signed)
        assert not find_clones(signed)


async def test_after_the_upgrade_an_old_copy_is_noticed(past: Past) -> None:
    """Also a copy of before the upgrade: its first witness remembers that it went on."""
    old = past.path.read_bytes()
    async with await past.open() as now:
        asked = await past.baker.request_payment(40, "EUR")
        await now.pay(asked.frame)
    past.path.write_bytes(old)
    async with await past.open() as put_back:
        assert put_back.restored


async def test_a_crash_in_the_middle_of_an_upgrade_does_no_harm(past: Past) -> None:
    old = past.path.read_bytes()
    points = ["before upgrade", "after upgrade", "before witness", "after witness"]
    points += ["before guard", "after guard"]
    for point in range(len(points) + 1):
        past.path.write_bytes(old)
        shutil.rmtree(past.folder / "witness", ignore_errors=True)
        hook = CrashAt(point)
        with suppress(Crash):
            await (await past.open(hook=hook)).close()
        assert hook.passed == points[: point + 1]
        async with await past.open() as now:
            assert not now.restored
            assert await now.balance() == await past.amina.balance()


async def test_a_release_that_knows_no_witness_does_not_open_the_file(past: Past) -> None:
    await (await past.open()).close()
    first = (Path(upgrades.__file__).parent / "schema.sql").read_text()
    with closing(Store.open(past.path, KEYS)) as store:
        store._connection.execute("BEGIN")
        with pytest.raises(
            errors.StoreTooNew, match=f"version {upgrades.NEWEST}; this release knows 1"
        ):
            upgrades.upgrade(store._connection, [first])


def test_an_upgraded_file_has_the_schema_of_a_new_one(past: Past, tmp_path: Path) -> None:
    def schema(path: Path) -> set[str]:
        Store.open(path, KEYS).close()
        with closing(sqlite3.connect(path)) as raw:
            found = raw.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
            # Comments and the way lines are broken are no part of a schema.
            plain = (re.sub(r"--[^\n]*", "", sql) for _, sql in found)
            return {re.sub(r"\s", "", sql) for sql in plain}

    new = tmp_path / "new.db"
    Store.create(new, KEYS).close()
    assert schema(past.path) == schema(new)


def test_a_row_of_an_earlier_release_may_lack_what_has_a_default() -> None:
    minimal: dict[str, Value] = {
        "id": b"1",
        "role": "pay",
        "state": "sent",
        "currency": "EUR",
        "amount": 1,
        "created_at": 0,
        "updated_at": 0,
    }
    assert Exchange.from_value(minimal).memo == ""
    incomplete: dict[str, Value] = {"id": b"1"}
    for wrong in (minimal | {"more": 1}, incomplete):
        with pytest.raises(errors.StoreCorrupt):
            Exchange.from_value(wrong)
    with pytest.raises(errors.StoreCorrupt):
        Holding.from_value({"key": b"1"})
