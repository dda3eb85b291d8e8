"""Claims: value signed over to the issuer, to be credited to the account at the next sync."""

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from client_sdk.book import Book
from client_sdk.core import Input, State
from client_sdk.errors import InsufficientFunds, NotEnrolled
from client_sdk.flows.engine import Engine, Planned, Work
from client_sdk.holdings import Pick, choose
from client_sdk.money import format_amount
from client_sdk.records import Exchange, Holding, Role, Source
from offline_protocol.certificates import KeyUse
from offline_protocol.constants import NO_REQUEST
from offline_protocol.keys import PublicKey

CLAIM_PREFIX: Final = b"claim:"
CLAIMS_MAX: Final = 200
"""Transfers in one claim."""


class ClaimPolicy(StrEnum):
    """What is claimed at each sync."""

    RECEIVED = "received"
    """All that was received or returned, and what can no longer be spent."""
    EXPIRED = "expired"
    """Only what can no longer be spent; the rest stays spendable offline."""
    NOTHING = "nothing"


class Claimer:
    def __init__(self, book: Book, engine: Engine) -> None:
        self._book = book
        self._engine = engine

    @property
    def policy(self) -> ClaimPolicy:
        return ClaimPolicy(self._book.text(b"claim_policy") or ClaimPolicy.RECEIVED)

    def set_policy(self, policy: ClaimPolicy) -> None:
        with self._book.store.write("setting") as tx:
            tx.put("single", b"claim_policy", policy.value)

    def claim_by_policy(self) -> list[Exchange]:
        """Sign and store claims for what the policy names; a sync hands them in."""
        policy, now = self.policy, self._book.now()
        if policy is ClaimPolicy.NOTHING or self._book.guard.restored:
            return []
        due = [
            one
            for one in self._book.holdings()
            if one.spend_by < now
            or (policy is ClaimPolicy.RECEIVED and one.source is not Source.ISSUED)
        ]
        return self._claim_whole(due)

    def claim(self, currency: str, amount: int | None) -> list[Exchange]:
        """Claim an amount, or everything in a currency.

        Raises:
            InsufficientFunds: less than the amount is held.
            WalletRestored: this file is an old copy and signs nothing.
        """
        self._book.guard.require_whole()
        held = [one for one in self._book.holdings(currency) if self._claimable(one)]
        if not held:
            raise InsufficientFunds(f"No {currency} is held offline.")
        if amount is None:
            return self._claim_whole(held)
        picks = choose(
            [piece for one in held for piece in one.pieces()],
            amount,
            chains_max=CLAIMS_MAX,
            describe=lambda minor: format_amount(minor, currency),
        )
        return [self._sign(currency, picks)]

    def _claim_whole(self, holdings: Iterable[Holding]) -> list[Exchange]:
        by_currency: dict[str, list[Pick]] = defaultdict(list)
        for one in holdings:
            if self._claimable(one):
                by_currency[one.currency] += [Pick(one.key, interval) for interval in one.free]
        return [
            self._sign(currency, picks[start : start + CLAIMS_MAX])
            for currency, picks in sorted(by_currency.items())
            for start in range(0, len(picks), CLAIMS_MAX)
        ]

    def _claimable(self, holding: Holding) -> bool:
        # After claim-by the issuer credits the last known owner by itself.
        return self._book.now() <= holding.claim_by

    def _sign(self, currency: str, picks: list[Pick]) -> Exchange:
        now = self._book.now()
        first = picks[0]  # reserved once only, so that it names the claim
        exchange = Exchange(
            id=CLAIM_PREFIX + first.holding[:16] + first.interval.lo.to_bytes(8, "big"),
            role=Role.CLAIM,
            state=State.IDLE,
            currency=currency,
            amount=sum(pick.interval.length for pick in picks),
            created_at=now,
            updated_at=now,
        )
        settle_key = self._settle_key(now)
        planned = tuple(Planned(*pick, settle_key, NO_REQUEST) for pick in picks)
        locked = self._engine.apply(exchange, Input.CONFIRM, Work(planned=planned)).exchange
        return self._engine.apply(locked, Input.CONTINUE).exchange

    def _settle_key(self, now: int) -> PublicKey:
        for candidate in self._book.key_set().keys:
            if candidate.serves(KeyUse.SETTLE, now):
                return candidate.key
        raise NotEnrolled(
            "The issuer's key set names no key to claim at.", fix="Sync to get the newest key set."
        )
