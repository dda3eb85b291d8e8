"""What other devices may try: value offered twice, two links at once, messages made to break."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from client_sdk import errors
from client_sdk.core import State
from client_sdk.flows.claiming import Claimer
from client_sdk.flows.engine import Engine
from client_sdk.flows.receiving import Answer
from client_sdk.testing import Issuer, SeededEntropy, SetClock, new_wallet, quick_keys
from client_sdk.transports.memory import linked_pair
from client_sdk.wallet import Wallet
from offline_protocol import frames
from offline_protocol.chains import Chain, Payment
from offline_protocol.constants import HOPS_MAX, NAME_BYTES_MAX, PAYMENT_BYTES_MAX
from offline_protocol.cose import seal
from offline_protocol.frames import FrameKind, Refusal
from offline_protocol.fraud import find_forks
from offline_protocol.transfers import Transfer, TransferKind

LONG_NAME = "x" * NAME_BYTES_MAX


class Street:
    """People of one issuer; a dishonest one signs whatever it likes with its own key."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.wallets: list[Wallet] = []

    async def person(self, name: str, *values: int, path: Path | None = None) -> Wallet:
        wallet = await new_wallet(self.issuer, name, *values, path=path)
        self.wallets.append(wallet)
        return wallet

    def worn_chain(
        self, one: Wallet, other: Wallet, request_id: bytes, *, turns: int = HOPS_MAX - 2
    ) -> Chain:
        """A voucher that was paid and returned so often, and then paid to `other`."""
        keys = [wallet.book.signer for wallet in (one, other)]
        certificates = [
            self.issuer.certificate(key.public_key, name=LONG_NAME, now=one.book.now())
            for key in keys
        ]
        chain = Chain(self.issuer.voucher(keys[0].public_key, 100, hops_max=HOPS_MAX))
        last = 2 * turns
        for number in range(last + 1):
            signs, gets = number % 2, 1 - number % 2
            transfer = Transfer(
                parent=chain.tip_id,
                lo=0,
                hi=100,
                payee=keys[gets].public_key,
                request_id=request_id if number == last else (number // 2).to_bytes(16, "big"),
                sequence=int.from_bytes(chain.tip_id[:6], "big"),
                time=one.book.now(),
                kind=TransferKind.RETURN if signs else TransferKind.PAY,
            )
            chain = chain.extend(seal(transfer, keys[signs]), certificates[signs])
        return chain


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    made = Street()
    yield made
    for wallet in made.wallets:
        assert not find_forks(await wallet.signed_transfers())
        await wallet.close()


async def held(wallet: Wallet) -> int:
    return sum(balance.spendable for balance in await wallet.balance())


def frame_with(*chains: Chain) -> bytes:
    return frames.pack(FrameKind.PAYMENT, Payment(chains).encode())


def doctored(cheat: Wallet, sent: bytes) -> bytes:
    """The payment again, and one unit more beside it, for the same request."""
    (paid,) = Payment.decode(frames.unpack(sent)[1]).chains
    before = paid.hops[-1].transfer.body
    more = replace(before, lo=before.hi, hi=before.hi + 1, sequence=before.sequence + 1)
    return frame_with(paid, Chain(paid.voucher).extend(seal(more, cheat.book.signer)))


async def test_what_was_paid_for_is_not_signed_back_when_it_comes_again_with_more(
    street: Street,
) -> None:
    cheat, baker = await street.person("cheat", 600), await street.person("baker")
    asked = await baker.request_payment(250, "EUR")
    sent = await cheat.frame_of((await cheat.pay(asked.frame)).id)
    assert (await baker.receive(sent)).answer is Answer.PAID
    with pytest.raises(errors.PaymentRefused) as refusal:
        await baker.receive(doctored(cheat, sent))
    assert refusal.value.code == "received_before"
    assert (await baker.exchange(asked.exchange.id)).words == "paid"
    assert await held(baker) == 250


async def test_value_spent_on_and_offered_again_with_more_does_not_lock_the_wallet_for_good(
    street: Street, tmp_path: Path
) -> None:
    cheat, miller = await street.person("cheat", 600), await street.person("miller")
    baker = await new_wallet(street.issuer, "baker", path=tmp_path / "baker.db")
    asked = await baker.request_payment(250, "EUR")
    sent = await cheat.frame_of((await cheat.pay(asked.frame)).id)
    await baker.receive(sent)
    await baker.pay((await miller.request_payment(200, "EUR")).frame)
    with pytest.raises(errors.PaymentRefused):
        await baker.receive(doctored(cheat, sent))
    await baker.close()
    entropy = SeededEntropy("again")
    keys = quick_keys(entropy=entropy)
    async with await Wallet.open(tmp_path / "baker.db", keys=keys, entropy=entropy) as opened:
        assert not find_forks(await opened.signed_transfers())


async def test_a_payment_too_long_to_be_signed_back_is_refused_before_it_is_stored(
    street: Street,
) -> None:
    one, other = await street.person("one"), await street.person("other")
    asked = await other.request_payment(0, "EUR")
    chains: list[Chain] = []
    for turns in range(HOPS_MAX - 2, -1, -1):
        chain = street.worn_chain(one, other, asked.exchange.request_id, turns=turns)
        while len(Payment((*chains, chain)).encode()) <= PAYMENT_BYTES_MAX:
            chains.append(chain)
            chain = street.worn_chain(one, other, asked.exchange.request_id, turns=turns)
    with pytest.raises(errors.PaymentRefused) as refusal:
        await other.receive(frame_with(*chains))
    assert refusal.value.code == "payment_too_long"
    assert await held(other) == 0


async def test_value_with_too_long_a_past_is_refused_before_anything_is_reserved(
    street: Street,
) -> None:
    one, amina, baker = [await street.person(name) for name in ("one", "amina", "baker")]
    for _ in range(8):
        asked = await amina.request_payment(0, "EUR")
        await amina.receive(frame_with(street.worn_chain(one, amina, asked.exchange.request_id)))
    with pytest.raises(errors.InsufficientFunds, match="too long a past"):
        await amina.pay((await baker.request_payment(800, "EUR")).frame)
    assert await held(amina) == 800
    less = await amina.pay((await baker.request_payment(300, "EUR")).frame)
    assert (await baker.receive(await amina.frame_of(less.id))).answer is Answer.PAID


async def test_a_link_that_ends_late_does_not_undo_what_another_way_confirmed(
    street: Street,
) -> None:
    amina, baker = await street.person("amina", 600), await street.person("baker")
    asked = await baker.request_payment(250, "EUR")
    near, far = linked_pair()
    paying = asyncio.create_task(amina.pay(asked.frame, link=near))
    got = await baker.receive(await far.receive())
    assert got.frame is not None
    await amina.receive(got.frame)
    await far.close()
    paid = await paying
    assert (paid.state, paid.confirmed) == (State.ACKED, True)
    assert (await amina.exchange(paid.id)).state is State.ACKED


async def test_a_refusal_over_a_link_does_not_undo_a_return_by_code(street: Street) -> None:
    amina, baker = await street.person("amina", 600), await street.person("baker")
    asked = await baker.request_payment(250, "EUR")
    near, far = linked_pair()
    paying = asyncio.create_task(amina.pay(asked.frame, link=near))
    await baker.receive(await far.receive())
    back = await baker.return_payment(asked.exchange.id)
    assert back.frame is not None
    await amina.receive(back.frame)
    await far.send(frames.pack(FrameKind.REFUSAL, Refusal(500, "go_away").encode()))
    await far.close()
    assert (await paying).state is State.RETURNED
    assert [(one.spendable, one.unconfirmed) for one in await amina.balance()] == [(600, 0)]


async def test_a_payee_who_only_talks_does_not_hold_the_payer_for_ever(street: Street) -> None:
    amina, baker = await street.person("amina", 600), await street.person("baker")
    asked = await baker.request_payment(250, "EUR")
    near, far = linked_pair()

    async def chatter() -> None:
        while True:
            await far.send(b"\1\3nonsense")

    talking = asyncio.create_task(chatter())
    async with asyncio.timeout(5):
        paid = await amina.pay(asked.frame, link=near)
    talking.cancel()
    assert paid.state is State.IN_DOUBT


@pytest.mark.parametrize(
    "address", ["lan:nothing", "lan:a..b:80", f"lan:{'a' * 70}.example:80", "lan:[::1:99999"]
)
async def test_a_bad_address_in_a_request_leaves_the_code_as_a_way(
    street: Street, address: str
) -> None:
    amina, baker = await street.person("amina", 600), await street.person("baker")
    asked = await baker.request_payment(250, "EUR", transports=(address,))
    sent = await amina.pay(asked.frame)
    with pytest.raises(errors.LinkClosed):
        await amina.deliver(sent.id)
    assert (await baker.receive(await amina.frame_of(sent.id))).answer is Answer.PAID


async def test_what_is_no_payment_is_not_delivered(street: Street) -> None:
    amina = await street.person("amina", 600)
    asked = await amina.request_payment(10, "EUR")
    (claim,) = [one.id for one in Claimer(amina.book, Engine(amina.book)).claim("EUR", 100)]
    for exchange_id in (asked.exchange.id, claim):
        with pytest.raises(errors.UnknownExchange, match="no payment"):
            await amina.deliver(exchange_id)
        with pytest.raises(errors.UnknownExchange, match="no payment"):
            await amina.resend(exchange_id, linked_pair()[0])
    with pytest.raises(errors.UnknownExchange, match="no payment"):
        await amina.frame_of(claim)


@pytest.mark.parametrize("memo", ["", "x" * 281, "a\tb", "\ud800"])
async def test_a_memo_that_cannot_be_shown_is_told(street: Street, memo: str) -> None:
    baker = await street.person("baker")
    with pytest.raises(errors.InvalidRequest, match="Memo") as refusal:
        await baker.request_payment(1, "EUR", memo=memo)
    assert refusal.value.fix is not None


async def test_a_memo_typed_in_another_unicode_form_reads_the_same(street: Street) -> None:
    amina, baker = await street.person("amina", 600), await street.person("baker")
    asked = await baker.request_payment(1, "EUR", memo="cafe\u0301")
    assert (await amina.inspect(asked.frame)).memo == "caf\u00e9"


async def test_an_amount_beyond_all_numbers_is_told(street: Street) -> None:
    baker = await street.person("baker")
    with pytest.raises(errors.WalletError):
        await baker.request_payment(2**60, "EUR")


async def test_a_payment_that_a_full_disk_stopped_goes_on_when_it_is_asked_for_again(
    street: Street,
) -> None:
    full: list[str] = []

    def disk(name: str) -> None:
        if name in full:
            full.remove(name)
            raise errors.StoreFull("No space is left.")

    entropy = SeededEntropy("amina")
    keys, clock = quick_keys(entropy=entropy), SetClock()
    amina = await Wallet.create(None, keys=keys, clock=clock, entropy=entropy, hook=disk)
    street.wallets.append(amina)
    street.issuer.equip(amina, 600)
    baker = await street.person("baker")
    asked = await baker.request_payment(250, "EUR")
    full.append("before signed bytes")
    with pytest.raises(errors.StoreFull):
        await amina.pay(asked.frame)
    sent = await amina.pay(asked.frame)
    assert (await baker.receive(await amina.frame_of(sent.id))).answer is Answer.PAID
    assert (await held(amina), await held(baker)) == (350, 250)
