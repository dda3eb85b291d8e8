"""Further keys of devices, each certified, so that a payer can show another one at each payment."""

from collections.abc import Sequence

from sqlalchemy import func, select

from offline_protocol.cose import Signed, check_signature, unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.key_bindings import KeyBinding
from server.identity import DeviceView
from server.kit.auth import Caller
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.domain import OfflinePolicy
from server.offline.errors import KeyBindingInvalid
from server.offline.events import lock_offline, turn_of
from server.offline.issuer_keys import IssuerKeys
from server.offline.owners import Owners
from server.offline.schemas import CertificatesCreate, CertificatesCreated
from server.offline.trust import (
    certify,
    missing_of_further_keys,
    missing_sequences,
    refusal_of,
    trust_row,
)
from server.offline.trust_models import BoundKeyRow
from server.offline.vouchers import calling_device

BINDING_TEXT_MAX = 512
KEYS_PER_DEVICE_MAX = 512
"""Further keys that one device may ever have had."""


async def certify_bound_keys(
    uow: UnitOfWork,
    keys: IssuerKeys,
    policy: OfflinePolicy,
    caller: Caller,
    data: CertificatesCreate,
) -> CertificatesCreated:
    """Certify further keys of the calling device; doing it again gives certificates that last.

    Raises:
        Forbidden: the call does not come from an enrolled device.
        KeyBindingInvalid: a binding is not one of this device, for this issuer, or somebody's.
    """
    bindings = [_read(text) for text in data.bindings]

    async def command(tx: Tx) -> CertificatesCreated:
        await lock_offline(tx, caller.tenant)
        device = await calling_device(tx, caller)
        for binding in bindings:
            _check(binding, device, keys)
        await _check_trust(tx, caller.tenant, policy, device)
        await _bind(tx, caller.tenant, device, bindings)
        user = await Owners(tx, caller.tenant).user(device.user_id)
        certificates = [
            await certify(tx, caller.tenant, keys, policy, key=binding.body.bound, user=user)
            for binding in bindings
        ]
        return CertificatesCreated(
            certificates=[to_base64url(certificate.envelope) for certificate in certificates]
        )

    return await uow.run(command, turn=turn_of(caller.tenant))


def _read(text: str) -> Signed[KeyBinding]:
    data = from_base64url(text, field="bindings", size_max=BINDING_TEXT_MAX)
    try:
        return unseal(KeyBinding, data)
    except ProtocolError as error:
        raise _invalid(error.message) from None


def _check(binding: Signed[KeyBinding], device: DeviceView, keys: IssuerKeys) -> None:
    body = binding.body
    if body.owner != device.key:
        raise _invalid("it names another device")
    if body.bound == device.key:
        raise _invalid("it binds the device's first key to itself")
    if body.issuer != keys.root_key.id:
        raise _invalid("it was made for another issuer")
    if not body.bound.is_of_prime_order:
        raise _invalid("a part of the key is of small order")
    try:
        check_signature(binding, body.bound)
    except ProtocolError as error:
        raise _invalid(error.message) from None


async def _check_trust(tx: Tx, tenant: int, policy: OfflinePolicy, device: DeviceView) -> None:
    row = await trust_row(tx, tenant, device)
    missing = await missing_sequences(tx, tenant, device.key.id, policy)
    further = await missing_of_further_keys(tx, tenant, device.key.id, policy)
    refusal = refusal_of(device, row, complete=not (missing or further))
    if refusal is not None:
        raise KeyBindingInvalid(
            f"This device gets no certificates: {refusal}.", fix="Synchronise first."
        )


async def _bind(
    tx: Tx, tenant: int, device: DeviceView, bindings: Sequence[Signed[KeyBinding]]
) -> None:
    names = [binding.body.bound.id for binding in bindings]
    rows = await tx.session.scalars(
        select(BoundKeyRow).where(BoundKeyRow.tenant == tenant, BoundKeyRow.key_id.in_(names))
    )
    known = {row.key_id: row.owner for row in rows}
    enrolled = Owners(tx, tenant)
    await enrolled.learn_keys(names)
    for name in names:
        owner = enrolled.devices.get(name)
        if known.get(name, device.key.id) != device.key.id or (
            owner is not None and owner.id != device.id
        ):
            raise _invalid("the key belongs to another device")
    count = await tx.session.scalar(
        select(func.count()).where(BoundKeyRow.tenant == tenant, BoundKeyRow.owner == device.key.id)
    )
    fresh = {b.body.bound.id: b for b in bindings if b.body.bound.id not in known}
    if int(count or 0) + len(fresh) > KEYS_PER_DEVICE_MAX:
        raise KeyBindingInvalid(
            f"A device has at most {KEYS_PER_DEVICE_MAX} keys.", fix="Enrol the device again."
        )
    tx.session.add_all(
        BoundKeyRow(
            tenant=tenant,
            key_id=name,
            owner=device.key.id,
            device_id=device.id,
            binding=binding.envelope,
            at=tx.now,
        )
        for name, binding in fresh.items()
    )
    await tx.session.flush()


def _invalid(reason: str) -> KeyBindingInvalid:
    return KeyBindingInvalid(
        f"A key binding cannot be used: {reason}.",
        fix="Let each new key sign a key-binding that names this device's key and this issuer.",
        field="bindings",
    )
