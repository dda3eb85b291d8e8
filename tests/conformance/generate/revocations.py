"""Revocation lists and the deltas between them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from offline_protocol import LogHead, RevocationDelta, RevocationList, Revoked, Signer, seal
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import ISSUING, NOW, ROOT, YEAR, entropy


def _entry(number: int) -> bytes:
    return entropy("entry", number, size=8)


def _revoked(epoch: int, numbers: Iterable[int]) -> Revoked:
    return Revoked(epoch, frozenset(map(_entry, numbers)))


def _held(revoked: Revoked) -> dict[str, Any]:
    return {"epoch": revoked.epoch, "entries": b"".join(sorted(revoked.prefixes)).hex()}


def _list(revoked: Revoked, by: Signer = ISSUING, **changes: Any) -> bytes:
    body = RevocationList.of(revoked, kid=by.public_key.kid, time=NOW)
    return seal(replace(body, **changes), by).envelope


def add_lists(out: Vectors) -> None:
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
        extra: dict[str, Any] = {} if have is None else {"held": _held(have)}
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
        "with a bit turned": (whole := _list(newer))[:-1] + bytes([whole[-1] ^ 1]),
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


def add_deltas(out: Vectors) -> None:
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
