"""Fragments and names of the Bluetooth transport: exact bytes, and hostile ones."""

import hashlib
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client_sdk.transports.base import InvalidAddress
from client_sdk.transports.ble import naming
from client_sdk.transports.ble.connecting import lock_of
from client_sdk.transports.ble.fragments import (
    DATA_HEAD_BYTES,
    KEY_BYTES,
    POSITION_MAX,
    VALUE_BYTES_LEAST,
    VALUE_BYTES_MAX,
    VERSION,
    WINDOW_MAX,
    Acknowledge,
    Close,
    Data,
    Fragment,
    Gap,
    MalformedFragment,
    Open,
    OtherVersion,
    Resume,
    Welcome,
    decode,
)

positions = st.integers(0, POSITION_MAX)
windows = st.integers(0, WINDOW_MAX)
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
controls: st.SearchStrategy[Fragment] = st.one_of(
    st.builds(Open, windows, keys),
    st.builds(Resume, windows, keys, positions),
    st.builds(Welcome, windows, positions),
    st.builds(Acknowledge, positions),
    st.builds(Gap, positions),
    st.builds(Close, st.integers(0, 255)),
)
pieces = st.builds(
    Data, positions, st.binary(min_size=1, max_size=VALUE_BYTES_MAX - DATA_HEAD_BYTES)
)

LOCK = bytes.fromhex("0001020304050607")
EXACT: list[tuple[Fragment, str]] = [
    (Open(0x1000, LOCK), "01 01 1000 0001020304050607"),
    (Resume(0x1000, LOCK, 0x01F3A0), "02 01 1000 0001020304050607 01f3a0"),
    (Welcome(0x0800, 0x000027), "03 01 0800 000027"),
    (Data(0x000010, b"abc"), "04 000010 616263"),
    (Acknowledge(0xFFFFFF), "05 ffffff"),
    (Gap(0x000010), "06 000010"),
    (Close(1), "07 01"),
]


@pytest.mark.parametrize(("fragment", "hexadecimal"), EXACT)
def test_each_kind_has_the_bytes_of_the_specification(fragment: Fragment, hexadecimal: str) -> None:
    assert fragment.encode() == bytes.fromhex(hexadecimal)
    assert decode(fragment.encode()) == fragment


@given(controls)
def test_whatever_carries_no_data_fits_the_smallest_mtu(fragment: Fragment) -> None:
    assert len(fragment.encode()) <= VALUE_BYTES_LEAST
    assert decode(fragment.encode()) == fragment


@given(pieces)
def test_data_reads_back(piece: Data) -> None:
    assert decode(piece.encode()) == piece


@given(st.binary(max_size=40))
@example(b"")
@example(b"\x04\x00\x00\x00")
def test_any_bytes_are_a_fragment_with_just_these_bytes_or_none(data: bytes) -> None:
    try:
        fragment = decode(data)
    except MalformedFragment:
        return
    assert fragment.encode() == data


@given(controls, st.binary(min_size=1, max_size=8))
def test_a_control_fragment_cut_short_or_drawn_out_is_none(fragment: Fragment, more: bytes) -> None:
    whole = fragment.encode()
    for wrong in [*(whole[:length] for length in range(len(whole))), whole + more]:
        with pytest.raises(MalformedFragment):
            decode(wrong)


def test_a_value_longer_than_an_attribute_may_be_is_refused() -> None:
    whole = Data(0, bytes(VALUE_BYTES_MAX - DATA_HEAD_BYTES)).encode()
    assert len(whole) == VALUE_BYTES_MAX
    decode(whole)
    with pytest.raises(MalformedFragment):
        decode(whole + b"\x00")


@pytest.mark.parametrize("fragment", [Open(1, LOCK), Resume(1, LOCK, 2), Welcome(1, 2)])
def test_another_version_is_told_apart_from_nonsense(fragment: Fragment) -> None:
    value = bytearray(fragment.encode())
    assert value[1] == VERSION
    value[1] += 1
    with pytest.raises(OtherVersion):
        decode(bytes(value))


# Names.

TOKEN = bytes.fromhex("0011223344556677")


def test_an_address_reads_back() -> None:
    assert naming.join_address(TOKEN) == "ble:0011223344556677"
    assert naming.split_address("ble:0011223344556677") == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ble:",
        "0011223344556677",
        "ble:001122334455667",
        "ble:00112233445566778",
        "ble:001122334455667g",
        "ble:001122334455667 ",
        "ble:AABBCCDDEEFF0011",
        "ble:００１１２２３３４４５５６６７７",  # noqa: RUF001 -- digits of another kind
        "lan:192.0.2.7:4100",
    ],
)
def test_another_text_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        naming.split_address(text)
    assert refusal.value.fix


def test_the_service_is_a_hash_of_the_token_in_the_form_of_a_uuid() -> None:
    found = naming.service_uuid(TOKEN)
    digest = bytearray(hashlib.sha256(b"tallystick/1/ble/service" + TOKEN).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    assert found == uuid.UUID(bytes=bytes(digest))
    assert (found.version, found.variant) == (8, uuid.RFC_4122)
    assert TOKEN not in found.bytes
    assert str(found) == "b5fd0990-1f6d-8694-a433-36198f89a14a"


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_two_tokens_have_two_services(one: bytes, two: bytes) -> None:
    assert (naming.service_uuid(one) == naming.service_uuid(two)) is (one == two)


def test_a_lock_follows_from_its_key_and_not_the_other_way_round() -> None:
    lock = lock_of(TOKEN)
    assert lock == hashlib.sha256(b"tallystick/1/ble/resume" + TOKEN).digest()[:8]
    assert lock_of(lock) != TOKEN
    assert lock.hex() == "ed09428fe9d58e88"
