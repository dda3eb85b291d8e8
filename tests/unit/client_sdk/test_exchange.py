"""Two wallets in memory: asking, paying, receiving, returning, and everything that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from client_sdk import errors
from client_sdk.core import State
from client_sdk.flows.receiving import Answer
from client_sdk.flows.trusting import check_certificate, keep_certificate
from client_sdk.keys.errors import TokenMissing
from client_sdk.records import Role
from client_sdk.store.sqlite import Hook
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
from client_sdk.transports.memory import linked_pair
from client_sdk.views import ExchangeView
from client_sdk.wallet import Wallet
from offline_protocol import frames
from offline_protocol.certificates import Limits
from offline_protocol.chains import Payment
from offline_protocol.cose import seal
from offline_protocol.frames import FrameKind
from offline_protocol.fraud import FraudProof, find_forks, verify_fraud_proof
from offline_protocol.keys import PublicKey, Signer


class Shop:
    """Three people and an issuer."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.clock = SetClock()
        self.wallets: list[Wallet] = []

    async def person(
        self, name: str, *values: int, limits: Limits | None = None, hook: Hook | None = None
    ) -> Wallet:
        entropy = SeededEntropy(name)
        wallet = await Wallet.create(
            None, keys=quick_keys(entropy=entropy), clock=self.clock, entropy=entropy, hook=hook
        )
        self.issuer.equip(wallet, *values, name=name, now=self.clock.now(), limits=limits)
        self.wallets.append(wallet)
        return wallet


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    yield made
    for wallet in made.wallets:
        assert not find_forks(await wallet.signed_transfers())
        await wallet.close()


async def held(wallet: Wallet) -> int:
    return sum(balance.spendable for balance in await wallet.balance())


async def give(payer: Wallet, payee: Wallet, amount: int) -> tuple[ExchangeView, bytes]:
    """Pay by codes; gives the payee's exchange and the receipt."""
    asked = await payee.request_payment(amount, "EUR")
    sent = await payer.pay(asked.frame)
    got = await payee.receive(await payer.frame_of(sent.id))
    assert got.answer is Answer.PAID
    assert got.exchange is not None
    assert got.frame is not None
    return got.exchange, got.frame


async def test_an_exact_amount_changes_hands_and_the_rest_stays(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 6000), await shop.person("baker")
    _, receipt = await give(amina, baker, 2537)
    assert (await held(amina), await held(baker)) == (3463, 2537)
    assert [one.unconfirmed for one in await amina.balance()] == [2537]
    done = await amina.receive(receipt)
    assert done.exchange is not None
    assert done.exchange.state is State.ACKED
    assert done.exchange.peer_name == "baker"
    assert [one.unconfirmed for one in await amina.balance()] == [0]


async def test_received_value_is_spent_on_and_several_pieces_make_one_payment(shop: Shop) -> None:
    amina = await shop.person("amina", 300, 300, 300)
    baker, miller = await shop.person("baker"), await shop.person("miller", 50)
    await give(amina, baker, 700)
    await give(baker, miller, 650)
    assert (await held(amina), await held(baker), await held(miller)) == (200, 50, 700)
    await give(miller, amina, 700)
    assert (await held(amina), await held(miller)) == (900, 0)


async def test_a_first_payment_is_small_enough_for_one_plain_code(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 6000), await shop.person("baker")
    asked = await baker.request_payment(2500, "EUR")
    sent = await amina.pay(asked.frame)
    assert len(await amina.frame_of(sent.id)) < 400


async def test_the_same_payment_again_gives_the_same_receipt(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 6000), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    payment = await amina.frame_of((await amina.pay(asked.frame)).id)
    first, second = await baker.receive(payment), await baker.receive(payment)
    assert (first.answer, second.answer) == (Answer.PAID, Answer.PAID_BEFORE)
    assert first.frame == second.frame
    assert await held(baker) == 100


async def test_paying_a_request_twice_pays_it_once(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 6000), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    first, second = await amina.pay(asked.frame), await amina.pay(asked.frame)
    assert first.id == second.id
    assert await amina.frame_of(first.id) == await amina.frame_of(second.id)
    assert await held(amina) == 5900


async def test_a_second_payer_of_one_request_gets_the_money_back(shop: Shop) -> None:
    amina, berta = await shop.person("amina", 500), await shop.person("berta", 500)
    baker = await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    await baker.receive(await amina.frame_of((await amina.pay(asked.frame)).id))
    late = await baker.receive(await berta.frame_of((await berta.pay(asked.frame)).id))
    assert late.answer is Answer.SENT_BACK
    assert late.exchange is not None
    assert late.exchange.refusal == "already_paid"
    assert late.frame is not None
    back = await berta.receive(late.frame)
    assert back.exchange is not None
    assert back.exchange.state is State.RETURNED
    assert (await held(berta), await held(baker)) == (500, 100)


async def test_an_expired_request_is_not_paid(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 500), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR", lifetime_seconds=60)
    shop.clock.advance(61)
    with pytest.raises(errors.InvalidRequest, match="has expired") as refusal:
        await amina.pay(asked.frame)
    assert refusal.value.code == "request_expired"
    assert await held(amina) == 500


async def test_a_payment_signed_in_time_may_be_handed_over_later(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 500), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR", lifetime_seconds=60)
    sent = await amina.pay(asked.frame)
    shop.clock.advance(DAY_SECONDS)
    assert (await baker.receive(await amina.frame_of(sent.id))).answer is Answer.PAID


async def test_an_expired_voucher_in_a_payment_comes_back(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 500), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    payment = await amina.frame_of((await amina.pay(asked.frame)).id)
    shop.clock.advance(31 * DAY_SECONDS)
    got = await baker.receive(payment)
    assert got.answer is Answer.SENT_BACK
    assert got.exchange is not None
    assert got.exchange.refusal == "payment_spendable"
    assert (await baker.exchange(asked.exchange.id)).state is State.SHOWN
    assert (await baker.receive(payment)).frame == got.frame


async def test_a_refund_gives_the_value_back_under_a_new_parent(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    paid, receipt = await give(amina, baker, 250)
    await amina.receive(receipt)
    back = await baker.return_payment(paid.id)
    assert back.answer is Answer.SENT_BACK
    assert back.frame is not None
    assert (await baker.return_payment(paid.id)).frame == back.frame
    for _ in range(2):  # shown twice, taken once
        taken = await amina.receive(back.frame)
        assert taken.exchange is not None
        assert taken.exchange.state is State.RETURNED
    assert (await held(amina), await held(baker)) == (600, 0)
    await give(amina, baker, 600)
    assert await held(baker) == 600


async def test_what_was_spent_on_cannot_be_returned(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    paid, _ = await give(amina, baker, 250)
    await give(baker, await shop.person("miller"), 10)
    with pytest.raises(errors.ExchangeStateError, match="has been spent"):
        await baker.return_payment(paid.id)


async def test_only_received_payments_can_be_returned(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    sent = await amina.pay(asked.frame)
    with pytest.raises(errors.UnknownExchange):
        await amina.return_payment(sent.id)
    with pytest.raises(errors.UnknownExchange):
        await baker.return_payment(asked.exchange.id)


async def test_over_a_link_both_sides_end_confirmed(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(250, "EUR")
    one, two = linked_pair()
    paid, _ = await asyncio.gather(amina.pay(asked.frame, link=one), baker.serve(two))
    assert paid.state is State.ACKED
    assert paid.words == "paid, confirmed by the payee"
    assert (await baker.exchange(asked.exchange.id)).words == "paid"


async def test_a_refusal_over_a_link_leaves_the_payment_in_doubt(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    stranger = await shop.person("stranger")
    asked = await baker.request_payment(250, "EUR")
    one, two = linked_pair()
    paid, _ = await asyncio.gather(amina.pay(asked.frame, link=one), stranger.serve(two))
    assert (paid.state, paid.refusal) == (State.IN_DOUBT, "unknown_exchange")
    assert paid.words == "sent, not confirmed"
    assert await held(amina) == 350


async def test_time_alone_never_frees_an_unconfirmed_payment(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(250, "EUR")
    sent = await amina.pay(asked.frame)
    await amina.frame_of(sent.id)
    shop.clock.advance(20 * DAY_SECONDS)
    assert [one.unconfirmed for one in await amina.balance()] == [250]
    assert await held(amina) == 350


async def test_two_payments_at_once_never_reserve_the_same_value(shop: Shop) -> None:
    amina = await shop.person("amina", 500, 400, 300)
    payees = [await shop.person(f"payee {number}") for number in range(12)]
    asked = [await payee.request_payment(100, "EUR") for payee in payees]
    links = [linked_pair() for _ in payees]
    done = await asyncio.gather(
        *(amina.pay(one.frame, link=pair[0]) for one, pair in zip(asked, links, strict=True)),
        *(payee.serve(pair[1]) for payee, pair in zip(payees, links, strict=True)),
    )
    assert [one.state for one in done if one is not None] == [State.ACKED] * 12
    assert await held(amina) == 0
    transfers = [one.body for one in await amina.signed_transfers()]
    assert sorted(one.sequence for one in transfers) == list(range(1, len(transfers) + 1))
    assert sum(one.amount for one in transfers) == 1200


async def test_a_double_spend_is_found_before_anything_is_stored(shop: Shop) -> None:
    cheat = await shop.person("cheat", 500)
    baker, miller = await shop.person("baker"), await shop.person("miller")
    first = await baker.request_payment(300, "EUR")
    honest = await cheat.frame_of((await cheat.pay(first.frame)).id)
    await baker.receive(honest)
    again = await baker.request_payment(200, "EUR")
    doctored = doubled(cheat, honest, baker, again.exchange.request_id)
    with pytest.raises(errors.DoubleSpendFound):
        await baker.receive(doctored)
    assert await held(baker) == 300
    (frame,) = await baker.fraud_proofs()
    proof = FraudProof.decode(frames.unpack(frame)[1])
    conviction = verify_fraud_proof(proof, shop.issuer.key_set.body)
    assert conviction.key.id == cheat.key_id
    told = await miller.receive(frame)
    assert told.convicted == cheat.key_id
    third = await miller.request_payment(100, "EUR")
    with pytest.raises(errors.PaymentRefused) as refusal:
        await miller.receive(await cheat.frame_of((await cheat.pay(third.frame)).id))
    assert refusal.value.code == "payment_not_revoked"


def doubled(cheat: Wallet, honest: bytes, payee: Wallet, request_id: bytes) -> bytes:
    """A payment that signs the low end of an earlier one away again."""
    chain = Payment.decode(frames.unpack(honest)[1]).chains[0]
    before = chain.hops[-1].transfer.body
    transfer = replace(
        before,
        hi=before.lo + 200,
        payee=payee.book.signer.public_key,
        request_id=request_id,
        sequence=before.sequence + 1,
    )
    forged = replace(chain, hops=()).extend(seal(transfer, cheat.book.signer))
    return frames.pack(FrameKind.PAYMENT, Payment((forged,)).encode())


async def test_a_forged_payment_is_refused_and_leaves_no_trace(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    payment = await amina.frame_of((await amina.pay(asked.frame)).id)
    for index in range(2, len(payment), 7):
        bad = payment[:index] + bytes([payment[index] ^ 0x40]) + payment[index + 1 :]
        with pytest.raises(errors.WalletError):
            await baker.receive(bad)
    assert await held(baker) == 0
    assert (await baker.receive(payment)).answer is Answer.PAID


async def test_a_false_proof_convicts_nobody(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    await give(amina, baker, 100)
    await give(amina, baker, 100)
    first, second = sorted(await amina.signed_transfers(), key=lambda one: one.id)
    voucher = shop.issuer.voucher(amina.book.signer.public_key, 600)
    proof = FraudProof(first, second, None, voucher)
    with pytest.raises(errors.PaymentRefused):
        await baker.receive(frames.pack(FrameKind.FRAUD_PROOF, proof.encode()))
    assert not baker.book.revoked()


async def test_a_receipt_of_another_payment_confirms_nothing(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    berta = await shop.person("berta", 600)
    _, receipt = await give(berta, baker, 100)
    with pytest.raises(errors.UnknownExchange):
        await amina.receive(receipt)
    asked = await baker.request_payment(100, "EUR")
    sent = await amina.pay(asked.frame)
    await amina.frame_of(sent.id)
    swapped = frames.pack(FrameKind.RECEIPT, frames.unpack(receipt)[1][:-1] + b"\0")
    with pytest.raises(errors.WalletError):
        await amina.receive(swapped)
    assert (await amina.exchange(sent.id)).state is State.SENT


async def test_limits_of_certificate_and_voucher_are_kept(shop: Shop) -> None:
    small = Limits(payment_max=200, balance_max=500, hops_max=4)
    amina = await shop.person("amina", 600, limits=small)
    baker = await shop.person("baker", limits=small)
    asked = await baker.request_payment(300, "EUR")
    with pytest.raises(errors.LimitExceeded, match=r"may pay 2.00 EUR at once"):
        await amina.pay(asked.frame)
    with pytest.raises(errors.LimitExceeded, match=r"may hold 5\.00 EUR"):
        await baker.request_payment(501, "EUR")


@pytest.mark.parametrize("asked_for", [200, 0])
async def test_requests_shown_side_by_side_do_not_fill_a_device_beyond_its_limit(
    shop: Shop, asked_for: int
) -> None:
    small = Limits(payment_max=200, balance_max=500, hops_max=4)
    amina = await shop.person("amina", 600)
    baker = await shop.person("baker", limits=small)
    asked = [await baker.request_payment(asked_for, "EUR") for _ in range(3)]
    answers = []
    for one in asked:
        paid = await amina.pay(one.frame, amount=None if asked_for else 200)
        got = await baker.receive(await amina.frame_of(paid.id))
        assert got.frame is not None
        answers.append(await amina.receive(got.frame))
    assert [one.kind for one in answers] == [FrameKind.RECEIPT] * 2 + [FrameKind.RETURN]
    assert (await baker.balance())[0].spendable == 400
    assert (await amina.balance())[0].spendable == 200


async def test_value_that_has_changed_hands_often_enough_is_not_offered(shop: Shop) -> None:
    people = [await shop.person("0", 100), *[await shop.person(str(n)) for n in range(1, 6)]]
    for payer, payee in pairwise(people[:5]):
        await give(payer, payee, 100)
    asked = await people[5].request_payment(100, "EUR")
    with pytest.raises(errors.InsufficientFunds, match="changed hands as often as it may"):
        await people[4].pay(asked.frame)


async def test_a_device_whose_certificate_has_ended_goes_online_first(shop: Shop) -> None:
    amina = await shop.person("amina", 600)
    shop.clock.advance(15 * DAY_SECONDS)
    baker = await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    with pytest.raises(errors.CertificateExpired):
        await amina.pay(asked.frame)
    with pytest.raises(errors.CertificateExpired):
        await amina.request_payment(100, "EUR")


async def test_setting_the_clock_back_does_not_revive_what_has_expired(shop: Shop) -> None:
    amina = await shop.person("amina", 600)
    shop.clock.advance(15 * DAY_SECONDS)
    baker = await shop.person("baker", 5)
    await give(baker, amina_renewed(shop, amina), 5)
    shop.clock.set(shop.clock.now() - 30 * DAY_SECONDS)
    assert amina.book.now() >= baker.book.certificate().body.valid_from


def amina_renewed(shop: Shop, wallet: Wallet) -> Wallet:
    shop.issuer.equip(wallet, now=shop.clock.now())
    return wallet


async def test_a_request_may_leave_the_amount_to_the_payer(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(0, "EUR")
    with pytest.raises(errors.InvalidAmount, match="leaves the amount"):
        await amina.pay(asked.frame)
    sent = await amina.pay(asked.frame, amount=123)
    got = await baker.receive(await amina.frame_of(sent.id))
    assert got.exchange is not None
    assert got.exchange.amount == 123


async def test_another_amount_than_asked_is_not_paid(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    with pytest.raises(errors.InvalidAmount, match=r"asks for 1.00 EUR"):
        await amina.pay(asked.frame, amount=99)


async def test_nobody_pays_themselves(shop: Shop) -> None:
    amina = await shop.person("amina", 600)
    asked = await amina.request_payment(100, "EUR")
    with pytest.raises(errors.InvalidRequest, match="your own"):
        await amina.pay(asked.frame)


async def test_a_wallet_that_is_not_enrolled_says_so() -> None:
    entropy = SeededEntropy("new")
    async with await Wallet.create(None, keys=quick_keys(entropy=entropy)) as wallet:
        for attempt in (wallet.request_payment(1, "EUR"), wallet.sync(), wallet.trust()):
            with pytest.raises(errors.NotEnrolled):
                await attempt
        assert await wallet.profile() is None
        assert await wallet.balance() == []


async def test_another_issuers_money_is_refused(shop: Shop) -> None:
    baker = await shop.person("baker")
    stranger = await new_wallet(Issuer("another"), "stranger", 500)
    asked = await baker.request_payment(100, "EUR")
    with pytest.raises(errors.InvalidRequest):
        await stranger.pay(asked.frame)
    await stranger.close()


async def test_messages_are_told_apart(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    with pytest.raises(errors.UnreadableMessage, match="This is a request"):
        await amina.receive(asked.frame)
    sent = await amina.pay(asked.frame)
    with pytest.raises(errors.UnreadableMessage, match="not a request"):
        await baker.pay(await amina.frame_of(sent.id))
    for junk in (b"", b"junk", "TALLY1:?", "hello"):
        with pytest.raises(errors.UnreadableMessage):
            await baker.receive(junk)


async def test_history_names_everything_newest_first(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    paid, receipt = await give(amina, baker, 100)
    await amina.receive(receipt)
    await baker.return_payment(paid.id)
    roles = [(one.role, one.words) for one in await baker.history()]
    assert roles == [
        (Role.RETURN, "returned to the payer"),
        (Role.RECEIVE, "returned to the payer"),
    ]


async def test_the_text_form_works_like_the_bytes(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 600), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR", memo="tea for two")
    text = frames.to_text(asked.frame)
    seen = await amina.inspect(text + "\n")
    assert (seen.payee_name, seen.memo, seen.amount) == ("baker", "tea for two", 100)
    sent = await amina.pay(text)
    got = await baker.receive(frames.to_text(await amina.frame_of(sent.id)))
    assert got.answer is Answer.PAID


# A disk that fills up in the middle: nothing is lost, and what was begun goes on.


async def test_a_reserved_payment_waits_with_the_unconfirmed_ones(shop: Shop) -> None:
    disk = FullAt("signed bytes")
    amina, baker = await shop.person("amina", 600, hook=disk), await shop.person("baker")
    asked = await baker.request_payment(100, "EUR")
    disk.left = 1
    with pytest.raises(errors.StoreFull):
        await amina.pay(asked.frame)
    (waiting,) = await amina.unconfirmed()
    assert (waiting.state, waiting.words) == (State.LOCKED, "ready, not sent")
    assert [(one.spendable, one.unconfirmed) for one in await amina.balance()] == [(500, 100)]
    got = await baker.receive(await amina.frame_of(waiting.id))
    assert got.answer is Answer.PAID


@pytest.mark.parametrize("write", ["payment", "receipt bytes"])
async def test_a_payee_with_a_full_disk_says_nothing_and_can_be_tapped_again(
    shop: Shop, write: str
) -> None:
    disk = FullAt(write)
    amina, baker = await shop.person("amina", 600), await shop.person("baker", hook=disk)
    asked = await baker.request_payment(100, "EUR")
    payment = await amina.frame_of((await amina.pay(asked.frame)).id)
    disk.left = 1
    with pytest.raises(errors.StoreFull):
        await baker.receive(payment)
    got = await baker.receive(payment)
    assert got.answer is Answer.PAID
    assert await held(baker) == 100


async def test_value_whose_payment_is_not_answered_yet_is_not_spent(shop: Shop) -> None:
    disk = FullAt("receipt bytes")
    amina, baker = await shop.person("amina", 600), await shop.person("baker", hook=disk)
    asked = await baker.request_payment(100, "EUR")
    payment = await amina.frame_of((await amina.pay(asked.frame)).id)
    disk.left = 1
    with pytest.raises(errors.StoreFull):
        await baker.receive(payment)
    back = await amina.request_payment(60, "EUR")
    with pytest.raises(errors.ExchangeStateError, match="not answered yet") as refusal:
        await baker.pay(back.frame)
    assert refusal.value.fix is not None
    await baker.frame_of(asked.exchange.id)
    await baker.pay(back.frame)
    assert await held(baker) == 40
    numbers = [one.body.sequence for one in await baker.signed_transfers()]
    assert numbers == [1]


@pytest.mark.parametrize("write", ["reserve", "signed bytes", "state"])
async def test_a_return_that_a_full_disk_stopped_goes_on(shop: Shop, write: str) -> None:
    disk = FullAt(write)
    amina, baker = await shop.person("amina", 600), await shop.person("baker", hook=disk)
    paid, _ = await give(amina, baker, 100)
    disk.left = 1
    with pytest.raises(errors.StoreFull):
        await baker.return_payment(paid.id)
    back = await baker.return_payment(paid.id)
    assert back.answer is Answer.SENT_BACK
    assert await baker.frame_of(paid.id) == back.frame
    assert back.frame is not None
    await amina.receive(back.frame)
    assert (await held(amina), await held(baker)) == (600, 0)


async def test_a_number_that_a_full_disk_took_back_is_used_for_the_next_payment(
    shop: Shop,
) -> None:
    """Also for further keys, whose numbers are counted apart: no gap, no number used twice."""
    disk = FullAt("reserve")
    amina, bo = await shop.person("amina", 600), await shop.person("bo", hook=disk)
    shop.issuer.equip(bo, now=shop.clock.now())  # without a name, so that it asks with other keys
    with bo.book.store.write("further keys") as tx:
        (further,) = bo.book.keyring.make(tx, 1)
        certificate = shop.issuer.certificate(further, now=shop.clock.now())
        keep_certificate(bo.book, tx, check_certificate(bo.book, certificate.envelope))
    asked = await bo.request_payment(100, "EUR")
    assert (await amina.inspect(asked.frame)).payee_key == further.id
    assert (await bo.receive(await amina.frame_of((await amina.pay(asked.frame)).id))).answer
    for amount in (30, 20):
        back = await amina.request_payment(amount, "EUR")
        disk.left = 1
        with pytest.raises(errors.StoreFull):
            await bo.pay(back.frame)
        assert (await amina.receive(await bo.frame_of((await bo.pay(back.frame)).id))).answer
    assert [one.body.sequence for one in await bo.signed_transfers()] == [1, 2]


class AwayKeys(QuickKeys):
    """A key store that is sometimes not there."""

    away = False

    def signer(self, handle: bytes) -> Signer:
        return AwaySigner(self, super().signer(handle))


class AwaySigner:
    def __init__(self, keys: AwayKeys, signer: Signer) -> None:
        self._keys = keys
        self._signer = signer

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        if self._keys.away:
            raise TokenMissing("The token is not in its place.")
        return self._signer.sign(message)


async def test_a_wallet_whose_token_is_away_opens_and_goes_on_when_it_is_back(
    shop: Shop, tmp_path: Path
) -> None:
    entropy = SeededEntropy("token")
    keys = AwayKeys("", entropy=entropy, witness_folder=tmp_path / "state")
    path = tmp_path / "w.db"
    baker = await shop.person("baker")
    async with await Wallet.create(path, keys=keys, clock=shop.clock, entropy=entropy) as amina:
        shop.issuer.equip(amina, 600)
        asked = await baker.request_payment(100, "EUR")
        keys.away = True
        with pytest.raises(TokenMissing):
            await amina.pay(asked.frame)
    async with await Wallet.open(path, keys=keys, clock=shop.clock, entropy=entropy) as amina:
        (waiting,) = await amina.unconfirmed()
        with pytest.raises(TokenMissing):
            await amina.frame_of(waiting.id)
        keys.away = False
        got = await baker.receive(await amina.frame_of(waiting.id))
        assert got.answer is Answer.PAID
        assert not find_forks(await amina.signed_transfers())
