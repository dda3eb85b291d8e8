"""HTTP of the policy: what everybody may know of it, its versions, and changing it."""

from typing import Annotated

from litestar import Router, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, Unauthenticated, Unavailable
from server.kit.money import ASSETS
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline import policy as stored
from server.offline.audit import officer_of
from server.offline.errors import PolicyChanged, PolicyInvalid
from server.offline.events import turn_of
from server.offline.oversight_schemas import (
    PolicyChange,
    PolicyVersion,
    PublicLimits,
    PublicPolicy,
)
from server.offline.policy_documents import document_of
from server.settings import Settings


@get("/offline/policy", summary="The rules of offline money", opt={OPEN_ROUTE: True})
async def show_policy(
    uow: NamedDependency[UnitOfWork], settings: NamedDependency[Settings]
) -> PublicPolicy:
    """Return the limits that hold now in every currency, and what payees should look at."""

    async def look(tx: Tx) -> PublicPolicy:
        version = await stored.version_in_force(tx, settings.tenant)
        changes_at = await stored.next_change(tx, settings.tenant, version.number)
        document = document_of(version.policy)
        return PublicPolicy(
            version=version.number,
            effective_at=version.effective_at,
            changes_at=changes_at,
            hops_max=document.hops_max,
            vouchers_per_issue_max=document.vouchers_per_issue_max,
            spend_by_s=document.spend_by_s,
            claim_after_s=document.claim_after_s,
            certificate_life_s=document.certificate_life_s,
            currencies={code: _public(version, code) for code in ASSETS},
            acceptance=document.acceptance,
        )

    return await uow.read(look)


def _public(version: stored.Version, currency: str) -> PublicLimits:
    limits = version.policy.limits(currency)
    return PublicLimits(
        voucher_value_max=limits.voucher_value_max,
        payment_max=limits.payment_max,
        balance_max=limits.balance_max,
        instant=dict(limits.instant),
        collateral_percent=limits.collateral_percent,
    )


@get(
    "/offline/policy/in-force",
    summary="The whole policy that holds now",
    guards=[may("oversee_offline")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_policy_in_force(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> PolicyVersion:
    """Return the policy with what only officers know; version 0 is the built-in one."""
    version = await uow.read(lambda tx: stored.version_in_force(tx, caller.tenant))
    return _version(version, version.number)


@get(
    "/offline/policy/versions",
    summary="Every policy that was ever set",
    guards=[may("oversee_offline")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_policy_versions(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    before: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> Page[PolicyVersion]:
    """List stored versions, the newest first; ``next_cursor`` is the next page's ``before``."""

    async def look(tx: Tx) -> Page[PolicyVersion]:
        found = await stored.versions(tx, caller.tenant, before=before, limit=limit + 1)
        now = (await stored.version_in_force(tx, caller.tenant)).number
        return Page(
            items=[_version(each, now) for each in found[:limit]],
            next_cursor=str(found[limit - 1].number) if len(found) > limit else None,
        )

    return await uow.read(look)


@put(
    "/offline/policy",
    summary="Change the policy",
    guards=[may("offline_policy")],
    responses=refusals(
        *BODY_REFUSALS, Unauthenticated, Forbidden, PolicyChanged, PolicyInvalid, Unavailable
    ),
)
async def change_policy(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[PolicyChange],
) -> PolicyVersion:
    """Store a new version of the whole policy; the earlier ones stay readable.

    Sending the same change again answers the same. A version that was planned and has not begun is
    replaced by a later one.
    """

    async def command(tx: Tx) -> PolicyVersion:
        by = await officer_of(tx, caller)
        version = await stored.change_policy(
            tx,
            caller.tenant,
            by,
            document=data.policy,
            reason=data.reason,
            replaces=data.replaces,
            effective_at=data.effective_at,
        )
        now = (await stored.version_in_force(tx, caller.tenant)).number
        return _version(version, now)

    return await uow.run(command, turn=turn_of(caller.tenant))


def _version(version: stored.Version, in_force: int) -> PolicyVersion:
    return PolicyVersion(
        version=version.number,
        in_force=version.number == in_force,
        effective_at=version.effective_at,
        reason=version.reason,
        changed_by=version.changed_by,
        changed_at=version.changed_at,
        policy=document_of(version.policy),
    )


POLICY_ROUTES = [
    Router(
        "/v1",
        route_handlers=[show_policy, show_policy_in_force, list_policy_versions, change_policy],
        tags=["Offline policy"],
    )
]
