"""What the issuer publishes: key sets, revocation, acceptance policies, the log of certificates."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from offline_protocol import (
    AcceptancePolicy,
    AcceptanceRule,
    Chain,
    KeySet,
    LogHead,
    Payment,
    RevocationDelta,
    RevocationList,
    Revoked,
    Signed,
    Signer,
    seal,
)
from offline_protocol.acceptance import Verdict
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import DAY, ISSUING, NOW, ROOT, YEAR, entropy


def vectors() -> Vectors:
    out = Vectors("issuers", "Key sets and who may issue, revocation, policies, the certificate log")
    _add_issuer_keys(out)
    _add_key_sets(out)
    _add_lists(out)
    _add_deltas(out)
    _add_policies(out)
    _add_acceptance(out)
    _add_logs(out)
    return out


def _add_issuer_keys(out: Vectors) -> None:
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    issuing, settling = ISSUING.public_key.kid, world.SETTLING.public_key.kid
    before = world.ISSUING_BEFORE.public_key.kid
    first, last = world.ROTATED, NOW + YEAR
    good = {
        "issuing now": (issuing, NOW, 1),
        "issuing from its first second": (issuing, first, 1),
        "issuing to its last second": (issuing, last, 1),
        "issuing before, in the overlap": (before, first + DAY, 1),
        "settling now": (settling, NOW, 2),
        "issuing in hardware": (world.ISSUING_P256.public_key.kid, NOW, 1),
    }
    wrong = {
        "a second too early": (issuing, first - 1, 1),
        "a second too late": (issuing, last + 1, 1),
        "the key before, a second too late": (before, first + DAY + 1, 1),
        "an issuing key that settles": (issuing, NOW, 2),
        "a settling key that issues": (settling, NOW, 1),
        "an unknown kid": (b"\x00" * 4, NOW, 1),
        "a kid cut short": (issuing[:3], NOW, 1),
        "a kid and more": (issuing + b"\x00", NOW, 1),
    }
    for name, (kid, at, use) in good.items():
        out.add("issuer_key", name, key_set=trusted, kid=kid, at=at, use=use)
    for name, (kid, at, use) in wrong.items():
        out.add("issuer_key", name, error=202, key_set=trusted, kid=kid, at=at, use=use)


def _add_key_sets(out: Vectors) -> None:
    root = ROOT.public_key.raw
    held = world.TRUSTED
    body = held.body
    after = replace(body, version=8, time=NOW, previous=held.id)
    other = world.p256("root")
    good: dict[str, Signed[KeySet]] = {
        "the next one": seal(after, ROOT),
        "a later one": seal(replace(after, version=9, previous=entropy("key set 8")), ROOT),
        "a later one without previous": seal(replace(after, version=9, previous=None), ROOT),
        "of the same second": seal(replace(after, time=body.time), ROOT),
        "the one in use": held,
    }
    wrong: dict[str, Signed[KeySet]] = {
        "of the same version": seal(replace(body, time=NOW), ROOT),
        "of an earlier version": seal(replace(after, version=6), ROOT),
        "of an earlier time": seal(replace(after, time=body.time - 1), ROOT),
        "the next one of another past": seal(replace(after, previous=entropy("other")), ROOT),
        "the next one without previous": seal(replace(after, previous=None), ROOT),
        "signed by somebody else": seal(after, world.STRANGER),
        "signed by an issuing key": seal(after, ISSUING),
        "signed by a key of another algorithm": seal(after, other),
    }
    out.add("key_set", "the first one", offered=held.envelope, root_key=root)
    out.add(
        "key_set",
        "signed in hardware",
        offered=seal(body, other).envelope,
        root_key=other.public_key.raw,
    )
    out.add(
        "key_set",
        "the first one, of another root",
        error=201,
        offered=held.envelope,
        root_key=world.STRANGER.public_key.raw,
    )
    in_use = out.share("key set in use", held.envelope.hex())
    for name, offered in good.items():
        out.add("key_set", name, offered=offered.envelope, root_key=root, in_use=in_use)
    for name, offered in wrong.items():
        out.add("key_set", name, error=201, offered=offered.envelope, root_key=root, in_use=in_use)


def _entry(number: int) -> bytes:
    return entropy("entry", number, size=8)


def _revoked(epoch: int, numbers: Iterable[int]) -> Revoked:
    return Revoked(epoch, frozenset(map(_entry, numbers)))


def _held(revoked: Revoked) -> dict[str, Any]:
    return {"epoch": revoked.epoch, "entries": b"".join(sorted(revoked.prefixes)).hex()}


def _list(revoked: Revoked, by: Signer = ISSUING, **changes: Any) -> bytes:
    body = RevocationList.of(revoked, kid=by.public_key.kid, time=NOW)
    return seal(replace(body, **changes), by).envelope


def _add_lists(out: Vectors) -> None:
    trusted = out.share("trusted", world.TRUSTED.envelope.hex())
    held = _revoked(4, range(3))
    good = {
        "the first list": (_list(_revoked(1, [])), None),
        "a list to begin with": (_list(_revoked(9, range(5))), None),
        "a newer list": (_list(_revoked(5, range(4))), held),
        "a much newer list": (_list(_revoked(500, range(2, 9))), held),
        "a newer list that is empty": (_list(_revoked(5, [])), held),
        "the list that is held": (_list(held), held),
        "a list signed in hardware": (_list(_revoked(5, range(4)), world.ISSUING_P256), held),
        "a list with a head of the log": (
            _list(_revoked(5, range(4)), log=LogHead(3, entropy("log"))),
            held,
        ),
    }
    for name, (envelope, have) in good.items():
        extra = {} if have is None else {"held": _held(have)}
        out.add("revocation_list", name, list=envelope, key_set=trusted, **extra)
    newer = _revoked(5, range(4))
    refused = {
        "by a stranger": _list(newer, kid=ISSUING.public_key.kid, by=world.STRANGER),
        "by an unknown key": _list(newer, by=world.STRANGER),
        "by the root": _list(newer, by=ROOT),
        "by a settling key": _list(newer, by=world.SETTLING),
        "after its key": _list(newer, time=NOW + YEAR + 1),
        "before its key": _list(newer, time=world.ROTATED - 1),
        "by a key before its time was over": _list(newer, by=world.ISSUING_BEFORE),
        "with a bit turned": (good := _list(newer))[:-1] + bytes([good[-1] ^ 1]),
    }
    for name, envelope in refused.items():
        out.add(
            "revocation_list", name, error=211, list=envelope, key_set=trusted, held=_held(held)
        )
    for name, envelope in {
        "an older list": _list(_revoked(3, range(3))),
        "a list of the same epoch with more": _list(_revoked(4, range(4))),
        "a list of the same epoch with less": _list(_revoked(4, range(2))),
        "a list of the same epoch that is empty": _list(_revoked(4, [])),
    }.items():
        out.add(
            "revocation_list", name, error=212, list=envelope, key_set=trusted, held=_held(held)
        )


def _delta(old: Revoked, new: Revoked, by: Signer = ISSUING, **changes: Any) -> bytes:
    body = RevocationDelta.between(old, new, kid=by.public_key.kid, time=NOW)
    return seal(replace(body, **changes), by).envelope


def _add_deltas(out: Vectors) -> None:
    trusted = out.share("trusted", world.TRUSTED.envelope.hex())
    held, new = _revoked(4, range(3)), _revoked(5, [0, 2, 3, 4])
    empty = Revoked()
    good = {
        "adds and removes": (_delta(held, new), held),
        "adds only": (_delta(held, _revoked(5, range(9))), held),
        "removes only": (_delta(held, _revoked(5, [1])), held),
        "removes everything": (_delta(held, _revoked(5, [])), held),
        "changes nothing": (_delta(held, _revoked(6, range(3))), held),
        "leads over many epochs": (_delta(held, _revoked(400, [2])), held),
        "begins with nothing": (_delta(empty, _revoked(2, range(4))), empty),
        "signed in hardware": (_delta(held, new, world.ISSUING_P256), held),
    }
    for name, (envelope, have) in good.items():
        out.add("revocation_delta", name, delta=envelope, key_set=trusted, held=_held(have))
    for name, envelope in {
        "by a stranger": _delta(held, new, world.STRANGER, kid=ISSUING.public_key.kid),
        "by an unknown key": _delta(held, new, world.STRANGER),
        "by a settling key": _delta(held, new, world.SETTLING),
        "by the root": _delta(held, new, ROOT),
        "after its key": _delta(held, new, time=NOW + YEAR + 1),
        "with a bit turned": (good_one := _delta(held, new))[:-1] + bytes([good_one[-1] ^ 1]),
    }.items():
        out.add(
            "revocation_delta", name, error=211, delta=envelope, key_set=trusted, held=_held(held)
        )
    longer = _revoked(5, [*range(3), 7])
    for name, envelope, have in (
        ("from an earlier epoch", _delta(_revoked(3, range(3)), new), held),
        ("from a later epoch", _delta(_revoked(5, range(3)), _revoked(6, [1])), held),
        ("applied twice", _delta(held, new), new),
        ("adds what is held", _delta(_revoked(4, range(2)), _revoked(5, range(3))), held),
        ("removes what is not held", _delta(_revoked(4, range(4)), _revoked(5, range(3))), held),
        ("of another set", _delta(longer, _revoked(9, range(3))), _revoked(5, range(3))),
        ("with another digest", _delta(held, new, digest=entropy("digest")), held),
        ("with the digest before", _delta(held, new, digest=held.digest), held),
        ("with one entry less", _delta(held, new, added=_entry(3)), held),
    ):
        out.add(
            "revocation_delta", name, error=212, delta=envelope, key_set=trusted, held=_held(have)
        )


def _policy(*rules: AcceptanceRule, by: Signer = ISSUING, **changes: Any) -> Signed[AcceptancePolicy]:
    body = AcceptancePolicy(by.public_key.kid, 3, NOW, rules)
    return seal(replace(body, **changes), by)


_HOPS = AcceptanceRule(Verdict.REFUSE, hops_over=4)


def _add_policies(out: Vectors) -> None:
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


def _add_acceptance(out: Vectors) -> None:
    payments = {name: out.share(name, made.encode().hex()) for name, made in _payments().items()}
    rules = {
        "no rules": (),
        "amount over 2499": (AcceptanceRule(Verdict.WARN, amount_over=2_499),),
        "amount over 2500": (AcceptanceRule(Verdict.WARN, amount_over=2_500),),
        "amount over 0 in yen": (AcceptanceRule(Verdict.REFUSE, "JPY", amount_over=0),),
        "hops over 1": (AcceptanceRule(Verdict.REFUSE, hops_over=1),),
        "certificates over two days": (AcceptanceRule(Verdict.WARN, certificate_age_over=2 * DAY),),
        "certificates over three days": (AcceptanceRule(Verdict.WARN, certificate_age_over=3 * DAY),),
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
            policy=out.share("policy: list over an hour", _policy(*rules["list over an hour"]).envelope.hex()),
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


def _add_logs(out: Vectors) -> None:
    ids = [entropy("certificate", number).hex() for number in range(20)]
    for count in (0, 1, 2, 20):
        out.add("certificate_log", f"the first {count}", certificate_ids=ids[:count])
    out.add("certificate_log", "in another order", certificate_ids=ids[1::-1])
    head = LogHead().extend(map(bytes.fromhex, ids[:5]))
    out.add(
        "certificate_log",
        "going on after five",
        certificate_ids=ids[5:],
        size=head.size,
        head=head.head,
    )

