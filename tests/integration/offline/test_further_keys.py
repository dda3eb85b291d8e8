"""Further keys are the device's: its news, its holes, its conviction; on both databases."""

from datetime import timedelta
from uuid import uuid5

import pytest
from sqlalchemy import insert

from offline_protocol import (
    Chain,
    DeviceCertificate,
    KeyBinding,
    Receipt,
    Signed,
    SoftwareSigner,
    seal,
    unseal,
)
from server.identity.models import DeviceRow
from server.kit.auth import Caller
from server.kit.errors import Forbidden
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.offline.bound_keys import certify_bound_keys
from server.offline.bound_owners import owners_of
from server.offline.errors import KeyBindingInvalid
from server.offline.models import CertificateRow
from server.offline.owners import Owners
from server.offline.revocation import keep_revocations
from server.offline.schemas import CertificatesCreate
from server.offline.statements import statement_page
from server.offline.trust_models import BoundKeyRow
from tests.factories.protocol import entropy
from tests.integration.offline.town import Device, Town, receipt_record, transfers_of


async def _pseudonym(town: Town, device: Device, name: str) -> Device:
    """Return a further key of a device that signs as the device does, and is certified."""
    signer = SoftwareSigner(entropy(name))
    body = KeyBinding(device.signer.public_key, signer.public_key, town.keys.root_key.id)
    made = await certify_bound_keys(
        town.uow,
        town.keys,
        town.policy,
        device.caller,
        CertificatesCreate([to_base64url(seal(body, signer).envelope)]),
    )
    certificate = unseal(DeviceCertificate, from_base64url(made.certificates[0], field="object"))
    return Device(name, device.caller, signer, town.clock, certificate)


def _receipt(town: Town, payee: Device, chain: Chain) -> Signed[Receipt]:
    last = chain.hops[-1].transfer
    now = int(town.clock.now().timestamp())
    return seal(Receipt((last.id,), last.body.request_id, last.body.amount, now), payee.signer)


async def test_a_device_hears_of_what_its_further_keys_paid_and_were_paid(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    hidden = await _pseudonym(town, ada, "hidden")
    till = await _pseudonym(town, bob, "till")
    (voucher,) = await town.issue(ada, 60)
    own = ada.pay(voucher, hidden, 0, 60)
    paid = hidden.pay(own, till, 0, 25)
    receipt = _receipt(town, till, paid)
    await town.upload(bob, [*transfers_of([paid]), receipt_record(receipt)])

    await town.sync(ada)
    known = [event for event in ada.events if event["type"] == "transfer_known"]
    assert [event["transfer_id"] for event in known] == [
        to_base64url(hop.transfer.id) for hop in paid.hops
    ]
    assert known[-1]["receipt"] == to_base64url(receipt.envelope)
    await town.sync(bob)
    assert not [event for event in bob.events if event["type"] == "transfer_known"]

    more = hidden.pay(own, till, 25, 30)
    await town.sync(ada, more)
    await town.sync(bob)
    (told,) = [event for event in bob.events if event["type"] == "transfer_known"]
    assert told["transfer_id"] == to_base64url(more.hops[-1].transfer.id)


async def test_a_hole_of_a_further_key_keeps_the_whole_device_from_certificates(
    town: Town,
) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    hidden = await _pseudonym(town, ada, "hidden")
    (voucher,) = await town.issue(ada, 60)
    own = ada.pay(voucher, hidden, 0, 60)
    first, second = hidden.pay(own, bob, 0, 10), hidden.pay(own, bob, 10, 20)
    await town.sync(bob, second)

    answer = await town.sync(ada)
    assert answer.missing_of_keys == {to_base64url(hidden.signer.public_key.id): [1]}
    assert answer.certificate is None
    assert "certificate_refused" in {event["type"] for event in answer.events}
    with pytest.raises(KeyBindingInvalid, match="sequence_gap"):
        await _pseudonym(town, ada, "another")

    answer = await town.sync(ada, first)
    assert (answer.missing_of_keys, answer.missing_sequences) == ({}, [])
    assert answer.certificate is not None
    await _pseudonym(town, ada, "another")


async def _enrol(town: Town, device: Device, user: Device) -> Caller:
    """Enrol the key of a pseudonym as a device of its own, as identity lets everybody do."""
    identity = uuid5(device.caller.user_id, device.name)
    public = device.signer.public_key

    async def enrol(tx: Tx) -> None:
        tx.session.add(
            DeviceRow(
                tenant=town.tenant,
                id=identity,
                user_id=user.user,
                key_id=public.id,
                public_key=public.raw,
                name=device.name,
                status="active",
                enrolled_at=tx.now,
                changed_at=tx.now,
            )
        )

    await town.uow.run(enrol)
    return Caller(
        tenant=town.tenant,
        user_id=user.user,
        session_id=identity,
        role="user",
        device_id=identity,
        device_key=public.raw,
    )


async def test_a_further_key_that_is_enrolled_as_another_device_gets_nothing(town: Town) -> None:
    """Else one account would answer for what the other's device signs, and goes on signing."""
    eve, mule = await town.person("eve", money=100), await town.person("mule", money=100)
    hidden = await _pseudonym(town, eve, "hidden")
    hidden.caller = await _enrol(town, hidden, mule)
    with pytest.raises(Forbidden):
        await town.sync(hidden)
    with pytest.raises(Forbidden):
        await town.issue(hidden, 50)
    with pytest.raises(Forbidden):
        await _pseudonym(town, hidden, "more")


async def test_a_device_does_not_bind_its_own_key(town: Town) -> None:
    ada = await town.person("ada")
    own = KeyBinding(ada.signer.public_key, ada.signer.public_key, town.keys.root_key.id)
    text = to_base64url(seal(own, ada.signer).envelope)
    with pytest.raises(KeyBindingInvalid):
        await certify_bound_keys(
            town.uow, town.keys, town.policy, ada.caller, CertificatesCreate([text])
        )


async def test_more_keys_than_one_statement_takes(town: Town) -> None:
    """A hundred devices with their further keys are more than either database's parameters."""
    ada = await town.person("ada")
    now = int(town.clock.now().timestamp())
    names = [entropy("key", number) for number in range(33_000)]

    async def fill(tx: Tx) -> None:
        shared = {"tenant": town.tenant, "owner": ada.signer.public_key.id}
        for start in range(0, len(names), 1_000):
            part = names[start : start + 1_000]
            await tx.connection.execute(
                insert(BoundKeyRow),
                [
                    shared
                    | {
                        "key_id": name,
                        "device_id": ada.caller.device_id,
                        "binding": b"",
                        "at": tx.now,
                    }
                    for name in part
                ],
            )
            await tx.connection.execute(
                insert(CertificateRow),
                [
                    {
                        "tenant": town.tenant,
                        "id": name,
                        "key_id": name,
                        "valid_from": now,
                        "valid_to": now + 86_400,
                        "envelope": b"",
                    }
                    for name in part
                ],
            )

    await town.uow.run(fill)
    await keep_revocations(town.uow, tenant=town.tenant)
    found = await town.uow.read(lambda tx: owners_of(tx, town.tenant, names))
    assert set(found.values()) == {ada.signer.public_key.id}

    async def learn(tx: Tx) -> Owners:
        owners = Owners(tx, town.tenant)
        await owners.learn_keys(names)
        return owners

    assert (await town.uow.read(learn)).devices.keys() == set(names)
    page = await town.uow.read(
        lambda tx: statement_page(tx, town.tenant, ada.user, cursor=None, limit=5)
    )
    assert page.items == []
    town.clock.advance(timedelta(hours=1))
    await town.sync(ada)
