"""Acceptance policies, and what they say about payments."""

from dataclasses import replace
from typing import Any

from offline_protocol import AcceptancePolicy, AcceptanceRule, Chain, Payment, Signed, Signer, seal
from offline_protocol.acceptance import Verdict
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import DAY, ISSUING, NOW, ROOT, YEAR


def _policy(
    *rules: AcceptanceRule, by: Signer = ISSUING, **changes: Any
) -> Signed[AcceptancePolicy]:
    body = AcceptancePolicy(by.public_key.kid, 3, NOW, rules)
    return seal(replace(body, **changes), by)


_HOPS = AcceptanceRule(Verdict.REFUSE, hops_over=4)
POLICY = _policy(_HOPS).envelope


def add_policies(out: Vectors) -> None:
    trusted = out.share("trusted", world.TRUSTED.envelope.hex())
    held = _policy(_HOPS)
    in_use = out.share("policy in use", held.envelope.hex())
    out.add("policy", "the first one", offered=held.envelope, key_set=trusted)
    for name, offered in {
        "the next one": _policy(version=4),
        "a much later one": _policy(_HOPS, version=40),
        "the one in use": held,
        "signed in hardware": _policy(version=4, by=world.ISSUING_P256),
        "of an earlier time": _policy(version=4, time=NOW - DAY),
    }.items():
        out.add("policy", name, offered=offered.envelope, key_set=trusted, in_use=in_use)
    for name, offered in {
        "of the same version": _policy(),
        "of an earlier version": _policy(_HOPS, version=2),
        "by a stranger": _policy(version=4, by=world.STRANGER, kid=ISSUING.public_key.kid),
        "by an unknown key": _policy(version=4, by=world.STRANGER),
        "by a settling key": _policy(version=4, by=world.SETTLING),
        "by the root": _policy(version=4, by=ROOT),
        "after its key": _policy(version=4, time=NOW + YEAR + 1),
    }.items():
        out.add("policy", name, error=221, offered=offered.envelope, key_set=trusted, in_use=in_use)


def add_acceptance(out: Vectors) -> None:
    payments = {name: out.share(name, made.encode().hex()) for name, made in _payments().items()}
    rules = {
        "no rules": (),
        "amount over 2499": (AcceptanceRule(Verdict.WARN, amount_over=2_499),),
        "amount over 2500": (AcceptanceRule(Verdict.WARN, amount_over=2_500),),
        "amount over 0 in yen": (AcceptanceRule(Verdict.REFUSE, "JPY", amount_over=0),),
        "anything in euro": (AcceptanceRule(Verdict.WARN, "EUR"),),
        "hops over 1": (AcceptanceRule(Verdict.REFUSE, hops_over=1),),
        "certificates over two days": (AcceptanceRule(Verdict.WARN, certificate_age_over=2 * DAY),),
        "certificates over three days": (
            AcceptanceRule(Verdict.WARN, certificate_age_over=3 * DAY),
        ),
        "list over an hour": (AcceptanceRule(Verdict.WARN, revocation_age_over=3_600),),
        "hardware only": (AcceptanceRule(Verdict.REFUSE, assurance_under=2),),
        "several that apply": (
            AcceptanceRule(Verdict.WARN, amount_over=1),
            AcceptanceRule(Verdict.REFUSE, hops_over=7),
            AcceptanceRule(Verdict.REFUSE, amount_over=1, assurance_under=2),
            AcceptanceRule(Verdict.WARN, "EUR", amount_over=1, hops_over=0),
        ),
    }
    for what, given in rules.items():
        policy = out.share(f"policy: {what}", _policy(*given).envelope.hex())
        for name, payment in payments.items():
            out.add(
                "acceptance",
                f"{name}, {what}",
                payment=payment,
                policy=policy,
                now=NOW,
                revocation_time=NOW - 3_600 if "two" in name else NOW - 3_601,
            )
    for name, revocation_time in (("no list", 0), ("a list of the future", NOW + 60)):
        out.add(
            "acceptance",
            name,
            payment=payments["a payment of one hop"],
            policy=out.share(
                "policy: list over an hour", _policy(*rules["list over an hour"]).envelope.hex()
            ),
            now=NOW,
            revocation_time=revocation_time,
        )


def _payments() -> dict[str, Payment]:
    holder, second, third = (world.device(name) for name in ("hana", "ivo", "jun"))
    safe = world.device("kim", hardware=True, valid_from=NOW - DAY)
    payee = world.ed25519("payee").public_key
    chain = Chain(world.voucher(holder.key))
    short = world.extend(chain, holder, payee, hi=2_500, proof=None)
    longer = world.extend(world.extend(chain, holder, second.key), second, payee, hi=2_500)
    returned = world.give_back(world.extend(chain, holder, third.key), third)
    return {
        "a payment of one hop": Payment((short,)),
        "a payment of two hops": Payment((longer,)),
        "a payment of two chains": Payment(
            (
                world.extend(Chain(world.voucher(holder.key, serial=1)), holder, payee, hi=1_250),
                world.extend(Chain(world.voucher(safe.key, serial=2)), safe, payee, hi=1_251),
            )
        ),
        "a payment from hardware": Payment(
            (world.extend(Chain(world.voucher(safe.key)), safe, payee, hi=2_500),)
        ),
        "a payment of what came back": Payment((world.extend(returned, holder, payee, hi=2_500),)),
    }
