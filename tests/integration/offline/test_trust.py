"""Revocation lists, the log of certificates, and further keys of a device, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from offline_protocol import (
    KeyBinding,
    LogHead,
    RevocationDelta,
    RevocationList,
    Revoked,
    Signed,
    SoftwareP256Signer,
    SoftwareSigner,
    Transfer,
    TransferKind,
    apply_revocation_delta,
    prefix_of,
    seal,
    unseal,
    verify_acceptance_policy,
    verify_revocation_list,
)
from offline_protocol.acceptance import AcceptancePolicy
from offline_protocol.certificates import DeviceCertificate
from server.identity.models import DeviceRow
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.offline import keep_revocations
from server.offline.bound_keys import certify_bound_keys
from server.offline.certificate_log import log_entries, log_head
from server.offline.errors import KeyBindingInvalid
from server.offline.revocation import revoked_at
from server.offline.schemas import CertificatesCreate, RevocationsView, SyncRequest
from server.offline.sync import synchronise
from server.offline.trust_news import revocations_since, trust_news
from tests.factories.protocol import entropy
from tests.integration.offline.town import Device, Town


async def _view(town: Town, epoch: int) -> RevocationsView:
    return await town.uow.read(lambda tx: revocations_since(tx, town.tenant, town.keys, epoch))


def _raw(text: str | None) -> bytes:
    assert text is not None
    return from_base64url(text, field="object", size_max=1 << 20)


async def _whole(town: Town) -> Revoked:
    """The list as somebody gets it who knows nothing, checked against a delta."""
    view = await _view(town, 0)
    if view.epoch == 0:
        return Revoked()
    delta = unseal(RevocationDelta, _raw(view.delta))
    by_delta = apply_revocation_delta(delta, town.keys.key_set.body, Revoked())
    stranger = await _view(town, 10**6)
    whole = unseal(RevocationList, _raw(stranger.list))
    by_list = verify_revocation_list(whole, town.keys.key_set.body)
    assert by_list == by_delta
    return by_list


async def _double_spend(town: Town, cheat: Device, shop: Device, stall: Device) -> None:
    (voucher,) = await town.issue(cheat, 50)
    first, second = cheat.pay(voucher, shop, 0, 10), cheat.pay(voucher, stall, 5, 15)
    await town.sync(shop, first)
    await town.sync(stall, second)


async def test_a_convicted_device_is_on_the_list_at_once_and_leaves_it_when_it_cannot_harm(
    town: Town,
) -> None:
    assert await _whole(town) == Revoked()
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    await _double_spend(town, eve, bob, cid)
    held = await _whole(town)
    assert held == Revoked(1, frozenset({prefix_of(eve.signer.public_key.id)}))
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == held
    town.clock.advance(timedelta(days=14 + 8))
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == Revoked(2)
    delta = unseal(RevocationDelta, _raw((await _view(town, 1)).delta))
    assert apply_revocation_delta(delta, town.keys.key_set.body, held) == Revoked(2)
    assert await _view(town, 2) == RevocationsView(epoch=2)


async def test_a_device_that_is_blocked_is_revoked_and_one_that_is_given_back_is_not(
    town: Town,
) -> None:
    ada = await town.person("ada")

    async def set_status(status: str) -> None:
        async def change(tx: Tx) -> None:
            await tx.session.execute(
                update(DeviceRow).where(DeviceRow.id == ada.caller.device_id).values(status=status)
            )

        await town.uow.run(change)
        await keep_revocations(town.uow, tenant=town.tenant)

    await set_status("lost")
    assert (await _whole(town)).prefixes == {prefix_of(ada.signer.public_key.id)}
    await set_status("lost")
    assert (await _whole(town)).epoch == 1
    await set_status("active")
    assert await _whole(town) == Revoked(2)
    await set_status("revoked")
    assert (await _whole(town)).epoch == 3


async def test_every_pair_of_epochs_is_joined_by_a_delta(town: Town) -> None:
    for number in range(3):
        eve = await town.person(f"eve{number}", money=100)
        await _double_spend(
            town, eve, await town.person(f"b{number}"), await town.person(f"c{number}")
        )
        town.clock.advance(timedelta(days=10))
        await keep_revocations(town.uow, tenant=town.tenant)
    last = (await _view(town, 0)).epoch
    assert last >= 4
    whole, key_set = await _whole(town), town.keys.key_set.body
    held = Revoked()
    for epoch in range(1, last + 1):
        at = await town.uow.read(lambda tx, epoch=epoch: revoked_at(tx, town.tenant, epoch))  # type: ignore[misc]
        assert at != held
        held = at
        signed = unseal(RevocationDelta, _raw((await _view(town, epoch)).delta or ""))
        assert apply_revocation_delta(signed, key_set, held) == whole
        if epoch == last - 1:
            break


async def test_sync_brings_what_the_device_has_not_got(town: Town) -> None:
    ada = await town.person("ada")
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    await _double_spend(town, eve, bob, cid)
    news = await town.uow.read(
        lambda tx: trust_news(tx, town.tenant, town.keys, held_epoch=0, held_policy=0)
    )
    assert news.revocations is not None
    assert news.acceptance_policy is not None
    policy = unseal(AcceptancePolicy, _raw(news.acceptance_policy))
    verify_acceptance_policy(policy, town.keys.key_set.body)
    request = SyncRequest(cursor=0, records=[])
    request.held.revocation_epoch = news.revocations.epoch
    request.held.acceptance_policy = policy.body.version
    answer = await synchronise(town.uow, town.keys, town.policy, ada.caller, request)
    assert answer.revocations is None
    assert answer.acceptance_policy is None


async def test_every_certificate_is_logged_under_a_head_that_anybody_can_compute(
    town: Town,
) -> None:
    people = [await town.person(name) for name in ("ada", "bob", "cid")]
    ids = await town.uow.read(lambda tx: log_entries(tx, town.tenant, 0))
    assert set(ids) == {each.certificate.id for each in people if each.certificate}
    head = await town.uow.read(lambda tx: log_head(tx, town.tenant))
    assert head == LogHead().extend(ids)
    rest = await town.uow.read(lambda tx: log_entries(tx, town.tenant, 2))
    assert rest == ids[2:]
    await town.sync(people[0])
    assert await town.uow.read(lambda tx: log_head(tx, town.tenant)) == head


def _binding(
    town: Town, device: Device, signer: SoftwareSigner | SoftwareP256Signer, **changes: object
) -> str:
    body = KeyBinding(device.signer.public_key, signer.public_key, town.keys.root_key.id)
    by = changes.pop("by", signer)
    body = replace(body, **changes)  # type: ignore[arg-type]
    return to_base64url(seal(body, by).envelope)  # type: ignore[arg-type]


async def _certify(town: Town, device: Device, *bindings: str) -> list[Signed[DeviceCertificate]]:
    made = await certify_bound_keys(
        town.uow, town.keys, town.policy, device.caller, CertificatesCreate(list(bindings))
    )
    return [unseal(DeviceCertificate, _raw(text)) for text in made.certificates]


async def test_further_keys_are_certified_and_what_they_sign_is_the_devices(town: Town) -> None:
    ada, shop = await town.person("ada", money=100), await town.person("shop")
    pseudonym = SoftwareP256Signer(entropy("pseudonym"))
    (certificate,) = await _certify(town, ada, _binding(town, ada, pseudonym))
    assert certificate.body.device_key == pseudonym.public_key
    assert await _certify(town, ada, _binding(town, ada, pseudonym)) == [certificate]

    (voucher,) = await town.issue(ada, 60)
    # The holder pays its own pseudonym, which pays the shop: two hops, one device.
    moved = _sign(town, ada.signer, voucher.tip_id, lo=0, hi=60, payee=pseudonym, sequence=900)
    onward = _sign(town, pseudonym, moved.id, lo=0, hi=25, payee=shop.signer, sequence=1)
    claimed = _sign_claim(shop, onward, town)
    chain = voucher.extend(moved).extend(onward, certificate).extend(claimed, shop.certificate)
    answer = await town.sync(shop, chain)
    assert [result.status for result in answer.results] == ["stored"] * 3
    assert await town.available(shop) == 25
    await town.check()


def _sign(
    town: Town,
    signer: SoftwareSigner | SoftwareP256Signer,
    parent: bytes,
    *,
    lo: int,
    hi: int,
    payee: SoftwareSigner | SoftwareP256Signer,
    sequence: int,
) -> Signed[Transfer]:
    now = int(town.clock.now().timestamp())
    body = Transfer(parent, lo, hi, payee.public_key, b"r" * 16, sequence, now)
    return seal(body, signer)


def _sign_claim(device: Device, last: Signed[Transfer], town: Town) -> Signed[Transfer]:
    now = int(town.clock.now().timestamp())
    body = Transfer(
        last.id,
        last.body.lo,
        last.body.hi,
        town.keys.settle_key_at(now),
        bytes(16),
        1,
        now,
        TransferKind.CLAIM,
    )
    return seal(body, device.signer)


async def test_a_double_spending_of_a_further_key_convicts_and_revokes_the_whole_device(
    town: Town,
) -> None:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    pseudonyms = [SoftwareSigner(entropy("pseudonym", n)) for n in range(2)]
    certificates = await _certify(town, eve, *(_binding(town, eve, each) for each in pseudonyms))
    (voucher,) = await town.issue(eve, 60)
    moved = _sign(town, eve.signer, voucher.tip_id, lo=0, hi=60, payee=pseudonyms[0], sequence=900)
    one = _sign(town, pseudonyms[0], moved.id, lo=0, hi=30, payee=bob.signer, sequence=1)
    two = _sign(town, pseudonyms[0], moved.id, lo=20, hi=50, payee=cid.signer, sequence=2)
    base = voucher.extend(moved)
    await town.sync(bob, base.extend(one, certificates[0]))
    await town.sync(cid, base.extend(two, certificates[0]))
    keys = {eve.signer.public_key, *(each.public_key for each in pseudonyms)}
    assert (await _whole(town)).prefixes == {prefix_of(key.id) for key in keys}
    with pytest.raises(KeyBindingInvalid, match="convicted"):
        await _certify(town, eve, _binding(town, eve, SoftwareSigner(entropy("another"))))


async def test_bindings_that_are_not_the_devices_own_are_refused(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    new, stranger = SoftwareSigner(entropy("new")), SoftwareSigner(entropy("stranger"))
    for binding in (
        _binding(town, bob, new),
        _binding(town, ada, new, issuer=entropy("another issuer")),
        _binding(town, ada, new, by=stranger),
        _binding(town, ada, new, bound=bob.signer.public_key, by=bob.signer),
        to_base64url(b"nonsense"),
    ):
        with pytest.raises(KeyBindingInvalid):
            await _certify(town, ada, binding)
    await _certify(town, ada, _binding(town, ada, new))
    with pytest.raises(KeyBindingInvalid, match="another device"):
        await _certify(town, bob, _binding(town, bob, new))
