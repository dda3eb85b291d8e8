"""Signed pieces of a revocation list, as one device passes them on to another."""

from dataclasses import dataclass, field

import pytest

from offline_protocol import (
    MalformedEnvelope,
    RevocationDelta,
    RevocationDoesNotApply,
    RevocationList,
    RevocationRefused,
    Revoked,
    Signed,
    seal,
)
from offline_protocol.revocation_trail import (
    PIECES_MAX,
    Piece,
    SignedRevocation,
    Trail,
    read_revocation,
    take_revocation,
)
from tests.factories.protocol import NOW, Issuer, entropy, signer_from

ISSUER = Issuer("trail")
KEYS = ISSUER.key_set.body


def at(epoch: int) -> Revoked:
    return Revoked(epoch, frozenset(entropy("entry", number, size=8) for number in range(epoch)))


def delta(start: int, end: int) -> Signed[RevocationDelta]:
    kid = ISSUER.issuing.public_key.kid
    body = RevocationDelta.between(at(start), at(end), kid=kid, time=NOW + end)
    return seal(body, ISSUER.issuing)


def whole(epoch: int) -> Signed[RevocationList]:
    kid = ISSUER.issuing.public_key.kid
    return seal(RevocationList.of(at(epoch), kid=kid, time=NOW + epoch), ISSUER.issuing)


@dataclass
class Holder:
    """A device that takes pieces and keeps them."""

    held: Revoked = field(default_factory=Revoked)
    trail: Trail = field(default_factory=Trail)

    def take(self, signed: SignedRevocation) -> None:
        self.held = take_revocation(signed, KEYS, self.held)
        self.trail = self.trail.extended(Piece.of(signed))

    def teach(self, other: "Holder") -> None:
        for piece in self.trail.since(other.held.epoch):
            other.take(read_revocation(piece.envelope))


def holder(*pieces: SignedRevocation) -> Holder:
    made = Holder()
    for piece in pieces:
        made.take(piece)
    return made


@pytest.mark.parametrize("epoch", range(10))
@pytest.mark.parametrize("start", [delta(0, 3), whole(3)], ids=["delta", "list"])
def test_who_has_the_beginning_brings_everybody_up_to_its_epoch(
    epoch: int, start: SignedRevocation
) -> None:
    teacher = holder(start, delta(3, 7), delta(7, 9))
    pupil = Holder(held=at(epoch))
    teacher.teach(pupil)
    # A device between two pieces, behind the first one's end, is past what the first can replace.
    reached = 9 if epoch < 3 or epoch in {3, 7, 9} else epoch
    assert pupil.held == at(reached)


def test_what_was_taught_is_taught_on() -> None:
    first, second, third = holder(delta(0, 3), delta(3, 7)), Holder(), Holder()
    first.teach(second)
    second.teach(third)
    assert third.held == at(7)
    assert third.trail == first.trail


def test_a_fresh_beginning_replaces_the_trail() -> None:
    teacher = holder(delta(0, 3), delta(3, 7), delta(0, 7))
    assert teacher.trail.pieces == (Piece.of(delta(0, 7)),)
    pupil = Holder(held=at(5))
    teacher.teach(pupil)
    assert pupil.held == at(7)


def test_a_trail_without_its_beginning_still_serves_who_stands_at_a_joint() -> None:
    steps = [delta(number, number + 1) for number in range(PIECES_MAX + 4)]
    teacher = holder(*steps)
    assert len(teacher.trail.pieces) == PIECES_MAX
    assert not teacher.trail.whole
    assert teacher.trail.since(0) == ()
    pupil = Holder(held=at(10))
    teacher.teach(pupil)
    assert pupil.held == teacher.held


def test_a_whole_list_never_takes_a_device_back() -> None:
    for old in (delta(0, 3), whole(3)):
        with pytest.raises(RevocationDoesNotApply):
            take_revocation(old, KEYS, at(5))


def test_two_sets_of_one_epoch_do_not_replace_each_other() -> None:
    other = Revoked(3, frozenset({b"8 bytes!"}))
    for signed in (delta(0, 3), whole(3)):
        assert take_revocation(signed, KEYS, at(3)) == at(3)
        with pytest.raises(RevocationDoesNotApply):
            take_revocation(signed, KEYS, other)


def test_what_another_key_signed_is_refused() -> None:
    thief = signer_from("thief")
    kinds: tuple[SignedRevocation, ...] = (
        seal(delta(0, 3).body, thief),
        seal(whole(3).body, thief),
    )
    for forged in kinds:
        with pytest.raises(RevocationRefused):
            take_revocation(forged, KEYS, Revoked())


def test_lists_and_deltas_are_told_apart() -> None:
    assert isinstance(read_revocation(delta(0, 3).envelope).body, RevocationDelta)
    assert isinstance(read_revocation(whole(3).envelope).body, RevocationList)
    with pytest.raises(MalformedEnvelope):
        read_revocation(b"neither")


def test_a_trail_is_read_back_as_it_was_kept() -> None:
    teacher = holder(whole(3), delta(3, 7))
    assert Trail.read([piece.envelope for piece in teacher.trail.pieces]) == teacher.trail
