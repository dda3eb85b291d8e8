import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from server.identity.domain import (
    DEVICE_CHANGES,
    PERMISSIONS,
    DeviceStatus,
    Role,
    clean_name,
    enrolment_message,
    guess_delay,
    make_code,
    normalise_username,
)
from server.identity.errors import NameInvalid, UsernameInvalid
from server.identity.settings import IdentityPolicy


@pytest.mark.parametrize(
    ("text", "name"),
    [("Ada", "ada"), (" ada_1 ", "ada_1"), ("\uff21\uff24\uff21", "ada"), ("a" * 32, "a" * 32)],
)
def test_a_username_has_one_form(text: str, name: str) -> None:
    assert normalise_username(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "ab", "a" * 33, "1ada", "_ada", "a-b-c", "a\nda", "\u0430da", "a da", "root", "Support"],
)
def test_what_is_no_username_is_refused(text: str) -> None:
    with pytest.raises(UsernameInvalid):
        normalise_username(text)


def test_a_name_is_one_composed_line() -> None:
    assert clean_name("  Jose\u0301's \t phone ", field="name") == "José's phone"
    assert clean_name("هاتف", field="name") == "هاتف"


@pytest.mark.parametrize("text", ["", "  ", "a\u202eb", "a\x00b", "\ud800", "a" * 65, "a\u200bb"])
def test_a_name_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(NameInvalid):
        clean_name(text, field="name")


def test_the_delay_begins_with_the_fifth_wrong_guess_and_doubles_up_to_an_hour() -> None:
    minutes = [guess_delay(n, IdentityPolicy()) / timedelta(minutes=1) for n in range(1, 14)]
    assert minutes == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert guess_delay(10**9, IdentityPolicy()) == timedelta(hours=1)


def test_a_code_is_six_digits_also_when_it_is_small() -> None:
    assert make_code(bytes(8)) == "000000"
    assert make_code(b"\xff" * 8) == "551615"


def test_what_a_device_signs_names_purpose_challenge_and_person() -> None:
    message = enrolment_message(b"c" * 32, UUID(int=5))
    assert message == b"tallystick/1/enrol" + b"c" * 32 + bytes(15) + b"\x05"


def test_lost_and_revoked_devices_never_come_back() -> None:
    reachable = {DeviceStatus.LOST, DeviceStatus.REVOKED}
    for status in list(reachable):
        reachable |= DEVICE_CHANGES[status]
    assert reachable == {DeviceStatus.LOST, DeviceStatus.REVOKED}
    assert set(DEVICE_CHANGES) == set(DeviceStatus)


def test_every_role_is_in_the_matrix_and_an_admin_has_no_money() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert "own_money" not in PERMISSIONS[Role.ADMIN]
    assert "read_accounts" not in PERMISSIONS[Role.USER]


def test_the_documentation_shows_the_matrix_as_it_is() -> None:
    page = Path(__file__).parents[3] / "docs" / "identity.md"
    rows = re.findall(
        r"^\| (\w+) \| ([a-z_, ]+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    shown = {name: set(text.split(", ")) for name, text in rows if name in set(Role)}
    assert shown == {role.value: set(granted) for role, granted in PERMISSIONS.items()}
