"""Officers of a town, and double spends for them to look at."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from offline_protocol import Chain
from server.kit.auth import Caller
from server.kit.unit_of_work import Tx
from server.offline.audit import Officer, officer_of
from server.offline.domain import CurrencyLimits, OfflinePolicy
from server.offline.oversight_models import AuditRow
from server.offline.policy import Version, change_policy
from server.offline.policy_documents import document_of
from server.offline.risk_service import RiskDesk
from tests.integration.offline.town import CURRENCY, Device, Town

WHY = "because the test says so"


async def officer(town: Town, name: str, role: str = "risk") -> Caller:
    """Let somebody join who has a role and no device."""
    device = await town.person(name, role=role)
    return replace(device.caller, role=role, device_id=None, device_key=None)


async def named(town: Town, caller: Caller) -> Officer:
    return await town.uow.read(lambda tx: officer_of(tx, caller))


def desk(town: Town, caller: Caller) -> RiskDesk:
    return RiskDesk(town.uow, caller, town.policy)


def with_limits(rules: OfflinePolicy, **changes: Any) -> OfflinePolicy:
    """Return a policy with other limits in the town's currency."""
    limits: CurrencyLimits = replace(rules.limits(CURRENCY), **changes)
    return replace(rules, currencies={**rules.currencies, CURRENCY: limits})


async def store_policy(
    town: Town, rules: OfflinePolicy, *, after: timedelta | None = None
) -> Version:
    """Store a version of the policy, in force now or after a while."""
    by = Officer(None, "operator")
    begins = None if after is None else town.clock.now() + after

    async def command(tx: Tx) -> Version:
        return await change_policy(
            tx,
            town.tenant,
            by,
            document=document_of(rules),
            reason=WHY,
            replaces=None,
            effective_at=begins,
        )

    return await town.uow.run(command)


async def deeds_of(town: Town, action: str) -> list[AuditRow]:
    query = select(AuditRow).where(AuditRow.tenant == town.tenant, AuditRow.action == action)

    async def read(tx: Tx) -> list[AuditRow]:
        return list(await tx.session.scalars(query.order_by(AuditRow.seq)))

    return await town.uow.read(read)


async def double_spend(
    town: Town, cheat: Device, payees: list[Device], amount: int, *, voucher: Chain | None = None
) -> Chain:
    """Let a cheat pay the same units to several people, who all claim them."""
    if voucher is None:
        (voucher,) = await town.issue(cheat, amount)
    for payee in payees:
        paid = cheat.pay(voucher, payee, 0, amount)
        await town.sync(payee, payee.claim(paid, town.keys))
    return voucher
