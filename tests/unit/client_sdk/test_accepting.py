"""What a payee takes, is warned of and refuses; and what a wallet knows about who is blocked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from client_sdk import errors
from client_sdk.api.encoding import to_text
from client_sdk.core import State
from client_sdk.flows.accepting import (
    DECLINED,
    LIST_OUTDATED,
    REFUSED_BY_RULES,
    Assessment,
    make_rule,
)
from client_sdk.flows.receiving import Answer
from client_sdk.flows.trusting import (
    IssuerRefused,
    check_voucher,
    epoch_to_name,
    learn_key_set,
    learn_news,
    learn_policy,
    learn_revocation,
)
from client_sdk.testing import DAY_SECONDS, EPOCH, Issuer, SetClock, new_wallet
from client_sdk.transports.memory import linked_pair
from client_sdk.wallet import Wallet
from offline_protocol.acceptance import AcceptanceRule, Verdict
from offline_protocol.cose import seal
from offline_protocol.keys import SoftwareSigner

WARN_OVER_2 = AcceptanceRule(Verdict.WARN, "EUR", amount_over=200)
REFUSE_OVER_5 = AcceptanceRule(Verdict.REFUSE, "EUR", amount_over=500)


class Shop:
    def __init__(self) -> None:
        self.issuer = Issuer()
        self.clock = SetClock()
        self.wallets: list[Wallet] = []

    async def person(self, name: str, *values: int) -> Wallet:
        wallet = await new_wallet(self.issuer, name, *values, clock=self.clock)
        self.wallets.append(wallet)
        return wallet


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    yield made
    for wallet in made.wallets:
        await wallet.close()


async def held(wallet: Wallet) -> int:
    return sum(balance.spendable for balance in await wallet.balance())


async def sent(payer: Wallet, payee: Wallet, amount: int) -> bytes:
    asked = await payee.request_payment(amount, "EUR")
    return await payer.frame_of((await payer.pay(asked.frame)).id)


def news(shop: Shop, **more: Any) -> dict[str, Any]:
    return {"server_time": shop.clock.now(), **more}


# Rules.


async def test_without_rules_every_genuine_payment_is_taken(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    assert await baker.acceptance_rules() == []
    got = await baker.receive(await sent(amina, baker, 900))
    assert got.answer is Answer.PAID


async def test_a_warning_leaves_the_decision_to_the_caller(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    await baker.add_rule(WARN_OVER_2)
    payment = await sent(amina, baker, 250)
    with pytest.raises(errors.PaymentNeedsConfirmation, match=r"over 2\.00 EUR") as question:
        await baker.receive(payment)
    assert question.value.assessment.facts.amount == 250
    assert await held(baker) == 0
    assert baker.book.transfers() == []
    got = await baker.receive(payment, accept_warnings=True)
    assert got.answer is Answer.PAID
    assert await held(baker) == 250
    again = await baker.receive(payment)
    assert again.answer is Answer.PAID_BEFORE


async def test_what_a_person_does_not_want_is_signed_back(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    await baker.add_rule(WARN_OVER_2)
    got = await baker.receive(await sent(amina, baker, 250), give_back=True)
    assert got.answer is Answer.SENT_BACK
    assert got.exchange is not None
    assert got.exchange.refusal == DECLINED
    assert got.frame is not None
    await amina.receive(got.frame)
    assert (await held(amina), await held(baker)) == (900, 0)


async def test_what_the_rules_refuse_is_signed_back_even_if_warnings_are_accepted(
    shop: Shop,
) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    await baker.add_rule(REFUSE_OVER_5)
    got = await baker.receive(await sent(amina, baker, 600), accept_warnings=True)
    assert got.answer is Answer.SENT_BACK
    assert got.exchange is not None
    assert got.exchange.refusal == REFUSED_BY_RULES
    assert got.frame is not None
    await amina.receive(got.frame)
    assert await held(amina) == 900


async def test_own_rules_only_make_the_issuers_stricter(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    assert learn_policy(baker.book, shop.issuer.policy(REFUSE_OVER_5).envelope)
    await baker.add_rule(WARN_OVER_2)
    assert [(view.number, view.words) for view in await baker.acceptance_rules()] == [
        (None, "refuse when the amount is over 5.00 EUR"),
        (1, "warn when the amount is over 2.00 EUR"),
    ]
    got = await baker.receive(await sent(amina, baker, 600))
    assert got.answer is Answer.SENT_BACK
    await baker.remove_rule(1)
    with pytest.raises(errors.InvalidRule):
        await baker.remove_rule(1)
    got = await baker.receive(await sent(amina, baker, 250))
    assert got.answer is Answer.PAID


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (AcceptanceRule(Verdict.WARN, hops_over=1), "changed hands more than 1 times"),
        (AcceptanceRule(Verdict.WARN, certificate_age_over=86_400), "older than 1 day"),
        (AcceptanceRule(Verdict.WARN, revocation_age_over=7_200), "older than 2 hours"),
        (AcceptanceRule(Verdict.WARN, assurance_under=2), "less safely than level 2"),
        (AcceptanceRule(Verdict.WARN, currency="EUR"), "it is in EUR"),
    ],
)
async def test_every_condition_is_judged_and_said_in_words(
    shop: Shop, rule: AcceptanceRule, words: str
) -> None:
    names = ("amina", "baker", "miller")
    amina, baker, miller = [await shop.person(name, 900) for name in names]
    learn_news(miller.book, news(shop), named=0)
    shop.clock.advance(2 * DAY_SECONDS)
    await baker.receive(await sent(amina, baker, 900))
    await miller.add_rule(rule)
    # More than the baker has of its own: value of the second hand is in it.
    payment = await sent(baker, miller, 1_500)
    with pytest.raises(errors.PaymentNeedsConfirmation, match=words):
        await miller.receive(payment)


async def test_rules_that_are_none_are_refused_and_doubles_are_kept_once(shop: Shop) -> None:
    baker = await shop.person("baker")
    with pytest.raises(errors.InvalidRule):
        make_rule(Verdict.WARN)
    with pytest.raises(errors.InvalidRule):
        make_rule(Verdict.WARN, hops_over=-1)
    for _ in range(2):
        await baker.add_rule(make_rule(Verdict.WARN, hops_over=3))
    assert len(await baker.acceptance_rules()) == 1
    for hops in range(10**3, 10**3 + 63):
        await baker.add_rule(make_rule(Verdict.WARN, hops_over=hops))
    with pytest.raises(errors.InvalidRule):
        await baker.add_rule(make_rule(Verdict.WARN, hops_over=7))


async def over_a_link(payer: Wallet, payee: Wallet, amount: int, **options: Any) -> Any:
    asked = await payee.request_payment(amount, "EUR")
    one, two = linked_pair()
    paid, _ = await asyncio.gather(payer.pay(asked.frame, link=one), payee.serve(two, **options))
    return paid


@pytest.mark.parametrize("says", [True, False])
async def test_over_a_connection_a_callback_decides(shop: Shop, *, says: bool) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    await baker.add_rule(WARN_OVER_2)
    asked: list[Assessment] = []

    async def confirm(found: Assessment) -> bool:
        asked.append(found)
        return says

    paid = await over_a_link(amina, baker, 250, confirm=confirm)
    assert len(asked) == 1
    assert paid.state is (State.ACKED if says else State.RETURNED)
    assert paid.refusal == ("" if says else DECLINED)
    assert (await held(amina), await held(baker)) == ((650, 250) if says else (900, 0))


async def test_over_a_connection_with_nobody_there_a_warning_gives_back(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    await baker.add_rule(WARN_OVER_2)
    paid = await over_a_link(amina, baker, 250)
    assert (paid.state, paid.refusal) == (State.RETURNED, DECLINED)
    assert await held(amina) == 900


async def test_over_a_connection_a_refusal_says_why_and_gives_back(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    await baker.add_rule(REFUSE_OVER_5)
    paid = await over_a_link(amina, baker, 600)
    assert (paid.state, paid.refusal) == (State.RETURNED, REFUSED_BY_RULES)
    assert await held(amina) == 900
    assert (await over_a_link(amina, baker, 500)).state is State.ACKED


# Revocation and time.


async def test_a_revoked_payer_is_refused_and_a_revoked_payee_is_not_paid(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker", 900)
    payment = await sent(amina, baker, 100)
    asked = await amina.request_payment(50, "EUR")
    revoked = shop.issuer.revoke(amina.key_id)
    assert learn_revocation(baker.book, revoked.envelope)
    with pytest.raises(errors.PaymentRefused) as refusal:
        await baker.receive(payment)
    assert refusal.value.code == "payment_not_revoked"
    with pytest.raises(errors.InvalidRequest) as refused:
        await baker.pay(asked.frame)
    assert refused.value.code == "request_not_revoked"


async def test_a_wallet_whose_own_key_is_revoked_says_so(shop: Shop) -> None:
    amina = await shop.person("amina", 900)
    assert not (await amina.trust()).blocked
    learn_revocation(amina.book, shop.issuer.revoke(amina.key_id).envelope)
    assert (await amina.trust()).blocked
    with pytest.raises(errors.DeviceBlocked):
        await amina.request_payment(50, "EUR")
    assert await held(amina) == 900


async def test_revocations_come_as_deltas_and_lists_and_only_lead_on(shop: Shop) -> None:
    baker = await shop.person("baker")
    book = baker.book
    first = shop.issuer.revoke(b"a" * 32)
    second = shop.issuer.revoke(b"b" * 32)
    assert not learn_revocation(book, second.envelope), "it begins at an epoch that is not held"
    assert learn_revocation(book, first.envelope)
    assert learn_revocation(book, second.envelope)
    assert not learn_revocation(book, first.envelope)
    assert book.revoked() == {b"a" * 8, b"b" * 8}
    shop.issuer.revoke(b"c" * 32)
    assert learn_revocation(book, shop.issuer.revocation_list().envelope)
    assert book.blocklist.epoch == 3
    assert book.revoked() == {b"a" * 8, b"b" * 8, b"c" * 8}


async def test_what_the_issuer_did_not_sign_is_refused(shop: Shop) -> None:
    baker = await shop.person("baker")
    thief = SoftwareSigner(b"t" * 32)
    delta = seal(shop.issuer.revoke(b"a" * 32).body, thief).envelope
    policy = seal(shop.issuer.policy(WARN_OVER_2).body, thief).envelope
    key_set = seal(shop.issuer.rotate().body, thief).envelope
    with pytest.raises(IssuerRefused):
        learn_revocation(baker.book, delta)
    with pytest.raises(IssuerRefused):
        learn_policy(baker.book, policy)
    with pytest.raises(IssuerRefused):
        learn_key_set(baker.book, key_set)
    with pytest.raises(IssuerRefused):
        learn_news(baker.book, news(shop, acceptance_policy=to_text(policy)), named=0)
    assert baker.book.revoked() == frozenset()


async def test_an_older_policy_changes_nothing(shop: Shop) -> None:
    baker = await shop.person("baker")
    newer = shop.issuer.policy(WARN_OVER_2, version=2)
    assert learn_policy(baker.book, newer.envelope)
    assert not learn_policy(baker.book, newer.envelope)
    assert not learn_policy(baker.book, shop.issuer.policy(REFUSE_OVER_5, version=1).envelope)
    assert [view.rule for view in await baker.acceptance_rules()] == [WARN_OVER_2]


async def test_a_sync_at_which_nothing_is_newer_counts_as_a_list_of_that_moment(
    shop: Shop,
) -> None:
    baker = await shop.person("baker")
    assert baker.book.blocklist.time == 0
    assert not learn_news(baker.book, news(shop), named=0)
    assert baker.book.blocklist.time == shop.clock.now()
    shop.clock.advance(DAY_SECONDS)
    delta = shop.issuer.revoke(b"a" * 32)
    told = {"epoch": 1, "delta": to_text(delta.envelope), "list": None}
    assert not learn_news(baker.book, news(shop, revocations=told), named=0)
    assert baker.book.blocklist.time == shop.clock.now()
    # What another device passes on was the newest when it was signed, and that is all it shows.
    shop.clock.advance(DAY_SECONDS)
    learn_revocation(baker.book, shop.issuer.revoke(b"b" * 32, now=EPOCH + 2 * 86_400).envelope)
    assert baker.book.blocklist.time == EPOCH + 2 * 86_400


async def test_what_does_not_lead_on_makes_the_wallet_ask_for_the_whole(shop: Shop) -> None:
    baker = await shop.person("baker")
    shop.issuer.revoke(b"a" * 32)
    before = shop.issuer.revoked
    shop.issuer.revoke(b"b" * 32)
    learn_revocation(baker.book, shop.issuer.revocation_list().envelope)
    assert epoch_to_name(baker.book) == 2
    shop.issuer.revoke(b"c" * 32)
    stale = {"epoch": 3, "delta": to_text(shop.issuer.delta(before).envelope)}
    assert learn_news(baker.book, news(shop, revocations=stale), named=2)
    assert baker.book.blocklist.time < shop.clock.now() + 1
    whole = {"epoch": 3, "list": to_text(shop.issuer.revocation_list().envelope)}
    assert not learn_news(baker.book, news(shop, revocations=whole), named=0)
    assert baker.book.blocklist.epoch == 3


async def test_a_list_below_the_floor_of_the_key_set_warns(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 900), await shop.person("baker")
    shop.issuer.revoke(b"a" * 32)
    assert learn_key_set(baker.book, shop.issuer.rotate(epoch_floor=1).envelope)
    assert (await baker.trust()).list_outdated
    payment = await sent(amina, baker, 100)
    with pytest.raises(errors.PaymentNeedsConfirmation) as question:
        await baker.receive(payment)
    assert [each.code for each in question.value.assessment.concerns] == [LIST_OUTDATED]
    learn_revocation(baker.book, shop.issuer.revocation_list().envelope)
    assert (await baker.receive(payment)).answer is Answer.PAID


async def test_during_a_rotation_values_under_both_keys_are_taken(shop: Shop) -> None:
    amina, baker = await shop.person("amina", 300), await shop.person("baker")
    shop.issuer.rotate()
    for wallet in (amina, baker):
        assert learn_key_set(wallet.book, shop.issuer.key_set.envelope)
        assert not learn_key_set(wallet.book, shop.issuer.key_set.envelope)
    voucher = shop.issuer.voucher(amina.book.signer.public_key, 300)
    holding = check_voucher(amina.book, voucher.envelope)
    with amina.book.store.write("voucher") as tx:
        amina.book.put_holding(tx, holding)
    cid = await shop.person("cid", 300)
    got = await baker.receive(await sent(amina, baker, 600))
    assert got.answer is Answer.PAID
    assert (await baker.receive(await sent(cid, baker, 300))).answer is Answer.PAID


async def test_a_key_set_that_was_replaced_does_not_come_back(shop: Shop) -> None:
    baker = await shop.person("baker")
    old = shop.issuer.key_set
    learn_key_set(baker.book, shop.issuer.rotate().envelope)
    with pytest.raises(IssuerRefused):
        learn_key_set(baker.book, old.envelope)


async def test_signed_times_move_the_floor_and_no_single_one_bricks_the_wallet(shop: Shop) -> None:
    baker = await shop.person("baker")
    far = EPOCH + 300 * DAY_SECONDS
    learn_revocation(baker.book, shop.issuer.revoke(b"a" * 32, now=EPOCH + 3_600).envelope)
    assert baker.book.time_floor == EPOCH + 3_600
    learn_policy(baker.book, shop.issuer.policy(WARN_OVER_2, now=far).envelope)
    assert baker.book.time_floor == EPOCH + 30 * DAY_SECONDS
    learn_revocation(baker.book, shop.issuer.revoke(b"b" * 32, now=far).envelope)
    assert baker.book.time_floor == EPOCH + 30 * DAY_SECONDS, "repeating it pushes no further"
    with pytest.raises(errors.CertificateExpired):
        await baker.request_payment(50, "EUR")
    learn_news(baker.book, news(shop), named=0)
    assert baker.book.time_floor == EPOCH, "the server's own time sets it right"
    await baker.request_payment(50, "EUR")


async def test_a_clock_that_was_set_back_is_caught_by_a_signed_time(shop: Shop) -> None:
    baker = await shop.person("baker")
    learn_news(baker.book, news(shop), named=0)
    shop.clock.set(EPOCH - 400 * DAY_SECONDS)
    assert baker.book.now() == EPOCH
    learn_revocation(
        baker.book, shop.issuer.revoke(b"a" * 32, now=EPOCH + 20 * DAY_SECONDS).envelope
    )
    assert baker.book.now() == EPOCH + 20 * DAY_SECONDS
