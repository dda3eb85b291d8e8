"""Chains that hang together, and are refused for certificates, limits, times or signatures."""

from collections.abc import Iterator
from dataclasses import replace

from offline_protocol import Chain, Hop, Limits, VoucherLimits
from tests.conformance.generate import world
from tests.conformance.generate.people import (
    ALMA,
    BRUNO,
    CARLA,
    FRESH,
    HOLDER,
    ONE,
    PEOPLE,
    TWO,
    VOUCHER,
    Broken,
    first_second,
    passed_on,
    people,
)
from tests.conformance.generate.world import DAY, ISSUING, SLACK, claim, extend, give_back


def _bad_certificates() -> Iterator[Broken]:
    pay = extend
    yield "no certificate", 421, pay(ONE, ALMA, BRUNO.key, proof=None)
    yield "no certificate at the third hop", 421, pay(TWO, BRUNO, CARLA.key, proof=None)
    yield "no certificate at a return", 421, give_back(ONE, ALMA, proof=None)
    yield "no certificate at a claim", 421, claim(ONE, ALMA, proof=None)
    yield "the payee's certificate", 422, pay(ONE, ALMA, BRUNO.key, proof=BRUNO.certificate)
    yield (
        "another certificate at the first hop",
        422,
        pay(FRESH, HOLDER, ALMA.key, proof=ALMA.certificate),
    )
    yield "another certificate at a claim", 422, claim(ONE, ALMA, proof=BRUNO.certificate)
    for place, (name, proof) in enumerate(
        {
            "of an unknown kid": world.certificate(ALMA.key, kid=b"\x07"),
            "of a settling key": world.certificate(ALMA.key, by=world.SETTLING),
            "by a stranger": world.certificate(
                ALMA.key, by=world.STRANGER, kid=ISSUING.public_key.kid
            ),
            "by another key of the issuer": world.certificate(
                ALMA.key, by=world.ISSUING_P256, kid=ISSUING.public_key.kid
            ),
            "from before its key": world.certificate(ALMA.key, valid_from=world.ROTATED - 1),
            "from after its key": world.certificate(ALMA.key, by=world.ISSUING_BEFORE),
            "by the device itself": world.certificate(
                ALMA.key, by=ALMA.signer, kid=ISSUING.public_key.kid
            ),
        }.items()
    ):
        yield f"a certificate {name}", 423, pay(ONE, ALMA, BRUNO.key, proof=proof)
        if place % 2 == 0:
            yield f"a claim with a certificate {name}", 423, claim(ONE, ALMA, proof=proof)
    forged = world.certificate(HOLDER.key, by=world.STRANGER, kid=ISSUING.public_key.kid)
    yield "a forged certificate that is not needed", 423, pay(FRESH, HOLDER, ALMA.key, proof=forged)
    first, last = ALMA.certificate.body.valid_from, ALMA.certificate.body.valid_to
    early = Chain(world.voucher(HOLDER.key, issued_at=first - DAY))
    taken = extend(early, HOLDER, ALMA.key, proof=None, time=first - DAY)
    yield (
        "a second before the slack of its certificate",
        424,
        pay(taken, ALMA, BRUNO.key, time=first - SLACK - 1),
    )
    yield "a second after its certificate", 424, pay(taken, ALMA, BRUNO.key, time=last + 1)
    yield (
        "a second after a certificate that is not needed",
        424,
        pay(FRESH, HOLDER, ALMA.key, time=HOLDER.certificate.body.valid_to + 1),
    )


def _bad_limits() -> Iterator[Broken]:
    pay = extend
    for most in (1, 2, 7):
        voucher = world.voucher(HOLDER.key, limits=VoucherLimits(most, 50_000))
        yield (
            f"a hop more than the {most} of its voucher",
            416,
            passed_on(PEOPLE, most + 1, voucher=voucher),
        )
    yield "a ninth hop", 416, passed_on(PEOPLE, 9)
    once = Chain(world.voucher(HOLDER.key, limits=VoucherLimits(1, 50_000)))
    again = give_back(extend(once, HOLDER, ALMA.key), ALMA)
    yield "a payment after a return, which stays counted", 416, pay(again, HOLDER, ALMA.key)
    for most in (0, 1):
        proof = world.certificate(ALMA.key, limits=Limits(50_000, 50_000, most))
        yield (
            f"a second hop where a certificate allows {most}",
            425,
            pay(ONE, ALMA, BRUNO.key, proof=proof),
        )
    yield (
        "a first hop where a certificate allows none",
        425,
        pay(
            FRESH,
            HOLDER,
            ALMA.key,
            proof=world.certificate(HOLDER.key, limits=Limits(50_000, 50_000, 0)),
        ),
    )
    small = world.certificate(ALMA.key, limits=Limits(19_999, 50_000, 8))
    yield (
        "a unit more than a certificate allows at once",
        426,
        pay(ONE, ALMA, BRUNO.key, proof=small),
    )
    tight = Chain(world.voucher(HOLDER.key, limits=VoucherLimits(8, 19_999)))
    yield "a unit more than a voucher allows at once", 426, pay(tight, HOLDER, ALMA.key, proof=None)
    yield "a unit more than a voucher allows, with a certificate", 426, pay(tight, HOLDER, ALMA.key)
    yield (
        "a unit more than the holder's certificate allows",
        426,
        pay(
            FRESH,
            HOLDER,
            ALMA.key,
            proof=world.certificate(HOLDER.key, limits=Limits(19_999, 50_000, 8)),
        ),
    )
    back_again = extend(extend(tight, HOLDER, ALMA.key, hi=19_999), ALMA, HOLDER.key)
    wide = extend(
        Chain(world.voucher(HOLDER.key, limits=VoucherLimits(8, 100))), HOLDER, ALMA.key, hi=100
    )
    yield (
        "more than a voucher allows the holder, further down",
        426,
        pay(
            Chain(tight.voucher, (*back_again.hops,)),
            HOLDER,
            BRUNO.key,
            hi=19_999,
            proof=world.certificate(HOLDER.key, limits=Limits(19_998, 50_000, 8)),
        ),
    )
    yield (
        "a payment of one unit where a certificate allows none",
        426,
        pay(
            wide,
            ALMA,
            BRUNO.key,
            lo=0,
            hi=1,
            proof=world.certificate(ALMA.key, limits=Limits(0, 0, 8)),
        ),
    )
    body = VOUCHER.body
    yield (
        "a second before the voucher and the slack",
        427,
        pay(FRESH, HOLDER, ALMA.key, proof=None, time=first_second() - 1),
    )
    yield (
        "a second after spend-by",
        427,
        pay(FRESH, HOLDER, ALMA.key, proof=None, time=body.spend_by + 1),
    )
    yield "a return a second after claim-by", 427, give_back(ONE, ALMA, time=body.claim_by + 1)
    yield "a claim a second after claim-by", 427, claim(ONE, ALMA, time=body.claim_by + 1)
    yield "a claim before the voucher", 427, claim(ONE, ALMA, time=first_second() - 1)
    yield "a return before the voucher", 427, give_back(ONE, ALMA, time=first_second() - 1)
    yield (
        "a payment at the end of time",
        427,
        pay(FRESH, HOLDER, ALMA.key, proof=None, time=2**53 - 1),
    )


def _bad_signatures() -> Iterator[Broken]:
    pay = extend
    yield "signed by the payee", 428, pay(FRESH, HOLDER, ALMA.key, signed_by=ALMA.signer)
    yield "signed by a stranger", 428, pay(ONE, ALMA, BRUNO.key, signed_by=world.STRANGER)
    yield "signed by the owner before", 428, pay(ONE, ALMA, BRUNO.key, signed_by=HOLDER.signer)
    yield "signed by the issuer", 428, pay(ONE, ALMA, BRUNO.key, signed_by=ISSUING)
    yield "a return signed by the payer", 428, give_back(ONE, ALMA, signed_by=HOLDER.signer)
    yield "a claim signed by the owner before", 428, claim(ONE, ALMA, signed_by=HOLDER.signer)
    made = ONE.hops[0].transfer
    for name, envelope in {
        "the last bit of its signature turned": made.envelope[:-1] + bytes([made.envelope[-1] ^ 1]),
        "a signature of zeros": made.envelope[:-64] + bytes(64),
        "another algorithm in its header": made.envelope[:4] + b"\x28" + made.envelope[5:],
    }.items():
        yield name, 428, Chain(VOUCHER, (Hop(replace(made, envelope=envelope)),))
    safe = people("P-256")
    chain = extend(Chain(world.voucher(safe[0].key)), safe[0], safe[1].key)
    yield (
        "a P-256 signature by somebody else",
        428,
        extend(chain, safe[1], safe[2].key, signed_by=safe[0].signer),
    )
    yield (
        "an Ed25519 signature for a P-256 key",
        428,
        extend(chain, safe[1], safe[2].key, signed_by=world.STRANGER),
    )


def refused_chains() -> Iterator[Broken]:
    """Chains in the order of the rules that find them, from 421 on."""
    yield from _bad_certificates()
    yield from _bad_limits()
    yield from _bad_signatures()
