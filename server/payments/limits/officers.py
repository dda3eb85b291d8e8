"""What officers do: limits in versions, and the levels of people."""

from datetime import UTC, datetime

import msgspec

from server.identity import find_user_by_name
from server.kit.documents import (
    DocumentVersion,
    document_in_force,
    document_versions,
    store_document,
)
from server.kit.errors import NotFound
from server.kit.schema import Page
from server.kit.strict_json import decode
from server.kit.unit_of_work import Tx
from server.payments.limits.levels import set_level
from server.payments.limits.policy import BUILT_IN, DOCUMENT, LimitsDocument, check, spell
from server.payments.limits.schemas import LevelSet, LevelView, RulesChange, RulesVersion

OPERATOR = "operator"
"""Who acts at the command line."""


async def rules_now(tx: Tx, tenant: int) -> RulesVersion:
    """Return the limits in force, as they are written down."""
    version = await document_in_force(tx, tenant, DOCUMENT)
    if version is None:
        return RulesVersion(
            version=0,
            in_force=True,
            effective_at=None,
            reason="built in",
            changed_by="server",
            changed_at=None,
            rules=BUILT_IN,
        )
    return _view(version, version.number)


async def rules_page(tx: Tx, tenant: int, *, before: int | None, limit: int) -> Page[RulesVersion]:
    """Return stored versions, the newest first."""
    found = await document_versions(tx, tenant, DOCUMENT, before=before, limit=limit + 1)
    now = (await rules_now(tx, tenant)).version
    return Page(
        items=[_view(version, now) for version in found[:limit]],
        next_cursor=str(found[limit - 1].number) if len(found) > limit else None,
    )


async def change_rules(tx: Tx, tenant: int, change: RulesChange, *, by: str) -> RulesVersion:
    """Store a new version of all limits.

    Raises:
        LimitsInvalid: their parts contradict each other.
        DocumentChanged: another version was stored meanwhile.
        InvalidRequest: they begin in the past, or too late.
    """
    check(change.rules)
    stored = await store_document(
        tx,
        tenant,
        DOCUMENT,
        spell(change.rules),
        reason=change.reason,
        by=by,
        replaces=change.replaces,
        effective_at=change.effective_at,
    )
    return _view(stored, (await rules_now(tx, tenant)).version)


async def set_rules_from_file(
    tx: Tx, tenant: int, text: bytes, *, reason: str, effective_at: datetime | None
) -> DocumentVersion:
    """Store limits that an operator wrote; ``effective_at`` without zone is UTC.

    Raises:
        InvalidRequest: the file is no such document, or the time does not fit.
        LimitsInvalid: its parts contradict each other.
    """
    document = decode(text, LimitsDocument)
    check(document)
    begins = None if effective_at is None else effective_at.replace(tzinfo=UTC)
    return await store_document(
        tx, tenant, DOCUMENT, spell(document), reason=reason, by=OPERATOR, effective_at=begins
    )


async def rules_json(tx: Tx, tenant: int) -> str:
    """Return the limits in force as indented JSON."""
    rules = (await rules_now(tx, tenant)).rules
    return msgspec.json.format(msgspec.json.encode(rules, order="deterministic"), indent=2).decode()


async def give_level(
    tx: Tx, tenant: int, username: str, data: LevelSet, *, by: str = OPERATOR
) -> LevelView:
    """Give a person a level, by username.

    Raises:
        NotFound: nobody has this username.
        UsernameInvalid: nobody can have such a name.
    """
    user = await find_user_by_name(tx, tenant, username)
    if user is None:
        raise NotFound("Nobody has this username.")
    await set_level(tx, tenant, user.id, data.level, reason=data.reason, by=by)
    return LevelView(username=user.username, level=data.level)


def _view(version: DocumentVersion, in_force: int) -> RulesVersion:
    return RulesVersion(
        version=version.number,
        in_force=version.number == in_force,
        effective_at=version.effective_at,
        reason=version.reason,
        changed_by=version.changed_by,
        changed_at=version.changed_at,
        rules=msgspec.json.decode(version.document, type=LimitsDocument),
    )
