"""Every rule of the list is broken once, and speaks with its own number and name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from offline_protocol.certificates import KeySet, KeyUse
from offline_protocol.chains import Chain, Hop, Payment
from offline_protocol.constants import CLOCK_SLACK_S
from offline_protocol.cose import Signed, seal
from offline_protocol.errors import (
    ChainRefused,
    PaymentRefused,
    ProtocolError,
    ReceiptRefused,
    RequestRefused,
)
from offline_protocol.requests import PaymentRequest
from offline_protocol.rules import About, TrustContext
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.verification import (
    RULES,
    verify_chain,
    verify_payment,
    verify_receipt,
    verify_request,
    verify_return,
)
from tests.factories.protocol import DAY, NOW, SPEND_LIFE, Device, Issuer, entropy, signer_from

REFUSALS = {
    About.REQUEST: RequestRefused,
    About.VOUCHER: ChainRefused,
    About.TRANSFER: ChainRefused,
    About.PAYMENT: PaymentRefused,
    About.RETURN: PaymentRefused,
    About.RECEIPT: ReceiptRefused,
}


class Scene:
    """Alice holds a voucher; she pays Bob, who pays Carol. Everything in it is honest."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.alice, self.bob, self.carol = map(self.issuer.device, ("alice", "bob", "carol"))
        self.context = self.issuer.context
        self.chain = self.issuer.chain(self.alice)
        self.bobs_request = self.bob.request(1_250)
        self.first = self.alice.pay(self.chain, self.bobs_request)
        self.carols_request = self.carol.request(700)
        self.second = self.bob.pay(self.first.chains[0], self.carols_request)

    def to_bob(self, **changes: Any) -> Payment:
        """Alice's payment with other fields in the transfer, properly signed."""
        return Payment((self.relinked(self.first.chains[0], self.alice, **changes),))

    def to_carol(self, **changes: Any) -> Payment:
        return Payment((self.relinked(self.second.chains[0], self.bob, **changes),))

    @staticmethod
    def relinked(chain: Chain, signer: Device, **changes: Any) -> Chain:
        *before, last = chain.hops
        transfer = seal(replace(last.transfer.body, **changes), signer.signer)
        return Chain(chain.voucher, (*before, Hop(transfer, last.certificate)))

    def with_voucher(self, signer: Any = None, **changes: Any) -> Chain:
        """Alice's voucher with other fields, and her payment under it."""
        body = replace(self.chain.voucher.body, **changes)
        voucher = seal(body, signer or self.issuer.issuing)
        return self.alice.hand_over(Chain(voucher), self.bobs_request.body, hi=1_250)

    def recertified(self, **changes: Any) -> Chain:
        """Bob's payment with another certificate of Bob's."""
        first, last = self.second.chains[0].hops
        certificate = self.issuer.certify(self.bob, **changes)
        return Chain(self.chain.voucher, (first, Hop(last.transfer, certificate)))

    def check_first(self, payment: Payment, context: TrustContext | None = None) -> None:
        verify_payment(payment, self.bobs_request.body, context or self.context)

    def check_second(self, payment: Payment, context: TrustContext | None = None) -> None:
        verify_payment(payment, self.carols_request.body, context or self.context)

    def check_chain(self, chain: Chain) -> None:
        verify_chain(chain, self.context)

    def ask(self, context: TrustContext | None = None, signer: Any = None, **changes: Any) -> None:
        """Bob's request with other fields."""
        body = replace(self.bobs_request.body, **changes)
        verify_request(seal(body, signer or self.bob.signer), context or self.context)

    def at(self, now: int, **more: Any) -> TrustContext:
        return replace(self.context, now=now, **more)


def test_an_honest_scene_keeps_every_rule() -> None:
    scene = Scene()
    verify_request(scene.bobs_request, scene.context)
    scene.check_first(scene.first)
    verified = verify_payment(scene.second, scene.carols_request.body, scene.context)
    assert (verified.amount, verified.currency) == (700, "EUR")
    receipt = scene.carol.receipt(scene.second, scene.carols_request.body)
    verify_receipt(receipt, scene.carols_request.body, scene.second.transfer_ids, 700)
    returned = scene.carol.give_back(scene.second.chains[0])
    verify_return(Payment((returned,)), scene.second.transfer_ids, scene.context)
    verify_chain(scene.bob.claim(returned, scene.issuer.settle_key), scene.context)


def _issued(scene: Scene, key_set: KeySet) -> TrustContext:
    return replace(scene.context, key_set=key_set)


def _without_euros(scene: Scene) -> TrustContext:
    return _issued(scene, replace(scene.context.key_set, scales=(("USD", 2),)))


def _claim_then_pay(scene: Scene) -> Chain:
    claimed = scene.bob.claim(scene.first.chains[0], scene.issuer.settle_key)
    after = scene.bob.transfer(claimed.tip_id, 0, 5, scene.carol.key)
    return claimed.extend(after, scene.bob.certificate)


def _five_hops(scene: Scene) -> Chain:
    chain, owner = scene.chain, scene.alice
    for name in "abcde":
        following = scene.issuer.device(name)
        chain = owner.hand_over(chain, following.request(1, nonce=name).body)
        owner = following
    return chain


def _two_vouchers(scene: Scene, amount: int = 1_250, *, sequence: int | None = None) -> Payment:
    chains = []
    for value in (600, amount - 600):
        chain = scene.issuer.chain(scene.alice, value)
        transfer = scene.alice.transfer(
            chain.tip_id,
            0,
            value,
            scene.bob.key,
            request_id=scene.bobs_request.body.request_id,
            sequence=sequence,
        )
        chains.append(chain.extend(transfer))
    return Payment(tuple(chains))


def _overlapping_pieces(scene: Scene) -> Payment:
    body = scene.bobs_request.body
    return Payment(
        (
            scene.alice.hand_over(scene.chain, body, lo=0, hi=700),
            scene.alice.hand_over(scene.chain, body, lo=699, hi=1_249),
        )
    )


def _forked_past(scene: Scene) -> Payment:
    """Bob pays Carol two pieces that do not overlap, out of two of Alice's that do."""
    request = scene.bobs_request.body
    low = scene.alice.hand_over(scene.chain, request, lo=0, hi=1_000)
    high = scene.alice.hand_over(scene.chain, request, lo=500, hi=1_500)
    asked = scene.carols_request.body
    return Payment(
        (
            scene.bob.hand_over(low, asked, lo=0, hi=400),
            scene.bob.hand_over(high, asked, lo=1_200, hi=1_500),
        )
    )


def _return(scene: Scene, **changes: Any) -> Chain:
    return scene.relinked(scene.carol.give_back(scene.second.chains[0]), scene.carol, **changes)


def _claim(scene: Scene, **changes: Any) -> Chain:
    claimed = scene.alice.claim(scene.chain, scene.issuer.settle_key)
    return scene.relinked(claimed, scene.alice, **changes)


def _receipt(scene: Scene, signer: Any = None, **changes: Any) -> None:
    request, payment = scene.bobs_request.body, scene.first
    body = replace(scene.bob.receipt(payment, request).body, **changes)
    verify_receipt(
        seal(body, signer or scene.bob.signer), request, payment.transfer_ids, payment.amount
    )


def _revoked(scene: Scene, identity: bytes) -> TrustContext:
    return replace(scene.context, revoked=frozenset({identity}))


STRANGER = signer_from("stranger")

# Rule name and a way to break it: each must be refused by this rule and by no other.
BREAKS: list[tuple[str, Callable[[Scene], object]]] = [
    ("request_certificate_readable", lambda s: s.ask(certificate=b"\xd2\x80")),
    ("request_certificate_readable", lambda s: s.ask(certificate=s.chain.voucher.envelope)),
    ("request_certificate_of_payee", lambda s: s.ask(certificate=s.carol.certificate.envelope)),
    (
        "request_certificate_issued",
        lambda s: s.ask(certificate=seal(s.bob.certificate.body, STRANGER).envelope),
    ),
    (
        "request_certificate_issued",
        lambda s: s.ask(certificate=s.issuer.certify(s.bob, kid=b"none").envelope),
    ),
    ("request_signed_by_payee", lambda s: s.ask(signer=STRANGER)),
    (
        "request_certificate_current",
        lambda s: s.ask(s.at(s.bob.certificate.body.valid_to + CLOCK_SLACK_S + 1)),
    ),
    (
        "request_certificate_current",
        lambda s: s.ask(s.at(NOW, time_floor=s.bob.certificate.body.valid_to + 121)),
    ),
    (
        "request_certificate_current",
        lambda s: s.ask(s.at(s.bob.certificate.body.valid_from - CLOCK_SLACK_S - 1)),
    ),
    ("request_current", lambda s: s.ask(expires_at=NOW - CLOCK_SLACK_S - 1)),
    ("request_current", lambda s: s.ask(expires_at=NOW + 8 * DAY)),
    ("request_not_revoked", lambda s: s.ask(_revoked(s, s.bob.key.id))),
    ("request_not_revoked", lambda s: s.ask(_revoked(s, s.bob.key.id[:8]))),
    ("request_not_revoked", lambda s: s.ask(_revoked(s, s.issuer.issuing.public_key.id))),
    ("request_currency_known", lambda s: s.ask(currency="USD")),
    ("voucher_key_known", lambda s: s.check_chain(s.with_voucher(kid=b"none"))),
    (
        "voucher_key_known",
        lambda s: s.check_chain(s.with_voucher(issued_at=NOW - 366 * DAY)),
    ),
    (
        "voucher_key_known",
        lambda s: s.check_chain(s.with_voucher(kid=s.issuer.settle_key.kid)),
    ),
    ("voucher_signed", lambda s: s.check_chain(s.with_voucher(STRANGER))),
    ("voucher_currency_known", lambda s: verify_chain(s.chain, _without_euros(s))),
    ("transfer_hangs_together", lambda s: s.check_first(s.to_bob(parent=entropy("elsewhere")))),
    ("transfer_hangs_together", lambda s: s.check_second(s.to_carol(parent=s.chain.tip_id))),
    ("transfer_inside_parent", lambda s: s.check_second(s.to_carol(lo=551, hi=1_251))),
    ("transfer_inside_parent", lambda s: s.check_first(s.to_bob(lo=18_751, hi=20_001))),
    ("transfer_not_after_claim", lambda s: s.check_chain(_claim_then_pay(s))),
    ("transfer_returns_whole", lambda s: s.check_chain(_return(s, hi=699))),
    ("transfer_returns_whole", lambda s: s.check_chain(_return(s, payee=s.alice.key))),
    ("transfer_returns_whole", lambda s: s.check_chain(_return(s, request_id=bytes(16)))),
    (
        "transfer_returns_whole",
        lambda s: s.check_chain(s.to_bob(kind=TransferKind.RETURN).chains[0]),
    ),
    (
        "transfer_returns_whole",
        lambda s: s.check_chain(s.bob.give_back(s.carol.give_back(s.second.chains[0]))),
    ),
    ("transfer_claims_at_issuer", lambda s: s.check_chain(_claim(s, payee=s.bob.key))),
    ("transfer_claims_at_issuer", lambda s: s.check_chain(_claim(s, request_id=b"r" * 16))),
    ("transfer_claims_at_issuer", lambda s: s.check_chain(_claim(s, kind=TransferKind.PAY))),
    (
        "transfer_claims_at_issuer",
        lambda s: s.check_chain(_claim(s, payee=s.issuer.issuing.public_key)),
    ),
    ("transfer_within_voucher_hops", lambda s: s.check_chain(_five_hops(s))),
    (
        "transfer_certificate_present",
        lambda s: s.check_chain(
            Chain(
                s.chain.voucher,
                (s.first.chains[0].hops[0], Hop(s.second.chains[0].hops[1].transfer)),
            )
        ),
    ),
    (
        "transfer_certificate_of_signer",
        lambda s: s.check_chain(
            Chain(
                s.chain.voucher,
                (
                    s.first.chains[0].hops[0],
                    Hop(s.second.chains[0].hops[1].transfer, s.carol.certificate),
                ),
            )
        ),
    ),
    (
        "transfer_certificate_of_signer",
        lambda s: s.check_chain(
            Chain(s.chain.voucher, (Hop(s.first.chains[0].hops[0].transfer, s.bob.certificate),))
        ),
    ),
    ("transfer_certificate_issued", lambda s: s.check_chain(s.recertified(kid=b"none"))),
    (
        "transfer_certificate_issued",
        lambda s: s.check_chain(
            Chain(
                s.chain.voucher,
                (
                    s.first.chains[0].hops[0],
                    Hop(
                        s.second.chains[0].hops[1].transfer,
                        seal(s.bob.certificate.body, STRANGER),
                    ),
                ),
            )
        ),
    ),
    ("transfer_within_certificate", lambda s: s.check_chain(s.recertified(valid_to=NOW - 1))),
    (
        "transfer_within_certificate",
        lambda s: s.check_chain(s.recertified(valid_from=NOW + CLOCK_SLACK_S + 1)),
    ),
    (
        "transfer_within_certificate_hops",
        lambda s: s.check_chain(
            s.recertified(limits=replace(s.bob.certificate.body.limits, hops_max=1))
        ),
    ),
    (
        "transfer_within_payment_limit",
        lambda s: s.check_chain(
            s.recertified(limits=replace(s.bob.certificate.body.limits, payment_max=699))
        ),
    ),
    (
        "transfer_within_payment_limit",
        lambda s: s.check_chain(
            s.with_voucher(limits=replace(s.chain.voucher.body.limits, payment_max=1_249))
        ),
    ),
    ("transfer_in_time", lambda s: s.check_first(s.to_bob(time=NOW - DAY - CLOCK_SLACK_S - 1))),
    ("transfer_in_time", lambda s: s.check_first(s.to_bob(time=NOW - DAY + SPEND_LIFE + 1))),
    (
        "transfer_in_time",
        lambda s: s.check_chain(_claim(s, time=s.chain.voucher.body.claim_by + 1)),
    ),
    (
        "transfer_signed",
        lambda s: s.check_chain(s.relinked(s.first.chains[0], s.bob)),
    ),
    (
        "transfer_signed",
        lambda s: s.check_chain(s.relinked(s.second.chains[0], s.alice)),
    ),
    ("payment_pays", lambda s: s.check_second(Payment((_return(s),)))),
    ("payment_pays", lambda s: s.check_first(Payment((_claim(s),)))),
    ("payment_to_payee", lambda s: s.check_first(s.to_bob(payee=s.carol.key))),
    ("payment_to_payee", lambda s: s.check_second(s.first)),
    ("payment_names_request", lambda s: s.check_first(s.to_bob(request_id=bytes(16)))),
    (
        "payment_names_request",
        lambda s: verify_payment(s.first, s.bob.request(1_250, nonce="next").body, s.context),
    ),
    (
        "payment_in_currency",
        lambda s: s.check_first(
            Payment(
                (
                    s.alice.hand_over(
                        s.issuer.chain(s.alice, 1_250, currency="TRY"), s.bobs_request.body
                    ),
                )
            )
        ),
    ),
    ("payment_pieces_distinct", lambda s: s.check_first(_overlapping_pieces(s))),
    ("payment_pieces_distinct", lambda s: s.check_first(Payment(s.first.chains * 2))),
    ("payment_without_fork", lambda s: s.check_second(_forked_past(s))),
    ("payment_without_clone", lambda s: s.check_first(_two_vouchers(s, sequence=7))),
    ("payment_of_amount", lambda s: s.check_first(s.to_bob(hi=1_249))),
    ("payment_of_amount", lambda s: s.check_first(s.to_bob(hi=1_251))),
    (
        "payment_within_limit",
        lambda s: verify_payment(
            Payment(
                tuple(
                    s.alice.hand_over(s.issuer.chain(s.alice, 30_000), s.bob.request().body)
                    for _ in range(2)
                )
            ),
            s.bob.request().body,
            s.context,
        ),
    ),
    (
        "payment_not_postdated",
        lambda s: s.check_first(s.first, s.at(NOW - CLOCK_SLACK_S - 1)),
    ),
    ("payment_before_expiry", lambda s: s.check_first(s.to_bob(time=NOW + 421), s.at(NOW + 421))),
    (
        "payment_spendable",
        lambda s: s.check_first(s.first, s.at(NOW - DAY + SPEND_LIFE + CLOCK_SLACK_S + 1)),
    ),
    (
        "payment_spendable",
        lambda s: s.check_first(s.first, s.at(NOW, time_floor=NOW + SPEND_LIFE)),
    ),
    ("payment_payer_current", lambda s: s.check_second(s.second, s.at(NOW + 14 * DAY))),
    ("payment_not_revoked", lambda s: s.check_second(s.second, _revoked(s, s.alice.key.id))),
    ("payment_not_revoked", lambda s: s.check_second(s.second, _revoked(s, s.bob.key.id[:8]))),
    ("payment_not_revoked", lambda s: s.check_first(s.first, _revoked(s, s.chain.voucher.id))),
    (
        "payment_not_revoked",
        lambda s: s.check_first(s.first, _revoked(s, s.issuer.issuing.public_key.id)),
    ),
    ("return_returns", lambda s: verify_return(s.second, s.first.transfer_ids, s.context)),
    ("return_of_ours", lambda s: verify_return(Payment((_return(s),)), [], s.context)),
    (
        "return_of_ours",
        lambda s: verify_return(Payment((_return(s),) * 2), s.second.transfer_ids, s.context),
    ),
    ("receipt_names_request", lambda s: _receipt(s, request_id=bytes(16))),
    ("receipt_names_transfers", lambda s: _receipt(s, transfer_ids=(entropy("other"),))),
    (
        "receipt_names_transfers",
        lambda s: _receipt(s, transfer_ids=tuple(sorted((*s.first.transfer_ids, bytes(32))))),
    ),
    ("receipt_of_amount", lambda s: _receipt(s, amount=1_249)),
    ("receipt_signed", lambda s: _receipt(s, STRANGER)),
]


@pytest.mark.parametrize(("name", "break_it"), BREAKS)
def test_breaking_a_rule_is_refused_with_its_number(
    name: str, break_it: Callable[[Scene], object]
) -> None:
    rule = next(rule for rule in RULES if rule.name == name)
    with pytest.raises(ProtocolError) as caught:
        break_it(Scene())
    assert (caught.value.number, caught.value.code) == (rule.number, name)
    assert type(caught.value) is REFUSALS[rule.about]
    assert str(rule.number) in str(caught.value)


def test_every_rule_of_the_list_is_broken_here() -> None:
    assert {name for name, _ in BREAKS} == {rule.name for rule in RULES}


def test_rules_are_numbered_in_the_order_in_which_they_are_tried() -> None:
    numbers = [rule.number for rule in RULES]
    assert numbers == sorted(set(numbers))
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_when_several_rules_are_broken_the_first_speaks() -> None:
    scene = Scene()
    wrong = scene.to_bob(payee=scene.carol.key, request_id=bytes(16), hi=9)
    with pytest.raises(PaymentRefused) as caught:
        scene.check_first(wrong)
    assert caught.value.code == "payment_to_payee"


def _signed_request(scene: Scene, amount: int) -> Signed[PaymentRequest]:
    return scene.bob.request(amount, nonce=amount)


def test_a_request_without_amount_takes_any() -> None:
    scene = Scene()
    request = _signed_request(scene, 0)
    chain = scene.alice.hand_over(scene.chain, request.body, lo=10, hi=11)
    assert verify_payment(Payment((chain,)), request.body, scene.context).amount == 1


def test_touching_pieces_of_one_voucher_pay_together() -> None:
    scene = Scene()
    body = scene.bobs_request.body
    low = scene.alice.hand_over(scene.chain, body, lo=0, hi=700)
    high = scene.alice.hand_over(scene.chain, body, lo=700, hi=1_250)
    scene.check_first(Payment((high, low)))


def test_several_vouchers_pay_one_amount() -> None:
    scene = Scene()
    scene.check_first(_two_vouchers(scene))


def test_the_holder_may_show_a_certificate_and_is_then_held_to_both_limits() -> None:
    scene = Scene()
    transfer = scene.first.chains[0].hops[0].transfer
    certified = Chain(scene.chain.voucher, (Hop(transfer, scene.alice.certificate),))
    scene.check_first(Payment((certified,)))
    poor = scene.issuer.certify(
        scene.alice, limits=replace(scene.alice.certificate.body.limits, payment_max=1)
    )
    with pytest.raises(ChainRefused) as caught:
        scene.check_first(Payment((Chain(scene.chain.voucher, (Hop(transfer, poor),)),)))
    assert caught.value.code == "transfer_within_payment_limit"
    small = replace(scene.chain.voucher.body.limits, payment_max=1_249)
    plain = scene.with_voucher(limits=small)
    shown = Chain(plain.voucher, (Hop(plain.hops[0].transfer, scene.alice.certificate),))
    with pytest.raises(ChainRefused) as caught:
        scene.check_chain(shown)
    assert caught.value.code == "transfer_within_payment_limit"


def test_time_limits_hold_to_the_second() -> None:
    scene = Scene()
    spend_by = scene.chain.voucher.body.spend_by
    claim_by = scene.chain.voucher.body.claim_by
    scene.check_chain(scene.to_bob(time=spend_by).chains[0])
    scene.check_chain(_claim(scene, time=claim_by))
    scene.check_first(scene.first, scene.at(NOW - CLOCK_SLACK_S))
    scene.check_first(scene.first, scene.at(spend_by + CLOCK_SLACK_S))
    scene.ask(expires_at=NOW - CLOCK_SLACK_S)
    scene.check_first(scene.to_bob(time=NOW + 420), scene.at(NOW + 420))


def test_a_return_or_a_claim_outlives_the_certificate() -> None:
    scene = Scene()
    late = scene.carol.certificate.body.valid_to + 1
    returned = scene.carol.give_back(scene.second.chains[0], time=late)
    scene.check_chain(returned)
    scene.check_chain(scene.bob.claim(returned, scene.issuer.settle_key, time=late))


def test_returns_are_not_counted_as_hops() -> None:
    scene = Scene()
    chain, owner = scene.chain, scene.alice
    for name in "abcd":
        following = scene.issuer.device(name)
        chain = owner.hand_over(chain, following.request(nonce=name).body)
        owner = following
    assert chain.hops_used == 4
    returned = owner.give_back(chain)
    assert returned.hops_used == 4
    scene.check_chain(returned)


def test_the_verdict_on_a_chain_does_not_depend_on_the_clock_or_on_what_is_revoked() -> None:
    scene = Scene()
    far = TrustContext(
        scene.context.key_set,
        now=NOW + 1_000 * DAY,
        time_floor=NOW + 2_000 * DAY,
        revoked=frozenset({scene.alice.key.id, scene.chain.voucher.id}),
    )
    verify_chain(scene.second.chains[0], far)


def test_a_retired_settling_key_still_takes_the_claims_of_its_time() -> None:
    scene = Scene()
    key_set = scene.context.key_set
    retired = tuple(
        replace(key, not_after=NOW) if key.use == KeyUse.SETTLE else key for key in key_set.keys
    )
    context = _issued(scene, replace(key_set, keys=retired))
    verify_chain(_claim(scene, time=NOW), context)
    with pytest.raises(ChainRefused) as caught:
        verify_chain(_claim(scene, time=NOW + 1), context)
    assert caught.value.code == "transfer_claims_at_issuer"


def test_the_same_payment_is_judged_the_same_way_again() -> None:
    scene = Scene()
    again = Payment.decode(scene.second.encode())
    scene.check_second(again)
    scene.check_second(again)
    assert again.transfer_ids == scene.second.transfer_ids


def test_signed_transfers_compare_by_content() -> None:
    scene = Scene()
    transfer: Signed[Transfer] = scene.first.chains[0].hops[0].transfer
    assert seal(transfer.body, scene.alice.signer) == transfer
