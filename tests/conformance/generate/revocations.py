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


REVOCATION = _delta(_revoked(4, range(3)), _revoked(5, [0, 2, 3, 4]))


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


def trail_vectors() -> Vectors:
    """Lists and deltas as another device passes them on: a delta from epoch 0 counts as a list."""
    out = Vectors("trails", "Bodies of REVOCATION frames, whatever epoch is held")
    trusted = out.share("trusted", world.TRUSTED.envelope.hex())
    empty, held, new = Revoked(), _revoked(4, range(3)), _revoked(5, [0, 2, 3, 4])
    whole = _delta(empty, new)
    far = _revoked(500, range(2, 9))
    for name, piece, have in (
        ("a list where nothing is held", _list(held), empty),
        ("a newer list", _list(new), held),
        ("the list that is held", _list(held), held),
        ("a delta that leads on", _delta(held, new), held),
        ("a delta from 0 where nothing is held", whole, empty),
        ("a delta from 0 where an earlier epoch is held", whole, held),
        ("a delta from 0 where a much earlier epoch is held", _delta(empty, far), held),
        ("a delta from 0 to the set that is held", _delta(empty, held), held),
        ("a delta from 0 to nothing", _delta(empty, _revoked(6, [])), held),
        ("a delta from 0 that removes what is held", _delta(empty, _revoked(5, [9])), held),
        ("a delta from 0 that repeats what is held", _delta(empty, _revoked(5, range(3))), held),
        ("a delta from 0, signed in hardware", _delta(empty, new, world.ISSUING_P256), held),
    ):
        out.add("revocation_piece", name, piece=piece, key_set=trusted, held=_held(have))
    turned = whole[:-1] + bytes([whole[-1] ^ 1])
    beyond = _revoked(1, range(3))
    for number, name, piece, have in (
        (211, "a delta from 0 by a stranger", _delta(empty, new, world.STRANGER), held),
        (211, "a delta from 0 by a settling key", _delta(empty, new, world.SETTLING), held),
        (211, "a delta from 0 after its key", _delta(empty, new, time=NOW + YEAR + 1), held),
        (211, "a delta from 0 with a bit turned", turned, held),
        (211, "an old delta from 0 by a stranger", _delta(empty, beyond, world.STRANGER), held),
        (211, "a list by a stranger", _list(new, world.STRANGER), held),
        (212, "a delta from 0 to an earlier epoch", _delta(empty, _revoked(3, range(3))), held),
        (212, "a delta from 0 to the first epoch", _delta(empty, beyond), held),
        (
            212,
            "a delta from 0 to the same epoch with more",
            _delta(empty, _revoked(4, range(4))),
            held,
        ),
        (
            212,
            "a delta from 0 to the same epoch with less",
            _delta(empty, _revoked(4, range(2))),
            held,
        ),
        (
            212,
            "a delta from 0 to the same epoch with others",
            _delta(empty, _revoked(4, [7, 8, 9])),
            held,
        ),
        (
            212,
            "a delta from 0 to the same epoch with nothing",
            _delta(empty, _revoked(4, [])),
            held,
        ),
        (212, "a delta from 0 with another digest", _delta(empty, new, digest=entropy("d")), held),
        (
            212,
            "a delta from 0 with the digest of what is held",
            _delta(empty, new, digest=held.digest),
            held,
        ),
        (212, "a delta from 0 that removes something", _delta(empty, new, removed=_entry(1)), held),
        (
            212,
            "a delta of the same epoch and others, digest of the held",
            _delta(empty, _revoked(4, range(4)), digest=held.digest),
            held,
        ),
        (212, "a delta from 1 where 4 is held", _delta(beyond, new), held),
        (212, "a delta from 4 where nothing is held", _delta(held, new), empty),
        (212, "a delta that was applied", _delta(held, new), new),
        (212, "an older list", _list(_revoked(3, range(3))), held),
        (212, "a list of the same epoch with more", _list(_revoked(4, range(4))), held),
        (102, "a policy", world.envelope("acceptance-policy", b"\xa1\x01\x09", ISSUING), held),
        (102, "a receipt of nothing", world.envelope("receipt", b"\xa0", ISSUING), held),
        (103, "a delta cut short", whole[:-1], held),
        (103, "a delta and a byte", whole + b"\0", held),
        (103, "nothing", b"", held),
    ):
        out.add(
            "revocation_piece",
            f"{number}: {name}",
            error=number,
            piece=piece,
            key_set=trusted,
            held=_held(have),
        )
    return out
