"""Bytes from strangers: whatever comes, the answer is an object or a ProtocolError."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_protocol import cbor, frames
from offline_protocol.algorithms import HEADER_OF
from offline_protocol.base45 import decode_base45, encode_base45
from offline_protocol.certificates import DeviceCertificate, KeySet
from offline_protocol.chains import Chain, Payment
from offline_protocol.constants import OBJECT_BYTES_MAX, PAYMENT_BYTES_MAX
from offline_protocol.cose import Signed, open_envelope, unseal
from offline_protocol.errors import MalformedCbor, MalformedFrame, ProtocolError
from offline_protocol.fraud import CloneAlarm, FraudProof, build_clone_alarm, build_fraud_proof
from offline_protocol.keys import PublicKey
from offline_protocol.receipts import Receipt
from offline_protocol.requests import PaymentRequest
from offline_protocol.transfers import Transfer
from offline_protocol.verification import verify_payment
from offline_protocol.vouchers import Voucher
from tests.factories.protocol import Issuer
from tests.property.offline_protocol.strategies import cbor_values

ISSUER = Issuer()
ALICE, BOB, CAROL = (ISSUER.device(name, display_name=name) for name in ("alice", "bob", "carol"))
REQUEST = BOB.request(1_250, memo="tea")
PAYMENT = ALICE.pay(ISSUER.chain(ALICE), REQUEST)
CHAIN = BOB.pay(PAYMENT.chains[0], CAROL.request(700)).chains[0]
FIRST, SECOND = (BOB.transfer(CHAIN.tip_id, 0, 5 + n, ALICE.key) for n in (0, 1))
SIDE, OTHER = (BOB.transfer(CHAIN.tip_id, n, n + 1, ALICE.key, sequence=99) for n in (0, 1))


def _rewritten(signed: Signed[Any]) -> bytes:
    """The envelope made anew from what was read, with the received signature."""
    parts = open_envelope(signed.envelope)
    body = signed.body.to_payload()
    return cbor.encode([HEADER_OF[parts.algorithm], {}, body, parts.signature])


Parser = Callable[[bytes], Any]
PARSERS: dict[str, tuple[Parser, bytes, Callable[[Any], bytes]]] = {
    "key": (PublicKey, ALICE.key.raw, lambda key: key.raw),
    "key set": (lambda b: unseal(KeySet, b), ISSUER.key_set.envelope, _rewritten),
    "certificate": (
        lambda b: unseal(DeviceCertificate, b),
        ALICE.certificate.envelope,
        _rewritten,
    ),
    "voucher": (lambda b: unseal(Voucher, b), CHAIN.voucher.envelope, _rewritten),
    "request": (lambda b: unseal(PaymentRequest, b), REQUEST.envelope, _rewritten),
    "transfer": (lambda b: unseal(Transfer, b), FIRST.envelope, _rewritten),
    "receipt": (
        lambda b: unseal(Receipt, b),
        BOB.receipt(PAYMENT, REQUEST.body).envelope,
        _rewritten,
    ),
    "chain": (Chain.decode, CHAIN.encode(), lambda chain: chain.encode()),
    "payment": (Payment.decode, Payment((CHAIN,)).encode(), lambda payment: payment.encode()),
    "fraud proof": (
        FraudProof.decode,
        build_fraud_proof(FIRST, SECOND, certificate=BOB.certificate).encode(),
        lambda proof: proof.encode(),
    ),
    "clone alarm": (
        CloneAlarm.decode,
        build_clone_alarm(SIDE, OTHER, certificate=BOB.certificate).encode(),
        lambda alarm: alarm.encode(),
    ),
    "refusal": (
        frames.Refusal.decode,
        frames.Refusal(411, "transfer_hangs_together").encode(),
        lambda refusal: refusal.encode(),
    ),
    "frame": (
        frames.unpack,
        frames.pack(frames.FrameKind.PAYMENT, b"body"),
        lambda parts: frames.pack(*parts),
    ),
}
parsers = pytest.mark.parametrize("name", PARSERS)


@st.composite
def _mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """One to three cuts, insertions, changes or doublings."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 8)))
        kind = draw(st.sampled_from(("cut", "insert", "change", "double", "tail")))
        if kind == "cut":
            del data[at:end]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "change" and at < len(data):
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "double":
            data[at:at] = data[at:end]
        else:
            del data[at:]
    return bytes(data)


@parsers
@given(data=st.binary(max_size=300))
@settings(max_examples=120, deadline=None)
def test_arbitrary_bytes_never_raise_anything_but_a_protocol_error(name: str, data: bytes) -> None:
    parse, _, write = PARSERS[name]
    with suppress(ProtocolError):
        assert write(parse(data)) == data


@parsers
@given(choices=st.data())
@settings(max_examples=250, deadline=None)
def test_what_is_read_from_mutated_bytes_is_written_back_as_the_same_bytes(
    name: str, choices: st.DataObject
) -> None:
    """So no two byte strings are the same object: the parsers are strict all through."""
    parse, original, write = PARSERS[name]
    data = choices.draw(_mutations(original))
    with suppress(ProtocolError):
        assert write(parse(data)) == data


@parsers
@given(value=cbor_values)
@settings(max_examples=120, deadline=None)
def test_any_good_cbor_is_an_object_or_refused(name: str, value: cbor.Value) -> None:
    parse, _, write = PARSERS[name]
    data = cbor.encode(value)
    for candidate in (data, cbor.encode([b"\xa1\x01\x32", {}, data, bytes(64)])):
        with suppress(ProtocolError):
            assert write(parse(candidate)) == candidate


@given(cbor_values)
@settings(max_examples=400, deadline=None)
def test_values_survive_and_an_independent_codec_agrees(value: cbor.Value) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data) == value
    assert cbor2.loads(data) == value
    assert cbor2.dumps(value, canonical=True) == data


@given(st.binary(max_size=60))
@settings(max_examples=800, deadline=None)
def test_bytes_have_one_meaning_or_none(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedCbor:
        return
    assert cbor.encode(value) == data
    assert cbor2.loads(data) == value


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_mutation_of_a_payment_is_accepted(choices: st.DataObject) -> None:
    """A changed byte changes an id, breaks a signature or is not read at all."""
    data = choices.draw(_mutations(PAYMENT.encode()))
    if data == PAYMENT.encode():
        return
    with pytest.raises(ProtocolError):
        verify_payment(Payment.decode(data), REQUEST.body, ISSUER.context)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_base45_survives_and_has_one_form(data: bytes) -> None:
    assert decode_base45(encode_base45(data)) == data


@given(st.text(st.sampled_from("0123456789ABC $%*+-./:a\u00e4"), max_size=30))
@settings(max_examples=300, deadline=None)
def test_text_is_base45_in_one_form_or_refused(text: str) -> None:
    try:
        data = decode_base45(text)
    except MalformedFrame:
        return
    assert encode_base45(data) == text


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
@settings(max_examples=200, deadline=None)
def test_a_stream_gives_its_frames_however_it_is_cut(
    bodies: list[bytes], choices: st.DataObject
) -> None:
    made = [frames.pack(frames.FrameKind.RECEIPT, body) for body in bodies]
    stream = b"".join(map(frames.to_stream, made))
    reader, got = frames.StreamReader(), []
    while stream:
        size = choices.draw(st.integers(1, len(stream)))
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == made


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * PAYMENT_BYTES_MAX,
        b"\x98\xff" * (PAYMENT_BYTES_MAX // 2),
        b"\x99\x7f\xfd" + b"\x80" * (PAYMENT_BYTES_MAX - 3),
        b"\xb7" + b"\x01\x80" * 16_000,
        b"\x99\x3f\xff" + b"\x41\x00" * 16_383,
    ],
    ids=["nested", "promises", "empty arrays", "doubled keys", "small strings"],
)
@pytest.mark.timeout(60)
def test_hostile_bytes_cost_no_more_than_their_length(data: bytes) -> None:
    """32 kB take milliseconds; work that grew with the square would meet the time-out."""
    for parse in (Payment.decode, Chain.decode):
        with pytest.raises(ProtocolError):
            parse(data)
    with pytest.raises(ProtocolError):
        FraudProof.decode(data[:OBJECT_BYTES_MAX])
