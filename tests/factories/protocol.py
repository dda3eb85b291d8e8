"""Builders for the objects of the offline protocol. The same seed always gives the same bytes."""

import hashlib
from dataclasses import dataclass, field, replace

from offline_protocol import (
    NO_REQUEST,
    Assurance,
    Chain,
    DeviceCertificate,
    IssuerKey,
    KeySet,
    KeyUse,
    Limits,
    Payment,
    PaymentRequest,
    PublicKey,
    Receipt,
    Signed,
    Signer,
    SoftwareP256Signer,
    SoftwareSigner,
    Transfer,
    TransferKind,
    TrustContext,
    Voucher,
    VoucherLimits,
    seal,
    session_public_key,
)

NOW = 1_800_000_000
DAY = 86_400
CERTIFICATE_LIFE = 14 * DAY
SPEND_LIFE = 30 * DAY
CLAIM_LIFE = SPEND_LIFE + 14 * DAY
PAYMENT_MAX = 50_000


def entropy(*words: object, size: int = 32) -> bytes:
    """Bytes that look random and follow from the words."""
    text = "/".join(str(word) for word in words)
    return hashlib.shake_256(text.encode()).digest(size)


def signer_from(*words: object) -> SoftwareSigner:
    return SoftwareSigner(entropy("signer", *words))


def p256_signer_from(*words: object) -> SoftwareP256Signer:
    # Half an id is surely below the order of the group, and not zero.
    return SoftwareP256Signer(bytes(16) + entropy("p256 signer", *words, size=16))


@dataclass
class Device:
    """A key, its certificate and the number of the next signature."""

    signer: Signer
    certificate: Signed[DeviceCertificate]
    session_secret: bytes
    sequence: int = 0

    @property
    def key(self) -> PublicKey:
        return self.signer.public_key

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def request(
        self,
        amount: int = 0,
        *,
        currency: str = "EUR",
        nonce: object = 0,
        expires_at: int = NOW + 300,
        memo: str | None = None,
        transports: tuple[str, ...] = ("qr",),
    ) -> Signed[PaymentRequest]:
        return seal(
            PaymentRequest(
                nonce=entropy("nonce", self.key.id.hex(), nonce, size=16),
                payee=self.key,
                currency=currency,
                amount=amount,
                expires_at=expires_at,
                session_key=session_public_key(self.session_secret),
                epoch=0,
                memo=memo,
                transports=transports,
                certificate=self.certificate.envelope,
            ),
            self.signer,
        )

    def transfer(
        self,
        parent: bytes,
        lo: int,
        hi: int,
        payee: PublicKey,
        *,
        request_id: bytes = NO_REQUEST,
        time: int = NOW,
        kind: TransferKind = TransferKind.PAY,
        sequence: int | None = None,
    ) -> Signed[Transfer]:
        """Sign anything at all, also what an honest device never would."""
        number = self.next_sequence() if sequence is None else sequence
        body = Transfer(parent, lo, hi, payee, request_id, number, time, kind)
        return seal(body, self.signer)

    def hand_over(
        self,
        chain: Chain,
        request: PaymentRequest,
        *,
        lo: int | None = None,
        hi: int | None = None,
        time: int = NOW,
    ) -> Chain:
        """Pay [lo, hi) of a chain's tip, by default all of it."""
        transfer = self.transfer(
            chain.tip_id,
            chain.lo if lo is None else lo,
            chain.hi if hi is None else hi,
            request.payee,
            request_id=request.request_id,
            time=time,
        )
        return chain.extend(transfer, self._certificate_for(chain))

    def pay(
        self, chain: Chain, request: Signed[PaymentRequest], *, lo: int | None = None
    ) -> Payment:
        """A payment of the amount that was asked for, from the low end."""
        start = chain.lo if lo is None else lo
        end = start + request.body.amount
        return Payment((self.hand_over(chain, request.body, lo=start, hi=end),))

    def give_back(self, chain: Chain, *, time: int = NOW) -> Chain:
        """Return the last transfer of a chain."""
        link = chain.links[-1]
        paid = link.transfer.body
        transfer = self.transfer(
            paid.id,
            paid.lo,
            paid.hi,
            link.signer,
            request_id=paid.request_id,
            time=time,
            kind=TransferKind.RETURN,
        )
        return chain.extend(transfer, self._certificate_for(chain))

    def claim(
        self,
        chain: Chain,
        settle_key: PublicKey,
        *,
        lo: int | None = None,
        hi: int | None = None,
        time: int = NOW,
    ) -> Chain:
        """Claim [lo, hi) of a chain's tip, by default all of it."""
        transfer = self.transfer(
            chain.tip_id,
            chain.lo if lo is None else lo,
            chain.hi if hi is None else hi,
            settle_key,
            time=time,
            kind=TransferKind.CLAIM,
        )
        return chain.extend(transfer, self._certificate_for(chain))

    def receipt(
        self, payment: Payment, request: PaymentRequest, *, time: int = NOW
    ) -> Signed[Receipt]:
        body = Receipt(payment.transfer_ids, request.request_id, payment.amount, time)
        return seal(body, self.signer)

    def _certificate_for(self, chain: Chain) -> Signed[DeviceCertificate] | None:
        return None if self.key == chain.voucher.body.holder else self.certificate


@dataclass
class Issuer:
    """An issuer with one key of each use, and the devices that it knows."""

    seed: object = 0
    now: int = NOW
    root: SoftwareSigner = field(init=False)
    issuing: SoftwareSigner = field(init=False)
    settling: SoftwareSigner = field(init=False)
    key_set: Signed[KeySet] = field(init=False)
    _serials: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.root = signer_from(self.seed, "root")
        self.issuing = signer_from(self.seed, "issue")
        self.settling = signer_from(self.seed, "settle")
        self.key_set = seal(self.key_set_body(), self.root)

    @property
    def settle_key(self) -> PublicKey:
        return self.settling.public_key

    @property
    def context(self) -> TrustContext:
        return TrustContext(self.key_set.body, now=self.now)

    def key_set_body(self) -> KeySet:
        first, last = self.now - 365 * DAY, self.now + 365 * DAY
        issuing, settling = self.issuing.public_key, self.settling.public_key
        return KeySet(
            version=1,
            issuer="Test Issuer",
            keys=(
                IssuerKey(issuing.kid, issuing, first, last, KeyUse.ISSUE),
                IssuerKey(settling.kid, settling, first, last, KeyUse.SETTLE),
            ),
            epoch_floor=0,
            time=self.now,
            scales=(("EUR", 2), ("JPY", 0), ("TRY", 2)),
        )

    def device(
        self,
        name: object,
        *,
        display_name: str | None = None,
        payment_max: int = PAYMENT_MAX,
        hops_max: int = 4,
        p256: bool = False,
    ) -> Device:
        make = p256_signer_from if p256 else signer_from
        signer = make(self.seed, "device", name)
        certificate = DeviceCertificate(
            kid=self.issuing.public_key.kid,
            device_key=signer.public_key,
            valid_from=self.now - DAY,
            valid_to=self.now - DAY + CERTIFICATE_LIFE,
            limits=Limits(payment_max, 4 * payment_max, hops_max),
            assurance=Assurance.SOFTWARE,
            display_name=display_name,
        )
        secret = entropy(self.seed, "session", name)
        return Device(signer, seal(certificate, self.issuing), secret)

    def certify(self, device: Device, **changes: object) -> Signed[DeviceCertificate]:
        """Another certificate for a device, with other fields."""
        body = replace(device.certificate.body, **changes)  # type: ignore[arg-type]
        return seal(body, self.issuing)

    def voucher(
        self,
        holder: Device,
        value: int = 20_000,
        *,
        currency: str = "EUR",
        hops_max: int = 4,
        payment_max: int = PAYMENT_MAX,
        issued_at: int | None = None,
    ) -> Signed[Voucher]:
        self._serials += 1
        at = self.now - DAY if issued_at is None else issued_at
        body = Voucher(
            kid=self.issuing.public_key.kid,
            serial=entropy(self.seed, "serial", self._serials, size=16),
            currency=currency,
            value=value,
            holder=holder.key,
            issued_at=at,
            spend_by=at + SPEND_LIFE,
            limits=VoucherLimits(hops_max, payment_max),
            claim_by=at + CLAIM_LIFE,
        )
        return seal(body, self.issuing)

    def chain(self, holder: Device, value: int = 20_000, *, currency: str = "EUR") -> Chain:
        """A voucher that nobody has spent from."""
        return Chain(self.voucher(holder, value, currency=currency))
