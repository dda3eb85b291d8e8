"""What the issuer publishes: key sets, revocation, acceptance policies, the log of certificates."""

from dataclasses import replace

from offline_protocol import KeySet, LogHead, Signed, seal
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.policies import add_acceptance, add_policies
from tests.conformance.generate.revocations import add_deltas, add_lists
from tests.conformance.generate.world import DAY, ISSUING, NOW, ROOT, YEAR, entropy


def vectors() -> Vectors:
    out = Vectors(
        "issuers", "Key sets and who may issue, revocation, policies, the certificate log"
    )
    _add_issuer_keys(out)
    _add_key_sets(out)
    add_lists(out)
    add_deltas(out)
    add_policies(out)
    add_acceptance(out)
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
