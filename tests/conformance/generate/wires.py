"""Wires from the greeting to the goodbye: what one side says to what the other has said."""

import hashlib
from collections.abc import Iterator
from typing import Any

from offline_protocol import Receipt, Signed, pack, session_public_key
from offline_protocol.frames import FrameKind
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.offers import ASKED, SHOP, one
from tests.conformance.generate.sessions import Meeting
from tests.conformance.generate.world import entropy

ASK = b"\x02"
PAID = one(ASKED)
RECEIPT: Signed[Receipt] = world.receipt(PAID, ASKED, SHOP.signer)
REQUEST_FRAME = pack(FrameKind.REQUEST, ASKED.envelope)
PAYMENT_FRAME = pack(FrameKind.PAYMENT, PAID.encode())
RECEIPT_FRAME = pack(FrameKind.RECEIPT, RECEIPT.envelope)
GOODBYE = b""
_ORDER_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


class _Shop(Meeting):
    """A meeting about the request that stands above."""

    def __post_init__(self) -> None:
        super().__post_init__()
        public_key = session_public_key(self.payee_ephemeral)
        label = b"tallystick/1/ephemeral"
        self.greeting = b"\x01" + hashlib.sha256(label + public_key).digest()

    def said_to_payer(self, *frames: bytes) -> list[bytes]:
        sealed = [self.payee_channel.sending.encrypt(frame) for frame in frames]
        return [self.greeting, self.second, *sealed]

    def said_to_payee(self, *frames: bytes) -> list[bytes]:
        return [self.first, *(self.payer_channel.sending.encrypt(frame) for frame in frames)]


class _Till(_Shop):
    """As `_Shop`, for the request that is offered to who asks for it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request_id = ASKED.body.request_id
        self.secret = SHOP.session_secret
        self.session_key = session_public_key(self.secret)
        self.shake()


def _payer(meeting: Meeting, received: list[bytes], *says: bytes, **changes: Any) -> dict[str, Any]:
    usual = {
        "role": "payer",
        "request_id": meeting.request_id,
        "session_key": meeting.session_key,
        "ephemeral": meeting.payer_ephemeral,
    }
    return {**usual, **_script(received, says), **changes}


def _asker(meeting: Meeting, received: list[bytes], *says: bytes) -> dict[str, Any]:
    given = _payer(meeting, received, *says)
    return {key: given[key] for key in given if key not in {"request_id", "session_key"}}


def _payee(meeting: Meeting, received: list[bytes], *says: bytes, **changes: Any) -> dict[str, Any]:
    usual = {
        "role": "payee",
        "request_id": meeting.request_id,
        "session_secret": meeting.secret,
        "ephemeral": meeting.payee_ephemeral,
    }
    return {**usual, **_script(received, says), **changes}


def _script(received: list[bytes], says: tuple[bytes, ...]) -> dict[str, Any]:
    return {
        "received": [message.hex() for message in received],
        "says": [frame.hex() for frame in says],
    }


def vectors() -> Vectors:
    out = Vectors("wires", "Greeting, handshake, frames and goodbye, as one side has them")
    for name, given in _good():
        out.add("wire", name, **given)
    for number, name, given in (*_bad_greetings(), *_bad_handshakes(), *_bad_frames()):
        out.add("wire", f"{number}: {name}", error=number, **given)
    return out


def _good() -> Iterator[tuple[str, dict[str, Any]]]:
    for word in ("wire 0", "wire 1"):
        one_ = _Shop(word)
        yield (
            f"payer, {word}",
            _payer(one_, one_.said_to_payer(RECEIPT_FRAME, GOODBYE), PAYMENT_FRAME, GOODBYE),
        )
        yield (
            f"payee, {word}",
            _payee(one_, one_.said_to_payee(PAYMENT_FRAME, GOODBYE), RECEIPT_FRAME, GOODBYE),
        )
    shop = _Shop("pieces")
    for name, received in {
        "nothing": [],
        "the greeting only": [shop.greeting],
        "handshake 2 and nothing more": [shop.greeting, shop.second],
    }.items():
        yield f"payer: {name}", _payer(shop, received)
    yield "payee: nothing", _payee(shop, [])
    yield "payee: handshake 1 and nothing more", _payee(shop, [shop.first])
    cut = _Shop("no goodbye")
    yield "payer: no goodbye", _payer(cut, cut.said_to_payer(RECEIPT_FRAME), PAYMENT_FRAME)
    yield "payee: no goodbye", _payee(cut, cut.said_to_payee(PAYMENT_FRAME), RECEIPT_FRAME)
    twice = _Shop("twice")
    yield (
        "payer: the same frame sealed twice",
        _payer(
            twice,
            twice.said_to_payer(RECEIPT_FRAME, RECEIPT_FRAME, GOODBYE),
            PAYMENT_FRAME,
            PAYMENT_FRAME,
            GOODBYE,
        ),
    )
    large = _Shop("large")
    frame = pack(FrameKind.PAYMENT, entropy("large", size=32_768))
    yield "payee: the largest frame", _payee(large, large.said_to_payee(frame, GOODBYE))
    till = _Till("ask")
    offer = [till.greeting, REQUEST_FRAME, till.second]
    yield "payer: asks for the request", _asker(till, offer, PAYMENT_FRAME)
    yield "payer: asks, and nothing comes", _asker(till, [till.greeting])
    yield (
        "payee: is asked for the request",
        _payee(till, [ASK, *till.said_to_payee(PAYMENT_FRAME)], offered=REQUEST_FRAME),
    )
    yield "payee: is asked and left", _payee(till, [ASK], offered=REQUEST_FRAME)
    bold = _Till("no ask")
    yield (
        "payee: offers the request to who has it",
        _payee(bold, bold.said_to_payee(PAYMENT_FRAME, GOODBYE), offered=REQUEST_FRAME),
    )


def _turned(message: bytes, at: int) -> bytes:
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]


def _bad_greetings() -> Iterator[tuple[int, str, dict[str, Any]]]:
    shop, other = _Shop("greeting"), _Shop("another greeting")
    second = shop.second
    uncommitted = hashlib.sha256(session_public_key(shop.payee_ephemeral)).digest()
    for name, greeting in {
        "of another key": other.greeting,
        "with the first bit of the commitment turned": _turned(shop.greeting, 1),
        "with the last bit of the commitment turned": _turned(shop.greeting, 32),
        "of the key without its label": b"\x01" + uncommitted,
        "with the key itself": b"\x01" + session_public_key(shop.payee_ephemeral),
        "of zeros": b"\x01" + bytes(32),
        "of version 0": b"\x00" + shop.greeting[1:],
        "of version 2": b"\x02" + shop.greeting[1:],
        "cut short": shop.greeting[:-1],
        "with a byte more": shop.greeting + b"\0",
        "without a version": shop.greeting[1:],
        "of nothing": b"",
    }.items():
        yield 121, f"payer: a greeting {name}", _payer(shop, [greeting, second])
    yield 121, "payer: handshake 2 in place of the greeting", _payer(shop, [second, shop.greeting])
    yield 121, "payer: the greeting twice", _payer(shop, [shop.greeting, shop.greeting, second])
    yield 121, "payer: no greeting", _payer(shop, [second])
    whole = [other.greeting, other.second]
    yield 121, "payer: another wire, whole", _payer(shop, whole)


def _bad_handshakes() -> Iterator[tuple[int, str, dict[str, Any]]]:
    shop, other = _Shop("handshake"), _Shop("another handshake")
    first, second, greeting = shop.first, shop.second, shop.greeting
    for name, message in {
        "with a bit of the key turned": _turned(second, 0),
        "with a bit of the tag turned": _turned(second, 47),
        "cut short": second[:-1],
        "with a byte more": second + b"\0",
        "of nothing": b"",
        "of our own": first,
        "of another meeting": other.second,
        "with a key of zeros": bytes(32) + second[32:],
        "with a key of order 8": _ORDER_8 + second[32:],
    }.items():
        yield 121, f"payer: handshake 2 {name}", _payer(shop, [greeting, message])
    for name, message in {
        "with a bit of the key turned": _turned(first, 0),
        "with a bit of the tag turned": _turned(first, 47),
        "cut short": first[:-1],
        "with a byte more": first + b"\0",
        "of nothing": b"",
        "of our own": second,
        "of another meeting": other.first,
        "with a key of zeros": bytes(32) + first[32:],
        "that is a greeting": greeting,
        "that is a frame in the clear": PAYMENT_FRAME,
    }.items():
        yield 121, f"payee: handshake 1 {name}", _payee(shop, [message])
    request_id = other.request_id
    yield 121, "payer: another request", _payer(shop, [greeting, second], request_id=request_id)
    yield 121, "payee: another request", _payee(shop, [first], request_id=request_id)
    key = other.session_key
    yield 121, "payer: another session key", _payer(shop, [greeting, second], session_key=key)
    yield 121, "payer: a session key of order 8", _payer(shop, [greeting], session_key=_ORDER_8)
    secret = other.secret
    yield 121, "payee: another session key", _payee(shop, [first], session_secret=secret)
    yield 121, "payee: asked, and offers nothing", _payee(shop, [ASK, first])
    till = _Till("asked twice")
    offered = {"offered": REQUEST_FRAME}
    yield 121, "payee: asked twice", _payee(till, [ASK, ASK, till.first], **offered)
    yield 121, "payee: asked with a byte more", _payee(till, [ASK + b"\0"], **offered)
    yield 121, "payee: asked by another number", _payee(till, [b"\x03"], **offered)
    relayed = _Till("relayed")
    words = [till.greeting, REQUEST_FRAME, relayed.second]
    yield 121, "payer: asks, and another key answers", _asker(till, words)
    yield 104, "payer: asks, and no frame comes", _asker(till, [till.greeting, b"\x02" * 40])


def _bad_frames() -> Iterator[tuple[int, str, dict[str, Any]]]:
    shop, other = _Shop("frames"), _Shop("another wire")
    greeting, second, one_, two, bye = shop.said_to_payer(RECEIPT_FRAME, REQUEST_FRAME, GOODBYE)
    own = shop.said_to_payee(PAYMENT_FRAME)[1]
    strange = other.said_to_payer(RECEIPT_FRAME)[2]
    for name, messages in {
        "a frame with its first bit turned": [_turned(one_, 0)],
        "a frame with its last bit turned": [_turned(one_, len(one_) - 1)],
        "a frame cut short": [one_[:-1]],
        "a frame with a byte more": [one_ + b"\0"],
        "a frame twice": [one_, one_],
        "frames exchanged": [two, one_],
        "a frame lost": [one_, bye],
        "the first frame again at the end": [one_, two, one_],
        "a goodbye too early": [bye],
        "a goodbye of which a bit was turned": [one_, two, _turned(bye, 3)],
        "an empty message": [b""],
        "a message of fifteen bytes": [one_[:15]],
        "a tag of zeros": [bytes(16)],
        "a frame in the clear": [RECEIPT_FRAME],
        "our own frame": [own],
        "a frame of another wire": [strange],
        "handshake 2 again": [second],
        "the greeting again": [greeting],
    }.items():
        received = [greeting, second, *messages]
        yield 122, f"payer: {name}", _payer(shop, received, PAYMENT_FRAME)
    till = _Shop("frames to the payee")
    first, one_, two, bye = till.said_to_payee(PAYMENT_FRAME, PAYMENT_FRAME, GOODBYE)
    for name, messages in {
        "a frame with its first bit turned": [_turned(one_, 0)],
        "a frame cut short": [one_[:-1]],
        "a frame twice": [one_, one_],
        "frames exchanged": [two, one_],
        "a frame lost": [one_, bye],
        "handshake 1 again": [first],
        "an ask after the handshake": [ASK],
        "a frame in the clear": [PAYMENT_FRAME],
    }.items():
        yield 122, f"payee: {name}", _payee(till, [first, *messages], RECEIPT_FRAME)
