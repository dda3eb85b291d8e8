"""Which device keys are trusted with offline money, and the certificates that say so.

A certificate is issued at the first sync and renewed when less than a week is left, as long as the
device is active, was never convicted, and has uploaded everything that any of its keys signed: a
hole in a key's sequence numbers means that somebody may hold a transfer which we do not know.
"""

from datetime import datetime

from sqlalchemy import case, func, select

from offline_protocol.certificates import Assurance, DeviceCertificate, Limits
from offline_protocol.constants import CLOCK_SLACK_S
from offline_protocol.cose import Signed, seal, unseal
from offline_protocol.keys import PublicKey
from server.identity import DeviceStatus, DeviceView, Role, UserView
from server.kit.money import ASSETS
from server.kit.unit_of_work import Tx
from server.offline.certificate_log import append_to_log
from server.offline.domain import OfflinePolicy
from server.offline.issuer_keys import IssuerKeys
from server.offline.models import CertificateRow, SequenceRow, TransferRow, TrustRow
from server.offline.revocation import revoke_device
from server.offline.trust_models import BoundKeyRow

MISSING_MAX = 100
"""Missing sequence numbers that are named in one answer."""


async def trust_row(tx: Tx, tenant: int, device: DeviceView) -> TrustRow:
    """Return what this room remembers of a device; begins to remember it if need be."""
    row = await tx.session.get(TrustRow, (tenant, device.key.id))
    if row is None:
        row = TrustRow(
            tenant=tenant, key_id=device.key.id, user_id=device.user_id, device_id=device.id
        )
        tx.session.add(row)
        await tx.session.flush()
    return row


async def convict(tx: Tx, tenant: int, device: DeviceView) -> None:
    """Never trust this device again: no certificate, and its keys are on the revocation list."""
    row = await trust_row(tx, tenant, device)
    row.convicted_at = row.convicted_at or tx.now
    await revoke_device(tx, tenant, device, "convicted")


async def missing_sequences(tx: Tx, tenant: int, key: bytes, policy: OfflinePolicy) -> list[int]:
    """Return numbers that a device must have signed with and has not uploaded, lowest first.

    A hole is forgiven once every voucher that it can concern has been closed. At most
    ``MISSING_MAX`` are named. Up to where nothing is missing is remembered: no record ever goes.
    """
    life = policy.spend_by + policy.claim_after
    since = int((tx.now - life).timestamp())
    row = await tx.session.get(SequenceRow, (tenant, key))
    known_to = 0 if row is None else row.complete_to
    # A late one says nothing about time: anybody can date a transfer back under a closed voucher.
    where = (
        TransferRow.tenant == tenant,
        TransferRow.signer == key,
        TransferRow.sequence > known_to,
        TransferRow.late.is_(False),
    )
    old = func.max(case((TransferRow.time < since, TransferRow.sequence)))
    numbers = select(
        old, func.count(TransferRow.sequence.distinct()), func.max(TransferRow.sequence)
    ).where(*where)
    forgiven, count, last = (await tx.session.execute(numbers)).one()
    missing: list[int] = []
    if forgiven is None and count == (last or known_to) - known_to:
        following = known_to + count + 1
    else:
        following = (known_to if forgiven is None else forgiven) + 1
        query = select(TransferRow.sequence).where(*where, TransferRow.sequence >= following)
        for number in await tx.session.scalars(query.order_by(TransferRow.sequence).distinct()):
            missing.extend(range(following, min(number, following + MISSING_MAX - len(missing))))
            following = number + 1
            if len(missing) >= MISSING_MAX:
                break
    complete_to = missing[0] - 1 if missing else following - 1
    if row is None:
        tx.session.add(SequenceRow(tenant=tenant, key_id=key, complete_to=complete_to))
    elif row.complete_to != complete_to:
        row.complete_to = complete_to
    return missing


async def missing_of_further_keys(
    tx: Tx, tenant: int, owner: bytes, policy: OfflinePolicy
) -> dict[bytes, list[int]]:
    """Return the holes in what a device's further keys have signed, by key; without: left out.

    ``owner`` is the key that the device was enrolled with.
    """
    suspect = (
        select(TransferRow.signer)
        .join(
            BoundKeyRow,
            (BoundKeyRow.tenant == TransferRow.tenant) & (BoundKeyRow.key_id == TransferRow.signer),
        )
        .outerjoin(
            SequenceRow,
            (SequenceRow.tenant == TransferRow.tenant) & (SequenceRow.key_id == TransferRow.signer),
        )
        .where(
            TransferRow.tenant == tenant,
            BoundKeyRow.owner == owner,
            TransferRow.late.is_(False),
            TransferRow.sequence > func.coalesce(SequenceRow.complete_to, 0),
        )
        .group_by(TransferRow.signer, SequenceRow.complete_to)
        .having(
            func.count(TransferRow.sequence.distinct())
            != func.max(TransferRow.sequence) - func.coalesce(SequenceRow.complete_to, 0)
        )
        .order_by(TransferRow.signer)
    )
    keys = (await tx.session.scalars(suspect)).all()
    missing = {key: await missing_sequences(tx, tenant, key, policy) for key in keys}
    return {key: numbers for key, numbers in missing.items() if numbers}


async def current_certificate(tx: Tx, tenant: int, key: bytes) -> Signed[DeviceCertificate] | None:
    """Return the certificate of a device key that lasts longest, also when it has ended."""
    envelope = await tx.session.scalar(
        select(CertificateRow.envelope)
        .where(CertificateRow.tenant == tenant, CertificateRow.key_id == key)
        .order_by(CertificateRow.valid_to.desc())
        .limit(1)
    )
    return None if envelope is None else unseal(DeviceCertificate, envelope)


def refusal_of(device: DeviceView, row: TrustRow, *, complete: bool) -> str | None:
    """Return the stable word for why a device gets no certificate, or None when it does.

    ``complete``: what any of its keys signed has been uploaded.
    """
    if row.convicted_at is not None:
        return "convicted"
    if device.status is not DeviceStatus.ACTIVE:
        return "device_not_active"
    return None if complete else "sequence_gap"


async def certify(
    tx: Tx,
    tenant: int,
    keys: IssuerKeys,
    policy: OfflinePolicy,
    *,
    key: PublicKey,
    user: UserView,
) -> Signed[DeviceCertificate]:
    """Return a device key's certificate; issue a new one when it ends soon or has another name.

    And when the key that signed it serves no more: it may have been stolen, and is refused then.
    Every certificate that is signed is logged in the same transaction.
    """
    current = await current_certificate(tx, tenant, key.id)
    if (
        current is not None
        and current.body.valid_to >= _seconds(tx.now + policy.renew_below)
        and current.body.display_name == _certified_name(user)
        and keys.still_issues(current.body.kid, _seconds(tx.now))
    ):
        return current
    # A device whose clock is a little slow must be able to use it at once.
    valid_from = _seconds(tx.now) - CLOCK_SLACK_S
    issuer = keys.issuer_at(valid_from)
    limits = [policy.limits(code) for code in ASSETS]
    certificate = seal(
        DeviceCertificate(
            kid=issuer.public_key.kid,
            device_key=key,
            valid_from=valid_from,
            valid_to=_seconds(tx.now + policy.certificate_life),
            # A certificate speaks for all currencies; the voucher's own limits are per currency.
            limits=Limits(
                payment_max=max(each.payment_max for each in limits),
                balance_max=max(each.balance_max for each in limits),
                hops_max=policy.hops_max,
            ),
            assurance=Assurance.SOFTWARE,
            display_name=_certified_name(user),
        ),
        issuer,
    )
    known = await tx.session.get(CertificateRow, (tenant, certificate.id))
    if known is None:
        tx.session.add(
            CertificateRow(
                tenant=tenant,
                id=certificate.id,
                key_id=key.id,
                valid_from=certificate.body.valid_from,
                valid_to=certificate.body.valid_to,
                envelope=certificate.envelope,
            )
        )
        await tx.session.flush()
        await append_to_log(tx, tenant, [certificate.id])
    return certificate


def _certified_name(user: UserView) -> str | None:
    """Merchants are shown by name to whoever pays them; others keep their pseudonym."""
    return user.display_name if user.role is Role.MERCHANT else None


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
