"""Enrolling, money calls and sync against a real HTTP server that fails on command."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from client_sdk import errors
from client_sdk.api.encoding import to_text
from client_sdk.core import State
from client_sdk.flows import uploading
from client_sdk.flows.claiming import ClaimPolicy
from client_sdk.flows.trusting import IssuerRefused
from client_sdk.records import Role
from client_sdk.store.sqlite import Hook
from client_sdk.testing import (
    DAY_SECONDS,
    Crash,
    CrashAt,
    Issuer,
    SeededEntropy,
    SetClock,
    new_wallet,
    quick_keys,
)
from client_sdk.wallet import Wallet
from offline_protocol import frames
from offline_protocol.chains import Payment
from offline_protocol.cose import unseal
from offline_protocol.frames import FrameKind
from offline_protocol.transfers import TransferKind
from tests.integration.client_sdk.contract_server import PASSWORD, ContractServer, serving

PAUSES: list[float] = []
KEYS = quick_keys("pw", entropy=SeededEntropy("keys"))


async def no_pause(seconds: float) -> None:
    PAUSES.append(seconds)
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def server(clock: SetClock) -> Iterator[ContractServer]:
    PAUSES.clear()
    state = ContractServer(clock)
    with serving(state):
        yield state


@pytest.fixture
async def wallet(tmp_path: Path, clock: SetClock, server: ContractServer) -> AsyncIterator[Wallet]:
    made = await Wallet.create(
        tmp_path / "w.db", keys=KEYS, clock=clock, entropy=SeededEntropy("w"), sleep=no_pause
    )
    await enrolled(made, server)
    yield made
    await made.close()


async def enrolled(wallet: Wallet, server: ContractServer, password: str = PASSWORD) -> Wallet:
    await wallet.enrol(server=server.url, username="amina", password=password)
    return wallet


async def reopened(path: Path, clock: SetClock, hook: Hook | None = None) -> Wallet:
    return await Wallet.open(
        path,
        keys=KEYS,
        clock=clock,
        entropy=SeededEntropy(os.urandom(8)),
        sleep=no_pause,
        hook=hook,
    )


async def held(wallet: Wallet) -> int:
    return sum(one.spendable for one in await wallet.balance())


def paths(server: ContractServer) -> list[str]:
    return [path for _, path, _ in server.seen]


async def test_enrolling_brings_all_that_working_offline_needs(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    profile = await wallet.profile()
    assert profile is not None
    assert (profile.username, profile.device_id) == ("amina", "device-1")
    trust = await wallet.trust()
    assert trust.root_key_id == server.issuer.root.public_key.id
    assert trust.certificate_until == clock.now() + 14 * DAY_SECONDS
    assert (await wallet.request_payment(100, "EUR")).frame


async def test_a_wrong_password_is_told_as_the_server_says_it(
    server: ContractServer, clock: SetClock
) -> None:
    async with await Wallet.create(None, keys=KEYS, clock=clock) as wallet:
        with pytest.raises(errors.SignInNeeded) as refusal:
            await enrolled(wallet, server, "wrong")
        assert (refusal.value.code, refusal.value.status) == ("credentials_invalid", 401)
        assert await wallet.profile() is None


async def test_another_root_key_than_the_given_or_pinned_one_is_refused(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    async with await Wallet.create(None, keys=KEYS, clock=clock) as fresh:
        with pytest.raises(IssuerRefused):
            await fresh.enrol(
                server=server.url, username="amina", password=PASSWORD, root_key=bytes(32)
            )
    server.issuer = Issuer("somebody else", now=clock.now())
    with pytest.raises(IssuerRefused):
        await enrolled(wallet, server)
    with pytest.raises(IssuerRefused):
        await wallet.sync()


async def test_a_top_up_and_a_load_move_money(wallet: Wallet) -> None:
    done = await wallet.top_up(10_000, "EUR", "sandbox-ok")
    assert (done.status, done.amount) == ("succeeded", 10_000)
    loaded = await wallet.load(6000, "EUR")
    assert (loaded.amount, loaded.vouchers) == (6000, 1)
    assert await held(wallet) == 6000
    assert [one.available for one in await wallet.account()] == [4]


@pytest.mark.parametrize("failure", ["drop", "refuse", 503, 429])
async def test_a_money_call_that_fails_once_is_repeated_under_its_key(
    wallet: Wallet, server: ContractServer, failure: str | int
) -> None:
    server.failures = [("/v1/offline/vouchers", failure)] * 2
    await wallet.load(6000, "EUR")
    assert (server.loaded, await held(wallet)) == (6000, 6000)
    keys = {key for _, path, key in server.seen if path == "/v1/offline/vouchers"}
    assert len(keys) == 1
    assert len(PAUSES) == 2
    assert all(0 <= pause <= 1 for pause in PAUSES)


async def test_when_no_answer_comes_the_next_sync_finishes_the_call(
    wallet: Wallet, server: ContractServer
) -> None:
    server.failures = [("/v1/offline/vouchers", "drop")] * 5
    with pytest.raises(errors.ServerUnavailable) as failure:
        await wallet.load(6000, "EUR")
    assert failure.value.retryable
    assert await held(wallet) == 0
    await wallet.sync()
    assert (server.loaded, await held(wallet)) == (6000, 6000)


async def test_a_crash_at_any_write_of_a_load_loads_once(
    tmp_path: Path, server: ContractServer, clock: SetClock
) -> None:
    path = tmp_path / "crash.db"
    first = await Wallet.create(path, keys=KEYS, clock=clock, sleep=no_pause)
    await enrolled(first, server)
    await first.close()
    for point in range(20):
        before = server.loaded
        wallet = await reopened(path, clock, hook := CrashAt(point))
        try:
            await wallet.load(100 + point, "EUR")
            finished = len(hook.passed) <= point
        except Crash:
            finished = False
        await wallet.close()
        wallet = await reopened(path, clock)
        if not finished:
            await wallet.load(100 + point, "EUR")
        assert server.loaded - before in {100 + point, 2 * (100 + point)}
        assert await held(wallet) == server.loaded
        await wallet.close()
        if finished:
            break
    else:
        raise AssertionError("the load never ends")
    assert point >= 4


async def test_a_refused_money_call_is_over(wallet: Wallet, server: ContractServer) -> None:
    with pytest.raises(errors.ServerRefused) as refusal:
        await wallet.top_up(100, "EUR", "declined")
    assert (refusal.value.code, refusal.value.retryable) == ("card_refused", False)
    before = len(server.seen)
    await wallet.sync()
    assert paths(server)[before:] == ["/v1/offline/sync"]


async def test_a_wrong_clock_is_put_right_once_and_remembered(
    wallet: Wallet, server: ContractServer, clock: SetClock, tmp_path: Path
) -> None:
    server.clock = SetClock(clock.now() + 500)
    server.lifetime = 10**6
    await wallet.sync()
    assert wallet.book.now() == clock.now() + 500
    before = len(server.seen)
    await wallet.sync()
    assert len(server.seen) == before + 1
    await wallet.close()
    again = await reopened(tmp_path / "w.db", clock)
    assert again.book.clock_offset() == 500
    await again.close()


async def test_an_old_access_token_is_refreshed_before_and_after_the_server_says_so(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    clock.advance(server.lifetime)
    before = len(server.seen)
    await wallet.sync()
    assert paths(server)[before:] == ["/v1/sessions/refresh", "/v1/offline/sync"]
    server.access = "ended early"
    await wallet.sync()
    assert paths(server)[before + 2 :] == [
        "/v1/offline/sync",
        "/v1/sessions/refresh",
        "/v1/offline/sync",
    ]


async def test_calls_at_the_same_time_use_a_refresh_token_once(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    clock.advance(server.lifetime)
    await asyncio.gather(*(wallet.account() for _ in range(5)))
    assert paths(server).count("/v1/sessions/refresh") == 1


async def test_an_ended_session_asks_for_signing_in(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    clock.advance(server.lifetime)
    server.refresh = "revoked"
    with pytest.raises(errors.SignInNeeded) as refusal:
        await wallet.sync()
    assert refusal.value.code == "refresh_token_invalid"
    assert refusal.value.fix is not None


async def paid_wallets(wallet: Wallet, server: ContractServer, clock: SetClock) -> Wallet:
    """A second wallet that has paid the first one 700."""
    payer = await new_wallet(server.issuer, "payer", 1000, clock=clock)
    asked = await wallet.request_payment(700, "EUR")
    await wallet.receive(await payer.frame_of((await payer.pay(asked.frame)).id))
    return payer


async def test_sync_hands_in_everything_and_claims_what_was_received(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    payer = await paid_wallets(wallet, server, clock)
    await wallet.load(500, "EUR")
    report = await wallet.sync()
    assert report.uploaded == 3
    assert sorted(server.records.values()) == ["receipt", "transfer", "transfer"]
    assert [(one.spendable, one.claimed) for one in await wallet.balance()] == [(500, 700)]
    before = len(server.uploads)
    assert (await wallet.sync()).uploaded == 0
    assert server.uploads[before:] == [0]
    await payer.close()


@pytest.mark.parametrize("policy", [ClaimPolicy.EXPIRED, ClaimPolicy.NOTHING])
async def test_what_is_received_may_stay_spendable(
    wallet: Wallet, server: ContractServer, clock: SetClock, policy: ClaimPolicy
) -> None:
    payer = await paid_wallets(wallet, server, clock)
    await wallet.set_claim_policy(policy)
    await wallet.sync()
    assert await held(wallet) == 700
    clock.advance(31 * DAY_SECONDS)
    await wallet.sync()
    claims = [one for one in await wallet.history() if one.role is Role.CLAIM]
    assert len(claims) == (1 if policy is ClaimPolicy.EXPIRED else 0)
    await payer.close()


async def test_unloading_claims_an_amount_or_everything(
    wallet: Wallet, server: ContractServer
) -> None:
    await wallet.load(500, "EUR")
    await wallet.unload("EUR", 120)
    assert await held(wallet) == 380
    with pytest.raises(errors.InsufficientFunds):
        await wallet.unload("EUR", 381)
    await wallet.unload("EUR")
    assert await held(wallet) == 0
    with pytest.raises(errors.InsufficientFunds):
        await wallet.unload("EUR")
    claims = [one.body for one in await wallet.signed_transfers()]
    assert [one.kind for one in claims] == [TransferKind.CLAIM] * 2
    assert {one.payee for one in claims} == {server.issuer.settling.public_key}


async def test_an_interrupted_sync_goes_on_where_it_stopped(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    payer = await paid_wallets(wallet, server, clock)
    server.tell("voucher_closed", voucher_id=to_text(bytes(32)))
    server.failures = [("/v1/offline/sync", "drop")] * 5
    with pytest.raises(errors.ServerUnavailable):
        await wallet.sync()
    report = await wallet.sync()
    assert report.uploaded == 3
    assert len(report.events) == 1
    claims = [one for one in await wallet.history() if one.role is Role.CLAIM]
    assert len(claims) == 1
    await payer.close()


async def test_many_records_go_up_in_batches(
    wallet: Wallet, server: ContractServer, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "BATCH_RECORDS", 200)
    payer = await new_wallet(server.issuer, "payer", 10**6, clock=clock)
    for _ in range(101):
        asked = await wallet.request_payment(10, "EUR")
        await wallet.receive(await payer.frame_of((await payer.pay(asked.frame)).id))
    report = await wallet.sync()
    assert report.uploaded == 303
    assert [size for size in server.uploads if size] == [200, 2, 101]
    await payer.close()


async def test_events_are_read_to_the_end_and_once(wallet: Wallet, server: ContractServer) -> None:
    for number in range(5):
        server.tell("fork_found", role="victim", number=number)
    first, second = await wallet.sync(), await wallet.sync()
    assert [event["number"] for event in first.events] == list(range(5))
    assert second.events == []


async def test_a_closed_voucher_settles_what_hangs_on_it(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    await wallet.load(500, "EUR")
    payee = await new_wallet(server.issuer, "payee", clock=clock)
    asked = await payee.request_payment(200, "EUR")
    sent = await wallet.pay(asked.frame)
    await wallet.frame_of(sent.id)
    (holding,) = wallet.book.holdings()
    server.tell("voucher_closed", voucher_id=to_text(holding.voucher), amount=300, currency="EUR")
    await wallet.sync()
    assert (await wallet.exchange(sent.id)).state is State.SETTLED
    assert await wallet.balance() == []
    await payee.close()


async def test_a_final_credit_settles_the_claim(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    payer = await paid_wallets(wallet, server, clock)
    await wallet.sync()
    (claim,) = wallet.book.exchanges(role=Role.CLAIM)
    body = {"voucher_id": to_text(claim.vouchers[0]), "amount": 700, "currency": "EUR"}
    server.tell("credited", **body, final=False)
    report = await wallet.sync()
    assert report.credited == {"EUR": 700}
    assert (await wallet.exchange(claim.id)).state is State.SENT
    server.tell("credit_final", **body)
    await wallet.sync()
    assert (await wallet.exchange(claim.id)).words == "credited and settled"
    assert await wallet.balance() == []
    await payer.close()


async def known_event(payee: Wallet, kind: TransferKind) -> dict[str, str]:
    (found,) = [one for one in payee.book.signed_transfers() if one.body.kind is kind]
    return {"transfer_id": to_text(found.id), "object": to_text(found.envelope)}


async def test_a_receipt_that_the_payee_handed_in_ends_the_doubt(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    await wallet.load(500, "EUR")
    payee = await new_wallet(server.issuer, "payee", clock=clock)
    asked = await payee.request_payment(200, "EUR")
    sent = await wallet.pay(asked.frame)
    got = await payee.receive(await wallet.frame_of(sent.id))
    assert got.frame is not None
    receipt = frames.unpack(got.frame)[1]
    (own,) = await wallet.signed_transfers()
    server.tell("transfer_known", object=to_text(own.envelope), receipt=to_text(receipt))
    await wallet.sync()
    assert (await wallet.exchange(sent.id)).state is State.ACKED
    await payee.close()


async def test_a_return_that_the_payee_handed_in_gives_the_value_back(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    await wallet.load(500, "EUR")
    payee = await new_wallet(server.issuer, "payee", clock=clock)
    asked = await payee.request_payment(200, "EUR")
    sent = await wallet.pay(asked.frame)
    got = await payee.receive(await wallet.frame_of(sent.id))
    assert got.exchange is not None
    await payee.return_payment(got.exchange.id)
    server.tell("transfer_known", **await known_event(payee, TransferKind.RETURN))
    await wallet.set_claim_policy(ClaimPolicy.NOTHING)
    await wallet.sync()
    assert (await wallet.exchange(sent.id)).state is State.RETURNED
    assert await held(wallet) == 500
    await payee.close()


async def test_a_forged_return_by_way_of_the_server_changes_nothing(
    wallet: Wallet, server: ContractServer, clock: SetClock
) -> None:
    await wallet.load(500, "EUR")
    payee = await new_wallet(server.issuer, "payee", clock=clock)
    asked = await payee.request_payment(200, "EUR")
    sent = await wallet.pay(asked.frame)
    got = await payee.receive(await wallet.frame_of(sent.id))
    assert got.exchange is not None
    assert got.frame is not None
    returned = await payee.return_payment(got.exchange.id)
    assert returned.frame is not None
    kind, body = frames.unpack(returned.frame)
    assert kind is FrameKind.RETURN
    genuine = Payment.decode(body).chains[0].hops[-1].transfer
    forged = genuine.envelope[:-1] + bytes([genuine.envelope[-1] ^ 1])
    assert unseal(type(genuine.body), forged).id == genuine.id
    server.tell("transfer_known", object=to_text(forged))
    await wallet.sync()
    assert (await wallet.exchange(sent.id)).state is not State.RETURNED
    assert await held(wallet) == 300
    await payee.close()


async def test_numbers_that_the_server_misses_go_up_again(
    wallet: Wallet, server: ContractServer
) -> None:
    await wallet.load(500, "EUR")
    await wallet.unload("EUR", 120)
    before = sum(server.uploads)
    server.missing = [1]
    await wallet.sync()
    assert sum(server.uploads) == before + 1
    server.missing_of_keys = {"a further key": [1], "another": [7]}
    await wallet.sync()
    assert sum(server.uploads) == before + 2


async def test_an_answer_that_makes_no_sense_is_told_as_such(
    wallet: Wallet, server: ContractServer
) -> None:
    server.tell("credited", voucher_id="***", amount="x", currency=5)
    with pytest.raises(errors.ServerUnavailable) as failure:
        await wallet.sync()
    assert failure.value.code == "answer_unreadable"


async def test_without_a_server_the_failure_names_the_address(clock: SetClock) -> None:
    async with await Wallet.create(None, keys=KEYS, clock=clock, sleep=no_pause) as wallet:
        with pytest.raises(errors.ServerUnavailable, match="gave no answer"):
            await wallet.enrol(server="http://127.0.0.1:9", username="a", password="b")
