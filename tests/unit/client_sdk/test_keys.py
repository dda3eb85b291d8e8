"""Software keys, and what holds for every key provider's errors."""

import pytest

from client_sdk.errors import StoreCorrupt, StoreError, WrongPassphrase
from client_sdk.keys import FILE_KEY_BYTES, KeyProvider, SoftwareKeys, errors
from client_sdk.testing import SeededEntropy, quick_keys
from offline_protocol.algorithms import Algorithm

FILE_KEY = bytes(range(32))
LEAST = 8192


def _keys(passphrase: str = "open sesame", seed: str = "keys") -> SoftwareKeys:
    return SoftwareKeys(passphrase, entropy=SeededEntropy(seed), iterations=1, memory_bytes=LEAST)


def test_a_passphrase_opens_what_it_wrapped_and_no_other_does() -> None:
    wrapped = _keys().wrap(FILE_KEY)
    assert _keys(seed="another device").unwrap(wrapped) == FILE_KEY
    for wrong in ("", "open sesame ", "Open sesame", "open\0sesame"):
        with pytest.raises(WrongPassphrase):
            _keys(wrong).unwrap(wrapped)


def test_wrapping_twice_shows_nothing_in_common() -> None:
    keys = _keys()
    one, two = keys.wrap(FILE_KEY), keys.wrap(FILE_KEY)
    assert one[12:] != two[12:]
    assert FILE_KEY not in one


def test_no_damage_does_more_than_being_refused() -> None:
    wrapped = _keys().wrap(FILE_KEY)
    damaged = [wrapped[:cut] for cut in range(len(wrapped))] + [wrapped + b"\0"]
    damaged += [
        wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
        for at in range(12, len(wrapped))
    ]
    for one in damaged:
        with pytest.raises((StoreCorrupt, WrongPassphrase)):
            _keys().unwrap(one)
    assert len(damaged) > 150


@pytest.mark.parametrize(
    ("iterations", "memory_bytes"),
    [
        (0, LEAST),
        (17, LEAST),
        (2**32 - 1, LEAST),
        (1, 0),
        (1, LEAST - 1),
        (1, (1 << 30) + 1),
        (1, 2**64 - 1),
    ],
)
def test_a_hostile_file_cannot_ask_for_endless_work(iterations: int, memory_bytes: int) -> None:
    wrapped = _keys().wrap(FILE_KEY)
    head = iterations.to_bytes(4, "big") + memory_bytes.to_bytes(8, "big")
    with pytest.raises(StoreCorrupt, match="impossible"):
        _keys().unwrap(head + wrapped[12:])


def test_a_file_names_its_own_settings() -> None:
    wrapped = _keys().wrap(FILE_KEY)
    slow = SoftwareKeys("open sesame", iterations=2, memory_bytes=2 * LEAST)
    assert slow.unwrap(wrapped) == FILE_KEY
    assert _keys().unwrap(slow.wrap(FILE_KEY)) == FILE_KEY


def test_device_keys_follow_from_their_handles() -> None:
    keys: KeyProvider = quick_keys(entropy=SeededEntropy("a"))
    one, two = keys.make_device_key(), keys.make_device_key()
    signer = keys.signer(one)
    assert signer.public_key.algorithm is Algorithm.ED25519
    assert signer.public_key == keys.signer(one).public_key != keys.signer(two).public_key
    signer.public_key.verify(b"message", signer.sign(b"message"))


def test_each_error_about_keys_has_a_code_and_is_nobody_elses_business() -> None:
    named: list[type[errors.KeysError]] = [errors.KeysError, *errors.KeysError.__subclasses__()]
    assert len({kind.code for kind in named}) == len(named) == 7
    # What goes wrong here is never sent to the other side as a refusal: see `flows.meeting`.
    assert issubclass(errors.KeysError, StoreError)
    assert all(kind.code != StoreError.code for kind in named)
    assert len(FILE_KEY) == FILE_KEY_BYTES
