"""The terms of exchange as a document: spreads by currency pair, charges by pair of countries.

Officers store them in versions (`server.kit.documents`). A spread is of a pair of currencies in
both directions; the charge depends on where payer and payee are. What is most specific holds:
both countries named, then the payer's, then the payee's, then domestic or international.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated

import msgspec

from server.fx.errors import TermsInvalid
from server.fx.pricing import BPS_MAX
from server.kit.documents import document_in_force
from server.kit.money import ASSETS
from server.kit.schema import CurrencyCode, Schema
from server.kit.unit_of_work import Tx

DOCUMENT = "fx_terms"
_DOCUMENTS_KEPT = 256
Bps = Annotated[
    int,
    msgspec.Meta(ge=0, le=BPS_MAX, description="Basis points: 100 are one percent", examples=[50]),
]
Country = Annotated[
    str,
    msgspec.Meta(
        pattern="^([A-Z]{2}|\\*)$",
        description="ISO 3166, or * for every country",
        examples=["TR"],
    ),
]


class SpreadRule(Schema):
    """The spread between two currencies, in both directions."""

    currencies: tuple[CurrencyCode, CurrencyCode]
    bps: Bps


class ChargeRule(Schema):
    """The charge for payments from one country to another; at least one of them is named."""

    payer: Country
    payee: Country
    bps: Bps


class TermsDocument(Schema):
    """All terms of exchange."""

    spread_bps: Bps
    spreads: Annotated[
        list[SpreadRule],
        msgspec.Meta(max_length=500, examples=[[{"currencies": ["EUR", "USD"], "bps": 25}]]),
    ]
    domestic_bps: Bps
    international_bps: Bps
    charges: Annotated[
        list[ChargeRule],
        msgspec.Meta(max_length=5_000, examples=[[{"payer": "TR", "payee": "KE", "bps": 200}]]),
    ]


BUILT_IN = TermsDocument(
    spread_bps=50, spreads=[], domestic_bps=0, international_bps=100, charges=[]
)


class Terms:
    """The terms in force."""

    def __init__(self, document: TermsDocument) -> None:
        self.document = document
        self._spreads = {frozenset(rule.currencies): rule.bps for rule in document.spreads}
        self._charges = {(rule.payer, rule.payee): rule.bps for rule in document.charges}

    def spread_bps(self, sell: str, buy: str) -> int:
        return self._spreads.get(frozenset((sell, buy)), self.document.spread_bps)

    def charge_bps(self, payer: str | None, payee: str | None) -> int:
        """Return the charge between two countries; one that is not known is a foreign one."""
        for pair in ((payer, payee), (payer, "*"), ("*", payee)):
            if (bps := self._charges.get(pair)) is not None:  # type: ignore[arg-type]
                return bps
        document = self.document
        return document.domestic_bps if is_domestic(payer, payee) else document.international_bps


def is_domestic(payer: str | None, payee: str | None) -> bool:
    """Return whether both are known to be in one country."""
    return payer is not None and payer == payee


async def terms_in_force(tx: Tx, tenant: int) -> Terms:
    """Return the terms that hold now; the built-in ones where none are stored."""
    version = await document_in_force(tx, tenant, DOCUMENT)
    return _BUILT_IN if version is None else _read(version.document)


def spell(document: TermsDocument) -> str:
    """Return the one JSON spelling in which a document is stored."""
    return msgspec.json.encode(document, order="sorted").decode()


def check(document: TermsDocument) -> None:
    """Refuse a document whose parts contradict each other.

    Raises:
        TermsInvalid: ``problems`` lists every field that is wrong.
    """
    problems = [{"field": place, "problem": text} for place, text in _problems(document)]
    if problems:
        raise TermsInvalid(
            f"{problems[0]['field']}: {problems[0]['problem']}.",
            fix="Mend every field that `problems` lists.",
            problems=problems,
        )


def _problems(document: TermsDocument) -> Iterator[tuple[str, str]]:
    pairs: set[frozenset[str]] = set()
    for place, spread in enumerate(document.spreads):
        pair = frozenset(spread.currencies)
        if len(pair) != len(spread.currencies) or not pair <= set(ASSETS):
            yield f"spreads[{place}].currencies", "two different currencies of this server"
        if pair in pairs:
            yield f"spreads[{place}]", "the pair stands there twice"
        pairs.add(pair)
    countries: set[tuple[str, str]] = set()
    for place, charge in enumerate(document.charges):
        both = (charge.payer, charge.payee)
        if both == ("*", "*"):
            yield f"charges[{place}]", "domestic_bps and international_bps are for all countries"
        if both in countries:
            yield f"charges[{place}]", "the pair stands there twice"
        countries.add(both)


@lru_cache(_DOCUMENTS_KEPT)
def _read(text: str) -> Terms:
    return Terms(msgspec.json.decode(text, type=TermsDocument))


_BUILT_IN = Terms(BUILT_IN)
