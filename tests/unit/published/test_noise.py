"""Noise_NK_25519_ChaChaPoly_SHA256 as published with the snow implementation."""

from collections.abc import Iterator
from typing import Any

import pytest

from offline_protocol.errors import HandshakeFailed, SessionBroken
from offline_protocol.handshake import Initiator, Responder
from tests.unit.published.vectors import published

NAME = "Noise_NK_25519_ChaChaPoly_SHA256"


@pytest.fixture
def case() -> dict[str, Any]:
    vectors = published("noise-25519-chachapoly", "vectors.json")["vectors"]
    (found,) = (each for each in vectors if each["protocol_name"] == NAME)
    assert len(found["messages"]) == 6
    return dict(found)


def _payer(case: dict[str, Any]) -> Initiator:
    return Initiator(
        prologue=bytes.fromhex(case["init_prologue"]),
        remote_static=bytes.fromhex(case["init_remote_static"]),
        ephemeral=bytes.fromhex(case["init_ephemeral"]),
    )


def _payee(case: dict[str, Any]) -> Responder:
    return Responder(
        prologue=bytes.fromhex(case["resp_prologue"]),
        static=bytes.fromhex(case["resp_static"]),
        ephemeral=bytes.fromhex(case["resp_ephemeral"]),
    )


def _messages(case: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Payload and wire of each."""
    return [
        (bytes.fromhex(one["payload"]), bytes.fromhex(one["ciphertext"]))
        for one in case["messages"]
    ]


def test_the_published_transcript_comes_out_byte_for_byte(case: dict[str, Any]) -> None:
    payer, payee = _payer(case), _payee(case)
    (first, first_wire), (second, second_wire), *rest = _messages(case)
    assert payer.write_message(first) == first_wire
    assert payee.read_message(first_wire) == first
    assert payee.write_message(second) == second_wire
    assert payer.read_message(second_wire) == second
    assert payer.channel.handshake_hash.hex() == case["handshake_hash"]
    assert payee.channel.handshake_hash.hex() == case["handshake_hash"]
    ends = [(payer.channel, payee.channel), (payee.channel, payer.channel)]
    for number, (payload, wire) in enumerate(rest):
        sender, receiver = ends[number % 2]
        assert sender.sending.encrypt(payload) == wire
        assert receiver.receiving.decrypt(wire) == payload


def _damaged(wire: bytes) -> Iterator[bytes]:
    """Each bit turned, and each length but the right one."""
    for bit in range(len(wire) * 8):
        changed = bytearray(wire)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
    for length in range(len(wire)):
        yield wire[:length]
    yield wire + b"\0"


def test_a_published_message_with_any_damage_is_refused(case: dict[str, Any]) -> None:
    (first, first_wire), (_, second_wire), (_, third_wire), *_ = _messages(case)
    refused = 0
    for wire in _damaged(first_wire):
        with pytest.raises(HandshakeFailed):
            _payee(case).read_message(wire)
        refused += 1
    for wire in _damaged(second_wire):
        payer = _payer(case)
        payer.write_message(first)
        with pytest.raises(HandshakeFailed):
            payer.read_message(wire)
        refused += 1
    payer, payee = _payer(case), _payee(case)
    payee.read_message(payer.write_message(first))
    payee.write_message(b"")
    for wire in _damaged(third_wire):
        with pytest.raises(SessionBroken):
            payee.channel.receiving.decrypt(wire)
        refused += 1
    assert refused == sum(len(w) * 9 + 1 for w in (first_wire, second_wire, third_wire))
