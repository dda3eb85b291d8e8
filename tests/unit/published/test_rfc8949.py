"""RFC 8949 appendix A: read exactly where it fits the strict profile, and refused elsewhere."""

from collections import Counter
from typing import Any

import cbor2
import pytest

from offline_protocol.cbor import decode, encode
from offline_protocol.constants import UINT_MAX
from offline_protocol.errors import MalformedCbor, ProtocolError
from tests.unit.published.vectors import published


@pytest.fixture
def cases() -> list[dict[str, Any]]:
    found = published("cbor-rfc8949-appendix-a", "appendix_a.json")
    assert len(found) == 82
    return list(found)


def test_each_example_is_read_or_refused_as_the_profile_says(cases: list[dict[str, Any]]) -> None:
    counts: Counter[str] = Counter()
    for case in cases:
        data = bytes.fromhex(case["hex"])
        if _fits(case):
            assert decode(data) == cbor2.loads(data), case
            assert encode(decode(data)) == data, case
            counts["read"] += 1
        else:
            with pytest.raises(MalformedCbor):
                decode(data)
            counts["refused"] += 1
    assert counts == {"read": 25, "refused": 57}


def test_what_is_read_is_read_whole_or_not_at_all(cases: list[dict[str, Any]]) -> None:
    damaged = 0
    for case in filter(_fits, cases):
        data = bytes.fromhex(case["hex"])
        for wrong in (*(data[:cut] for cut in range(len(data))), data + b"\0", data + data):
            with pytest.raises(MalformedCbor):
                decode(wrong)
            damaged += 1
    assert damaged > 150


def test_what_is_not_read_is_not_written(cases: list[dict[str, Any]]) -> None:
    """The values behind refused bytes have no form of ours, or one in other bytes."""
    other = 0
    for case in cases:
        if _fits(case):
            continue
        data = bytes.fromhex(case["hex"])
        try:
            written = encode(cbor2.loads(data))
        except (ProtocolError, cbor2.CBORDecodeError):
            continue
        assert written != data, case
        other += 1
    assert other == 8  # all of them with lengths left open


def _fits(case: dict[str, Any]) -> bool:
    """Judged by the independent codec, not by our reader."""
    try:
        value = cbor2.loads(bytes.fromhex(case["hex"]))
    except cbor2.CBORDecodeError:
        return False
    return bool(case["roundtrip"]) and _plain(value)


def _plain(value: Any) -> bool:
    if type(value) is int:
        return 0 <= value <= UINT_MAX
    if type(value) is list:
        return all(_plain(item) for item in value)
    if type(value) is dict:
        return all(type(k) is int and 1 <= k <= 23 and _plain(v) for k, v in value.items())
    return type(value) in {bytes, str}
