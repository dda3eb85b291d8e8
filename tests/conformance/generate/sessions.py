"""Handshakes and channels, each side by itself."""

from dataclasses import dataclass
from typing import Any

from offline_protocol import Channel, Initiator, Responder, session_public_key
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import entropy

Steps = list[dict[str, str]]


@dataclass
class Meeting:
    """A handshake between two, as it should go."""

    word: object

    def __post_init__(self) -> None:
        self.request_id = entropy("request", self.word, size=16)
        self.secret = entropy("session", self.word)
        self.session_key = session_public_key(self.secret)
        self.payer_ephemeral = entropy("payer", self.word)
        self.payee_ephemeral = entropy("payee", self.word)
        self.shake()

    def shake(self) -> None:
        """Shake hands with the keys of now."""
        payer = Initiator(
            prologue=self.request_id, remote_static=self.session_key, ephemeral=self.payer_ephemeral
        )
        payee = Responder(
            prologue=self.request_id, static=self.secret, ephemeral=self.payee_ephemeral
        )
        self.first = payer.write_message()
        payee.read_message(self.first)
        self.second = payee.write_message()
        payer.read_message(self.second)
        self.payer_channel: Channel = payer.channel
        self.payee_channel: Channel = payee.channel

    def payer(self, steps: Steps, **changes: Any) -> dict[str, Any]:
        """Input of the payer's case."""
        usual = {
            "role": "payer",
            "request_id": self.request_id,
            "session_key": self.session_key,
            "ephemeral": self.payer_ephemeral,
            "received": self.second,
            "steps": steps,
        }
        return usual | changes

    def payee(self, steps: Steps, **changes: Any) -> dict[str, Any]:
        """Input of the payee's case."""
        usual = {
            "role": "payee",
            "request_id": self.request_id,
            "session_secret": self.secret,
            "ephemeral": self.payee_ephemeral,
            "received": self.first,
            "steps": steps,
        }
        return usual | changes


def vectors() -> Vectors:
    out = Vectors("sessions", "Handshakes, and the messages of the channel")
    for number in range(4):
        _add_good(out, number)
    _add_refused(out)
    _add_broken_steps(out)
    return out


def _seal(data: bytes) -> dict[str, str]:
    return {"seal": data.hex()}


def _open(data: bytes) -> dict[str, str]:
    return {"open": data.hex()}


def _add_good(out: Vectors, number: int) -> None:
    meeting = Meeting(number)
    sizes = (0, 1, 15, 16, 17, 64, 351)
    said = [entropy("said", number, size, size=size) for size in sizes]
    heard = [entropy("heard", number, size, size=size) for size in sizes]
    to_payee = [meeting.payer_channel.sending.encrypt(each) for each in said]
    to_payer = [meeting.payee_channel.sending.encrypt(each) for each in heard]
    payer = [
        step
        for one, other in zip(said, to_payer, strict=True)
        for step in (_seal(one), _open(other))
    ]
    payee = [
        step
        for one, other in zip(heard, to_payee, strict=True)
        for step in (_seal(one), _open(other))
    ]
    out.add("session", f"payer {number}", **meeting.payer(payer))
    out.add("session", f"payee {number}", **meeting.payee(payee))


def _add_refused(out: Vectors) -> None:
    meeting, other = Meeting("refused"), Meeting("another")
    zero = bytes(32)
    order_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    second, first = meeting.second, meeting.first
    payer_wrong: dict[str, dict[str, Any]] = {
        "another request": {"request_id": other.request_id},
        "another session key": {"session_key": other.session_key},
        "another ephemeral key of ours": {"ephemeral": other.payer_ephemeral},
        "the answer to another payer": {"received": other.second},
        "our own message as answer": {"received": first},
        "a bit of the key turned": {"received": bytes([second[0] ^ 1]) + second[1:]},
        "a bit of the tag turned": {"received": second[:-1] + bytes([second[-1] ^ 1])},
        "an answer cut short": {"received": second[:-1]},
        "an answer of a key only": {"received": second[:32]},
        "an empty answer": {"received": b""},
        "a session key of zeros": {"session_key": zero},
        "a session key of order 8": {"session_key": order_8},
        "an answer with a key of zeros": {"received": zero + second[32:]},
        "an answer with a key of order 8": {"received": order_8 + second[32:]},
    }
    payee_wrong: dict[str, dict[str, Any]] = {
        "another request": {"request_id": other.request_id},
        "another session key": {"session_secret": other.secret},
        "a message to another payee": {"received": other.first},
        "an answer as message": {"received": second},
        "a bit of the key turned": {"received": bytes([first[0] ^ 1]) + first[1:]},
        "a bit of the tag turned": {"received": first[:-1] + bytes([first[-1] ^ 1])},
        "a message cut short": {"received": first[:-1]},
        "a message of a key only": {"received": first[:32]},
        "an empty message": {"received": b""},
        "a message with a key of zeros": {"received": zero + first[32:]},
        "a message with a key of order 8": {"received": order_8 + first[32:]},
    }
    for name, changes in payer_wrong.items():
        out.add("session", f"payer: {name}", error=121, **meeting.payer([], **changes))
    for name, changes in payee_wrong.items():
        out.add("session", f"payee: {name}", error=121, **meeting.payee([], **changes))


def _add_broken_steps(out: Vectors) -> None:
    meeting = Meeting("steps")
    texts = [f"message {number}".encode() for number in range(4)]
    sealed = [meeting.payer_channel.sending.encrypt(text) for text in texts]
    own = meeting.payee_channel.sending.encrypt(texts[0])
    stranger = Meeting("stranger").payer_channel.sending.encrypt(texts[0])
    for name, steps in {
        "a message twice": [sealed[0], sealed[0]],
        "messages out of order": [sealed[1]],
        "a message lost": [sealed[0], sealed[2]],
        "a bit of the text turned": [bytes([sealed[0][0] ^ 1]) + sealed[0][1:]],
        "a bit of the tag turned": [sealed[0][:-1] + bytes([sealed[0][-1] ^ 1])],
        "a message cut short": [sealed[0][:-1]],
        "a message and a byte": [sealed[0] + b"\x00"],
        "a message of fifteen bytes": [bytes(15)],
        "a tag of zeros": [bytes(16)],
        "nothing": [b""],
        "our own message": [own],
        "a message of another channel": [stranger],
        "the first after three good ones": [*sealed[:3], sealed[0]],
    }.items():
        out.add("session", f"received: {name}", **meeting.payee([_open(step) for step in steps]))
    long = _seal(bytes(65_520))
    out.add("session", "sealing a message that is too long", **meeting.payee([long]))
