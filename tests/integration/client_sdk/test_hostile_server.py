"""A server that lies, forgets, rambles or sends others' signatures; a person without a network."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from client_sdk import errors
from client_sdk.api import client
from client_sdk.api.client import ApiClient
from client_sdk.api.documents import number_of
from client_sdk.api.encoding import to_text
from client_sdk.core import State
from client_sdk.flows.online import EnrolledElsewhere, KeyLost
from client_sdk.flows.trusting import IssuerRefused
from client_sdk.testing import DAY_SECONDS, Issuer, SeededEntropy, SetClock, new_wallet, quick_keys
from client_sdk.wallet import Wallet
from offline_protocol.certificates import IssuerKey, KeyUse
from offline_protocol.cose import seal
from tests.integration.client_sdk.contract_server import (
    PASSWORD,
    USER_ID,
    Answer,
    ContractServer,
    serving,
)

Lie = Callable[[dict[str, Any]], dict[str, Any]]


class Liar(ContractServer):
    """Does its work, and then alters what it answers on a path."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(clock)
        self.lies: dict[str, Lie] = {}

    def _work(self, path: str, data: dict[str, Any]) -> Answer:
        status, answer = super()._work(path, data)
        lie = self.lies.get(path)
        return status, answer if lie is None else lie(answer)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def server(clock: SetClock) -> Iterator[Liar]:
    state = Liar(clock)
    with serving(state):
        yield state


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
async def wallet(tmp_path: Path, clock: SetClock, server: Liar) -> AsyncIterator[Wallet]:
    entropy = SeededEntropy("w")
    keys = quick_keys(entropy=entropy)
    made = await Wallet.create(
        tmp_path / "w.db", keys=keys, clock=clock, entropy=entropy, sleep=no_pause
    )
    await made.enrol(server=server.url, username="amina", password=PASSWORD)
    yield made
    await made.close()


async def spendable(wallet: Wallet) -> int:
    return sum(one.spendable for one in await wallet.balance())


def keys_sent(server: Liar, path: str) -> list[str | None]:
    return [key for _, seen, key in server.seen if seen == path]


# Money calls whose outcome is open.


async def test_a_session_that_ends_after_a_lost_answer_does_not_load_twice(
    wallet: Wallet, server: Liar
) -> None:
    server.failures = [("/v1/offline/vouchers", "drop")] * 5
    with pytest.raises(errors.ServerUnavailable):
        await wallet.load(300, "EUR")
    server.access = server.refresh = "ended"
    with pytest.raises(errors.SignInNeeded):
        await wallet.load(300, "EUR")
    await wallet.enrol(server=server.url, username="amina", password=PASSWORD)
    await wallet.load(300, "EUR")
    assert (server.loaded, await spendable(wallet)) == (300, 300)


async def test_a_pending_top_up_is_asked_after_and_not_charged_again(
    wallet: Wallet, server: Liar
) -> None:
    server.lies["/v1/top-ups"] = lambda answer: {**answer, "status": "pending"}
    assert (await wallet.top_up(100, "EUR", "sandbox-pending")).status == "pending"
    await wallet.sync()
    await wallet.top_up(100, "EUR", "sandbox-pending")
    assert len(set(keys_sent(server, "/v1/top-ups"))) == 1
    server.lies.clear()
    server._answers.clear()  # the card company has answered
    assert (await wallet.top_up(100, "EUR", "sandbox-pending")).status == "succeeded"
    await wallet.top_up(100, "EUR", "sandbox-pending")
    assert len(set(keys_sent(server, "/v1/top-ups"))) == 2


# Vouchers.


def other_vouchers(server: Liar, wallet: Wallet) -> dict[str, Lie]:
    key, now = wallet.book.signer.public_key, server.clock.now()
    good = server.issuer.voucher(key, 100, now=now)
    more = server.issuer.voucher(key, 200, now=now)
    yen = server.issuer.voucher(key, 100, "JPY", now=now)
    foreign = server.issuer.voucher(server.issuer.root.public_key, 100, now=now)
    forged = seal(replace(good.body, serial=bytes(16)), wallet.book.signer)

    def answering(*envelopes: bytes) -> Lie:
        return lambda _: {"vouchers": [to_text(envelope) for envelope in envelopes]}

    return {
        "other currency": answering(yen.envelope),
        "too much": answering(more.envelope),
        "too little": answering(),
        "doubled": answering(good.envelope, good.envelope),
        "other holder": answering(foreign.envelope),
        "forged": answering(forged.envelope),
    }


@pytest.mark.parametrize(
    "lie", ["other currency", "too much", "too little", "doubled", "other holder", "forged"]
)
async def test_vouchers_that_are_not_what_was_asked_for_are_not_taken(
    wallet: Wallet, server: Liar, lie: str
) -> None:
    server.lies["/v1/offline/vouchers"] = other_vouchers(server, wallet)[lie]
    with pytest.raises(IssuerRefused):
        await wallet.load(100, "EUR")
    assert await wallet.balance() == []
    server.lies.clear()
    server._answers.clear()  # somebody has put the server right
    await wallet.load(100, "EUR")
    assert await spendable(wallet) == 100
    assert len(set(keys_sent(server, "/v1/offline/vouchers"))) == 1


def rotated(server: Liar) -> None:
    """From now on the issuer signs with another key, which only its next key set names."""
    issuer, now = server.issuer, server.clock.now()
    before = issuer.key_set.body
    issuer.issuing = Issuer("next", now=now).issuing
    key = issuer.issuing.public_key
    fresh = IssuerKey(key.kid, key, now - 1, now + 365 * DAY_SECONDS, KeyUse.ISSUE)
    issuer.key_set = seal(
        replace(
            before, version=2, keys=(*before.keys, fresh), time=now, previous=issuer.key_set.id
        ),
        issuer.root,
    )


async def test_a_load_after_the_issuer_changed_its_keys_learns_them(
    wallet: Wallet, server: Liar
) -> None:
    rotated(server)
    assert (await wallet.load(100, "EUR")).amount == 100


async def test_an_interrupted_load_does_not_keep_new_issuer_keys_out(
    wallet: Wallet, server: Liar
) -> None:
    server.failures = [("/v1/offline/vouchers", "refuse")] * 5
    with pytest.raises(errors.ServerUnavailable):
        await wallet.load(100, "EUR")
    rotated(server)
    await wallet.sync()
    assert await spendable(wallet) == 100


# Sync.


async def received(wallet: Wallet, server: Liar, clock: SetClock) -> Wallet:
    payer = await new_wallet(server.issuer, "payer", 1000, clock=clock)
    asked = await wallet.request_payment(700, "EUR")
    await wallet.receive(await payer.frame_of((await payer.pay(asked.frame)).id))
    return payer


async def test_a_sync_without_a_network_leaves_what_was_received_spendable(
    wallet: Wallet, server: Liar, clock: SetClock
) -> None:
    payer = await received(wallet, server, clock)
    server.failures = [("/v1/offline/sync", "refuse")] * 10
    for attempt in (wallet.sync(), wallet.unload("EUR", 100)):
        with pytest.raises(errors.ServerUnavailable):
            await attempt
    assert await spendable(wallet) == 700
    await wallet.sync()
    assert await spendable(wallet) == 0
    await payer.close()


@pytest.mark.parametrize("count", [0, 3])
async def test_an_answer_about_other_records_marks_none_as_handed_in(
    wallet: Wallet, server: Liar, clock: SetClock, count: int
) -> None:
    payer = await received(wallet, server, clock)
    stored = {"id": None, "status": "stored", "code": None, "detail": None}
    server.lies["/v1/offline/sync"] = lambda answer: {**answer, "results": [stored] * count}
    with pytest.raises(errors.ServerUnavailable) as failure:
        await wallet.sync()
    assert failure.value.code == "answer_unreadable"
    server.lies.clear()
    assert (await wallet.sync()).uploaded == 3  # the payment, its receipt, the claim
    await payer.close()


async def test_a_status_of_a_later_release_leaves_the_record_to_be_handed_in(
    wallet: Wallet, server: Liar, clock: SetClock
) -> None:
    payer = await received(wallet, server, clock)

    def vague(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "results": [{**one, "status": "later"} for one in answer["results"]]}

    server.lies["/v1/offline/sync"] = vague
    report = await wallet.sync()
    assert (report.uploaded, report.waiting) == (0, 3)
    server.lies.clear()
    assert (await wallet.sync()).uploaded == 3
    await payer.close()


async def test_a_voucher_that_closes_while_a_payment_is_ready_ends_both(
    wallet: Wallet, server: Liar, clock: SetClock
) -> None:
    await wallet.load(500, "EUR")
    (holding,) = wallet.book.holdings()
    payee = await new_wallet(server.issuer, "payee", clock=clock)
    asked = await payee.request_payment(100, "EUR")
    server.tell("voucher_closed", voucher_id=to_text(holding.voucher))
    syncing = asyncio.create_task(wallet.sync())
    await asyncio.sleep(0)  # it waits for the first answer now
    paid = await wallet.pay(asked.frame)
    await syncing
    assert (await wallet.exchange(paid.id)).state is State.SETTLED
    assert await spendable(wallet) == 0
    await payee.close()


async def test_events_that_are_repeated_out_of_order_or_unknown_change_nothing_twice(
    wallet: Wallet, server: Liar, clock: SetClock
) -> None:
    payer = await received(wallet, server, clock)
    await wallet.sync()
    (claim,) = [one for one in await wallet.history() if one.role == "claim"]
    voucher = to_text(wallet.book.exchange(claim.id).vouchers[0])
    for _ in range(2):
        server.tell("voucher_closed", voucher_id=voucher)
        server.tell("credit_final", voucher_id=voucher, amount=700, currency="EUR")
        server.tell("voucher_closed", voucher_id=to_text(bytes(32)))
        server.tell("weather", temperature=[None, {"high": -1.5}])
        await wallet.sync()
    assert {one.state for one in await wallet.history()} == {State.SETTLED}
    assert [one.claimed for one in await wallet.balance()] == []
    await payer.close()


# Enrolling.


async def test_signing_in_as_somebody_else_leaves_this_wallet_signed_in(
    wallet: Wallet, server: Liar
) -> None:
    server.lies["/v1/me"] = lambda _: {"id": str(USER_ID).replace("7", "8")}
    before = wallet.book.session()
    with pytest.raises(EnrolledElsewhere):
        await wallet.enrol(server=server.url, username="berta", password=PASSWORD)
    assert wallet.book.session() == before


async def test_an_account_whose_id_is_none_is_told(wallet: Wallet, server: Liar) -> None:
    server.lies["/v1/me"] = lambda _: {"id": "seven"}
    with pytest.raises(errors.ServerUnavailable) as failure:
        await wallet.enrol(server=server.url, username="amina", password=PASSWORD)
    assert failure.value.code == "answer_unreadable"


@pytest.mark.parametrize(
    "address",
    ["pay.example", "http://[::1", "http://a b/", "ftp://x", "", "http://\udcff", "\udcff"],
)
async def test_an_address_that_is_none_is_told(wallet: Wallet, address: str) -> None:
    with pytest.raises(errors.WalletError) as failure:
        await wallet.enrol(server=address, username="amina", password=PASSWORD)
    assert failure.value.fix is not None
    assert PASSWORD not in str(failure.value)


# Answers that are no answers.


@pytest.fixture
async def offline_wallet() -> AsyncIterator[Wallet]:
    entropy = SeededEntropy("plain")
    async with await Wallet.create(None, keys=quick_keys(entropy=entropy)) as made:
        yield made


def talking(wallet: Wallet, answer: Callable[[httpx.Request], httpx.Response]) -> ApiClient:
    return ApiClient(
        "https://pay.example",
        signer=wallet.book.signer,
        memory=wallet.book,
        clock=wallet.book.clock,
        entropy=wallet.book.entropy,
        transport=httpx.MockTransport(answer),
        sleep=no_pause,
    )


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, content=b'{"a":' * 100_000),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, json=["a", "list"]),
        httpx.Response(503, headers=[(b"Retry-After", b"\xb2")]),
        httpx.Response(503, headers={"Retry-After": "9" * 4000}),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}, json={"code": "x"}),
        httpx.Response(418, json={"code": 5, "detail": ["no"], "fix": {}}),
        httpx.Response(200, content=b"{" + b" " * client.ANSWER_BYTES_MAX + b"}"),
    ],
    ids=["deep", "deeper", "no text", "list", "odd", "long", "redirect", "shapes", "huge"],
)
async def test_an_answer_that_is_none_never_counts_as_a_refusal(
    offline_wallet: Wallet, response: httpx.Response
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return response

    api = talking(offline_wallet, answer)
    with pytest.raises(errors.ServerUnavailable):
        number_of(await api.get("/v1/anything", public=True), "amount")
    await api.close()
    assert set(asked) == {"pay.example"}


async def test_a_server_that_drips_is_given_up(
    offline_wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CALL_SECONDS", 0.2)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    api = talking(offline_wallet, lambda _: httpx.Response(200, content=drip()))
    async with asyncio.timeout(10):
        with pytest.raises(errors.ServerUnavailable, match="too slow"):
            await api.get("/v1/anything", public=True)
    await api.close()


# Further keys that the file has forgotten.


async def test_a_voucher_on_a_forgotten_key_stops_neither_sync_nor_the_next_load(
    wallet: Wallet, server: Liar, clock: SetClock
) -> None:
    """An older copy of the file, from which nothing was signed since, lacks keys made later."""
    lost = Issuer("lost").issuing.public_key
    vouchers = [
        server.issuer.voucher(key, 150, now=clock.now())
        for key in (lost, wallet.book.signer.public_key)
    ]
    texts = [to_text(voucher.envelope) for voucher in vouchers]
    server.lies["/v1/offline/vouchers"] = lambda _: {"vouchers": texts}
    with pytest.raises(KeyLost) as told:
        await wallet.load(300, "EUR")
    assert told.value.code == "key_lost"
    assert "1.50 EUR" in str(told.value)
    assert await spendable(wallet) == 150
    with pytest.raises(KeyLost):  # said by the sync that ends the call, and by no later one
        await wallet.sync()
    await wallet.sync()
    assert await spendable(wallet) == 150
    server.lies.clear()
    asked: list[Any] = []
    load = server._load

    def note(data: dict[str, Any]) -> dict[str, Any]:
        asked.append(data["further_keys"])
        return load(data)

    server._load = note  # type: ignore[method-assign]
    assert (await wallet.load(300, "EUR")).amount == 300
    assert asked == [False]
    assert await spendable(wallet) == 450


async def test_an_interrupted_load_on_a_forgotten_key_is_settled_by_a_sync(
    wallet: Wallet, server: Liar, clock: SetClock
) -> None:
    lost = Issuer("lost").issuing.public_key
    voucher = to_text(server.issuer.voucher(lost, 300, now=clock.now()).envelope)
    server.lies["/v1/offline/vouchers"] = lambda _: {"vouchers": [voucher]}
    server.failures = [("/v1/offline/vouchers", "drop")] * 5
    with pytest.raises(errors.ServerUnavailable):
        await wallet.load(300, "EUR")
    server.failures.clear()
    with pytest.raises(KeyLost):
        await wallet.sync()
    assert not wallet.book.store.rows("pending_call")
    await wallet.sync()
    assert await spendable(wallet) == 0


@pytest.mark.parametrize("earlier", [{}, {"further_keys": True}])
async def test_a_load_that_was_begun_otherwise_is_not_made_twice(
    wallet: Wallet, server: Liar, earlier: dict[str, bool]
) -> None:
    """A call of an earlier release, or from before a key was lost, keeps its idempotency key."""
    server.failures = [("/v1/offline/vouchers", "drop")] * 5
    with pytest.raises(errors.ServerUnavailable):
        await wallet.load(300, "EUR")
    server.failures.clear()
    (row,) = wallet.book.store.rows("pending_call")
    assert isinstance(row.payload, list)
    path, _, key = row.payload
    body = json.dumps({"amount": 300, "currency": "EUR", **earlier})
    name = row.key if not earlier else row.key + b"\nfurther_keys=True"
    with wallet.book.store.write("as it was") as tx:
        tx.delete("pending_call", row.key)
        tx.put("pending_call", name, [path, body, key])
        tx.put("single", b"keys_lost", 1)
    server._answers.clear()
    server.loaded = 0
    if earlier:
        await wallet.sync()
    else:
        await wallet.load(300, "EUR")
    assert server.loaded == await spendable(wallet) == 300
    assert keys_sent(server, "/v1/offline/vouchers")[-1] == key
    assert not wallet.book.store.rows("pending_call")
    await wallet.sync()
    assert server.loaded == 300
