"""Refusals of the offline room, each with a stable code."""

from collections.abc import Mapping

from server.kit.errors import Conflict, Forbidden, TallyError, Unavailable


class OverOfflineLimit(TallyError):
    code, title = "over_offline_limit", "The amount is over an offline limit"


class DeviceNotTrusted(TallyError):
    code, status, title = "device_not_trusted", 403, "The device is not trusted with offline money"


class DebtOutstanding(TallyError):
    """The user owes for value that was spent twice, so no new value goes to a device."""

    code, status, title = "debt_outstanding", 409, "A debt must be paid first"


class CollateralBound(TallyError):
    """Collateral stays while something depends on it; ``bound_by`` says what."""

    code, status, title = "collateral_bound", 409, "The collateral is still needed"


class PolicyInvalid(TallyError):
    """``problems`` lists each field that does not fit, with the reason."""

    code, title = "policy_invalid", "The policy does not fit together"


class PolicyChanged(Conflict):
    """Somebody else changed the policy since it was read."""

    code, title = "policy_changed", "The policy was changed meanwhile"


class FundTooLow(TallyError):
    """The guarantee fund does not have what is asked of it beside what it has promised."""

    code, title = "fund_too_low", "The guarantee fund does not cover this"


class AlreadyLinked(Conflict):
    code, title = "already_linked", "These accounts are linked already"


class NothingOwed(TallyError):
    """There is no debt to write off, or less than that."""

    code, title = "nothing_owed", "There is no such debt"


class DisputeExists(Conflict):
    code, title = "dispute_exists", "This conflict is contested already"


class DisputeTooLate(TallyError):
    code, title = "dispute_too_late", "The time to contest is over"


class DisputeDecided(Conflict):
    code, title = "dispute_decided", "The dispute was decided before"


class OwnCase(Forbidden):
    """An officer who is a party to the conflict."""

    code, title = "own_case", "Nobody decides their own case"


class SettlementUnsound(Unavailable):
    """The books would not agree, so nothing of the transaction was committed."""

    code, title = "settlement_unsound", "The books do not agree, so nothing was changed"

    def __init__(self, evidence: Mapping[str, object]) -> None:
        super().__init__(
            "Settling would leave the books wrong; nothing was changed, and an operator was told.",
            fix="Keep the records and send the same request again later.",
        )
        self.evidence = evidence


class IssuerKeysMissing(Exception):
    """No issuer keys where they should be; the text says how to make them."""


class IssuerKeysExist(Exception):
    """Keys are there already; making new ones would strand the vouchers they signed."""


class KeyBindingInvalid(TallyError):
    code, title = "key_binding_invalid", "The further key cannot be certified"


class CeremonyRefused(Exception):
    """A step of the key ceremony does not fit; the text says why."""
