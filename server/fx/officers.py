"""What officers do: terms of exchange in versions, and rates by hand."""

from datetime import UTC, date, datetime

import msgspec

from server.fx.rates import Rate, set_rate
from server.fx.schemas import RateSet, TermsChange, TermsVersion
from server.fx.terms import BUILT_IN, DOCUMENT, TermsDocument, check, spell
from server.identity import find_user
from server.kit.auth import Caller
from server.kit.documents import (
    DocumentVersion,
    document_in_force,
    document_versions,
    store_document,
)
from server.kit.money import asset
from server.kit.schema import Page
from server.kit.strict_json import decode
from server.kit.unit_of_work import Tx

OPERATOR = "operator"
"""Who acts at the command line."""


async def officer_name(tx: Tx, caller: Caller) -> str:
    """Return the name under which an officer's deeds are kept."""
    return (await find_user(tx, caller.tenant, caller.user_id)).username


async def terms_now(tx: Tx, tenant: int) -> TermsVersion:
    """Return the terms in force."""
    version = await document_in_force(tx, tenant, DOCUMENT)
    if version is None:
        return TermsVersion(
            version=0,
            in_force=True,
            effective_at=None,
            reason="built in",
            changed_by="server",
            changed_at=None,
            terms=BUILT_IN,
        )
    return _view(version, version.number)


async def terms_page(tx: Tx, tenant: int, *, before: int | None, limit: int) -> Page[TermsVersion]:
    """Return stored versions, the newest first."""
    found = await document_versions(tx, tenant, DOCUMENT, before=before, limit=limit + 1)
    now = (await terms_now(tx, tenant)).version
    return Page(
        items=[_view(version, now) for version in found[:limit]],
        next_cursor=str(found[limit - 1].number) if len(found) > limit else None,
    )


async def change_terms(tx: Tx, tenant: int, change: TermsChange, *, by: str) -> TermsVersion:
    """Store a new version of all terms.

    Raises:
        TermsInvalid: their parts contradict each other.
        DocumentChanged: another version was stored meanwhile.
        InvalidRequest: they begin in the past, or too late.
    """
    check(change.terms)
    stored = await store_document(
        tx,
        tenant,
        DOCUMENT,
        spell(change.terms),
        reason=change.reason,
        by=by,
        replaces=change.replaces,
        effective_at=change.effective_at,
    )
    return _view(stored, (await terms_now(tx, tenant)).version)


async def set_terms_from_file(
    tx: Tx, tenant: int, text: bytes, *, reason: str, effective_at: datetime | None
) -> DocumentVersion:
    """Store terms that an operator wrote; ``effective_at`` without zone is UTC.

    Raises:
        InvalidRequest: the file is no such document, or the time does not fit.
        TermsInvalid: its parts contradict each other.
    """
    document = decode(text, TermsDocument)
    check(document)
    begins = None if effective_at is None else effective_at.replace(tzinfo=UTC)
    return await store_document(
        tx, tenant, DOCUMENT, spell(document), reason=reason, by=OPERATOR, effective_at=begins
    )


async def terms_json(tx: Tx, tenant: int) -> str:
    """Return the terms in force as indented JSON."""
    terms = (await terms_now(tx, tenant)).terms
    return msgspec.json.format(msgspec.json.encode(terms, order="deterministic"), indent=2).decode()


async def set_rate_by_hand(tx: Tx, tenant: int, data: RateSet, *, by: str) -> Rate:
    """Store a rate that an officer stands for. Raises as `set_rate` does."""
    return await set_rate(
        tx,
        tenant,
        asset(data.currency).code,
        data.rate,
        on=data.rate_date,
        by=by,
        reason=data.reason,
    )


async def set_rate_as_operator(
    tx: Tx, tenant: int, currency: str, text: str, *, on: date | None, reason: str
) -> Rate:
    """Store a rate at the command line, of today where no day is given."""
    return await set_rate(
        tx, tenant, currency, text, on=on or tx.now.date(), by=OPERATOR, reason=reason
    )


def rate_lines(rates: dict[str, Rate], today: date, age_max_days: int) -> list[str]:
    """Return one line for each rate, saying where it is from and whether it is stale."""
    lines = []
    for currency, rate in sorted(rates.items()):
        age = rate.age(today)
        state = f"STALE, {age} working days old" if age > age_max_days else f"{age} working days"
        lines.append(
            f"{currency}  {rate.text:>16} for 1 EUR  {rate.on or ''}  {rate.source}  {state}"
        )
    return lines


def _view(version: DocumentVersion, in_force: int) -> TermsVersion:
    return TermsVersion(
        version=version.number,
        in_force=version.number == in_force,
        effective_at=version.effective_at,
        reason=version.reason,
        changed_by=version.changed_by,
        changed_at=version.changed_at,
        terms=msgspec.json.decode(version.document, type=TermsDocument),
    )
