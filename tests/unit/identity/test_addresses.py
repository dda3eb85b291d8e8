import pytest

from server.identity.addresses import (
    Identifier,
    address_index,
    identify,
    normalise_email,
    normalise_phone,
)
from server.identity.domain import ContactKind
from server.identity.errors import EmailInvalid, PhoneInvalid
from server.kit.crypto import Vault


@pytest.mark.parametrize(
    "text",
    ["+905321234567", "05321234567", "532 123 45 67", "+90 (532) 123-45-67", "٠٥٣٢١٢٣٤٥٦٧"],
)
def test_a_number_has_one_form(text: str) -> None:
    assert normalise_phone(text, "TR") == "+905321234567"


@pytest.mark.parametrize(
    "text",
    ["", "12", "+", "words", "+905321234567x9", "+9053212345678901", "+999123456789", "+" * 40],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(PhoneInvalid):
        normalise_phone(text, "TR")


def test_a_number_without_country_needs_a_region() -> None:
    with pytest.raises(PhoneInvalid):
        normalise_phone("05321234567", "")


def test_numbers_that_cost_extra_get_no_messages() -> None:
    with pytest.raises(PhoneInvalid):
        normalise_phone("+19005550199", "TR")


def test_an_address_keeps_its_spelling_and_is_found_without_regard_to_case() -> None:
    vault = Vault(b"k" * 32)
    assert normalise_email("Ada.L@EXAMPLE.com") == "Ada.L@example.com"
    one, other = (
        address_index(vault, ContactKind.EMAIL, text)
        for text in ("Ada@example.com", "aDA@example.com")
    )
    assert one == other
    assert one != address_index(vault, ContactKind.PHONE, "ada@example.com")
    assert one != address_index(Vault(b"x" * 32), ContactKind.EMAIL, "ada@example.com")


@pytest.mark.parametrize(
    "text",
    ["", "ada", "@", "a@b", "a b@example.com", "a@example.com\n", "a@[127.0.0.1]", "a" * 255],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(EmailInvalid):
        normalise_email(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ada", Identifier("username", "ada")),
        (" ADA ", Identifier("username", "ada")),
        ("Ada@Example.com", Identifier("email", "Ada@example.com")),
        ("0532 123 45 67", Identifier("phone", "+905321234567")),
        ("+1 202 555 0123", Identifier("phone", "+12025550123")),
        ("a@", Identifier("unknown", "a@")),
        ("12", Identifier("unknown", "12")),
        ("?", Identifier("unknown", "?")),
    ],
)
def test_the_one_field_of_the_form_is_understood_and_never_refused(
    text: str, found: Identifier
) -> None:
    assert identify(text, "TR") == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("strasse@example.com", "stra\u00dfe@example.com"),
        ("sam@example.com", "\u017fam@example.com"),
    ],
)
def test_addresses_of_two_letterboxes_are_two(one: str, other: str) -> None:
    vault = Vault(b"k" * 32)
    first, second = (normalise_email(text) for text in (one, other))
    assert address_index(vault, ContactKind.EMAIL, first) != address_index(
        vault, ContactKind.EMAIL, second
    )
