"""Refusals of the payments room, each with a stable code."""

from server.kit.errors import Forbidden, TallyError


class PhoneUnconfirmed(Forbidden):
    code, title = "phone_unconfirmed", "Confirm the phone number first"


class TopUpTooLarge(TallyError):
    code, title = "top_up_too_large", "The amount is too large for one top-up"
