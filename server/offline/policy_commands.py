"""The policy at the operator's command line."""

from datetime import UTC, datetime

import msgspec

from server.kit.errors import InvalidRequest
from server.kit.strict_json import decode
from server.kit.unit_of_work import Tx
from server.offline.audit import OPERATOR
from server.offline.oversight_schemas import Reason
from server.offline.policy import Version, change_policy, version_in_force, versions
from server.offline.policy_documents import PolicyDocument, document_of

_VERSIONS_SHOWN = 50


async def policy_json(tx: Tx, tenant: int) -> str:
    """Return the policy in force as indented JSON."""
    version = await version_in_force(tx, tenant)
    text = msgspec.json.encode(document_of(version.policy), order="deterministic")
    return msgspec.json.format(text, indent=2).decode()


async def version_lines(tx: Tx, tenant: int) -> list[str]:
    """Return one line for each stored version, the newest first."""
    now = (await version_in_force(tx, tenant)).number
    found = await versions(tx, tenant, before=None, limit=_VERSIONS_SHOWN)
    return [_line(each, in_force=each.number == now) for each in found] or [
        "No version is stored; the built-in policy holds."
    ]


async def set_policy(
    tx: Tx, tenant: int, document: bytes, *, reason: str, effective_at: datetime | None
) -> Version:
    """Store a policy that an operator wrote; ``effective_at`` without zone is UTC.

    Raises:
        InvalidRequest: the file is not such a document, or the reason no text of its length.
        PolicyInvalid: the document contradicts itself.
    """
    return await change_policy(
        tx,
        tenant,
        OPERATOR,
        document=decode(document, PolicyDocument),
        reason=checked_reason(reason),
        replaces=None,
        effective_at=None if effective_at is None else effective_at.replace(tzinfo=UTC),
    )


def checked_reason(text: str) -> str:
    """Return a reason that fits the audit.

    Raises:
        InvalidRequest: it does not.
    """
    try:
        return msgspec.convert(text, Reason)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The reason does not fit: {error}.") from error


def _line(version: Version, *, in_force: bool) -> str:
    assert version.effective_at is not None
    mark = " (in force)" if in_force else ""
    return (
        f"{version.number}{mark} from {version.effective_at:%Y-%m-%d %H:%M} UTC "
        f"by {version.changed_by}: {version.reason}"
    )
