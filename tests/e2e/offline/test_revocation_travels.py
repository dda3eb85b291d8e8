"""A key that the server revokes is refused by devices that have not been online since."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from client_sdk import errors
from client_sdk.flows.receiving import Answer
from client_sdk.testing import SeededEntropy, SetClock, quick_keys
from client_sdk.transports.memory import linked_pair
from client_sdk.wallet import Wallet
from offline_protocol.chains import Chain, Payment
from offline_protocol.cose import seal, unseal
from offline_protocol.frames import FrameKind, pack, unpack
from offline_protocol.requests import PaymentRequest
from offline_protocol.revocation import prefix_of
from server.kit.crypto import Vault
from server.kit.messaging import deliver_messages
from server.kit.unit_of_work import UnitOfWork
from tests.factories.identity import PASSWORD, Person
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

URL = "http://testserver.local"
MakeWallet = Callable[[str], Awaitable[Wallet]]


@pytest.fixture
async def make_wallet(
    app: Litestar, clock: ManualClock, uow: UnitOfWork, messages: KeptMessages
) -> AsyncIterator[MakeWallet]:
    """Real wallets of new customers, against the whole application."""
    up, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            up.set()
            await stop.wait()

    life = asyncio.create_task(live())
    await up.wait()
    transport = httpx.ASGITransport(cast("Any", app))
    made: list[Wallet] = []

    async def deliver() -> list[Any]:
        while await deliver_messages(uow, messages, Vault(b"m" * 32)):
            pass
        return list(messages.sent)

    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:

        async def make(name: str) -> Wallet:
            number = len(made) + 1
            phone, mail = f"+9053212346{number:02d}", f"{name}@example.com"
            await Person(client, clock, deliver, name, phone, mail).join()
            entropy = SeededEntropy(name)
            wallet = await Wallet.create(
                None,
                keys=quick_keys(entropy=entropy),
                clock=SetClock(int(clock.now().timestamp())),
                entropy=entropy,
                http=httpx.ASGITransport(cast("Any", app)),
            )
            made.append(wallet)
            await wallet.enrol(server=URL, username=name, password=PASSWORD)
            return wallet

        yield make
        for wallet in made:
            await wallet.close()
    stop.set()
    await life


async def by_code(payer: Wallet, payee: Wallet, amount: int) -> bytes:
    asked = await payee.request_payment(amount, "EUR")
    sent = await payer.frame_of((await payer.pay(asked.frame)).id)
    assert (await payee.receive(sent)).answer is Answer.PAID
    return sent


async def pay_again(cheat: Wallet, payee: Wallet, earlier: bytes) -> bytes:
    """What a phone that was rolled back would send: the same units, to somebody else."""
    (chain,) = Payment.decode(unpack(earlier)[1]).chains
    before = chain.hops[-1].transfer.body
    asked = await payee.request_payment(before.amount, "EUR")
    request = unseal(PaymentRequest, unpack(asked.frame)[1]).body
    again = replace(before, payee=request.payee, request_id=request.request_id)
    signed = seal(again, cheat.book.signer_of(chain.voucher.body.holder))
    payment = Payment((Chain(chain.voucher).extend(signed),))
    return pack(FrameKind.PAYMENT, payment.encode())


async def test_a_convicted_key_is_refused_by_who_was_offline_all_the_time(
    make_wallet: MakeWallet,
) -> None:
    names = ("eve_phone", "bob_phone", "cid_phone", "dan_phone", "fay_phone")
    eve, bob, cid, dan, fay = [await make_wallet(name) for name in names]
    for wallet in (eve, bob, dan):
        await wallet.top_up(5_000, "EUR", "sandbox-ok")
        await wallet.load(5_000, "EUR")
    trust = await dan.trust()
    assert (trust.revocation_epoch, trust.blocked) == (0, False)
    assert trust.revocation_time > 0, "that nothing is newer counts as a list of that moment"

    sent = await by_code(eve, bob, 2_000)
    await cid.receive(await pay_again(eve, cid, sent))
    await bob.sync()
    await cid.sync()  # here the server finds the fork
    await bob.sync()
    assert bob.book.blocklist.epoch == 1
    assert prefix_of(eve.key_id) in bob.book.blocklist.listed().prefixes

    # Dan and Fay are not online again; the list reaches them by two payments.
    for payer, payee in ((bob, dan), (dan, fay)):
        asked = await payee.request_payment(10, "EUR")
        one, two = linked_pair()
        await asyncio.gather(payer.pay(asked.frame, link=one), payee.serve(two))
    assert (await fay.trust()).revocation_epoch == 1
    asked = await fay.request_payment(100, "EUR")
    with pytest.raises(errors.PaymentRefused) as refusal:
        await fay.receive(await eve.frame_of((await eve.pay(asked.frame)).id))
    assert refusal.value.code == "payment_not_revoked"

    # What came from a device counts as what came from the server: nothing has to be asked again.
    await fay.sync()
    assert fay.book.blocklist.epoch == 1
    assert fay.book.blocklist.trail() == bob.book.blocklist.trail()
    policy = fay.book.policy()
    assert policy is not None
    assert policy.rules == ()
    for wallet in (bob, cid, dan, fay):
        assert not wallet.book.blocked
