"""Refusals of the payments room, each with a stable code."""

from server.kit.errors import Forbidden


class PhoneUnconfirmed(Forbidden):
    code, title = "phone_unconfirmed", "Confirm the phone number first"
