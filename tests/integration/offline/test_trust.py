"""Revocation lists, the log of certificates, and further keys of a device, on both databases."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from offline_protocol import (
    KeyBinding,
    KeyUse,
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
from server.kit.crypto import Vault
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.offline import CeremonyRefused, ceremony, keep_revocations, load_issuer_keys
from server.offline.audit import OPERATOR
from server.offline.bound_keys import certify_bound_keys
from server.offline.certificate_log import log_entries, log_head
from server.offline.errors import KeyBindingInvalid
from server.offline.issuer_revocation import revoke_issuer_key
from server.offline.revocation import revoked_at
from server.offline.schemas import CertificatesCreate, RevocationsView, SyncRequest
from server.offline.sync import synchronise
from server.offline.trust_models import RevocationRow
from server.offline.trust_news import revocations_since, trust_news
from tests.factories.protocol import entropy
from tests.integration.offline.officers import WHY, deeds_of
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
    # Two weeks of certificate, a month in which vouchers are spent, a week for wrong clocks.
    for days in (0, 14 + 8, 30 - 2):
        town.clock.advance(timedelta(days=days))
        await keep_revocations(town.uow, tenant=town.tenant)
        assert await _whole(town) == held
    town.clock.advance(timedelta(days=2))
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == Revoked(2)
    delta = unseal(RevocationDelta, _raw((await _view(town, 1)).delta))
    assert apply_revocation_delta(delta, town.keys.key_set.body, held) == Revoked(2)
    assert await _view(town, 2) == RevocationsView(epoch=2)


async def _set_status(town: Town, device: Device, status: str) -> None:
    async def change(tx: Tx) -> None:
        await tx.session.execute(
            update(DeviceRow).where(DeviceRow.id == device.caller.device_id).values(status=status)
        )

    await town.uow.run(change)
    await keep_revocations(town.uow, tenant=town.tenant)


async def test_a_device_that_is_blocked_is_revoked_and_one_that_is_given_back_is_not(
    town: Town,
) -> None:
    ada = await town.person("ada")
    await _set_status(town, ada, "lost")
    assert (await _whole(town)).prefixes == {prefix_of(ada.signer.public_key.id)}
    await _set_status(town, ada, "lost")
    assert (await _whole(town)).epoch == 1
    await _set_status(town, ada, "active")
    assert await _whole(town) == Revoked(2)
    await _set_status(town, ada, "revoked")
    assert (await _whole(town)).epoch == 3


async def test_giving_a_convicted_device_back_does_not_clear_its_key(town: Town) -> None:
    eve = await town.person("eve", money=100)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 50)
    one, two = eve.pay(voucher, bob, 0, 10), eve.pay(voucher, cid, 5, 15)
    await _set_status(town, eve, "suspended")
    held = await _whole(town)
    assert held.prefixes == {prefix_of(eve.signer.public_key.id)}
    await town.sync(bob, one)
    await town.sync(cid, two)
    await _set_status(town, eve, "active")
    assert await _whole(town) == held
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == held


async def test_a_lost_phone_is_revoked_as_long_as_a_voucher_of_it_can_be_spent(town: Town) -> None:
    """The holder of a voucher pays without any certificate."""
    ada = await town.person("ada", money=100)
    town.clock.advance(timedelta(days=12))
    await town.issue(ada, 50)
    # The certificate ended 27 days ago, the voucher is good for one more.
    town.clock.advance(timedelta(days=29))
    await _set_status(town, ada, "lost")
    assert (await _whole(town)).prefixes == {prefix_of(ada.signer.public_key.id)}
    # What it signed as the payee of somebody else's voucher is over on the 44th day.
    town.clock.advance(timedelta(days=3 + 8))
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == Revoked(2)
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == Revoked(2)


async def test_a_stolen_issuing_key_is_revoked_for_ever_and_its_certificates_are_replaced(
    town: Town, tmp_path: Path
) -> None:
    ada = await town.person("ada")
    stolen = town.keys.issuer_at(int(town.clock.now().timestamp())).public_key
    assert ada.certificate is not None
    assert ada.certificate.body.kid == stolen.kid

    async def revoke() -> int:
        return await revoke_issuer_key(
            town.uow, town.keys, tenant=town.tenant, by=OPERATOR, kid=stolen.kid, reason=WHY
        )

    with pytest.raises(CeremonyRefused, match="still signs"):
        await revoke()
    directory, vault = tmp_path / "keys", Vault(b"m" * 32)
    root = SoftwareSigner(vault.open((directory / "root.key").read_bytes(), "issuer_key/root"))
    now = int(town.clock.now().timestamp())
    proposal = ceremony.propose(
        directory,
        vault,
        town.keys,
        ids=town.uow._ids,
        uses=[KeyUse.ISSUE],
        now=now,
        begins=now,
        life_s=10 * 365 * 86_400,
        ends=[stolen.kid],
    )
    ceremony.accept(directory, town.keys, ceremony.sign(proposal, root))
    town.clock.advance(timedelta(minutes=5))
    town.keys = load_issuer_keys(directory, vault, town.clock)
    assert [await revoke(), await revoke()] == [1, 1]
    listed = Revoked(1, frozenset({prefix_of(stolen.id)}))
    assert await _whole(town) == listed
    (deed,) = await deeds_of(town, "issuer_key_revoked")
    assert (deed.subject, deed.reason) == (f"key/{stolen.kid.hex()}", WHY)

    await town.sync(ada)
    assert ada.certificate.body.kid != stolen.kid
    renewed = ada.certificate
    await town.sync(ada)
    assert ada.certificate == renewed
    town.clock.advance(timedelta(days=5 * 365))
    await keep_revocations(town.uow, tenant=town.tenant)
    assert await _whole(town) == listed
    with pytest.raises(CeremonyRefused, match="lists no"):
        await revoke_issuer_key(
            town.uow, town.keys, tenant=town.tenant, by=OPERATOR, kid=b"none", reason=WHY
        )


async def test_more_revocations_than_one_list_takes_stop_no_sync(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await town.person("ada")
    names = [entropy("revoked", number) for number in range(131_100)]

    async def fill(tx: Tx) -> None:
        for start in range(0, len(names), 5_000):
            shared = {"kind": "device", "reason": "convicted", "until": 2**40, "at": tx.now}
            shared |= {"tenant": town.tenant, "added_epoch": 1}
            await tx.connection.execute(
                insert(RevocationRow),
                [
                    shared | {"prefix": name[:8], "identity": name}
                    for name in names[start : start + 5_000]
                ],
            )

    await town.uow.run(fill)
    assert await _view(town, 0) == RevocationsView(epoch=1)
    assert "offline_revocations_full" in caplog.text
    assert (await town.sync(ada)).certificate is not None
    eve = await town.person("eve", money=100)
    await _double_spend(town, eve, await town.person("bob"), await town.person("cid"))
    delta = unseal(RevocationDelta, _raw((await _view(town, 1)).delta))
    assert delta.body.to_epoch == 2


async def test_every_pair_of_epochs_is_joined_by_a_delta(town: Town) -> None:
    for number in range(3):
        eve = await town.person(f"eve{number}", money=100)
        await _double_spend(
            town, eve, await town.person(f"b{number}"), await town.person(f"c{number}")
        )
        town.clock.advance(timedelta(days=26))
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
