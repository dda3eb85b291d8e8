"""Where fuzzing begins: good bytes of every target, so that it starts beyond the first check."""

import json
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from client_sdk.transports.ble import fragments
from client_sdk.transports.nfc import handover
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
from offline_protocol.gossip import News, Spend, Tag, write_spends, write_tags
from server.kit.schema import to_base64url
from sim.bank import statements
from sim.bank.store import Store
from tests.factories.identity import make_proof
from tests.factories.protocol import Issuer, p256_signer_from, signer_from
from tests.factories.rates import rate_file
from tests.fuzz.meeting_targets import meeting
from tests.fuzz.server_targets import CALL, NOW
from tests.unit.offline_protocol.test_objects import BODIES


def seeds() -> Iterator[tuple[str, bytes]]:
    """Pairs of a target and bytes that it takes."""
    yield "rate-file", rate_file(NOW.date(), USD="1.1583", JPY="177.31", BHD="0.4371")
    yield from _of_banks()
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
    yield from _of_meetings(issuer)
    yield from _of_servers(issuer)
    yield "refusal", Refusal(503, "payment_names_request").encode()
    yield "noise-responder", bytes(48)
    yield "noise-initiator", bytes(48)
    yield "exchange", bytes(range(24))
    yield "ble-fragment", fragments.Open(window=4_096, lock=bytes(8)).encode()


def _of_meetings(issuer: Issuer) -> Iterator[tuple[str, bytes]]:
    ada = issuer.device("ada")
    voucher = issuer.voucher(ada)
    one, two = (ada.transfer(voucher.id, lo, lo + 10, ada.key, sequence=lo + 1) for lo in (0, 5))
    news = News(3, 1, 0, 8_192, (bytes(8), bytes([1] * 8))).encode()
    tags = write_tags([Tag.of(one.body), Tag.of(two.body)])
    spends = write_spends([Spend(one, voucher), Spend(two, ada.certificate)])
    proof = build_fraud_proof(one, two, voucher=voucher).encode()
    yield "news", news
    yield "tags", tags
    yield "records", spends
    follows = (
        (FrameKind.NEWS, news),
        (FrameKind.FRAUD_PROOF, proof),
        (FrameKind.TAGS, tags),
        (FrameKind.RECORDS, spends),
        (FrameKind.WANT, tags),
        (FrameKind.FRAUD_PROOF, proof),
    )
    leads = (follows[0], follows[2], follows[4], follows[1], follows[3])
    for side, said in ((b"\x00", follows), (b"\x01", leads)):
        frames = [pack(kind, body) for kind, body in said]
        yield "evidence-talk", side + b"".join(len(f).to_bytes(2) + f for f in frames)
    message = bytes(40)
    stream = len(message).to_bytes(2) + crc32(message).to_bytes(4) + message
    pieces: list[fragments.Fragment] = [
        fragments.Data(0, stream[:20]),
        fragments.Acknowledge(300),
        fragments.Data(20, stream[20:]),
        fragments.Gap(300),
    ]
    written = [piece.encode() for piece in pieces]
    yield "ble-stream", b"".join(bytes([len(one)]) + one for one in written)
    for frame in meeting().frames:
        yield "wallets", frame
    yield "wallets", pack(FrameKind.FRAUD_PROOF, proof)
    transports = ("lan:192.0.2.7:4100", "lan:0011223344556677", "ble:0011223344556677")
    asked = issuer.device("payee").request(1_250, transports=transports)
    yield "nfc-touch", handover.encode(pack(FrameKind.REQUEST, asked.envelope))
    for text in (*transports, "[2001:db8::7]:4100"):
        yield "address", text.encode()


def _of_banks() -> Iterator[tuple[str, bytes]]:
    store = Store(Path(":memory:"))
    store.do("INSERT INTO account VALUES ('EUR', 'DE89370400440532013000')")
    for amount in (2_500, -199):
        store.book("EUR", amount, text="RF18539007547034", end_to_end="0" * 32, day=NOW.date())
    for version in statements.VERSIONS:
        yield "bank-statement", statements.render(store, "EUR", NOW.date(), version)
    facts = {"delivery_id": "d1", "transaction_id": "T1", "amount": 1, "currency": "EUR"}
    for notice in (
        {"type": "deposit", "booked_on": "2026-01-01", "reference": "RF18 5390 0754 7034"},
        {"type": "deposit_reversed", "original_transaction_id": "T0", "reason": "fraud"},
    ):
        yield "bank-notice", json.dumps(facts | notice).encode()


def _of_servers(issuer: Issuer) -> Iterator[tuple[str, bytes]]:
    ada = issuer.device("ada")
    voucher = issuer.voucher(ada)
    one = ada.transfer(voucher.id, 0, 10, ada.key, sequence=1)
    records = [
        {"kind": kind, "object": to_base64url(signed.envelope)}
        for kind, signed in (("voucher", voucher), ("transfer", one))
    ]
    yield "sync-body", json.dumps({"cursor": 0, "records": records}).encode()
    yield "base64url", to_base64url(one.envelope).encode()
    yield "key-set-proposal", issuer.key_set.body.payload
    for subject in (
        {"object": "payment_intent", "id": "pi_1"},
        {"object": "refund", "id": "re_1", "payment_intent": "pi_1"},
        {"object": "dispute", "id": "dp_1", "payment_intent": {"id": "pi_1"}},
    ):
        event = {"object": "event", "id": "evt_1", "type": "refund.created", "created": 1}
        told = json.dumps(event | {"data": {"object": subject}}).encode()
        header = b"t=1,v1=" + b"0" * 64
        yield "card-webhook", bytes([len(header)]) + header + told
    for signer in (signer_from("fuzz"), p256_signer_from("fuzz")):
        proof = make_proof(
            signer, method=CALL.method, url=CALL.url, now=NOW, body=CALL.body, nonce="n" * 22
        )
        yield "dpop-proof", proof.encode()
