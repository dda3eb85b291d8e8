"""Issuing vouchers: money leaves the available balance and becomes value on a device.

The ledger entry (available to offline float) and the voucher are written in one transaction, so the
float is the sum of what open vouchers still back, at every moment.
"""

from dataclasses import dataclass

from sqlalchemy import func, select

from offline_protocol.constants import CLOCK_SLACK_S, SERIAL_BYTES
from offline_protocol.cose import Signed, seal
from offline_protocol.keys import PublicKey
from offline_protocol.vouchers import Voucher, VoucherLimits
from server.identity import DeviceStatus, DeviceView, device_by_id
from server.kit.auth import Caller
from server.kit.errors import Forbidden
from server.kit.idempotency import fingerprint, once
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import post_many
from server.offline.bound_owners import keys_bound_to, owners_of, unused_keys
from server.offline.collateral import bind, free_collateral
from server.offline.domain import CurrencyLimits, OfflinePolicy, split_value
from server.offline.errors import DebtOutstanding, DeviceNotTrusted, OverOfflineLimit
from server.offline.events import Event, lock_offline, tell
from server.offline.issuer_keys import IssuerKeys
from server.offline.models import AccountRow, VoucherRow
from server.offline.policy import policy_in_force
from server.offline.postings import Book
from server.offline.schemas import VouchersCreate, VouchersCreated
from server.offline.settlement import run_settling
from server.offline.trust import trust_row


async def issue_vouchers(
    uow: UnitOfWork,
    keys: IssuerKeys,
    policy: OfflinePolicy,
    caller: Caller,
    data: VouchersCreate,
    *,
    key: str,
) -> VouchersCreated:
    """Move an amount onto the calling device; the same key gives the same vouchers again.

    ``policy`` holds where the tenant has stored none.

    Raises:
        UnknownCurrency: this server does not know the currency.
        OverOfflineLimit: too much at once, or too much for one device.
        DeviceNotTrusted: the device's key contradicted itself before, or it is not active.
        DebtOutstanding: the user owes for double-spent value.
        InsufficientFunds: the available balance does not cover the amount.
        IdempotencyConflict: the key was used for another request.
    """

    async def command(tx: Tx) -> VouchersCreated:
        await lock_offline(tx, caller.tenant)
        device = await calling_device(tx, caller)
        rules = await policy_in_force(tx, caller.tenant, policy)
        limits = rules.limits(data.currency)
        issue = _Issue(tx, caller.tenant, keys, rules, limits, device, data)
        return await once(
            tx,
            tenant=caller.tenant,
            owner=caller.user_id,
            operation="offline.issue",
            key=key,
            digest=fingerprint(
                [device.key.id.hex(), data.amount, data.currency]
                + ["further_keys"] * data.further_keys
            ),
            answer_type=VouchersCreated,
            work=issue.run,
        )

    return await run_settling(uow, caller.tenant, command)


async def calling_device(tx: Tx, caller: Caller) -> DeviceView:
    """Return the device whose key signed the call.

    Raises:
        Forbidden: the session belongs to no device any more, or to a further key of another one.
    """
    device = None
    if caller.device_id is not None:
        device = await device_by_id(tx, caller.tenant, caller.device_id)
    if device is None or device.user_id != caller.user_id:
        raise Forbidden("Offline money needs an enrolled device.", needs="device")
    if (await owners_of(tx, caller.tenant, [device.key.id]))[device.key.id] != device.key.id:
        # It answers for what that one signs: it cannot be a device of its own beside.
        raise Forbidden(
            "The key of this device belongs to another device.",
            fix="Enrol this device with a new key.",
            needs="device",
        )
    return device


@dataclass(frozen=True, slots=True)
class _Issue:
    """One issue inside one transaction."""

    tx: Tx
    tenant: int
    keys: IssuerKeys
    policy: OfflinePolicy
    limits: CurrencyLimits
    device: DeviceView
    data: VouchersCreate

    async def run(self) -> VouchersCreated:
        await self._check_trust()
        pledge = await self._check_limits()
        values = split_value(self.data.amount, self.limits.voucher_value_max)
        holders = await self._holders(len(values))
        vouchers = [
            self._sign(value, holder) for value, holder in zip(values, holders, strict=True)
        ]
        rows = [self._row(voucher) for voucher in vouchers]
        self.tx.session.add_all(rows)
        await self.tx.session.flush()
        book = Book(self.tenant, self.data.currency)
        user = self.device.user_id
        entries = [book.issue(user, each.id, each.body.value) for each in vouchers]
        for outcome in await post_many(self.tx, entries):
            outcome.raise_for_refusal()
        await bind(self.tx, rows, pledge)
        await tell(
            self.tx,
            self.tenant,
            [
                Event.issued(user, voucher.id, voucher.body.value, self.data.currency, entry.id)
                for voucher, entry in zip(vouchers, entries, strict=True)
            ],
        )
        return VouchersCreated(vouchers=[to_base64url(voucher.envelope) for voucher in vouchers])

    async def _keys(self) -> list[bytes]:
        bound = await keys_bound_to(self.tx, self.tenant, self.device.key.id)
        return [self.device.key.id, *bound]

    async def _holders(self, count: int) -> list[PublicKey]:
        """Return whom the vouchers are made out to: another key for each, as far as there are."""
        unused: list[PublicKey] = []
        if self.data.further_keys:
            unused = await unused_keys(self.tx, self.tenant, self.device.key.id, count)
        return unused + [self.device.key] * (count - len(unused))

    async def _check_trust(self) -> None:
        row = await trust_row(self.tx, self.tenant, self.device)
        if row.convicted_at is not None or self.device.status is not DeviceStatus.ACTIVE:
            raise DeviceNotTrusted(
                "This device gets no offline money.",
                fix="Enrol a new device, or ask support about the conflict that it was found in.",
            )
        debts = await self.tx.session.scalar(
            select(func.count()).where(
                AccountRow.tenant == self.tenant,
                AccountRow.user_id == self.device.user_id,
                AccountRow.owed - AccountRow.recovered + AccountRow.overdrawn > 0,
            )
        )
        if debts:
            raise DebtOutstanding(
                "You owe for value that was spent twice.",
                fix="Add money to your account; the debt is taken from it, then try again.",
            )

    async def _check_limits(self) -> int:
        """Check what the device may hold; return the collateral that the new vouchers take."""
        amount, currency = self.data.amount, self.data.currency
        at_once = self.limits.voucher_value_max * self.policy.vouchers_per_issue_max
        if amount > at_once:
            raise OverOfflineLimit(
                f"At most {at_once} minor units of {currency} move offline at once.",
                fix="Choose a smaller amount.",
                limit=at_once,
            )
        held = await self.tx.session.scalar(
            select(func.sum(VoucherRow.unpaid)).where(
                VoucherRow.tenant == self.tenant,
                VoucherRow.user_id == self.device.user_id,
                VoucherRow.holder.in_(await self._keys()),
                VoucherRow.currency == currency,
                VoucherRow.closed.is_(False),
            )
        )
        aside = await free_collateral(self.tx, self.tenant, self.device.user_id, currency)
        most = self.limits.balance_with(aside)
        room = max(0, most - int(held or 0))
        if amount > room:
            raise OverOfflineLimit(
                f"This device may hold {most} minor units of {currency}; there is room for {room}.",
                fix="Choose a smaller amount, or claim what the device holds.",
                limit=most,
                room=room,
            )
        needed = self.limits.collateral_for(int(held or 0) + amount)
        assert needed is not None, "without a percentage collateral raises no limit"
        return needed

    def _sign(self, value: int, holder: PublicKey) -> Signed[Voucher]:
        now = int(self.tx.now.timestamp())
        spend_by = now + int(self.policy.spend_by.total_seconds())
        issuer = self.keys.issuer_at(now - CLOCK_SLACK_S)
        return seal(
            Voucher(
                kid=issuer.public_key.kid,
                serial=self.tx.ids.token(SERIAL_BYTES),
                currency=self.data.currency,
                value=value,
                holder=holder,
                # A device whose clock is a little slow must be able to spend at once.
                issued_at=now - CLOCK_SLACK_S,
                spend_by=spend_by,
                limits=VoucherLimits(
                    hops_max=self.policy.hops_max, payment_max=self.limits.payment_max
                ),
                claim_by=spend_by + int(self.policy.claim_after.total_seconds()),
            ),
            issuer,
        )

    def _row(self, voucher: Signed[Voucher]) -> VoucherRow:
        body = voucher.body
        return VoucherRow(
            tenant=self.tenant,
            id=voucher.id,
            user_id=self.device.user_id,
            holder=body.holder.id,
            currency=body.currency,
            value=body.value,
            unpaid=body.value,
            issued_at=body.issued_at,
            spend_by=body.spend_by,
            claim_by=body.claim_by,
            closed=False,
            revision=0,
            envelope=voucher.envelope,
        )
