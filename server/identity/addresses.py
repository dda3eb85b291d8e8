"""Phone numbers and e-mail addresses: one form for each, and what a person typed at sign-in.

Numbers are E.164. An e-mail address keeps the spelling that mail is sent to; it is compared without
regard to case, because nobody should own an address that differs from another's by a capital.
"""

from dataclasses import dataclass
from typing import Final, Literal

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from server.identity.domain import ContactKind, normalise_username
from server.identity.errors import EmailInvalid, PhoneInvalid, UsernameInvalid
from server.kit.crypto import Vault

PHONE_MAX: Final = 32
EMAIL_MAX: Final = 254
_CHARGED = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST})


@dataclass(frozen=True, slots=True)
class Identifier:
    """What somebody signs in with, in its one form."""

    kind: Literal["phone", "email", "username", "unknown"]
    value: str


def normalise_phone(text: str, region: str) -> str:
    """Return the number as E.164.

    Raises:
        PhoneInvalid: no network has such a number, or messages to it cost extra.
    """
    try:
        number = phonenumbers.parse(text[: PHONE_MAX + 1], region or None)
    except phonenumbers.NumberParseException:
        number = None
    if (
        number is None
        or len(text) > PHONE_MAX
        or number.extension
        or not phonenumbers.is_possible_number(number)
        or phonenumbers.number_type(number) in _CHARGED
    ):
        raise PhoneInvalid(
            "This is not a phone number that can receive messages.",
            fix="Give the number with its country code, such as +905321234567.",
            field="phone",
        )
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def normalise_email(text: str) -> str:
    """Return the address as mail is sent to it. Nothing is looked up.

    Raises:
        EmailInvalid: its syntax is wrong.
    """
    if len(text) <= EMAIL_MAX:
        try:
            return validate_email(text, check_deliverability=False).normalized
        except EmailNotValidError:
            pass
    raise EmailInvalid(
        "This is not an e-mail address.",
        fix="Give an address such as ada@example.com.",
        field="email",
    )


def identify(text: str, region: str) -> Identifier:
    """Return what was meant by the one field of the sign-in form; never refuses."""
    text = text.strip()
    try:
        if "@" in text:
            return Identifier("email", normalise_email(text))
        if text[:1] == "+" or text[:1].isdigit() or text[:1] == "(":
            return Identifier("phone", normalise_phone(text, region))
        return Identifier("username", normalise_username(text))
    except (EmailInvalid, PhoneInvalid, UsernameInvalid):
        return Identifier("unknown", text)


def address_index(vault: Vault, kind: ContactKind, address: str) -> bytes:
    """Return the blind index by which a contact is found. Equal for spellings of one address."""
    # lower(), as casefold() would make one address of "straße@" and "strasse@".
    return vault.blind_index(address.lower(), f"identity.{kind}")
