"""Where fuzzing begins: good bytes of every target, so that it starts beyond the first check."""

from collections.abc import Iterator

from client_sdk.transports.ble import fragments
from offline_protocol import (
    Fountain,
    FrameKind,
    Payment,
    Refusal,
    build_clone_alarm,
    build_fraud_proof,
    pack,
    seal,
    to_stream,
    to_text,
)
from tests.factories.protocol import Issuer, p256_signer_from, signer_from
from tests.unit.offline_protocol.test_objects import BODIES


def seeds() -> Iterator[tuple[str, bytes]]:
    """Pairs of a target and bytes that it takes."""
    issuer = Issuer("fuzz")
    ada, eve = issuer.device("ada"), issuer.device("eve", p256=True)
    payee = issuer.device("payee")
    request = payee.request(1_250)
    for payer in (ada, eve):
        payment = payer.pay(issuer.chain(payer), request)
        yield "payment", payment.encode()
        yield "chain", payment.chains[0].encode()
        onward = payee.hand_over(payment.chains[0], eve.request(500).body)
        yield "payment", Payment((onward, onward)).encode()
        frame = pack(FrameKind.PAYMENT, payment.encode())
        yield "frame", frame
        yield "text", to_text(frame).encode()
        yield "stream", to_stream(frame)
        fountain = Fountain(frame, characters_max=240)
        texts = [fountain.part(number).to_text() for number in range(1, 8)]
        yield "parts", "\n".join(texts).encode()
        voucher = issuer.voucher(payer)
        one = payer.transfer(voucher.id, 0, 10, payee.key, sequence=1)
        two = payer.transfer(voucher.id, 5, 15, payee.key, sequence=2)
        copy = payer.transfer(voucher.id, 20, 30, payee.key, sequence=1)
        yield "evidence", build_fraud_proof(one, two, voucher=voucher).encode()
        alarm = build_clone_alarm(one, copy, certificate=payer.certificate)
        yield "evidence", alarm.encode()
        yield "public-key", payer.key.raw
    for body in BODIES:
        yield "cbor", body.payload
        yield "fields", body.payload
        yield body.NAME, body.payload
        for signer in (signer_from("fuzz"), p256_signer_from("fuzz")):
            yield body.NAME, seal(body, signer).envelope
    yield "refusal", Refusal(503, "payment_names_request").encode()
    yield "noise-responder", bytes(48)
    yield "noise-initiator", bytes(48)
    yield "exchange", bytes(range(24))
    yield "ble-fragment", fragments.Open(window=4_096, lock=bytes(8)).encode()
