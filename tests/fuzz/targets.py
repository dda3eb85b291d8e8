"""What is fuzzed: every reader of bytes from others, and the state machine.

A target takes any bytes. It may refuse them with its own kind of error; anything else that it
raises is a bug. What is read has to be written back as the same bytes.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from client_sdk.core import FINISHED, TRANSITIONS, Input, State, step
from client_sdk.errors import ExchangeStateError
from client_sdk.transports.ble import fragments
from offline_protocol import (
    AcceptancePolicy,
    Chain,
    CloneAlarm,
    DeviceCertificate,
    FraudProof,
    Initiator,
    KeyBinding,
    KeySet,
    PartCollector,
    Payment,
    PaymentRequest,
    ProtocolError,
    PublicKey,
    Receipt,
    Refusal,
    Responder,
    RevocationDelta,
    RevocationList,
    StreamReader,
    Transfer,
    Voucher,
    cbor,
    from_text,
    pack,
    session_public_key,
    to_text,
    unpack,
    unseal,
    verify_chain,
    verify_clone_alarm,
    verify_fraud_proof,
    verify_payment,
)
from offline_protocol.cose import Body
from offline_protocol.fields import Fields
from tests.factories.protocol import Issuer
from tests.fuzz import meeting_targets, server_targets

Target = Callable[[bytes], None]

KINDS: Final[tuple[type[Body], ...]] = (
    KeySet,
    DeviceCertificate,
    Voucher,
    PaymentRequest,
    Transfer,
    Receipt,
    RevocationList,
    RevocationDelta,
    AcceptancePolicy,
    KeyBinding,
)


def _refusable(read: Callable[[bytes], Any], *errors: type[Exception]) -> Target:
    refusals = errors or (ProtocolError,)

    def target(data: bytes) -> None:
        try:
            read(data)
        except refusals:
            return

    return target


def _cbor(data: bytes) -> None:
    assert cbor.encode(cbor.decode(data)) == data


def _object(kind: type[Body]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        by_payload = _payload_of(kind, data)
        if by_payload is not None:
            assert by_payload.payload == data
        signed = unseal(kind, data)
        again = kind.from_payload(signed.body.payload)
        assert again == signed.body
        assert signed.body.payload == again.payload

    return read


def _payload_of(kind: type[Body], data: bytes) -> Body | None:
    """Read a payload alone: by pattern where there is one, and field by field; both must agree."""
    slowly = _verdict(getattr(kind, "_from_fields", kind.from_payload), data)
    quickly = _verdict(kind.from_payload, data)
    assert slowly == quickly
    return None if isinstance(quickly, int) else quickly


def _verdict(read: Callable[[bytes], Body], data: bytes) -> Body | int:
    """The object, or the number of the refusal."""
    try:
        return read(data)
    except ProtocolError as error:
        return error.number


def _payment(data: bytes) -> None:
    payment = Payment.decode(data)
    assert payment.encode() == data
    issuer, request = _scene()
    verify_payment(payment, request, issuer.context)


def _chain(data: bytes) -> None:
    chain = Chain.decode(data)
    assert chain.encode() == data
    verify_chain(chain, _scene()[0].context)


def _evidence(data: bytes) -> None:
    for kind in (FraudProof, CloneAlarm):
        try:
            assert kind.decode(data).encode() == data
        except ProtocolError:
            continue
    key_set = _scene()[0].key_set.body
    try:
        verify_clone_alarm(CloneAlarm.decode(data), key_set)
    except ProtocolError:
        verify_fraud_proof(FraudProof.decode(data), key_set)


def _frame(data: bytes) -> None:
    kind, body = unpack(data)
    assert pack(kind, body) == data


def _text(data: bytes) -> None:
    frame = from_text(data.decode("latin-1"))
    assert from_text(to_text(frame)) == frame


def _parts(data: bytes) -> None:
    collector = PartCollector()
    for line in data.decode("latin-1").split("\n"):
        try:
            collector.add(line)
        except ProtocolError:
            continue


def _stream(data: bytes) -> None:
    reader = StreamReader()
    size = 1 + data[0] if data else 1
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])


def _responder(data: bytes) -> None:
    Responder(prologue=b"p" * 16, static=b"s" * 32, ephemeral=b"e" * 32).read_message(data)
    raise AssertionError("nobody can guess a message for this session key")


def _initiator(data: bytes) -> None:
    caller = Initiator(
        prologue=b"p" * 16, remote_static=session_public_key(b"s" * 32), ephemeral=b"i" * 32
    )
    caller.write_message()
    caller.read_message(data)
    raise AssertionError("nobody can guess the answer of this session key")


def _key(data: bytes) -> None:
    key = PublicKey(data)
    assert key.raw == data
    key.verify(b"message", bytes(64))
    raise AssertionError("64 zero bytes are no signature of a sound key")


def _fields(data: bytes) -> None:
    fields = Fields("any", data, type_number=None)
    fields.text(1)


def _exchange(data: bytes) -> None:
    """Walk the machine: what it refuses leaves it where it is, and an end is an end."""
    inputs = list(Input)
    state = list(State)[data[0] % len(State)] if data else State.IDLE
    for byte in data[1:]:
        happened = inputs[byte % len(inputs)]
        try:
            moved = step(state, happened).state
        except ExchangeStateError:
            assert (state, happened) not in TRANSITIONS
            continue
        assert state not in FINISHED or moved in FINISHED
        state = moved


def _ble(data: bytes) -> None:
    assert fragments.decode(data).encode() == data


@lru_cache(maxsize=1)
def _scene() -> tuple[Issuer, PaymentRequest]:
    issuer = Issuer("fuzz")
    return issuer, issuer.device("payee").request(1_250).body


TARGETS: Final[dict[str, Target]] = {
    "cbor": _refusable(_cbor),
    **{kind.NAME: _refusable(_object(kind)) for kind in KINDS},
    "payment": _refusable(_payment),
    "chain": _refusable(_chain),
    "evidence": _refusable(_evidence),
    "frame": _refusable(_frame),
    "text": _refusable(_text),
    "parts": _parts,
    "refusal": _refusable(Refusal.decode),
    "stream": _refusable(_stream),
    "noise-responder": _refusable(_responder),
    "noise-initiator": _refusable(_initiator),
    "public-key": _refusable(_key),
    "fields": _refusable(_fields),
    "ble-fragment": _refusable(_ble, fragments.MalformedFragment),
    "exchange": _exchange,
    "news": _refusable(meeting_targets.news),
    "tags": _refusable(meeting_targets.tags),
    "records": _refusable(meeting_targets.spends),
    "evidence-talk": meeting_targets.talk,
    "ble-stream": meeting_targets.ble_stream,
    "wallets": meeting_targets.wallets,
    "nfc-touch": meeting_targets.touch,
    "address": meeting_targets.address,
    "sync-body": server_targets.body,
    "base64url": server_targets.base64url,
    "dpop-proof": server_targets.proof,
    "key-set-proposal": server_targets.proposal,
    "card-webhook": server_targets.card_webhook,
    "rate-file": server_targets.rates,
    "bank-statement": server_targets.bank_statement,
    "bank-notice": server_targets.bank_notice,
}
