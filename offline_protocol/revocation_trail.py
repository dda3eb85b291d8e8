"""The signed pieces that lead to a revocation list, kept so that a device can pass them on.

A list, or a delta from epoch 0, is a beginning: it is the whole set, whatever is held. The deltas
after it lead on, each from where the one before ends. Who holds an epoch at which a piece begins
needs only the pieces from there; anybody else behind the first piece's end needs all of them.
"""

from dataclasses import dataclass
from typing import Final, Self

from offline_protocol.certificates import KeySet
from offline_protocol.cose import Signed, open_envelope, unseal
from offline_protocol.errors import RevocationDoesNotApply
from offline_protocol.revocation import (
    RevocationDelta,
    RevocationList,
    Revoked,
    apply_revocation_delta,
    verify_revocation_list,
)

PIECES_MAX: Final = 16
"""Pieces kept; with more, the oldest is dropped, and with it the beginning."""

_TYPE_AT = slice(1, 3)
_LIST_TYPE = bytes([1, RevocationList.TYPE])

SignedRevocation = Signed[RevocationList] | Signed[RevocationDelta]


def read_revocation(envelope: bytes) -> SignedRevocation:
    """Read a revocation list or a delta; the type in the payload says which.

    Raises:
        ProtocolError: neither.
    """
    if open_envelope(envelope).payload[_TYPE_AT] == _LIST_TYPE:
        return unseal(RevocationList, envelope)
    return unseal(RevocationDelta, envelope)


def take_revocation(signed: SignedRevocation, key_set: KeySet, held: Revoked) -> Revoked:
    """Check a list or a delta and give the set that it leads to.

    A delta from epoch 0 counts as a list: it applies to the empty set, so its end is known whatever
    is held. As with lists, the epoch never falls.

    Raises:
        RevocationRefused: the issuer did not sign it.
        RevocationDoesNotApply: it is older than what is held, of its epoch with other entries, or
            does not lead on from it.
    """
    body = signed.body
    if isinstance(body, RevocationList):
        return verify_revocation_list(Signed(body, signed.envelope), key_set, held)
    delta = Signed(body, signed.envelope)
    if body.from_epoch != 0:
        return apply_revocation_delta(delta, key_set, held)
    revoked = apply_revocation_delta(delta, key_set, Revoked())
    if revoked.epoch < held.epoch:
        raise RevocationDoesNotApply(f"epoch {revoked.epoch} is older than {held.epoch}")
    if revoked.epoch == held.epoch and revoked != held:
        raise RevocationDoesNotApply(f"two sets of epoch {held.epoch} differ")
    return revoked


@dataclass(frozen=True)
class Piece:
    """A signed list or delta; a list begins at epoch 0, as it replaces whatever is held."""

    envelope: bytes
    from_epoch: int
    to_epoch: int

    @classmethod
    def of(cls, signed: SignedRevocation) -> Self:
        body = signed.body
        if isinstance(body, RevocationList):
            return cls(signed.envelope, 0, body.epoch)
        return cls(signed.envelope, body.from_epoch, body.to_epoch)


@dataclass(frozen=True)
class Trail:
    """Pieces, each beginning where the one before ends."""

    pieces: tuple[Piece, ...] = ()

    @classmethod
    def read(cls, envelopes: list[bytes]) -> Self:
        """Read pieces that were kept in this order."""
        return cls(tuple(Piece.of(read_revocation(envelope)) for envelope in envelopes))

    @property
    def whole(self) -> bool:
        """Whether it begins at epoch 0, so that it serves a device that holds any older epoch."""
        return bool(self.pieces) and self.pieces[0].from_epoch == 0

    def extended(self, piece: Piece) -> "Trail":
        """The trail with one more piece, which was taken after the others."""
        if piece.from_epoch == 0:
            return Trail((piece,))
        if self.pieces and self.pieces[-1].to_epoch != piece.from_epoch:
            return Trail((piece,))
        return Trail((*self.pieces, piece)[-PIECES_MAX:])

    def since(self, epoch: int) -> tuple[Piece, ...]:
        """The pieces that bring a device from this epoch on; none if these do not."""
        for number, piece in enumerate(self.pieces):
            if piece.from_epoch == epoch:
                return self.pieces[number:]
        return self.pieces if self.whole and self.pieces[0].to_epoch > epoch else ()
