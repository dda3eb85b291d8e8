"""Further keys: supply, renewal, lost ones, and value that hangs on them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from client_sdk import errors
from client_sdk.api.documents import Document
from client_sdk.api.encoding import to_bytes, to_text
from client_sdk.flows import key_pool
from client_sdk.flows.key_pool import BATCH_KEYS, fill_pool
from client_sdk.flows.receiving import Answer
from client_sdk.flows.trusting import check_certificate, keep_certificate, learn_revocation
from client_sdk.keyring import POOL_KEYS, POOL_LEAST
from client_sdk.keys import KeyProvider
from client_sdk.keys.errors import TokenFailed
from client_sdk.testing import (
    DAY_SECONDS,
    FullAt,
    Issuer,
    QuickKeys,
    SeededEntropy,
    SetClock,
    new_wallet,
    quick_keys,
)
from client_sdk.wallet import Wallet
from offline_protocol.certificates import Limits
from offline_protocol.cose import check_signature, unseal
from offline_protocol.fraud import find_clones, find_forks
from offline_protocol.key_bindings import KeyBinding
from offline_protocol.keys import PublicKey

Make = Callable[..., Awaitable[Wallet]]
WEEK = 7 * DAY_SECONDS


class Certifier:
    """The part of an issuer's API that certifies further keys; refuses whole calls, as servers do.

    Attributes:
        most: keys that a device may ever have.
        life: days of a certificate.
        known: keys certified so far.
    """

    def __init__(self, issuer: Issuer, clock: SetClock, *, most: int = 512, life: int = 14) -> None:
        self._issuer = issuer
        self._clock = clock
        self.most = most
        self.life = life
        self.known: set[PublicKey] = set()
        self.calls = 0

    async def post(self, path: str, body: Document, *, repeat: bool) -> Document:
        assert path == key_pool.PATH
        assert repeat
        self.calls += 1
        texts = body["bindings"]
        assert isinstance(texts, list)
        assert 0 < len(texts) <= BATCH_KEYS
        bindings = [unseal(KeyBinding, to_bytes(str(text))) for text in texts]
        for binding in bindings:
            check_signature(binding, binding.body.bound)
        keys = [binding.body.bound for binding in bindings]
        if len(self.known.union(keys)) > self.most:
            raise errors.ServerRefused("No more keys.", code="key_binding_invalid", status=422)
        self.known.update(keys)
        certified = [
            self._issuer.certificate(key, now=self._clock.now(), days=self.life) for key in keys
        ]
        return {"certificates": [to_text(each.envelope) for each in certified]}


async def fill(wallet: Wallet, server: Certifier) -> int:
    return await fill_pool(wallet.book, cast("Any", server))


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def make(clock: SetClock, issuer: Issuer, tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Wallet] = []

    async def wallet(
        name: str, *values: int, keys: KeyProvider | None = None, **options: Any
    ) -> Wallet:
        entropy = SeededEntropy(name)
        options = {"clock": clock, "entropy": entropy, **options}
        keys = keys or quick_keys(entropy=entropy)
        one = await Wallet.create(tmp_path / f"{name}.db", keys=keys, **options)
        issuer.equip(one, *values, now=clock.now())
        made.append(one)
        return one

    yield wallet
    for one in made:
        signed = await one.signed_transfers()
        assert not find_forks(signed)
        await one.close()


def certify(issuer: Issuer, wallet: Wallet, *, days: int, **limits: int) -> PublicKey:
    """Give a wallet one further key."""
    book, allowed = wallet.book, {"payment_max": 10**9, "balance_max": 10**9, "hops_max": 8}
    with book.store.write("further key") as tx:
        (key,) = book.keyring.make(tx, 1)
        certificate = issuer.certificate(
            key, now=book.now(), days=days, limits=Limits(**{**allowed, **limits})
        )
        keep_certificate(book, tx, check_certificate(book, certificate.envelope))
    return key


async def give(payer: Wallet, payee: Wallet, amount: int) -> Answer | None:
    asked = await payee.request_payment(amount, "EUR")
    sent = await payer.frame_of((await payer.pay(asked.frame)).id)
    return (await payee.receive(sent)).answer


# The supply.


async def test_the_pool_is_filled_once_and_only_when_few_are_left(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    wallet, server = await make("ada"), Certifier(issuer, clock)
    assert await fill(wallet, server) == POOL_KEYS
    assert await fill(wallet, server) == 0
    for _ in range(POOL_KEYS - POOL_LEAST):
        await wallet.request_payment(1, "EUR")
    assert await fill(wallet, server) == 0
    await wallet.request_payment(1, "EUR")
    assert await fill(wallet, server) == POOL_KEYS - POOL_LEAST + 1
    assert len(wallet.book.keyring.unused(clock.now())) == POOL_KEYS


@pytest.mark.parametrize("life", [3, 14])
async def test_keys_that_nobody_has_seen_are_renewed_and_not_replaced(
    make: Make, issuer: Issuer, clock: SetClock, life: int
) -> None:
    """An issuer grants a device so many keys: whoever syncs seldom must not use them up."""
    wallet, server = await make("ada"), Certifier(issuer, clock, life=life)
    for _ in range(40):
        await fill(wallet, server)
        clock.advance(9 * DAY_SECONDS)
    await fill(wallet, server)
    assert len(server.known) == POOL_KEYS
    assert len(wallet.book.keyring.unused(clock.now(), lasting=DAY_SECONDS)) == POOL_KEYS


async def test_a_key_that_holds_value_is_renewed_although_the_issuer_grants_no_more_keys(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    ada, bob = await make("ada"), await make("bob", 5_000)
    server = Certifier(issuer, clock, most=POOL_KEYS)
    await fill(ada, server)
    for _ in range(POOL_KEYS):
        assert await give(bob, ada, 10) is Answer.PAID
    clock.advance(8 * DAY_SECONDS)
    issuer.equip(ada, now=clock.now())
    issuer.equip(bob, now=clock.now())
    await fill(ada, server)
    clock.advance(8 * DAY_SECONDS)
    issuer.equip(bob, now=clock.now())
    assert await give(ada, bob, 40) is Answer.PAID


async def test_more_keys_than_one_call_takes_are_renewed(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    ada, server = await make("ada"), Certifier(issuer, clock)
    with ada.book.store.write("further keys") as tx:
        ada.book.keyring.make(tx, 2 * BATCH_KEYS + 5)
    assert await fill(ada, server) >= 2 * BATCH_KEYS + 5
    assert not ada.book.keyring.uncertified()
    clock.advance(10 * DAY_SECONDS)
    assert await fill(ada, server) >= 2 * BATCH_KEYS + 5


async def test_keys_of_a_write_that_failed_are_not_certified(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    """Their secrets are nowhere: value made out to them would be stuck."""
    disk = FullAt("further keys", left=1)
    ada, server = await make("ada", hook=disk), Certifier(issuer, clock)
    with pytest.raises(errors.StoreFull):
        await fill(ada, server)
    assert ada.book.keyring.known() == []
    disk_again = FullAt("further certificates", left=1)
    ada.book.store._hook = disk_again
    with pytest.raises(errors.StoreFull):
        await fill(ada, server)
    stored = set(ada.book.keyring.known())
    assert server.known == stored
    assert await fill(ada, server) == POOL_KEYS
    assert server.known == stored


class SmallToken(QuickKeys):
    """Holds so many keys and no more."""

    room = 3

    def make_device_key(self) -> bytes:
        if self.room == 0:
            raise TokenFailed("The token is full.")
        self.room -= 1
        return super().make_device_key()


async def test_a_token_without_room_has_fewer_keys_and_stops_no_sync(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    keys = SmallToken("", entropy=SeededEntropy("token"), witness_folder=None)
    ada, server = await make("ada", keys=keys), Certifier(issuer, clock)
    assert await fill(ada, server) == 2
    assert await fill(ada, server) == 0
    assert len(ada.book.keyring.idle()) == 2


# Value on them.


async def test_value_whose_key_has_no_valid_certificate_is_not_signed_away(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    """No payee could take it, ever; it would be stuck until claim-by."""
    ada, bob, cid = await make("ada"), await make("bob", 500), await make("cid")
    certify(issuer, ada, days=3)
    assert await give(bob, ada, 100) is Answer.PAID
    clock.advance(4 * DAY_SECONDS)
    asked = await cid.request_payment(100, "EUR")
    with pytest.raises(errors.InsufficientFunds):
        await ada.pay(asked.frame)
    assert (await ada.balance())[0].spendable == 100
    assert not await ada.unconfirmed()


async def test_other_value_is_used_instead(make: Make, issuer: Issuer, clock: SetClock) -> None:
    ada, bob, cid = await make("ada"), await make("bob", 500), await make("cid")
    certify(issuer, ada, days=3)
    assert await give(bob, ada, 100) is Answer.PAID
    clock.advance(4 * DAY_SECONDS)
    issuer.equip(ada, 100, now=clock.now())
    assert await give(ada, cid, 100) is Answer.PAID
    certificate = issuer.certificate(ada.book.keyring.known()[0], now=clock.now())
    with ada.book.store.write("renewed") as tx:
        keep_certificate(ada.book, tx, check_certificate(ada.book, certificate.envelope))
    assert await give(ada, cid, 100) is Answer.PAID


@pytest.mark.parametrize("limits", [{"payment_max": 50}, {"hops_max": 1}])
async def test_the_limits_of_its_own_certificate_bind_a_further_key(
    make: Make, issuer: Issuer, limits: dict[str, int]
) -> None:
    ada, bob, cid = await make("ada"), await make("bob", 500), await make("cid")
    certify(issuer, ada, days=9, **limits)
    assert await give(bob, ada, 100) is Answer.PAID
    asked = await cid.request_payment(100, "EUR")
    with pytest.raises(errors.InsufficientFunds):
        await ada.pay(asked.frame)
    assert (await ada.balance())[0].spendable == 100


@pytest.mark.parametrize("blocked", ["voucher", "past", "key"])
async def test_what_is_known_to_be_blocked_is_not_signed_away(
    make: Make, issuer: Issuer, blocked: str
) -> None:
    ada, bob, cid = await make("ada"), await make("bob", 500), await make("cid")
    key = certify(issuer, ada, days=9)
    assert await give(bob, ada, 100) is Answer.PAID
    (holding,) = ada.book.holdings("EUR")
    identity = {"voucher": holding.voucher, "past": bob.key_id, "key": key.id}[blocked]
    learn_revocation(ada.book, issuer.revoke(identity).envelope)
    asked = await cid.request_payment(100, "EUR")
    with pytest.raises(errors.InsufficientFunds):
        await ada.pay(asked.frame)
    assert (await ada.balance())[0].spendable == 100


async def test_a_locked_payment_is_finished_after_its_certificate_has_ended(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    """Signed late, it says when it was made; the payee signs it back, and nothing is lost."""
    ada, bob, cid = await make("ada"), await make("bob", 500), await make("cid")
    certify(issuer, ada, days=3)
    assert await give(bob, ada, 100) is Answer.PAID
    asked = await cid.request_payment(100, "EUR")
    disk = FullAt("signed bytes", left=1)
    ada.book.store._hook = disk
    with pytest.raises(errors.StoreFull):
        await ada.pay(asked.frame)
    clock.advance(4 * DAY_SECONDS)
    (waiting,) = await ada.unconfirmed()
    got = await cid.receive(await ada.frame_of(waiting.id))
    assert got.answer is Answer.SENT_BACK
    assert got.frame is not None
    await ada.receive(got.frame)
    assert (await ada.balance())[0].spendable == 100


async def test_one_payment_of_several_keys_comes_back_to_each(make: Make, issuer: Issuer) -> None:
    ada, bob, cid = await make("ada", 50), await make("bob", 500), await make("cid")
    for amount in (100, 200):
        certify(issuer, ada, days=9)
        assert await give(bob, ada, amount) is Answer.PAID
    asked = await cid.request_payment(350, "EUR")
    paid = await ada.pay(asked.frame)
    got = await cid.receive(await ada.frame_of(paid.id))
    back = await cid.return_payment(got.exchange.id if got.exchange else b"")
    assert back.frame is not None
    await ada.receive(back.frame)
    assert (await ada.balance())[0].spendable == 350
    assert await give(ada, cid, 350) is Answer.PAID
    keys = ada.book.owns
    signed = [
        (key, transfer)
        for key in [ada.book.signer.public_key, *ada.book.keyring.known()]
        for transfer in await ada.signed_transfers()
        if keys(key) and _signed_by(key, transfer)
    ]
    assert len(signed) == 6
    assert not find_clones(signed)


def _signed_by(key: PublicKey, transfer: Any) -> bool:
    try:
        check_signature(transfer, key)
    except Exception:  # noqa: BLE001 -- whichever way it is not
        return False
    return True


async def test_an_interrupted_write_takes_no_number_of_a_further_key(
    make: Make, issuer: Issuer, clock: SetClock
) -> None:
    """A number that nothing was signed with would look like a hidden payment."""
    disk = FullAt("reserve")
    ada, bob = await make("ada", hook=disk), await new_wallet(issuer, "bob", 500, clock=clock)
    key = certify(issuer, ada, days=9)
    assert await give(bob, ada, 100) is Answer.PAID
    asked = await bob.request_payment(10, "EUR")
    disk.left = 1
    with pytest.raises(errors.StoreFull):
        await ada.pay(asked.frame)
    certificate = issuer.certificate(key, now=clock.now())
    with ada.book.store.write("renewed") as tx:
        keep_certificate(ada.book, tx, check_certificate(ada.book, certificate.envelope))
    assert await give(ada, bob, 10) is Answer.PAID
    assert [one.body.sequence for one in await ada.signed_transfers()] == [1]
    await bob.close()
