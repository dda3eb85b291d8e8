"""The handshake: a transcript of our own, and what must not work."""

from typing import Any

import pytest

from offline_protocol.errors import HandshakeFailed, SessionBroken
from offline_protocol.handshake import (
    MESSAGE_BYTES_MAX,
    Channel,
    CipherState,
    Initiator,
    Responder,
    session_public_key,
)
from tests.factories.protocol import entropy

PROLOGUE = entropy("request id", size=16)
STATIC, PAYER, PAYEE = (entropy("x25519", name) for name in ("static", "payer", "payee"))

# Made once with the code that passes the published vectors; bytes may never change again.
FIRST = (
    "c096a65d2a684472f8d8ad09815f541fc59f210bca5b2a2549197bf13bbd3f6a53048d12ab325054"
    "a1a4ff10c848478623166fcb28ac8a85a54f213efc650664388a13fe"
)
SECOND = (
    "0abe2db346c318bf6b36940999ca1748155b2a3dddb4cc2f66436d2253ddb9442113b716652a1bd8"
    "a618a7e3e9cda774e180c93e13"
)
THIRD = "bd758f31ef0f6fdaa404cf5e891c9b6aec536a955827b9"
CODE = "615254"


def _parties(**changes: Any) -> tuple[Initiator, Responder]:
    payer: dict[str, Any] = {
        "prologue": PROLOGUE,
        "remote_static": session_public_key(STATIC),
        "ephemeral": PAYER,
    }
    return (
        Initiator(**{**payer, **changes}),
        Responder(prologue=PROLOGUE, static=STATIC, ephemeral=PAYEE),
    )


def _channels() -> tuple[Channel, Channel]:
    payer, payee = _parties()
    payee.read_message(payer.write_message(b""))
    payer.read_message(payee.write_message(b""))
    return payer.channel, payee.channel


def test_our_own_frozen_transcript_still_comes_out() -> None:
    payer, payee = _parties()
    first = payer.write_message(b"payment request read")
    assert first.hex() == FIRST
    assert payee.read_message(first) == b"payment request read"
    second = payee.write_message(b"go on")
    assert second.hex() == SECOND
    assert payer.read_message(second) == b"go on"
    third = payer.channel.sending.encrypt(b"payment")
    assert third.hex() == THIRD
    assert payee.channel.receiving.decrypt(third) == b"payment"
    assert payer.channel.code == payee.channel.code == CODE


def test_both_ends_have_the_same_hash_and_different_keys_by_direction() -> None:
    payer, payee = _channels()
    assert payer.handshake_hash == payee.handshake_hash
    assert payer.sending.encrypt(b"same") != payee.sending.encrypt(b"same")


@pytest.mark.parametrize(
    "changes",
    [
        {"prologue": entropy("another request", size=16)},
        {"remote_static": session_public_key(entropy("another payee"))},
    ],
)
def test_a_handshake_for_another_request_or_payee_fails(changes: dict[str, Any]) -> None:
    payer, payee = _parties(**changes)
    with pytest.raises(HandshakeFailed):
        payee.read_message(payer.write_message(b"hello"))


def test_any_changed_bit_of_either_message_fails() -> None:
    payer, _ = _parties()
    first = payer.write_message(b"x")
    for at in range(len(first)):
        _, payee = _parties()
        with pytest.raises(HandshakeFailed):
            payee.read_message(_flipped(first, at))
    _, payee = _parties()
    payee.read_message(first)
    second = payee.write_message(b"y")
    for at in range(len(second)):
        payer, _ = _parties()
        payer.write_message(b"x")
        with pytest.raises(HandshakeFailed):
            payer.read_message(_flipped(second, at))


def _flipped(message: bytes, at: int) -> bytes:
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]


@pytest.mark.parametrize("message", [b"", bytes(47), bytes(MESSAGE_BYTES_MAX + 1)])
def test_messages_of_impossible_size_fail(message: bytes) -> None:
    _, payee = _parties()
    with pytest.raises(HandshakeFailed):
        payee.read_message(message)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31)])
def test_keys_of_small_order_fail(key: bytes) -> None:
    payer, payee = _parties(remote_static=key)
    with pytest.raises(HandshakeFailed, match="small order"):
        payer.write_message(b"")
    with pytest.raises(HandshakeFailed, match="small order"):
        payee.read_message(key + bytes(16))


def test_messages_are_read_once_and_in_order() -> None:
    payer, payee = _channels()
    one, two = payer.sending.encrypt(b"one"), payer.sending.encrypt(b"two")
    with pytest.raises(SessionBroken):
        payee.receiving.decrypt(two)
    assert payee.receiving.decrypt(one) == b"one"
    with pytest.raises(SessionBroken):
        payee.receiving.decrypt(one)
    assert payee.receiving.decrypt(two) == b"two"
    with pytest.raises(SessionBroken):
        payer.receiving.decrypt(payer.sending.encrypt(b"reflected"))


def test_messages_of_a_channel_have_a_largest_size() -> None:
    payer, payee = _channels()
    largest = bytes(MESSAGE_BYTES_MAX - 16)
    assert payee.receiving.decrypt(payer.sending.encrypt(largest)) == largest
    with pytest.raises(SessionBroken):
        payer.sending.encrypt(largest + b"x")
    for size in (0, 15, MESSAGE_BYTES_MAX + 1):
        with pytest.raises(SessionBroken):
            payee.receiving.decrypt(bytes(size))


def test_a_channel_ends_before_its_numbers_do() -> None:
    cipher = CipherState(entropy("key"))
    cipher._nonce = 2**64 - 2
    cipher.encrypt(b"last")
    with pytest.raises(SessionBroken, match="new one"):
        cipher.encrypt(b"one too many")


def test_steps_out_of_turn_are_mistakes_of_the_program() -> None:
    payer, payee = _parties()
    with pytest.raises(AssertionError):
        payer.read_message(bytes(48))
    with pytest.raises(AssertionError):
        payee.write_message()
    with pytest.raises(AssertionError):
        _ = payer.channel
    with pytest.raises(AssertionError):
        _ = payee.channel
    payee.read_message(payer.write_message())
    with pytest.raises(AssertionError):
        payer.write_message()
    with pytest.raises(AssertionError):
        payee.read_message(bytes(48))
