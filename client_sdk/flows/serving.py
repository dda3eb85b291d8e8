"""The payee's end of one connection: it answers payments and exchanges evidence after them."""

from collections.abc import Awaitable, Callable
from typing import Final

from client_sdk.book import Book
from client_sdk.errors import LinkClosed, PaymentNeedsConfirmation, StoreError, WalletError
from client_sdk.flows.accepting import (
    DECLINED,
    REFUSED_BY_RULES,
    TOLD_SPENT,
    Assessment,
    Decision,
)
from client_sdk.flows.gossip import Talk, open_talk
from client_sdk.flows.receiving import Payee, Received
from client_sdk.transports.base import Link
from client_sdk.trust import read_message
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import FrameKind, Refusal, pack

Confirm = Callable[[Assessment], Awaitable[bool]]
"""Asks a person whether to take a payment in spite of what speaks against it."""

GIVEN_BACK: Final = frozenset({REFUSED_BY_RULES, DECLINED})
"""Refusals that are followed by the signed return."""
NO_EVIDENCE: Final = "no_evidence"
_EVIDENCE: Final = frozenset(
    {
        FrameKind.NEWS,
        FrameKind.KEY_SET,
        FrameKind.REVOCATION,
        FrameKind.POLICY,
        FrameKind.FRAUD_PROOF,
        FrameKind.TAGS,
        FrameKind.WANT,
        FrameKind.RECORDS,
    }
)


class Desk:
    """Serves one link; evidence is exchanged with those only who have handed over a payment."""

    def __init__(
        self, book: Book, payee: Payee, link: Link, *, confirm: Confirm | None = None
    ) -> None:
        """Sit down.

        Args:
            book: of this wallet.
            payee: this device.
            link: to the payer.
            confirm: asked about warnings. Without it a payment that a rule warns of is signed
                back, and one of which there is only hearsay is taken: what is not signed must
                not keep anybody from paying.
        """
        self._book = book
        self._payee = payee
        self._link = link
        self._confirm = confirm
        self._peer = b""
        self._talk: Talk | None = None

    async def run(self, answered: Callable[[], None] | None = None) -> bool:
        """Answer everything that comes until the link ends.

        Args:
            answered: called after each answer.

        Returns:
            Whether the other side said goodbye, and so has all answers.

        Raises:
            StoreError: the wallet file cannot be written; what was not stored was not answered.
        """
        try:
            while True:
                for frame in await self._take(await self._link.receive()):
                    await self._link.send(frame)
                if answered is not None:
                    answered()
        except LinkClosed as end:
            return end.clean
        finally:
            if self._talk is not None:
                self._talk.close()

    async def _take(self, message: bytes) -> list[bytes]:
        try:
            kind, _ = read_message(message)
        except WalletError as error:
            return [_refusal(error)]
        if kind in _EVIDENCE:
            return self._take_evidence(kind, message)
        try:
            return self._answers(await self._take_payment(message))
        except StoreError:
            raise  # ours to tell, not the payer's to hear
        except WalletError as error:
            return [_refusal(error)]

    async def _take_payment(self, message: bytes) -> Received:
        try:
            return self._payee.take_payment(message)
        except PaymentNeedsConfirmation as question:
            found = question.assessment
        if self._confirm is not None:
            taken = await self._confirm(found)
        else:
            taken = all(each.code == TOLD_SPENT for each in found.concerns)
        return self._payee.take_payment(message, Decision.TAKE if taken else Decision.GIVE_BACK)

    def _answers(self, received: Received) -> list[bytes]:
        """The receipt, or the return; before a return that our rules ask for, the reason."""
        exchange = received.exchange
        self._peer = exchange.peer
        if exchange.refusal not in GIVEN_BACK:
            return [received.frame]
        reason = Refusal(ProtocolError.NUMBER, exchange.refusal)
        return [pack(FrameKind.REFUSAL, reason.encode()), received.frame]

    def _take_evidence(self, kind: FrameKind, message: bytes) -> list[bytes]:
        if self._talk is None and kind is FrameKind.NEWS:
            self._talk = open_talk(self._book, self._link, self._peer, leads=False)
        frames = [] if self._talk is None else self._talk.take(message)
        if self._talk is None or self._talk.failed:
            # The payer need not wait for more.
            return [pack(FrameKind.REFUSAL, Refusal(ProtocolError.NUMBER, NO_EVIDENCE).encode())]
        return frames


def _refusal(error: WalletError) -> bytes:
    cause = error.__cause__
    refusal = (
        Refusal.of(cause)
        if isinstance(cause, ProtocolError)
        else Refusal(ProtocolError.NUMBER, error.code)
    )
    return pack(FrameKind.REFUSAL, refusal.encode())
