"""What the issuer signs for every device beside its own certificate: revocations and rules."""

from dataclasses import dataclass

from offline_protocol.acceptance import AcceptancePolicy, AcceptanceRule, Verdict
from offline_protocol.cose import Signed, seal
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.offline.issuer_keys import IssuerKeys
from server.offline.policy import Version, version_in_force
from server.offline.policy_documents import acceptance_rules
from server.offline.revocation import current_epoch, signed_delta, signed_list
from server.offline.schemas import RevocationsView

_ACTIONS = {"warn": Verdict.WARN, "refuse": Verdict.REFUSE}


@dataclass(frozen=True, slots=True)
class TrustNews:
    """For one device: None where it has the newest already."""

    revocations: RevocationsView | None
    acceptance_policy: str | None


async def trust_news(
    tx: Tx, tenant: int, keys: IssuerKeys, *, held_epoch: int, held_policy: int
) -> TrustNews:
    """Return what is newer than a device's revocation epoch and acceptance policy."""
    revocations = await revocations_since(tx, tenant, keys, held_epoch)
    version = await version_in_force(tx, tenant)
    policy = None
    if held_policy != policy_number(version):
        policy = to_base64url(sign_policy(version, keys, int(tx.now.timestamp())).envelope)
    return TrustNews(
        revocations if revocations.delta or revocations.list else None,
        policy,
    )


async def revocations_since(
    tx: Tx, tenant: int, keys: IssuerKeys, held_epoch: int
) -> RevocationsView:
    """Return the shortest thing that brings a device from its epoch to the present one."""
    epoch = await current_epoch(tx, tenant)
    if held_epoch == epoch:
        return RevocationsView(epoch=epoch)
    delta = await signed_delta(tx, tenant, keys, held_epoch)
    if delta is not None:
        return RevocationsView(epoch=epoch, delta=to_base64url(delta.envelope))
    whole = await signed_list(tx, tenant, keys)
    return RevocationsView(
        epoch=epoch, list=None if whole is None else to_base64url(whole.envelope)
    )


def policy_number(version: Version) -> int:
    """Return the number of the signed policy; the built-in one is the first."""
    return version.number + 1


def sign_policy(version: Version, keys: IssuerKeys, now: int) -> Signed[AcceptancePolicy]:
    """Return the acceptance rules of a version, signed now."""
    issuer = keys.issuer_at(now)
    rules = tuple(
        AcceptanceRule(
            action=_ACTIONS[rule["action"]],
            currency=rule.get("currency"),
            amount_over=rule.get("amount_over"),
            hops_over=rule.get("hops_over"),
            certificate_age_over=rule.get("certificate_age_over_s"),
            revocation_age_over=rule.get("revocation_age_over_s"),
            assurance_under=rule.get("assurance_under"),
        )
        for rule in acceptance_rules(version.policy)
    )
    return seal(AcceptancePolicy(issuer.public_key.kid, policy_number(version), now, rules), issuer)
