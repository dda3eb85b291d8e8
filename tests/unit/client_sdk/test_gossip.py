"""Evidence goes from device to device after payments; lies among it harm nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from client_sdk import errors
from client_sdk.core import State
from client_sdk.flows import gossip
from client_sdk.flows.accepting import TOLD_SPENT
from client_sdk.flows.receiving import Answer
from client_sdk.flows.serving import NO_EVIDENCE, Desk
from client_sdk.flows.trusting import (
    check_voucher,
    keep_voucher,
    learn_key_set,
    learn_news,
    learn_policy,
    learn_revocation,
)
from client_sdk.hearsay import FORWARD_DAYS, HEARD_DAYS, HEARD_MAX
from client_sdk.testing import DAY_SECONDS, Issuer, SetClock, new_wallet
from client_sdk.transports.memory import MemoryLink, linked_pair
from client_sdk.views import ExchangeView
from client_sdk.wallet import Wallet
from offline_protocol.acceptance import AcceptanceRule, Verdict
from offline_protocol.chains import Chain, Payment
from offline_protocol.cose import seal, unseal
from offline_protocol.frames import FrameKind, Refusal, pack, unpack
from offline_protocol.fraud import FraudProof, build_fraud_proof, find_forks, verify_fraud_proof
from offline_protocol.gossip import (
    News,
    Spend,
    Tag,
    read_spends,
    read_tags,
    write_spends,
    write_tags,
)
from offline_protocol.keys import SoftwareSigner
from offline_protocol.requests import PaymentRequest
from offline_protocol.transfers import Transfer

ROOM = 32_768


class Town:
    """People of one issuer. Each has value of its own to pay with."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.clock = SetClock()
        self.wallets: dict[str, Wallet] = {}
        self.cheats: set[str] = set()

    async def person(self, name: str, value: int = 10_000) -> Wallet:
        wallet = await new_wallet(self.issuer, name, value, clock=self.clock)
        self.wallets[name] = wallet
        return wallet

    async def people(self, *names: str) -> list[Wallet]:
        return [await self.person(name) for name in names]

    async def pay_again(self, cheat: Wallet, payee: Wallet, earlier: bytes) -> bytes:
        """The units of an earlier payment once more, for another payee: what a rollback makes."""
        (chain,) = Payment.decode(unpack(earlier)[1]).chains
        before = chain.hops[-1].transfer.body
        asked = await payee.request_payment(before.amount, "EUR")
        request = unseal(PaymentRequest, unpack(asked.frame)[1]).body
        again = replace(
            before,
            payee=request.payee,
            request_id=request.request_id,
            time=self.clock.now(),
            sequence=before.sequence + 100,
        )
        chain = Chain(chain.voucher, chain.hops[:-1])
        signed = seal(again, cheat.book.signer_of(chain.owner))
        certificate = cheat.book.certificate() if chain.hops else None
        payment = Payment((chain.extend(signed, certificate),))
        return pack(FrameKind.PAYMENT, payment.encode())


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    made = Town()
    yield made
    cheats = {made.wallets[name].key_id for name in made.cheats}
    for wallet in made.wallets.values():
        for row in wallet.book.store.rows("revoked"):
            assert row.key in cheats, "an honest key was convicted"
        for frame in await wallet.fraud_proofs():
            verify_fraud_proof(FraudProof.decode(unpack(frame)[1]), wallet.book.key_set())
        assert not find_forks(await wallet.signed_transfers())
        await wallet.close()


async def meet(payer: Wallet, payee: Wallet, amount: int = 10) -> ExchangeView:
    """Pay over a connection, and exchange evidence."""
    asked = await payee.request_payment(amount, "EUR")
    one, two = linked_pair()
    paid, _ = await asyncio.gather(payer.pay(asked.frame, link=one), payee.serve(two))
    return paid


async def by_code(payer: Wallet, payee: Wallet, amount: int) -> bytes:
    """Pay without a connection; gives the payment."""
    asked = await payee.request_payment(amount, "EUR")
    sent = await payer.frame_of((await payer.pay(asked.frame)).id)
    assert (await payee.receive(sent)).answer is Answer.PAID
    return sent


def convicted(wallet: Wallet) -> set[bytes]:
    return {row.key for row in wallet.book.store.rows("revoked")}


# What travels.


@pytest.mark.parametrize("payer_knows", [True, False])
async def test_keys_revocations_and_rules_travel_both_ways(
    town: Town, *, payer_knows: bool
) -> None:
    amina, baker = await town.people("amina", "baker")
    knows, learns = (amina, baker) if payer_knows else (baker, amina)
    learn_key_set(knows.book, town.issuer.rotate().envelope)
    learn_revocation(knows.book, town.issuer.revoke(b"x" * 32).envelope)
    learn_revocation(knows.book, town.issuer.revoke(b"y" * 32).envelope)
    rule = AcceptanceRule(Verdict.REFUSE, hops_over=7)
    learn_policy(knows.book, town.issuer.policy(rule).envelope)
    assert (await meet(amina, baker)).state is State.ACKED
    assert learns.book.key_set() == knows.book.key_set()
    assert learns.book.blocklist.listed() == knows.book.blocklist.listed()
    assert learns.book.blocklist.trail() == knows.book.blocklist.trail()
    assert [view.rule for view in await learns.acceptance_rules()] == [rule]


async def test_a_revocation_reaches_who_never_met_its_source(town: Town) -> None:
    people = await town.people("amina", "baker", "cid", "dan")
    eve = await town.person("eve")
    learn_revocation(people[0].book, town.issuer.revoke(eve.key_id).envelope)
    for payer, payee in pairwise(people):
        await meet(payer, payee)
    asked = await people[-1].request_payment(10, "EUR")
    sent = await eve.frame_of((await eve.pay(asked.frame)).id)
    with pytest.raises(errors.PaymentRefused) as refusal:
        await people[-1].receive(sent)
    assert refusal.value.code == "payment_not_revoked"


async def test_the_request_names_the_epoch_that_is_held(town: Town) -> None:
    baker = await town.person("baker")
    learn_revocation(baker.book, town.issuer.revoke(b"x" * 32).envelope)
    asked = await baker.request_payment(10, "EUR")
    assert unseal(PaymentRequest, unpack(asked.frame)[1]).body.epoch == 1


async def test_what_a_key_signed_that_is_not_known_yet_is_passed_over(town: Town) -> None:
    """There is no room for the new key set, and the deltas come without it."""
    amina, baker = await town.people("amina", "baker")
    for _ in range(4):
        learn_key_set(amina.book, town.issuer.rotate().envelope)
    learn_revocation(amina.book, town.issuer.revoke(b"x" * 32).envelope)
    for room, epoch in ((512, 0), (ROOM, 1)):
        asked = await baker.request_payment(10, "EUR")
        one, two = linked_pair()
        link = Recorder(one, evidence_bytes=room)
        await asyncio.gather(amina.pay(asked.frame, link=link), baker.serve(two))
        assert link.sent[-1][0] is FrameKind.WANT, "the talk went on to its end"
        assert baker.book.blocklist.epoch == epoch


async def double_spend(town: Town) -> tuple[Wallet, Wallet, Wallet]:
    """Eve pays the same units to Bob and to Cid."""
    eve, bob, cid = await town.people("eve", "bob", "cid")
    town.cheats.add("eve")
    sent = await by_code(eve, bob, 250)
    assert (await cid.receive(await town.pay_again(eve, cid, sent))).answer is Answer.PAID
    return eve, bob, cid


@pytest.mark.parametrize("bob_pays", [True, False])
async def test_two_victims_who_meet_make_the_proof_on_the_spot_and_both_have_it(
    town: Town, *, bob_pays: bool
) -> None:
    eve, bob, cid = await double_spend(town)
    await (meet(bob, cid) if bob_pays else meet(cid, bob))
    assert convicted(bob) == convicted(cid) == {eve.key_id}


async def test_a_fork_further_up_is_found_by_those_below(town: Town) -> None:
    eve, bob, cid = await double_spend(town)
    dan, fay = await town.people("dan", "fay")
    for victim, friend in ((bob, dan), (cid, fay)):
        # All that the victim has, so that the value of the fork is in it.
        await by_code(victim, friend, 10_250)
    await meet(dan, fay)
    assert convicted(dan) == convicted(fay) == {eve.key_id}


async def test_a_proof_travels_on_and_its_key_is_refused(town: Town) -> None:
    eve, bob, cid = await double_spend(town)
    dan, fay = await town.people("dan", "fay")
    await meet(bob, cid)
    await meet(cid, dan)
    await meet(dan, fay)
    assert convicted(fay) == {eve.key_id}
    assert len(await fay.fraud_proofs()) == 1
    asked = await fay.request_payment(10, "EUR")
    sent = await eve.frame_of((await eve.pay(asked.frame)).id)
    with pytest.raises(errors.PaymentRefused):
        await fay.receive(sent)


async def test_a_bare_tag_makes_a_payee_ask_and_no_more(town: Town) -> None:
    eve, bob, dan = await town.people("eve", "bob", "dan")
    town.cheats.add("eve")
    sent = await by_code(eve, bob, 250)
    await meet(bob, dan)
    again = await town.pay_again(eve, dan, sent)
    with pytest.raises(errors.PaymentNeedsConfirmation) as question:
        await dan.receive(again)
    assert [each.code for each in question.value.assessment.concerns] == [TOLD_SPENT]
    assert (await dan.receive(again, accept_warnings=True)).answer is Answer.PAID
    await meet(dan, bob)
    assert convicted(dan) == convicted(bob) == {eve.key_id}


async def test_hearsay_goes_on_from_device_to_device_for_some_days(town: Town) -> None:
    eve, bob, dan, fay, gil = await town.people("eve", "bob", "dan", "fay", "gil")
    town.cheats.add("eve")
    sent = await by_code(eve, bob, 250)
    await meet(bob, dan)
    await meet(dan, fay)
    with pytest.raises(errors.PaymentNeedsConfirmation):
        await fay.receive(await town.pay_again(eve, fay, sent))
    town.clock.advance(FORWARD_DAYS * DAY_SECONDS)
    await meet(dan, gil)
    assert (await gil.receive(await town.pay_again(eve, gil, sent))).answer is Answer.PAID


async def test_honest_value_that_went_on_is_no_reason_to_ask(town: Town) -> None:
    amina, bob, cid = await town.people("amina", "bob", "cid")
    await meet(amina, bob, 300)
    await meet(bob, cid, 10)  # Cid hears of what Amina paid to Bob
    await meet(cid, bob, 5)
    for number in range(3):
        asked = await cid.request_payment(10_000 if number == 0 else 50, "EUR")
        sent = await bob.frame_of((await bob.pay(asked.frame)).id)
        assert (await cid.receive(sent)).answer is Answer.PAID
        await meet(cid, bob, 7_000 if number == 0 else 20)


async def test_a_shared_past_is_asked_about_once(town: Town) -> None:
    amina, bob, cid = await town.people("amina", "bob", "cid")
    await by_code(amina, bob, 300)
    await by_code(bob, cid, 10_300)
    wanted = []
    for _ in range(3):
        one, two = linked_pair()
        asked = await bob.request_payment(5, "EUR")
        seen = Recorder(one)
        await asyncio.gather(cid.pay(asked.frame, link=seen), bob.serve(two))
        wanted.append(sum(len(tags) for tags in seen.wants))
    assert wanted[0] > 0
    assert wanted[1:] == [0, 0]


async def test_who_does_not_share_tags_tells_none(town: Town) -> None:
    _, bob, cid = await double_spend(town)
    for wallet in (bob, cid):
        assert wallet.shares_tags
        await wallet.set_share_tags(share=False)
    await meet(bob, cid)
    assert convicted(bob) == convicted(cid) == set()
    await bob.set_share_tags(share=True)
    await meet(bob, cid)
    assert len(convicted(bob)) == 1


class Recorder:
    """A link that remembers what was asked for; its room for evidence can be chosen."""

    def __init__(self, link: MemoryLink, *, evidence_bytes: int = ROOM) -> None:
        self.evidence_bytes = evidence_bytes
        self.link = link
        self.sent: list[tuple[FrameKind, int]] = []
        self.wants: list[tuple[Tag, ...]] = []

    async def send(self, frame: bytes) -> None:
        self._note(frame)
        self.sent.append((unpack(frame)[0], len(frame)))
        await self.link.send(frame)

    async def receive(self) -> bytes:
        frame = await self.link.receive()
        self._note(frame)
        return frame

    async def close(self) -> None:
        await self.link.close()

    def _note(self, frame: bytes) -> None:
        kind, body = unpack(frame)
        if kind is FrameKind.WANT:
            self.wants.append(read_tags(body, most=16))


@pytest.mark.parametrize("room", [0, 511, 512, 2_048, ROOM])
async def test_each_connection_carries_as_much_evidence_as_it_has_room_for(
    town: Town, room: int
) -> None:
    _, bob, cid = await double_spend(town)
    for number in range(60):
        learn_revocation(bob.book, town.issuer.revoke(bytes([number]) * 32).envelope)
    asked = await cid.request_payment(5, "EUR")
    one, two = linked_pair()
    link = Recorder(one, evidence_bytes=room)
    await asyncio.gather(bob.pay(asked.frame, link=link), cid.serve(two))
    sent = sum(size for kind, size in link.sent if kind is not FrameKind.PAYMENT)
    assert sent <= (room if room >= 512 else 0)
    assert bool(sent) is (room >= 512)
    assert bool(convicted(bob)) is (room >= 512)


# Failures of all this never reach the payment.


class Deaf:
    """A peer that confirms the payment and then does something else."""

    def __init__(self, link: MemoryLink, *then: bytes, ends: bool) -> None:
        self.link, self.then, self.ends = link, then, ends

    async def answer(self, payee: Wallet) -> None:
        got = await payee.receive(await self.link.receive())
        assert got.frame is not None
        await self.link.send(got.frame)
        for frame in self.then:
            await self.link.send(frame)
        if self.ends:
            await self.link.close()


NEWS = pack(FrameKind.NEWS, News(0, 1, 0, ROOM).encode())
NOISE = [
    b"",
    b"\x01",
    b"\x01\x08",
    pack(FrameKind.NEWS, b"\xff" * 40),
    pack(FrameKind.NEWS, News(0, 1, 0, 0).encode()),
    pack(FrameKind.TAGS, write_tags([])),
    pack(FrameKind.RECORDS, b"\x98\xff"),
    pack(FrameKind.REFUSAL, Refusal(100, "no").encode()),
    pack(FrameKind.KEY_SET, b"\x84" * 100),
    pack(FrameKind.PAYMENT, b"\x80"),
    bytes(32_000),
]


@pytest.mark.parametrize("noise", NOISE, ids=range(len(NOISE)))
async def test_a_payment_stands_whatever_the_payee_sends_after_the_receipt(
    town: Town, noise: bytes
) -> None:
    amina, baker = await town.people("amina", "baker")
    for then in ((noise,), (NEWS, noise), (NEWS, pack(FrameKind.TAGS, write_tags([])), noise)):
        asked = await baker.request_payment(10, "EUR")
        one, two = linked_pair()
        peer = Deaf(two, *then, ends=True)
        paid, _ = await asyncio.gather(amina.pay(asked.frame, link=one), peer.answer(baker))
        assert paid.state is State.ACKED


async def test_a_payee_that_falls_silent_keeps_nobody_waiting_for_long(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "TALK_SECONDS", 0.01)
    amina, baker = await town.people("amina", "baker")
    asked = await baker.request_payment(10, "EUR")
    one, two = linked_pair()
    peer = Deaf(two, ends=False)
    paid, _ = await asyncio.gather(amina.pay(asked.frame, link=one), peer.answer(baker))
    assert paid.state is State.ACKED


async def pay_by_hand(
    payer: Wallet, payee: Wallet, then: Callable[[MemoryLink], Awaitable[Any]]
) -> tuple[Any, bool]:
    """Pay over a connection and go on as one likes; also whether the payee saw a clean end."""
    asked = await payee.request_payment(10, "EUR")
    payment = await payer.frame_of((await payer.pay(asked.frame)).id)
    one, two = linked_pair()

    async def go() -> Any:
        await one.send(payment)
        assert unpack(await one.receive())[0] is FrameKind.RECEIPT
        done = await then(one)
        await one.close()
        return done

    desk = Desk(payee.book, payee._payee, two)
    done, clean = await asyncio.gather(go(), desk.run())
    return done, clean


@pytest.mark.parametrize("noise", NOISE, ids=range(len(NOISE)))
async def test_a_payee_answers_noise_with_a_refusal_and_serves_on(town: Town, noise: bytes) -> None:
    mallory, baker = await town.people("mallory", "baker")

    async def then(link: MemoryLink) -> bytes:
        await link.send(NEWS)
        await link.receive()
        await link.send(noise)
        answers = []
        for _ in range(2):
            await link.send(pack(FrameKind.WANT, write_tags([])))
            answers.append(await link.receive())
        return answers[-1]

    answer, clean = await pay_by_hand(mallory, baker, then)
    assert unpack(answer)[0] in {FrameKind.REFUSAL, FrameKind.TAGS, FrameKind.WANT}
    assert clean
    assert (await meet(mallory, baker)).state is State.ACKED


async def test_strangers_who_have_not_paid_get_no_evidence(town: Town) -> None:
    baker = await town.person("baker")
    one, two = linked_pair()
    serving = asyncio.create_task(baker.serve(two))
    await one.send(NEWS)
    kind, body = unpack(await one.receive())
    await one.close()
    await serving
    assert (kind, Refusal.decode(body).code) == (FrameKind.REFUSAL, NO_EVIDENCE)


async def test_a_full_disk_in_the_talk_is_no_trouble_for_the_payment(town: Town) -> None:
    _, bob, cid = await double_spend(town)

    def full(name: str) -> None:
        if name in {"before tags", "before gossip", "before fraud proof"}:
            raise errors.StoreFull("The disk is full.")

    for wallet in (bob, cid):
        wallet.book.store._hook = full
    paid = await meet(bob, cid)
    for wallet in (bob, cid):
        wallet.book.store._hook = None
    assert paid.state is State.ACKED


# Lies.


async def talk_as(mallory: Wallet, victim: Wallet, *frames: bytes) -> list[bytes]:
    """Pay honestly, then say this in the talk; what is answered, NEWS first."""

    async def then(link: MemoryLink) -> list[bytes]:
        answers = []
        await link.send(NEWS)
        answers.append(await link.receive())
        ends = {
            FrameKind.TAGS: {FrameKind.WANT, FrameKind.REFUSAL},
            FrameKind.WANT: {FrameKind.RECORDS, FrameKind.REFUSAL},
        }
        for frame in frames:
            await link.send(frame)
            last = ends.get(unpack(frame)[0], set())
            while last:
                answers.append(await link.receive())
                if unpack(answers[-1])[0] in last:
                    break
        return answers

    answers: list[bytes] = (await pay_by_hand(mallory, victim, then))[0]
    return answers


async def test_a_forged_tag_can_neither_convict_nor_keep_anybody_from_paying(town: Town) -> None:
    mallory, amina, baker = await town.people("mallory", "amina", "baker")
    asked = await baker.request_payment(300, "EUR")
    sent = await amina.frame_of((await amina.pay(asked.frame)).id)
    (chain,) = Payment.decode(unpack(sent)[1]).chains
    lie = Tag(chain.voucher.id[:8], 0, 10_000)
    await talk_as(mallory, baker, pack(FrameKind.TAGS, write_tags([lie])))
    with pytest.raises(errors.PaymentNeedsConfirmation):
        await baker.receive(sent)
    one, two = linked_pair()
    payment = (await amina.unconfirmed())[0]
    paid, _ = await asyncio.gather(amina.resend(payment.id, one), baker.serve(two))
    assert paid.state is State.ACKED, "with nobody to ask, hearsay does not count"
    for wallet in (amina, baker):
        assert convicted(wallet) == set()
    assert (await meet(baker, amina, 5_000)).state is State.ACKED


async def test_forged_records_convict_nobody(town: Town) -> None:
    """Mallory signs "Amina's" second transfer herself, under every name that she can get."""
    mallory, amina, baker = await town.people("mallory", "amina", "baker")
    sent = await by_code(amina, baker, 250)
    (chain,) = Payment.decode(unpack(sent)[1]).chains
    theirs = chain.hops[-1].transfer.body
    forged = replace(theirs, hi=theirs.hi + 1, sequence=theirs.sequence + 1)
    signed = seal(forged, mallory.book.signer)
    for named in (chain.voucher, amina.book.certificate(), mallory.book.certificate()):
        records = write_spends([Spend(signed, named)])
        answers = await talk_as(
            mallory,
            baker,
            pack(FrameKind.TAGS, write_tags([Tag.of(forged)])),
            pack(FrameKind.RECORDS, records),
            pack(FrameKind.WANT, write_tags([])),
        )
        assert unpack(answers[-1])[0] is FrameKind.RECORDS
        assert convicted(baker) == set()
    assert (await meet(amina, baker)).state is State.ACKED


async def test_a_forged_proof_ends_the_talk(town: Town) -> None:
    mallory, amina, baker = await town.people("mallory", "amina", "baker")
    voucher = town.issuer.voucher(amina.book.signer.public_key, 100)
    thief = SoftwareSigner(b"t" * 32)
    first, second = (
        seal(Transfer(voucher.id, 0, hi, baker.book.signer.public_key, bytes(16), hi, 1), thief)
        for hi in (10, 20)
    )
    forged = build_fraud_proof(first, second, voucher=voucher)
    answers = await talk_as(
        mallory,
        baker,
        pack(FrameKind.FRAUD_PROOF, forged.encode()),
        pack(FrameKind.TAGS, write_tags([])),
    )
    assert FrameKind.REFUSAL in {unpack(frame)[0] for frame in answers}
    assert convicted(baker) == set()


def many_tags(start: int, count: int = 256) -> bytes:
    numbers = range(start, start + count)
    tags = [Tag(number.to_bytes(8, "big"), 0, 1) for number in numbers]
    return pack(FrameKind.TAGS, write_tags(tags))


def heard(wallet: Wallet) -> int:
    return len(wallet.book.store.rows("heard"))


async def test_one_peer_fills_no_more_than_its_share_of_a_day(town: Town) -> None:
    mallory, baker = await town.people("mallory", "baker")
    for number in range(8):
        await talk_as(mallory, baker, many_tags(1_000 * number))
    assert heard(baker) == gossip.PEER_TAGS_PER_DAY
    town.clock.advance(DAY_SECONDS)
    await talk_as(mallory, baker, many_tags(50_000))
    assert heard(baker) == gossip.PEER_TAGS_PER_DAY + 256


async def test_one_peer_gets_no_more_than_its_bytes_of_a_day(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "PEER_BYTES_PER_DAY", 10_000)
    mallory, baker, amina = await town.people("mallory", "baker", "amina")
    kinds = [
        unpack((await talk_as(mallory, baker, many_tags(1_000 * number)))[0])[0]
        for number in range(5)
    ]
    assert kinds[0] is FrameKind.NEWS
    assert kinds[-1] is FrameKind.REFUSAL
    answers = await talk_as(amina, baker)
    assert unpack(answers[0])[0] is FrameKind.NEWS, "others are not kept out"


async def test_what_is_heard_is_limited_in_all_and_forgotten(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "PEER_TAGS_PER_DAY", 10**9)
    mallory, baker = await town.people("mallory", "baker")
    hearsay, store = baker.book.hearsay, baker.book.store
    today = baker.book.now() // DAY_SECONDS
    for start in range(0, HEARD_MAX + 512, 256):
        tags = [Tag(number.to_bytes(8, "big"), 0, 1) for number in range(start, start + 256)]
        with store.write("tags") as tx:
            hearsay.hear(tx, tags, mallory.key_id, today, most=256)
    assert heard(baker) == HEARD_MAX
    assert store.linked("heard", (0).to_bytes(8, "big")) == []
    town.clock.advance((HEARD_DAYS + 1) * DAY_SECONDS)
    with store.write("prune") as tx:
        hearsay.prune(tx, baker.book.now() // DAY_SECONDS)
    assert heard(baker) == 0
    assert mallory.book.store.rows("heard") == []


async def test_an_old_tag_warns_of_nothing_though_nobody_tidied_up(town: Town) -> None:
    amina, baker, mallory = await town.people("amina", "baker", "mallory")
    asked = await baker.request_payment(250, "EUR")
    sent = await amina.frame_of((await amina.pay(asked.frame)).id)
    payment = Payment.decode(unpack(sent)[1])
    today = baker.book.now() // DAY_SECONDS
    told = Tag.of(payment.chains[0].hops[-1].transfer.body)._replace(lo=0, hi=9_999)
    with baker.book.store.write("tags") as tx:
        baker.book.hearsay.hear(tx, [told], mallory.key_id, today, most=1)
    assert baker.book.hearsay.told_of(payment, today + HEARD_DAYS)
    assert not baker.book.hearsay.told_of(payment, today + HEARD_DAYS + 1)


async def test_what_was_seen_is_forgotten_when_its_voucher_is_closed(town: Town) -> None:
    amina, baker = await town.people("amina", "baker")
    await by_code(amina, baker, 250)
    store, hearsay = baker.book.store, baker.book.hearsay
    claim_by = baker.book.transfers()[0].body.time + 44 * DAY_SECONDS
    for day, left in ((claim_by // DAY_SECONDS, 1), (claim_by // DAY_SECONDS + 1, 0)):
        with store.write("prune") as tx:
            hearsay.prune(tx, day)
        assert len(store.rows("seen")) == left


async def test_one_proof_about_a_key_is_kept_and_not_a_thousand(town: Town) -> None:
    eve, baker = await town.people("eve", "baker")
    town.cheats.add("eve")
    voucher = town.issuer.voucher(eve.book.signer.public_key, 10_000)
    transfers = [
        seal(
            Transfer(voucher.id, 0, hi, baker.book.signer.public_key, bytes(16), hi, 1),
            eve.book.signer,
        )
        for hi in range(1, 25)
    ]
    proofs = [
        pack(FrameKind.FRAUD_PROOF, build_fraud_proof(one, two, voucher=voucher).encode())
        for one, two in pairwise(transfers)
    ]
    await talk_as(eve, baker, *proofs, many_tags(0, 0))
    assert convicted(baker) == {eve.key_id}
    assert len(await baker.fraud_proofs()) == 1


async def test_nobody_is_told_the_records_behind_tags_that_were_not_told(town: Town) -> None:
    mallory, amina, baker = await town.people("mallory", "amina", "baker")
    sent = await by_code(amina, baker, 250)
    (chain,) = Payment.decode(unpack(sent)[1]).chains
    tag = Tag.of(chain.hops[-1].transfer.body)
    await baker.set_share_tags(share=False)
    answers = await talk_as(
        mallory,
        baker,
        pack(FrameKind.TAGS, write_tags([])),
        pack(FrameKind.RECORDS, write_spends([])),
        pack(FrameKind.WANT, write_tags([tag])),
    )
    answered = dict(unpack(frame) for frame in answers)
    assert read_tags(answered[FrameKind.TAGS], most=256) == ()
    assert read_spends(answered[FrameKind.RECORDS]) == ()


async def test_talks_at_the_same_time_count_for_a_day_together(town: Town) -> None:
    """Else a peer could keep one connection open and forget what came by the others."""
    mallory, baker = await town.people("mallory", "baker")
    link, _ = linked_pair()

    def talk(start: int) -> gossip.Talk:
        opened = gossip.open_talk(baker.book, link, mallory.key_id, leads=False)
        assert opened is not None
        opened.take(NEWS)
        assert opened.take(many_tags(start))
        return opened

    room, tags = gossip.Meter.of(baker.book).left(mallory.key_id)
    talks = [talk(1_000 * number) for number in range(3)]
    for each in talks:
        each.close()
    assert heard(baker) == 3 * 256
    left = gossip.Meter.of(baker.book).left(mallory.key_id)
    assert (left[0] < room - 3 * 256 * 10, left[1]) == (True, 0)
    assert tags == gossip.PEER_TAGS_PER_DAY
    talk(50_000).close()
    assert heard(baker) == 3 * 256


async def test_one_proof_is_kept_however_many_a_cheat_lets_others_find(town: Town) -> None:
    eve, bob, mallory = await town.people("eve", "bob", "mallory")
    town.cheats.add("eve")
    sent = await by_code(eve, bob, 250)
    (chain,) = Payment.decode(unpack(sent)[1]).chains
    first = chain.hops[-1].transfer.body
    for meeting in range(3):
        rivals = [
            seal(replace(first, hi=first.hi + 1 + 10 * meeting + n, sequence=99), eve.book.signer)
            for n in range(8)
        ]
        answers = await talk_as(
            mallory,
            bob,
            pack(FrameKind.TAGS, write_tags([Tag.of(each.body) for each in rivals])),
            pack(FrameKind.RECORDS, write_spends([Spend(each, chain.voucher) for each in rivals])),
            pack(FrameKind.WANT, write_tags([])),
        )
        kinds = [unpack(frame)[0] for frame in answers]
        assert kinds.count(FrameKind.FRAUD_PROOF) >= 1, "who brought them is told"
    assert convicted(bob) == {eve.key_id}
    assert len(await bob.fraud_proofs()) == 1


async def test_a_voucher_for_a_hundred_years_and_more_is_money_too(town: Town) -> None:
    amina, baker = await town.people("amina", "baker")
    voucher = town.issuer.voucher(amina.book.signer.public_key, 77_000, spend_days=60_000)
    holding = check_voucher(amina.book, voucher.envelope)
    with amina.book.store.write("vouchers") as tx:
        keep_voucher(amina.book, tx, holding)
    assert (await meet(amina, baker, 50_000)).state is State.ACKED


async def test_a_whole_list_does_not_displace_the_pieces_that_can_be_passed_on(town: Town) -> None:
    baker = await town.person("baker")
    for identity in (b"x", b"y"):
        learn_revocation(baker.book, town.issuer.revoke(identity * 32).envelope)
    before = baker.book.blocklist.trail()
    assert len(before.pieces) == 2
    later = town.issuer.revocation_list(now=town.clock.now() + 60)
    assert learn_revocation(baker.book, later.envelope)
    assert baker.book.blocklist.trail() == before
    assert baker.book.blocklist.time == town.clock.now() + 60
    assert learn_revocation(baker.book, later.envelope, now=town.clock.now() + 90)
    assert len(baker.book.blocklist.trail().pieces) == 1, "the issuer's answer to a sync counts"


async def test_a_server_clock_that_was_wrong_once_does_not_keep_a_list_young(town: Town) -> None:
    baker = await town.person("baker")
    learn_revocation(baker.book, town.issuer.revoke(b"x" * 32).envelope)
    now = town.clock.now()
    for said in (now + 3_650 * DAY_SECONDS, now):
        learn_news(baker.book, {"server_time": said}, named=1)
        assert baker.book.blocklist.time == said
    assert baker.book.now() <= now
