"""What can go wrong in a wallet: each refusal has a stable code and says the way out."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from client_sdk.flows.accepting import Assessment


class WalletError(Exception):
    """A refusal or a failure; nothing of value is lost by it.

    Attributes:
        code: stable name for programs and support.
        detail: one sentence for a person.
        fix: what the person can do, or None.
        retryable: whether the same call may succeed later without any change.
    """

    code: str = "wallet_error"
    retryable: ClassVar[bool] = False
    fix: str | None = None

    def __init__(self, detail: str, *, fix: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix if fix is not None else type(self).fix
        self.code = code if code is not None else type(self).code


class StoreError(WalletError):
    """The wallet file cannot be used as asked."""

    code = "store_error"
    fix = "Keep a copy of the wallet file and try again; what was stored before is not changed."


class WalletMissing(StoreError):
    code = "wallet_missing"
    fix = "Make one with `tallystick wallet init`, or give the right path."


class WalletExists(StoreError):
    code = "wallet_exists"
    fix = "Choose another path; an existing wallet is never overwritten."


class WalletLocked(StoreError):
    """Another process has this wallet open (the lock ends with that process)."""

    code = "wallet_in_use"
    retryable = True
    fix = "Wait until the other program has finished with this wallet."


class WrongPassphrase(StoreError):
    code = "wrong_passphrase"
    fix = "Check the passphrase; it cannot be recovered from the file."


class StoreReadOnly(StoreError):
    code = "store_read_only"
    fix = "Make the wallet file and its folder writable; nothing was changed."


class StoreFull(StoreError):
    code = "store_full"
    retryable = True
    fix = "Free some space and try again; what was stored before is intact."


class StoreCorrupt(StoreError):
    """A page or a sealed row is not what was written; nothing is repaired or thrown away."""

    code = "store_corrupt"
    fix = (
        "Keep a copy of the file. Value comes back by enrolling a new wallet: what is not "
        "claimed is credited to your account after the claim-by date."
    )


class StoreUnreliable(StoreError):
    """The disk failed in the middle of reading or writing; what was stored before stays."""

    code = "store_unreliable"
    retryable = True
    fix = "Check the disk and try again; what was stored before is intact."


class NotAWallet(StoreError):
    """The file belongs to another program; it was not changed."""

    code = "not_a_wallet"
    fix = (
        "Give the path of the wallet file, or another path for a new wallet. If this was the "
        "wallet, keep a copy of it and enrol a new one: value comes back to your account."
    )


class WalletRestored(StoreError):
    """The file is an older copy: it may have forgotten what it signed, so its key is done.

    It can be looked at and synchronised. What the key held is credited to the account by the
    issuer's settlement, at the latest after the vouchers' claim-by time.
    """

    code = "wallet_restored"
    fix = (
        "Run `tallystick wallet enrol` while online: this device gets a new key. What the old one "
        "held comes to your account by itself after the claim-by date."
    )


class StoreTooNew(StoreError):
    code = "store_too_new"
    fix = "Open it with the newer version that wrote it."


class InvalidAmount(WalletError):
    code = "invalid_amount"


class InsufficientFunds(WalletError):
    """The pieces held offline cannot make up the amount."""

    code = "insufficient_offline_funds"


class LimitExceeded(WalletError):
    """The certificate or the vouchers cap this amount."""

    code = "limit_exceeded"


class NotEnrolled(WalletError):
    code = "not_enrolled"
    fix = "Run `tallystick wallet enrol` while online."


class CertificateExpired(WalletError):
    code = "certificate_expired"
    fix = "Go online and run `tallystick wallet sync` to renew it."


class InvalidRequest(WalletError):
    """A payment request cannot be paid as it stands."""

    code = "invalid_request"


class UnreadableMessage(WalletError):
    """Text, a picture or bytes that hold no message this wallet understands."""

    code = "unreadable_message"


class PaymentRefused(WalletError):
    """A received payment, receipt or return does not hold; the code names the rule."""

    code = "payment_refused"


class DoubleSpendFound(PaymentRefused):
    """The payer signed the same value away twice; the proof is kept and uploaded at sync."""

    code = "double_spend_found"


class PaymentNeedsConfirmation(WalletError):
    """A payment keeps every rule, and something speaks against taking it; nothing is stored.

    Attributes:
        assessment: its facts, and each concern in words.
    """

    code = "payment_needs_confirmation"
    fix = "Take it in spite of this, or give it back; nothing has happened yet."

    def __init__(self, detail: str, *, assessment: "Assessment") -> None:
        super().__init__(detail)
        self.assessment = assessment


class InvalidRule(WalletError):
    """No acceptance rule, or none at this place."""

    code = "invalid_rule"


class DeviceBlocked(WalletError):
    """The issuer's revocation list names this wallet's own key; nobody takes payments from it."""

    code = "device_blocked"
    fix = (
        "Sync while online and ask the issuer why. What this device holds is settled by the "
        "issuer; nothing is lost by the block itself."
    )


class UnknownExchange(WalletError):
    code = "unknown_exchange"


class ExchangeStateError(WalletError):
    """The step is not possible in the exchange's present state."""

    code = "exchange_state"


class LinkClosed(WalletError):
    """The connection ended; it says nothing about money.

    Attributes:
        clean: the other side said goodbye, so everything before has arrived there.
    """

    code = "link_closed"
    retryable = True
    fix = "Bring the devices together again and resend; the same bytes are sent."

    def __init__(self, detail: str, *, clean: bool = False, fix: str | None = None) -> None:
        super().__init__(detail, fix=fix)
        self.clean = clean


class MissingExtra(WalletError):
    """An optional package is not installed."""

    code = "missing_extra"


class NoCamera(WalletError):
    """There is no camera, it is in use, or it may not be used."""

    code = "no_camera"
    fix = "Connect a camera, close programs that use it, or give a picture with --qr."


class ServerUnavailable(WalletError):
    """No usable answer: the outcome of the call may be unknown."""

    code = "server_unavailable"
    retryable = True
    fix = "Try again later; a repeated money call is recognised and not done twice."


class ServerRefused(WalletError):
    """The server answered with a problem document (RFC 9457).

    Attributes:
        status: HTTP status.
        correlation_id: names the request in the server's log, for support.
    """

    code = "server_refused"

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int,
        fix: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(detail, fix=fix, code=code)
        self.status = status
        self.correlation_id = correlation_id


class SignInNeeded(ServerRefused):
    """The session has ended or was never opened."""

    code = "sign_in_needed"
    fix = "Run `tallystick wallet enrol` again with your password."
