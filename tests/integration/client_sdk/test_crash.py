"""Processes killed at every durable write, and broken links with crashes: it always converges.

The first part ends real processes with SIGKILL on real files. The second crashes inside one
process, so that thousands of combinations with lost, doubled, held back and damaged messages fit.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_sdk.core import State
from client_sdk.errors import WalletError
from client_sdk.flows.receiving import Answer
from client_sdk.store.sqlite import Hook
from client_sdk.testing import (
    Crash,
    CrashAt,
    Fault,
    Issuer,
    KillAt,
    SeededEntropy,
    SetClock,
    new_wallet,
    quick_keys,
    rough_pair,
)
from client_sdk.views import ExchangeView
from client_sdk.wallet import Wallet
from offline_protocol.fraud import find_clones, find_forks

AMOUNT = 700
TOTAL = 1000
POINTS_MAX = 40


async def opened(path: Path, hook: Hook | None = None, *, witnessed: bool = False) -> Wallet:
    entropy = SeededEntropy(os.urandom(16))
    keys = quick_keys(entropy=entropy, witness_folder=path.parent / "state" if witnessed else None)
    return await Wallet.open(path, keys=keys, clock=SetClock(), entropy=entropy, hook=hook)


@dataclass(frozen=True)
class Pair:
    """The files of a payer with three vouchers and of a payee."""

    folder: Path

    @property
    def payer(self) -> Path:
        return self.folder / "payer.db"

    @property
    def payee(self) -> Path:
        return self.folder / "payee.db"

    async def make(self) -> None:
        issuer = Issuer()
        for path, values in ((self.payer, (400, 300, 300)), (self.payee, ())):
            await (await new_wallet(issuer, path.name, *values, path=path)).close()


async def owned(wallet: Wallet) -> tuple[int, int]:
    balances = await wallet.balance()
    return sum(one.spendable for one in balances), sum(one.unconfirmed for one in balances)


async def check_honest(*wallets: Wallet) -> None:
    """Nobody has signed anything away twice, or used a number twice."""
    signed = [
        (wallet.book.signer.public_key, transfer)
        for wallet in wallets
        for transfer in await wallet.signed_transfers()
    ]
    assert find_forks(transfer for _, transfer in signed) == []
    assert find_clones(signed) == []


# Real processes, killed.

Work = Callable[[Wallet], Coroutine[None, None, None]]


def run_and_kill(path: Path, work: Work, point: int) -> bool:
    """Do work in a process that is killed at its n-th point; whether it was."""
    child = os.fork()
    if child == 0:
        code = 1
        try:

            async def main() -> None:
                wallet = await opened(path, KillAt(point), witnessed=True)
                await work(wallet)
                await wallet.close()

            asyncio.run(main())
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


def kill_at_each_point(path: Path, work: Work) -> int:
    """Kill the work at each of its points, each time from the same start, and let it end after.

    Returns:
        How many points there are. The work is done once when this returns.
    """
    before = picture(path.parent)
    for point in range(POINTS_MAX):
        if not run_and_kill(path, work, point):
            return point
        # Killed twice in a row, then left to end.
        run_and_kill(path, work, point)
        assert not run_and_kill(path, work, POINTS_MAX)
        put_back(path.parent, before)
    raise AssertionError("the work never ends")


def picture(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_back(folder: Path, before: dict[Path, bytes]) -> None:
    """Bring every file to where it was, in place: a witness notices when it is another file."""
    for path in picture(folder).keys() | before.keys():
        if path in before:
            path.write_bytes(before[path])
        else:
            path.unlink()


def test_killed_at_every_write_of_either_side_a_payment_is_made_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    request, payment, receipt, refund = (
        tmp_path / name for name in ("request", "payment", "receipt", "refund")
    )

    async def ask(payee: Wallet) -> None:
        shown = await payee.request_payment(AMOUNT, "EUR")
        request.write_bytes(shown.frame)

    async def pay(payer: Wallet) -> None:
        sent = await payer.pay(request.read_bytes())
        leaving = await payer.frame_of(sent.id)
        # What has left once leaves unchanged for ever.
        assert not payment.exists() or payment.read_bytes() == leaving
        payment.write_bytes(leaving)

    async def take(payee: Wallet) -> None:
        got = await payee.receive(payment.read_bytes())
        assert got.answer in {Answer.PAID, Answer.PAID_BEFORE}
        assert got.frame is not None
        receipt.write_bytes(got.frame)

    async def confirm(payer: Wallet) -> None:
        await payer.receive(receipt.read_bytes())

    async def give_back(payee: Wallet) -> None:
        (paid,) = [one for one in await payee.history() if one.id.hex() == paid_id]
        got = await payee.return_payment(paid.id)
        assert got.frame is not None
        assert not refund.exists() or refund.read_bytes() == got.frame
        refund.write_bytes(got.frame)

    async def take_back(payer: Wallet) -> None:
        await payer.receive(refund.read_bytes())

    asyncio.run(pair.make())
    for path in (pair.payer, pair.payee):
        asyncio.run(first_opening(path))
    assert kill_at_each_point(pair.payee, ask) == 2
    assert kill_at_each_point(pair.payer, pay) == 8
    assert asyncio.run(balances(pair)) == ((300, AMOUNT), (0, 0))
    assert kill_at_each_point(pair.payee, take) == 4
    assert asyncio.run(balances(pair)) == ((300, AMOUNT), (AMOUNT, 0))
    assert kill_at_each_point(pair.payer, confirm) == 2
    assert asyncio.run(balances(pair)) == ((300, 0), (AMOUNT, 0))
    paid_id = asyncio.run(last_paid(pair))
    assert kill_at_each_point(pair.payee, give_back) == 8
    assert kill_at_each_point(pair.payer, take_back) == 2
    assert asyncio.run(balances(pair)) == ((TOTAL, 0), (0, 0))


async def first_opening(path: Path) -> None:
    """It makes the witness."""
    await (await opened(path, witnessed=True)).close()


async def balances(pair: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
    payer = await opened(pair.payer, witnessed=True)
    payee = await opened(pair.payee, witnessed=True)
    try:
        assert not payer.restored
        assert not payee.restored
        await check_honest(payer, payee)
        return await owned(payer), await owned(payee)
    finally:
        await payer.close()
        await payee.close()


async def last_paid(pair: Pair) -> str:
    payee = await opened(pair.payee)
    try:
        paid = [one for one in await payee.history() if one.state is State.RECEIPTED]
        return paid[0].id.hex()
    finally:
        await payee.close()


def test_a_kill_between_payments_never_reuses_a_sequence_number(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    asyncio.run(pair.make())
    requests: list[bytes] = []

    async def ask(payee: Wallet) -> None:
        requests.extend([(await payee.request_payment(50, "EUR")).frame for _ in range(8)])

    async def ask_all() -> None:
        payee = await opened(pair.payee)
        await ask(payee)
        await payee.close()

    asyncio.run(ask_all())
    for point, request in enumerate(requests):

        async def pay(payer: Wallet, request: bytes = request) -> None:
            await payer.frame_of((await payer.pay(request)).id)

        run_and_kill(pair.payer, pay, point)
    asyncio.run(balances(pair))


# Broken links and crashes, in one process.

faults = st.lists(st.sampled_from(list(Fault)), max_size=4)
crash_points = st.one_of(st.none(), st.integers(0, 11))


async def attempt(work: Coroutine[None, None, object]) -> object:
    """Do it; a crash or a refusal ends only this attempt."""
    try:
        return await work
    except (Crash, WalletError) as end:
        return end


async def meet(
    payer: Wallet, payee: Wallet, payment: ExchangeView, there: list[Fault], back: list[Fault]
) -> None:
    """One connection with faults between the two; either side may crash in it."""
    one, two = rough_pair(there, back)

    async def deliver() -> object:
        try:
            return await attempt(payer.resend(payment.id, one))
        finally:
            await one.close()

    async def serve() -> object:
        try:
            return await attempt(payee.serve(two))
        finally:
            await two.close()

    await asyncio.gather(deliver(), serve())


@given(
    there=faults,
    back=faults,
    payer_crash=crash_points,
    payee_crash=crash_points,
    again_there=faults,
    again_back=faults,
    refund=st.booleans(),
)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_breaks_the_two_agree_when_they_meet_again(
    prepared: tuple[Pair, bytes],
    *,
    there: list[Fault],
    back: list[Fault],
    payer_crash: int | None,
    payee_crash: int | None,
    again_there: list[Fault],
    again_back: list[Fault],
    refund: bool,
) -> None:
    template, request = prepared
    with tempfile.TemporaryDirectory(dir=template.folder.parent) as folder:
        pair = Pair(Path(folder))
        shutil.copytree(template.folder, pair.folder, dirs_exist_ok=True)
        asyncio.run(
            schedule(
                pair,
                request,
                [(there, back), (again_there, again_back)],
                crashes=(payer_crash, payee_crash),
                refund=refund,
            )
        )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, bytes]:
    """Two wallets with a request shown, to be copied for each example."""
    pair = Pair(tmp_path_factory.mktemp("pair"))

    async def prepare() -> bytes:
        await pair.make()
        payee = await opened(pair.payee)
        shown = await payee.request_payment(AMOUNT, "EUR")
        await payee.close()
        return shown.frame

    return pair, asyncio.run(prepare())


async def schedule(
    pair: Pair,
    request: bytes,
    meetings: list[tuple[list[Fault], list[Fault]]],
    *,
    crashes: tuple[int | None, int | None],
    refund: bool,
) -> None:
    payer_crash, payee_crash = crashes
    first_try = await attempt(opened(pair.payer, CrashAt(payer_crash)))
    payer = first_try if isinstance(first_try, Wallet) else await opened(pair.payer)
    second_try = await attempt(opened(pair.payee, CrashAt(payee_crash)))
    payee = second_try if isinstance(second_try, Wallet) else await opened(pair.payee)
    for there, back in meetings:
        sent = await attempt(payer.pay(request))
        if isinstance(sent, ExchangeView):
            await meet(payer, payee, sent, there, back)
        await payer.close()
        await payee.close()
        payer, payee = await opened(pair.payer), await opened(pair.payee)
        await check_honest(payer, payee)
        await check_owned_once(payer, payee)
    sent = await payer.pay(request)
    await meet(payer, payee, sent, [], [])
    assert (await payer.exchange(sent.id)).state is State.ACKED
    assert await owned(payer) == (TOTAL - AMOUNT, 0)
    assert await owned(payee) == (AMOUNT, 0)
    if refund:
        (paid,) = [one for one in await payee.history() if one.amount == AMOUNT]
        back_again = await payee.return_payment(paid.id)
        assert back_again.frame is not None
        await payer.receive(back_again.frame)
        assert await owned(payer) == (TOTAL, 0)
    await check_honest(payer, payee)
    await payer.close()
    await payee.close()


async def check_owned_once(payer: Wallet, payee: Wallet) -> None:
    """Value is the payer's, locked, or the payee's; never lost, and never spendable twice."""
    free, unconfirmed = await owned(payer)
    received, _ = await owned(payee)
    assert free + received <= TOTAL
    assert free + max(unconfirmed, received) == TOTAL
