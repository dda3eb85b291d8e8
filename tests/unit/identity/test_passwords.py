import argon2
import pytest

from server.identity.errors import PasswordWeak
from server.identity.passwords import PasswordKeeper, check_password, common_passwords
from server.kit.crypto import Vault

PERSONAL = ["ada_lovelace", "+905321234567", "ada.byron@example.com"]


def _check(password: str, length_min: int = 8) -> None:
    check_password(password, length_min=length_min, personal=PERSONAL)


@pytest.mark.parametrize(
    "password",
    [
        "plum radio under seven",
        "kx9#vq2!mw",
        "correct-horse-battery",
        "şifreli kelime 42",
        "密码很长而且不常见的",
    ],
)
def test_a_password_nobody_would_try_is_taken(password: str) -> None:
    _check(password)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "fewer than 8"),
        ("x y z a b c d" * 11, "more than 128"),
        ("aaaaaaaaaa", "repeats"),
        ("abababababab", "repeats"),
        ("abcdefghijkl", "counts"),
        ("987654321", "counts"),
        ("qwertyuiop", "everybody"),
        ("PASSWORD1", "everybody"),
        ("P@ssw0rd!", "everybody"),
        ("tallystick", "everybody"),
        ("!!sunshine1", "everybody"),
        ("ada_lovelace", "too close"),
        ("ada_lovelac3", "too close"),
        ("ADA_LOVELACE99", "too close"),
        ("ada.byron!", "too close"),
        ("905321234567", "too close"),
        ("05321234567x", "too close"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused_with_the_reason(
    password: str, why: str
) -> None:
    with pytest.raises(PasswordWeak, match=why) as refusal:
        _check(password)
    assert password not in refusal.value.detail


def test_the_shortest_length_is_a_choice() -> None:
    _check("kx9#vq2!mw", length_min=10)
    with pytest.raises(PasswordWeak, match="fewer than 15"):
        _check("kx9#vq2!mw", length_min=15)


def test_the_list_of_common_passwords_is_folded_and_has_hundreds() -> None:
    words = common_passwords()
    assert len(words) >= 200
    assert all(word == word.casefold() for word in words)


async def test_a_password_is_stored_as_argon2id_with_our_figures_and_found_right() -> None:
    keeper = PasswordKeeper(Vault(b"k" * 32))
    stored = await keeper.hash("plum radio under seven")
    figures = argon2.extract_parameters(stored)
    assert figures.type is argon2.Type.ID
    assert (figures.memory_cost, figures.time_cost, figures.parallelism) == (19_456, 2, 1)
    assert await keeper.verify("plum radio under seven", stored)
    assert not await keeper.verify("plum radio under eight", stored)
    assert not keeper.is_outdated(stored)


async def test_a_stored_hash_is_worth_nothing_without_the_servers_key() -> None:
    stored = await PasswordKeeper(Vault(b"k" * 32)).hash("plum radio under seven")
    assert not await PasswordKeeper(Vault(b"x" * 32)).verify("plum radio under seven", stored)
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(stored, "plum radio under seven")


async def test_the_same_password_typed_in_another_unicode_form_is_the_same() -> None:
    keeper = PasswordKeeper(Vault(b"k" * 32))
    stored = await keeper.hash("cafe\u0301 au lait noir")
    assert await keeper.verify("café au lait noir", stored)


async def test_nobodys_password_is_never_right() -> None:
    keeper = PasswordKeeper(Vault(b"k" * 32))
    assert not await keeper.verify("nobody", None)
    assert not await keeper.verify("nobody", "no hash at all")
