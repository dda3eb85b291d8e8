"""Kinds of case about what an issuer publishes."""

from offline_protocol import (
    AcceptancePolicy,
    KeySet,
    KeyUse,
    LogHead,
    PaymentFacts,
    PublicKey,
    RevocationDelta,
    RevocationList,
    Revoked,
    apply_revocation_delta,
    judge,
    unseal,
    verify_acceptance_policy,
    verify_key_set,
    verify_revocation_list,
)
from offline_protocol.revocation_trail import read_revocation, take_revocation
from tests.conformance.facts import body_facts, places_of
from tests.conformance.given import Given, Json, key_set, raw, read_payment


def _held(given: Given) -> Revoked:
    entries = raw(given["held"], "entries")
    return Revoked(
        given["held"]["epoch"],
        frozenset(entries[at : at + 8] for at in range(0, len(entries), 8)),
    )


def _revoked_facts(revoked: Revoked) -> Json:
    return {"epoch": revoked.epoch, "entries": b"".join(sorted(revoked.prefixes)).hex()}


def judge_issuer_key(given: Given) -> Json:
    use = {1: KeyUse.ISSUE, 2: KeyUse.SETTLE}[given["use"]]
    return {"key": key_set(given).key(raw(given, "kid"), given["at"], use).raw.hex()}


def judge_offered_key_set(given: Given) -> Json:
    offered = unseal(KeySet, raw(given, "offered"))
    in_use = unseal(KeySet, raw(given, "in_use")).body if "in_use" in given else None
    taken = verify_key_set(offered, PublicKey(raw(given, "root_key")), in_use)
    return {"id": taken.id.hex(), "version": taken.version}


def judge_revocation_list(given: Given) -> Json:
    signed = unseal(RevocationList, raw(given, "list"))
    held = _held(given) if "held" in given else None
    return _revoked_facts(verify_revocation_list(signed, key_set(given), held))


def judge_revocation_delta(given: Given) -> Json:
    signed = unseal(RevocationDelta, raw(given, "delta"))
    return _revoked_facts(apply_revocation_delta(signed, key_set(given), _held(given)))


def judge_revocation_piece(given: Given) -> Json:
    """What a device makes of the body of a REVOCATION frame, be it a list or a delta."""
    signed = read_revocation(raw(given, "piece"))
    return _revoked_facts(take_revocation(signed, key_set(given), _held(given)))


def judge_policy(given: Given) -> Json:
    offered = unseal(AcceptancePolicy, raw(given, "offered"))
    in_use = unseal(AcceptancePolicy, raw(given, "in_use")).body if "in_use" in given else None
    taken = verify_acceptance_policy(offered, key_set(given), in_use)
    return {"id": taken.id.hex(), "version": taken.version}


def judge_acceptance(given: Given) -> Json:
    rules = unseal(AcceptancePolicy, raw(given, "policy")).body.rules
    facts = PaymentFacts.of(
        read_payment(given), now=given["now"], revocation_time=given["revocation_time"]
    )
    verdict, applying = judge(facts, rules)
    plain = body_facts(facts)
    return {
        "facts": plain | {"amount": str(facts.amount)},
        "verdict": int(verdict),
        "applying": places_of(applying, rules),
    }


def judge_certificate_log(given: Given) -> Json:
    begin = LogHead(given["size"], raw(given, "head")) if "head" in given else LogHead()
    after = begin.extend(map(bytes.fromhex, given["certificate_ids"]))
    return {"size": after.size, "head": after.head.hex()}
