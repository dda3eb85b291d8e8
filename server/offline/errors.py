"""Refusals of the offline room, each with a stable code."""

from server.kit.errors import TallyError


class OverOfflineLimit(TallyError):
    code, title = "over_offline_limit", "The amount is over an offline limit"


class DeviceNotTrusted(TallyError):
    code, status, title = "device_not_trusted", 403, "The device is not trusted with offline money"


class DebtOutstanding(TallyError):
    """The user owes for value that was spent twice, so no new value goes to a device."""

    code, status, title = "debt_outstanding", 409, "A debt must be paid first"


class IssuerKeysMissing(Exception):
    """No issuer keys where they should be; the text says how to make them."""


class IssuerKeysExist(Exception):
    """Keys are there already; making new ones would strand the vouchers they signed."""
