"""Bank accounts outside: read, checked, masked, sealed.

An IBAN is checked to the letter (ISO 13616: country, length, structure, check digits, and the
national check digits where the register knows them) and names country, bank and often the BIC.
Where there are no IBANs, an account is a country, a routing number (bank and branch) and an account
number; nothing of these can be checked before money was sent.
"""

from dataclasses import dataclass
from typing import Annotated, Final, cast

import msgspec
from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException

from server.kit.crypto import Vault
from server.kit.schema import Schema
from server.kit.unit_of_work import Tx
from server.payments.banks.errors import BankAccountInvalid

_NONCE_BYTES: Final = 24
_SHOWN: Final = 4
HolderName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,140}$",
        description="Whom the bank names as the owner of the account",
        examples=["Ada Yilmaz"],
    ),
]


class Payee(Schema):
    """A bank account outside: an IBAN, or country, routing number and account number."""

    name: HolderName
    iban: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=42, description="ISO 13616", examples=["DE89370400440532013000"]
            ),
        ]
        | None
    ) = None
    country: (
        Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$", description="Without an IBAN: ISO 3166")]
        | None
    ) = None
    routing: (
        Annotated[
            str,
            msgspec.Meta(pattern="^[A-Za-z0-9-]{1,20}$", description="Without an IBAN: the bank"),
        ]
        | None
    ) = None
    account_number: (
        Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9-]{4,34}$", description="Without an IBAN")]
        | None
    ) = None
    bic: (
        Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{8}([A-Z0-9]{3})?$", description="ISO 9362")]
        | None
    ) = None


@dataclass(frozen=True, slots=True)
class CheckedPayee:
    """A payee in its one form, and what follows from its number."""

    payee: Payee
    country: str
    bank_name: str | None
    masked: str

    @property
    def number(self) -> str:
        """What two spellings of one account have in common."""
        one = self.payee
        return one.iban or f"{one.country}/{one.routing}/{one.account_number}"


def check_payee(given: Payee) -> CheckedPayee:
    """Return a payee in its one form: no spaces, the BIC filled in where the register has it.

    Raises:
        BankAccountInvalid: the IBAN or BIC is wrong, both forms are mixed, or parts are missing.
    """
    bic = _bic(given.bic)
    local = (given.country, given.routing, given.account_number)
    if given.iban is None:
        if None in local:
            raise BankAccountInvalid(
                "An account has an IBAN, or a country, a routing number and an account number.",
                fix="Send iban, or country, routing and account_number.",
            )
        number = cast("str", given.account_number)
        return CheckedPayee(given, cast("str", given.country), None, mask_number(number))
    if local != (None, None, None):
        raise BankAccountInvalid("An IBAN says country, bank and number; leave those fields out.")
    if not given.iban.isascii():
        raise BankAccountInvalid("An IBAN has only A-Z and 0-9.", field="iban")
    try:
        iban = IBAN(given.iban, validate_bban=True)
    except SchwiftyException as error:
        raise BankAccountInvalid(
            "The IBAN is not valid: a digit is wrong, missing or in the wrong place.",
            fix="Copy it again from your bank's application.",
            field="iban",
        ) from error
    derived = bic or (None if iban.bic is None else iban.bic.compact)
    compact = Payee(name=given.name, iban=iban.compact, bic=derived)
    return CheckedPayee(compact, iban.country_code, iban.bank_name, mask_number(iban.compact, 4))


def is_iban(text: str) -> bool:
    """Return whether a text is an IBAN in its compact form."""
    return text.isascii() and IBAN(text, allow_invalid=True).is_valid


def seal_payee(tx: Tx, vault: Vault, payee: Payee | None, context: str) -> bytes | None:
    if payee is None:
        return None
    return vault.seal(msgspec.json.encode(payee), context, nonce=tx.ids.token(_NONCE_BYTES))


def open_payee(vault: Vault, sealed: bytes, context: str) -> Payee:
    return msgspec.json.decode(vault.open(sealed, context), type=Payee)


def _bic(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return BIC(text).compact
    except SchwiftyException as error:
        raise BankAccountInvalid("The BIC is not valid.", field="bic") from error


def mask_number(number: str, kept_in_front: int = 0) -> str:
    """Return a number of which only the last four characters, and the country, can be read."""
    hidden = max(0, len(number) - kept_in_front - _SHOWN)
    return number[:kept_in_front] + "•" * hidden + number[kept_in_front + hidden :]
