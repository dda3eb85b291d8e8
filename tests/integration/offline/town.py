"""A town: users with devices and money in one tenant, driven through the room's own functions.

Two towns that are built alike hold the same keys, vouchers and certificates, so that the same
records can be brought to both in different orders.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncEngine

from offline_protocol import (
    Chain,
    DeviceCertificate,
    Receipt,
    Signed,
    SoftwareSigner,
    Transfer,
    TransferKind,
    Voucher,
    seal,
    unseal,
)
from offline_protocol.constants import NO_REQUEST
from server.identity.models import DeviceRow, UserRow
from server.kit.auth import Caller
from server.kit.clock import Clock
from server.kit.crypto import Vault
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    balance,
    post_many,
    trial_balance,
    verify_ledger,
)
from server.offline import (
    CurrencyLimits,
    IssuerKeys,
    OfflinePolicy,
    OfflineReport,
    issue_vouchers,
    make_issuer_keys,
    offline_report,
    positions_digest,
    synchronise,
)
from server.offline.schemas import RecordUpload, SyncAnswer, SyncRequest, VouchersCreate
from tests.fakes.clock import ManualClock

CURRENCY = "EUR"
_NAMES = UUID("5f6d3f0e-7c0a-5a0e-8a52-1f4e8f4f0a11")
AFTER_CLAIM_BY = timedelta(days=45)


class SeededIds:
    """Ids and tokens that follow from a seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


def policy(
    *,
    voucher: int = 100,
    user: int = 1_000_000,
    merchant: int = 1_000_000,
    fund: int = 1_000_000,
    waiting: int = 1_000,
) -> OfflinePolicy:
    limits = CurrencyLimits(
        voucher_value_max=voucher,
        payment_max=1_000_000,
        balance_max=1_000_000,
        instant={"user": user, "merchant": merchant},
        fund=fund,
    )
    return OfflinePolicy(
        currencies={CURRENCY: limits, "TRY": limits},
        vouchers_per_issue_max=32,
        waiting_per_device_max=waiting,
    )


def issuer_keys(directory: Path, clock: Clock) -> IssuerKeys:
    return make_issuer_keys(
        directory, Vault(b"m" * 32), issuer="Town", clock=clock, ids=SeededIds("keys")
    )


@dataclass
class Device:
    """A key, what its owner holds and knows, and the number of its next signature."""

    name: str
    caller: Caller
    signer: SoftwareSigner
    clock: ManualClock
    certificate: Signed[DeviceCertificate] | None = None
    sequence: int = 0
    cursor: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def user(self) -> UUID:
        return self.caller.user_id

    def sign(
        self,
        chain: Chain,
        lo: int,
        hi: int,
        payee: "Device | None" = None,
        *,
        kind: TransferKind = TransferKind.PAY,
        settle: IssuerKeys | None = None,
        sequence: int | None = None,
        request: bytes = b"r" * 16,
        after: timedelta = timedelta(0),
    ) -> Chain:
        """Sign [lo, hi) of a chain's tip over; nothing stops a device from doing it twice."""
        if sequence is None:
            self.sequence += 1
        claims = kind is TransferKind.CLAIM
        assert (payee is None) == claims
        if payee is not None:
            key = payee.signer.public_key
        else:
            assert settle is not None
            key = settle.settle_key_at(int(self.clock.now().timestamp()))
        body = Transfer(
            chain.tip_id,
            lo,
            hi,
            key,
            NO_REQUEST if claims else request,
            self.sequence if sequence is None else sequence,
            int((self.clock.now() + after).timestamp()),
            kind,
        )
        holds = chain.voucher.body.holder == self.signer.public_key
        return chain.extend(seal(body, self.signer), None if holds else self.certificate)

    def pay(self, chain: Chain, payee: "Device", lo: int, hi: int, **said: Any) -> Chain:
        return self.sign(chain, lo, hi, payee, **said)

    def give_back(self, chain: Chain, payer: "Device") -> Chain:
        request = chain.hops[-1].transfer.body.request_id
        return self.sign(
            chain, chain.lo, chain.hi, payer, kind=TransferKind.RETURN, request=request
        )

    def claim(
        self, chain: Chain, keys: IssuerKeys, lo: int | None = None, hi: int | None = None
    ) -> Chain:
        return self.sign(
            chain,
            chain.lo if lo is None else lo,
            chain.hi if hi is None else hi,
            kind=TransferKind.CLAIM,
            settle=keys,
        )


@dataclass
class Town:
    """One tenant and the people in it."""

    uow: UnitOfWork
    clock: ManualClock
    keys: IssuerKeys
    policy: OfflinePolicy
    tenant: int = 1
    devices: dict[str, Device] = field(default_factory=dict)
    _calls: int = 0

    async def person(self, name: str, *, money: int = 0, role: str = "user") -> Device:
        """Let somebody join with one device and money in the available balance."""
        user = uuid5(_NAMES, name)

        async def join(tx: Tx) -> None:
            tx.session.add(
                UserRow(
                    tenant=self.tenant,
                    id=user,
                    username=name,
                    display_name=name.title(),
                    role=role,
                    password_hash="none",
                    created_at=tx.now,
                )
            )
            await tx.session.flush()

        await self.uow.run(join)
        if money:
            await self.top_up(user, money)
        return await self.device(name, user)

    async def device(self, name: str, user: UUID) -> Device:
        """Enrol a device and let it fetch its certificate."""
        device_id = uuid5(_NAMES, f"device/{name}")
        signer = SoftwareSigner(uuid5(_NAMES, f"key/{name}").bytes * 2)

        async def enrol(tx: Tx) -> None:
            tx.session.add(
                DeviceRow(
                    tenant=self.tenant,
                    id=device_id,
                    user_id=user,
                    key_id=signer.public_key.id,
                    public_key=signer.public_key.raw,
                    name=name,
                    status="active",
                    enrolled_at=tx.now,
                    changed_at=tx.now,
                )
            )

        await self.uow.run(enrol)
        caller = Caller(
            tenant=self.tenant,
            user_id=user,
            session_id=uuid5(_NAMES, f"session/{name}"),
            role="user",
            device_id=device_id,
            device_key=signer.public_key.raw,
        )
        device = Device(name, caller, signer, self.clock)
        self.devices[name] = device
        await self.sync(device)
        return device

    async def top_up(self, user: UUID, amount: int, currency: str = CURRENCY) -> None:
        self._calls += 1
        entry = EntryRequest(
            id=uuid5(_NAMES, f"top-up/{self.tenant}/{user}/{self._calls}"),
            kind="test.top_up",
            debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, currency, None, self.tenant),
            credit=AccountRef(AccountKind.USER_AVAILABLE, currency, user, self.tenant),
            amount=amount,
        )
        (outcome,) = await self.uow.run(lambda tx: post_many(tx, [entry]))
        outcome.raise_for_refusal()

    async def issue(self, device: Device, amount: int, currency: str = CURRENCY) -> list[Chain]:
        self._calls += 1
        created = await issue_vouchers(
            self.uow,
            self.keys,
            self.policy,
            device.caller,
            VouchersCreate(amount=amount, currency=currency),
            key=f"issue-{self._calls}",
        )
        envelopes = [from_base64url(text, field="voucher") for text in created.vouchers]
        return [Chain(unseal(Voucher, envelope)) for envelope in envelopes]

    async def upload(self, device: Device, records: Sequence[RecordUpload]) -> SyncAnswer:
        """One call, as it is."""
        answer = await synchronise(
            self.uow,
            self.keys,
            self.policy,
            device.caller,
            SyncRequest(cursor=device.cursor, records=list(records)),
        )
        device.cursor = answer.cursor
        device.events += answer.events
        if answer.certificate is not None:
            envelope = from_base64url(answer.certificate, field="certificate")
            device.certificate = unseal(DeviceCertificate, envelope)
        return answer

    async def sync(self, device: Device, *chains: Chain) -> SyncAnswer:
        """Upload every transfer of some chains."""
        return await self.upload(device, transfers_of(chains))

    async def available(self, device: Device, currency: str = CURRENCY) -> int:
        ref = AccountRef(AccountKind.USER_AVAILABLE, currency, device.user, self.tenant)
        return (await self.uow.read(lambda tx: balance(tx, ref))).available

    async def held(self, device: Device) -> int:
        ref = AccountRef(AccountKind.USER_AVAILABLE, CURRENCY, device.user, self.tenant)
        return (await self.uow.read(lambda tx: balance(tx, ref))).held

    async def shown(self, kind: AccountKind, user: UUID | None = None) -> int:
        ref = AccountRef(kind, CURRENCY, user, self.tenant)
        return (await self.uow.read(lambda tx: balance(tx, ref))).shown

    async def report(self) -> OfflineReport:
        return await self.uow.read(lambda tx: offline_report(tx, self.tenant))

    async def state(self) -> tuple[bytes, dict[str, int]]:
        """Return all that must not depend on the order of syncs."""

        async def query(tx: Tx) -> tuple[bytes, dict[str, int]]:
            trial = await trial_balance(tx, self.tenant)
            sums = {f"{line.asset}/{line.kind}": line.posted for line in trial.lines if line.posted}
            for device in self.devices.values():
                ref = AccountRef(AccountKind.USER_AVAILABLE, CURRENCY, device.user, self.tenant)
                found = await balance(tx, ref)
                sums[f"{device.name}/posted"] = found.posted
                sums[f"{device.name}/held"] = found.held
                owes = AccountRef(AccountKind.USER_RECEIVABLE, CURRENCY, device.user, self.tenant)
                sums[f"{device.name}/owes"] = (await balance(tx, owes)).shown
            return await positions_digest(tx, self.tenant), sums

        return await self.uow.read(query)

    async def check(self) -> None:
        """Check what must hold after every single step."""

        async def query(tx: Tx) -> None:
            report = await offline_report(tx, self.tenant)
            assert report.adds_up, report
            trial = await trial_balance(tx, self.tenant)
            assert trial.balanced, trial

        await self.uow.read(query)

    async def audit(self) -> None:
        """Let the ledger recompute everything."""
        report = await self.uow.read(verify_ledger)
        assert report.sound, report.as_text()


def town_in(
    engine: AsyncEngine,
    clock: ManualClock,
    keys: IssuerKeys,
    rules: OfflinePolicy,
    *,
    tenant: int = 1,
    seed: object = 0,
) -> Town:
    """Return an empty town; the same seed issues the same vouchers in every tenant."""
    uow = UnitOfWork(engine, clock=clock, ids=SeededIds(f"town/{seed}"))
    return Town(uow, clock, keys, rules, tenant)


def transfers_of(chains: Iterable[Chain]) -> list[RecordUpload]:
    envelopes = {hop.transfer.envelope: None for chain in chains for hop in chain.hops}
    return [transfer_record(envelope) for envelope in envelopes]


def transfer_record(envelope: bytes) -> RecordUpload:
    return RecordUpload(kind="transfer", object=to_base64url(envelope))


def receipt_record(receipt: Signed[Receipt]) -> RecordUpload:
    return RecordUpload(kind="receipt", object=to_base64url(receipt.envelope))
