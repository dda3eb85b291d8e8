"""Revocation lists and deltas: taken only when signed, newer, and complete."""

import itertools
from dataclasses import replace

import pytest

from offline_protocol.certificate_log import LogHead
from offline_protocol.constants import REVOCATION_LIST_BYTES_MAX
from offline_protocol.cose import Signed, seal, unseal
from offline_protocol.errors import MalformedEnvelope, RevocationDoesNotApply, RevocationRefused
from offline_protocol.revocation import (
    RevocationDelta,
    RevocationList,
    Revoked,
    apply_revocation_delta,
    prefix_of,
    verify_revocation_list,
)
from tests.factories.protocol import DAY, NOW, Issuer, entropy, signer_from

ISSUER = Issuer()
KEY_SET = ISSUER.key_set.body
KID = ISSUER.issuing.public_key.kid


def _set(epoch: int, *words: str) -> Revoked:
    return Revoked(epoch, frozenset(entropy(word, size=8) for word in words))


def _list(revoked: Revoked, time: int = NOW) -> Signed[RevocationList]:
    return seal(RevocationList.of(revoked, kid=KID, time=time), ISSUER.issuing)


def _delta(old: Revoked, new: Revoked) -> Signed[RevocationDelta]:
    return seal(RevocationDelta.between(old, new, kid=KID, time=NOW), ISSUER.issuing)


def test_a_list_gives_the_set_that_was_signed() -> None:
    revoked = _set(4, "a", "b")
    signed = unseal(RevocationList, _list(revoked).envelope)
    assert verify_revocation_list(signed, KEY_SET) == revoked
    assert verify_revocation_list(signed, KEY_SET, revoked) == revoked
    assert verify_revocation_list(signed, KEY_SET, _set(3, "c")) == revoked


def test_a_list_that_is_older_or_differs_at_the_same_epoch_does_not_apply() -> None:
    signed = _list(_set(4, "a"))
    for held in (_set(5, "a"), _set(4, "b"), _set(4)):
        with pytest.raises(RevocationDoesNotApply):
            verify_revocation_list(signed, KEY_SET, held)


def test_a_delta_leads_from_one_set_to_the_other() -> None:
    old, new = _set(4, "a", "b"), _set(7, "b", "c")
    signed = unseal(RevocationDelta, _delta(old, new).envelope)
    assert apply_revocation_delta(signed, KEY_SET, old) == new
    first = _delta(Revoked(), old)
    assert apply_revocation_delta(first, KEY_SET, Revoked()) == old


def test_deltas_in_a_row_give_what_one_delta_gives() -> None:
    sets = [Revoked(), _set(1, "a"), _set(2, "a", "b"), _set(5, "b", "c", "d")]
    held = sets[0]
    for old, new in itertools.pairwise(sets):
        held = apply_revocation_delta(_delta(old, new), KEY_SET, held)
    assert held == apply_revocation_delta(_delta(sets[0], sets[-1]), KEY_SET, sets[0])


def test_a_delta_from_another_set_does_not_apply() -> None:
    old, new = _set(4, "a", "b"), _set(5, "b", "c")
    signed = _delta(old, new)
    for held in (
        _set(3, "a", "b"),
        new,
        _set(4, "b"),
        _set(4, "a", "b", "c"),
        _set(4, "a", "b", "x"),
    ):
        with pytest.raises(RevocationDoesNotApply):
            apply_revocation_delta(signed, KEY_SET, held)
    lying = seal(replace(signed.body, digest=entropy("other")), ISSUER.issuing)
    with pytest.raises(RevocationDoesNotApply):
        apply_revocation_delta(lying, KEY_SET, old)


def test_what_the_issuer_did_not_sign_is_refused() -> None:
    body = RevocationList.of(_set(1, "a"), kid=KID, time=NOW)
    delta = RevocationDelta.between(Revoked(), _set(1, "a"), kid=KID, time=NOW)
    stranger = signer_from("stranger")
    for signed in (
        seal(body, stranger),
        seal(replace(body, kid=b"none"), ISSUER.issuing),
        seal(replace(body, time=NOW + 1_000 * DAY), ISSUER.issuing),
    ):
        with pytest.raises(RevocationRefused):
            verify_revocation_list(signed, KEY_SET)
    with pytest.raises(RevocationRefused):
        apply_revocation_delta(seal(delta, stranger), KEY_SET, Revoked())


def test_a_list_of_ten_thousand_entries_is_read_and_a_larger_one_than_allowed_is_not() -> None:
    many = Revoked(1, frozenset(entropy(number, size=8) for number in range(10_000)))
    signed = _list(many)
    assert len(signed.envelope) < 80_200
    assert verify_revocation_list(unseal(RevocationList, signed.envelope), KEY_SET) == many
    with pytest.raises(MalformedEnvelope):
        unseal(RevocationList, signed.envelope[:6] + b"\x5a\x00\x20\x00\x00" + bytes(1 << 22))
    assert len(signed.envelope) < REVOCATION_LIST_BYTES_MAX


def test_an_entry_is_the_beginning_of_an_id() -> None:
    key = signer_from("a").public_key
    assert prefix_of(key.id) == key.id[:8]


def test_the_log_depends_on_every_certificate_and_on_their_order() -> None:
    a, b = entropy("a"), entropy("b")
    assert LogHead().extend([a, b]) == LogHead().extend([a]).extend([b])
    assert LogHead().extend([a, b]).size == 2
    assert len({LogHead().extend(ids).head for ids in ([], [a], [b], [a, b], [b, a], [a, a])}) == 6
