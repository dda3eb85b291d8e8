"""Helpers for tests and simulations of programs that use the wallet.

A clock that stands where it is set, randomness from a seed, an issuer in memory, links that lose,
double, reorder, truncate and corrupt, and hooks that end a process at a chosen durable write.
Nothing here is for real money: an issuer made from a seed can be remade by anybody.
"""

import asyncio
import hashlib
import os
import signal
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from client_sdk.ambient import Entropy
from client_sdk.errors import LinkClosed, StoreFull
from client_sdk.flows.trusting import (
    check_certificate,
    check_voucher,
    keep_certificate,
    keep_key_set,
    keep_voucher,
)
from client_sdk.keys import SoftwareKeys
from client_sdk.store.witness import FileWitness
from client_sdk.transports.base import EVIDENCE_BYTES
from client_sdk.wallet import Wallet
from offline_protocol.acceptance import AcceptancePolicy, AcceptanceRule
from offline_protocol.certificates import (
    Assurance,
    DeviceCertificate,
    IssuerKey,
    KeySet,
    KeyUse,
    Limits,
)
from offline_protocol.constants import HOPS_MAX
from offline_protocol.cose import Signed, seal
from offline_protocol.keys import PublicKey, SoftwareSigner
from offline_protocol.revocation import RevocationDelta, RevocationList, Revoked, prefix_of
from offline_protocol.vouchers import Voucher, VoucherLimits

DAY_SECONDS: Final = 86_400
EPOCH: Final = 1_800_000_000
SERIAL_BYTES: Final = 16


class SetClock:
    """A clock that moves when told to. Unix seconds."""

    def __init__(self, now: int = EPOCH) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def set(self, now: int) -> None:
        self._now = now

    def advance(self, seconds: int) -> None:
        self._now += seconds


class SeededEntropy:
    """Bytes that follow from a seed: the same seed gives the same run."""

    def __init__(self, seed: bytes | str | int) -> None:
        self._seed = str(seed).encode() if not isinstance(seed, bytes) else seed
        self._drawn = 0

    def __call__(self, length: int) -> bytes:
        self._drawn += 1
        label = self._seed + b"/" + str(self._drawn).encode()
        return hashlib.shake_256(label).digest(length)


class QuickKeys(SoftwareKeys):
    """Software keys whose passphrase costs next to nothing to try: for tests only.

    Without a folder for the witness a test may copy wallet files as it likes: an old copy is not
    noticed, and can convict its key.
    """

    def __init__(self, passphrase: str, *, entropy: Entropy, witness_folder: Path | None) -> None:
        super().__init__(passphrase, entropy=entropy, iterations=1, memory_bytes=8192)
        self._witness_folder = witness_folder

    def witness(self, install: bytes) -> FileWitness | None:
        folder = self._witness_folder
        return None if folder is None else FileWitness(folder, install)


def quick_keys(
    passphrase: str = "", *, entropy: Entropy, witness_folder: Path | None = None
) -> QuickKeys:
    """See `QuickKeys`."""
    return QuickKeys(passphrase, entropy=entropy, witness_folder=witness_folder)


class Issuer:
    """An issuer in memory: signs key sets, certificates and vouchers like a server would.

    Args:
        seed: makes all its keys.
        now: Unix seconds at which its keys begin.
    """

    def __init__(self, seed: str = "issuer", *, now: int = EPOCH) -> None:
        self._entropy = SeededEntropy(f"{seed}/serials")
        self.revoked = Revoked()
        self.root = _signer(f"{seed}/root")
        self.issuing = _signer(f"{seed}/issue")
        self.settling = _signer(f"{seed}/settle")
        self.key_set: Signed[KeySet] = seal(
            KeySet(
                version=1,
                issuer="Test issuer",
                keys=tuple(
                    IssuerKey(
                        signer.public_key.kid,
                        signer.public_key,
                        now - DAY_SECONDS,
                        now + 365 * DAY_SECONDS,
                        use,
                    )
                    for signer, use in (
                        (self.issuing, KeyUse.ISSUE),
                        (self.settling, KeyUse.SETTLE),
                    )
                ),
                epoch_floor=0,
                time=now,
                scales=(("EUR", 2), ("JPY", 0), ("TND", 3)),
            ),
            self.root,
        )

    def certificate(
        self,
        device_key: PublicKey,
        *,
        now: int = EPOCH,
        name: str | None = None,
        days: int = 14,
        limits: Limits | None = None,
    ) -> Signed[DeviceCertificate]:
        return seal(
            DeviceCertificate(
                kid=self.issuing.public_key.kid,
                device_key=device_key,
                valid_from=now,
                valid_to=now + days * DAY_SECONDS,
                limits=limits or Limits(10**9, 10**9, HOPS_MAX),
                assurance=Assurance.SOFTWARE,
                display_name=name,
            ),
            self.issuing,
        )

    def voucher(
        self,
        holder: PublicKey,
        value: int,
        currency: str = "EUR",
        *,
        now: int = EPOCH,
        spend_days: int = 30,
        hops_max: int = 4,
        payment_max: int = 10**9,
    ) -> Signed[Voucher]:
        spend_by = now + spend_days * DAY_SECONDS
        return seal(
            Voucher(
                kid=self.issuing.public_key.kid,
                serial=self._entropy(SERIAL_BYTES),
                currency=currency,
                value=value,
                holder=holder,
                issued_at=now,
                spend_by=spend_by,
                limits=VoucherLimits(hops_max, payment_max),
                claim_by=spend_by + 14 * DAY_SECONDS,
            ),
            self.issuing,
        )

    # What it signs for everybody.

    def revoke(self, *identities: bytes, now: int = EPOCH) -> Signed[RevocationDelta]:
        """Put keys or vouchers on the revocation list; what leads there from the list before."""
        before = self.revoked
        prefixes = before.prefixes | {prefix_of(identity) for identity in identities}
        self.revoked = Revoked(before.epoch + 1, prefixes)
        return self.delta(before, now=now)

    def delta(self, held: Revoked, *, now: int = EPOCH) -> Signed[RevocationDelta]:
        """What leads from an earlier list to the present one."""
        kid = self.issuing.public_key.kid
        return seal(RevocationDelta.between(held, self.revoked, kid=kid, time=now), self.issuing)

    def revocation_list(self, *, now: int = EPOCH) -> Signed[RevocationList]:
        """The whole list; there is none before the first revocation."""
        kid = self.issuing.public_key.kid
        return seal(RevocationList.of(self.revoked, kid=kid, time=now), self.issuing)

    def policy(
        self, *rules: AcceptanceRule, version: int = 1, now: int = EPOCH
    ) -> Signed[AcceptancePolicy]:
        """Acceptance rules for all payees."""
        kid = self.issuing.public_key.kid
        return seal(AcceptancePolicy(kid, version, now, rules), self.issuing)

    def rotate(self, *, now: int = EPOCH, epoch_floor: int = 0) -> Signed[KeySet]:
        """Sign with a new issuing key from now on; the old one stays listed."""
        current = self.key_set.body
        self.issuing = _signer(f"{self.issuing.public_key.id.hex()}/next")
        fresh = self.issuing.public_key
        added = IssuerKey(
            fresh.kid, fresh, now - DAY_SECONDS, now + 365 * DAY_SECONDS, KeyUse.ISSUE
        )
        self.key_set = seal(
            replace(
                current,
                version=current.version + 1,
                keys=(*current.keys, added),
                epoch_floor=epoch_floor,
                time=max(now, current.time),
                previous=current.id,
            ),
            self.root,
        )
        return self.key_set

    def equip(
        self,
        wallet: Wallet,
        *values: int,
        currency: str = "EUR",
        name: str | None = None,
        now: int = EPOCH,
        limits: Limits | None = None,
    ) -> None:
        """Give a wallet what enrolling and loading would: trust, a certificate, vouchers."""
        book = wallet.book
        with book.store.write("issuer") as tx:
            tx.put("single", b"root_key", self.root.public_key.raw)
            keep_key_set(book, tx, self.key_set)
        key = book.signer.public_key
        certificate = self.certificate(key, now=now, name=name, limits=limits)
        checked = check_certificate(book, certificate.envelope)
        vouchers = [self.voucher(key, value, currency, now=now) for value in values]
        holdings = [check_voucher(book, voucher.envelope) for voucher in vouchers]
        with book.store.write("vouchers") as tx:
            keep_certificate(book, tx, checked)
            for holding in holdings:
                keep_voucher(book, tx, holding)


async def new_wallet(
    issuer: Issuer,
    name: str,
    *values: int,
    currency: str = "EUR",
    path: Path | None = None,
    clock: SetClock | None = None,
) -> Wallet:
    """A wallet equipped by an issuer, in memory unless a path is given; its name is its seed."""
    clock = clock or SetClock()
    entropy = SeededEntropy(name)
    wallet = await Wallet.create(
        path, keys=quick_keys(entropy=entropy), clock=clock, entropy=entropy
    )
    issuer.equip(wallet, *values, currency=currency, name=name, now=clock.now())
    return wallet


class Crash(BaseException):
    """Stands for the end of the process in tests that stay in one process."""


class CrashAt:
    """A store hook that raises `Crash` at the n-th point, counted from zero, and then no more.

    Attributes:
        passed: names of the points so far, such as "before reserve".
    """

    def __init__(self, point: int | None) -> None:
        self._point = point
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) - 1 == self._point:
            raise Crash(name)


class KillAt:
    """A store hook that ends this process by SIGKILL at the n-th point, counted from zero."""

    def __init__(self, point: int) -> None:
        self._left = point

    def __call__(self, name: str) -> None:  # noqa: ARG002 -- the hook's signature
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


class FullAt:
    """A store hook that finds the disk full at writes of one name, as often as is said.

    Attributes:
        left: how often still; set it to begin.
    """

    def __init__(self, name: str, *, left: int = 0) -> None:
        self._name = f"before {name}"
        self.left = left

    def __call__(self, name: str) -> None:
        if self.left and name == self._name:
            self.left -= 1
            raise StoreFull("The disk is full.")


class Fault(StrEnum):
    """What a broken link does to one message."""

    PASS = "pass"  # noqa: S105 -- no password
    LOSE = "lose"
    DOUBLE = "double"
    HOLD_BACK = "hold_back"
    """It arrives after the next one, or never if there is none."""
    TRUNCATE = "truncate"
    CORRUPT = "corrupt"
    CUT = "cut"
    """The link ends before the message has left."""
    CUT_AFTER = "cut_after"
    """The link ends when the message has arrived."""


class RoughLink:
    """One end of a link with faults; made by `rough_pair`.

    When both ends wait and nothing is under way, the link ends: a lost message shows as silence.
    """

    evidence_bytes = EVIDENCE_BYTES["memory"]

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = iter(faults)
        self._inbox: deque[bytes] = deque()
        self._held: bytes | None = None
        self._wake: asyncio.Future[None] | None = None
        self._open = True
        self.other: RoughLink = self

    async def send(self, frame: bytes) -> None:
        await asyncio.sleep(0)
        if not self._open:
            raise LinkClosed("The connection has ended.")
        fault = next(self._faults, Fault.PASS)
        if fault is Fault.CUT:
            self._end()
            raise LinkClosed("The connection has ended.")
        held, self._held = self._held, None
        for arriving in _arriving(fault, frame):
            self.other._arrive(arriving)  # noqa: SLF001 -- the other end is of this class
        if fault is Fault.HOLD_BACK:
            self._held = frame
        if held is not None:
            self.other._arrive(held)  # noqa: SLF001 -- as above
        if fault is Fault.CUT_AFTER:
            self._end()

    async def receive(self) -> bytes:
        while not self._inbox:
            if not self._open or self.other._wake is not None:  # noqa: SLF001 -- as above
                self._end()
                raise LinkClosed("The connection has ended.")
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._inbox.popleft()

    async def close(self) -> None:
        self._end()

    def _arrive(self, frame: bytes) -> None:
        self._inbox.append(frame)
        self._rouse()

    def _rouse(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    def _end(self) -> None:
        for end in (self, self.other):
            end._open = False  # noqa: SLF001 -- as above
            end._rouse()  # noqa: SLF001 -- as above


def rough_pair(
    one_sends: Iterable[Fault] = (), two_sends: Iterable[Fault] = ()
) -> tuple[RoughLink, RoughLink]:
    """Two joined ends; each end's messages meet its faults in order, and none after the last."""
    one, two = RoughLink(one_sends), RoughLink(two_sends)
    one.other, two.other = two, one
    return one, two


def _arriving(fault: Fault, frame: bytes) -> list[bytes]:
    match fault:
        case Fault.LOSE | Fault.HOLD_BACK | Fault.CUT:
            return []
        case Fault.DOUBLE:
            return [frame, frame]
        case Fault.TRUNCATE:
            return [frame[: len(frame) // 2]]
        case Fault.CORRUPT:
            middle = len(frame) // 2
            return [frame[:middle] + bytes([frame[middle] ^ 1]) + frame[middle + 1 :]]
        case Fault.PASS | Fault.CUT_AFTER:
            return [frame]


def _signer(label: str) -> SoftwareSigner:
    return SoftwareSigner(hashlib.sha256(label.encode()).digest())
