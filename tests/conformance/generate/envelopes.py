"""Envelopes: their one form, and signatures that must not count."""

from collections.abc import Iterator

from offline_protocol import Signer, Transfer, cbor
from offline_protocol.cose import object_id
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import entropy, envelope

_HEAD = 6


def vectors() -> Vectors:
    out = Vectors("envelopes", "Envelopes in their one form and others, signatures over objects")
    signers: tuple[tuple[str, Signer], ...] = (
        ("Ed25519", world.ed25519("payer")),
        ("P-256", world.p256("payer")),
    )
    for algorithm, signer in signers:
        signed = _transfer(signer)
        for what, data, error in _forms(signed, signer):
            out.add("object", f"{algorithm}: {what}", error=error, name="transfer", envelope=data)
        _add_signatures(out, algorithm, signer, signed)
    return out


def _transfer(signer: Signer) -> bytes:
    return world.transfer(signer, entropy("parent"), world.ed25519("payee").public_key).envelope


def _forms(good: bytes, signer: Signer) -> Iterator[tuple[str, bytes, int]]:
    size = cbor.read_head(good, _HEAD, cbor.Major.BYTES)
    payload, signature = good[size[1] : size[1] + size[0]], good[-64:]
    head, header = good[:_HEAD], good[2:5]
    sealed = cbor.encode(payload)
    yield "nothing", b"", 103
    for length in (1, 2, 5, 6, 7, 8, 100, len(good) - 65, len(good) - 64, len(good) - 1):
        yield f"cut to {length} bytes", good[:length], 103
    yield "a byte after it", good + b"\x00", 103
    yield "itself after it", good + good, 103
    yield "with tag 18", b"\xd2" + good, 103
    yield "with tag 18 in two bytes", b"\xd8\x12" + good, 103
    yield "with tag 17", b"\xd1" + good, 103
    yield "with tag 998", b"\xd9\x03\xe6" + good, 103
    yield "as a byte string", cbor.encode(good), 103
    yield "an array of three", b"\x83" + good[1:-66], 103
    yield "an array of five", b"\x85" + good[1:] + b"\x00", 103
    yield "an array with a longer head", b"\x98\x04" + good[1:], 103
    yield "an array without length", b"\x9f" + good[1:] + b"\xff", 103
    yield "a map", b"\xa4" + good[1:], 103
    for byte in (0x00, 0x20, 0x26, 0x27, 0x29, 0x33, 0x37):
        yield f"with algorithm byte {byte:02x}", head[:4] + bytes([byte]) + good[5:], 111
    yield "with an empty header", b"\x84\x40\xa0" + good[_HEAD:], 103
    yield "with an empty map as header", b"\x84\x41\xa0\xa0" + good[_HEAD:], 103
    yield "with the header as a map", b"\x84" + header + good[5:], 103
    yield "with a longer algorithm", b"\x84\x44\xa1\x01\x38\x12" + good[5:], 103
    yield "with a longer header", b"\x84\x58\x03" + header + good[5:], 103
    yield "with another header field", b"\x84\x45\xa2" + header[1:] + b"\x03\x00" + good[5:], 103
    yield "with header field 4", b"\x84\x43\xa1\x04" + header[2:] + good[5:], 103
    yield "with a kid outside", head[:5] + b"\xa1\x04\x41\x01" + good[_HEAD:], 103
    yield "with null outside", head[:5] + b"\xf6" + good[_HEAD:], 103
    yield "with an array outside", head[:5] + b"\x80" + good[_HEAD:], 103
    yield "with a detached payload", head + b"\xf6\x58\x40" + signature, 103
    yield "with a map as payload", head + payload + b"\x58\x40" + signature, 103
    yield "with text as payload", head + b"\x78" + sealed[1:] + b"\x58\x40" + signature, 103
    longer = b"\x59" + len(payload).to_bytes(2, "big") + payload
    yield "with a longer payload head", head + longer + b"\x58\x40" + signature, 103
    yield "with a payload in chunks", head + b"\x5f" + sealed + b"\xff\x58\x40" + signature, 103
    lying = b"\x59\xff\xff" + payload
    yield "with a payload that claims too much", head + lying + b"\x58\x40" + signature, 103
    huge = b"\x5b" + b"\xff" * 8 + payload
    yield "with a payload that claims everything", head + huge + b"\x58\x40" + signature, 103
    yield "with a signature of 63 bytes", head + sealed + b"\x58\x3f" + signature[:-1], 103
    yield "with a signature of 65 bytes", head + sealed + b"\x58\x41" + signature + b"\x00", 103
    yield "with a longer signature head", head + sealed + b"\x59\x00\x40" + signature, 103
    yield "with a signature as text", head + sealed + b"\x78\x40" + signature, 103
    yield "without a signature", head + sealed + b"\x40", 103
    yield "with null as signature", head + sealed + b"\xf6", 103
    yield "with an empty payload", head + b"\x40\x58\x40" + signature, 101
    yield "with another object inside", envelope("transfer", good, signer), 102
    yield "with a payload of 0", envelope("transfer", b"\x00", signer), 102
    # 4096 bytes with 6 before the payload, 3 for its head and 66 after it.
    room = 4096 - _HEAD - 3 - 66
    yield "as large as an object may be", envelope("transfer", b"\x00" * room, signer), 101
    yield "a byte larger", envelope("transfer", b"\x00" * (room + 1), signer), 103


def _add_signatures(out: Vectors, algorithm: str, signer: Signer, good: bytes) -> None:
    key = signer.public_key.raw
    other = world.p256("payer") if algorithm == "Ed25519" else world.ed25519("payer")
    name = f"{algorithm}:"
    out.add("signed", f"{name} good", name="transfer", envelope=good, key=key)
    body = Transfer.from_payload(cbor_payload(good))
    again = {
        "of another key": (good, world.STRANGER.public_key.raw),
        "of another algorithm's key": (good, other.public_key.raw),
        "under another algorithm's header": (
            good[:4] + (b"\x28" if algorithm == "Ed25519" else b"\x32") + good[5:],
            key,
        ),
        "over another payload": (
            world.transfer(signer, body.parent, body.payee, hi=1_251).envelope[:-64] + good[-64:],
            key,
        ),
        "for another kind of object": (envelope("receipt", body.payload, signer), key),
        "for no kind of object": (envelope("", body.payload, signer), key),
        "for a kind in capitals": (envelope("Transfer", body.payload, signer), key),
        "over the bare payload": (good[:-64] + signer.sign(body.payload), key),
        "over the id": (good[:-64] + signer.sign(object_id("transfer", body.payload)), key),
        "with its last bit turned": (good[:-1] + bytes([good[-1] ^ 1]), key),
        "of zeros": (good[:-64] + bytes(64), key),
    }
    for what, (data, by) in again.items():
        out.add("signed", f"{name} {what}", error=113, name="transfer", envelope=data, key=by)
    for kind in ("key-binding", "receipt"):
        make = {"key-binding": _binding, "receipt": _receipt}[kind]
        out.add("signed", f"{name} {kind}", name=kind, envelope=make(signer), key=key)
        out.add(
            "signed",
            f"{name} {kind} of somebody else",
            error=113,
            name=kind,
            envelope=make(signer),
            key=world.STRANGER.public_key.raw,
        )


def cbor_payload(data: bytes) -> bytes:
    """The payload inside an envelope."""
    size, at = cbor.read_head(data, _HEAD, cbor.Major.BYTES)
    return data[at : at + size]


def _binding(signer: Signer) -> bytes:
    fields: dict[int, cbor.Value] = {
        1: 10,
        2: world.ed25519("owner").public_key.raw,
        3: signer.public_key.raw,
        4: world.ROOT.public_key.id,
    }
    return envelope("key-binding", cbor.encode(fields), signer)


def _receipt(signer: Signer) -> bytes:
    fields: dict[int, cbor.Value] = {
        1: 6,
        2: [entropy("transfer")],
        3: entropy("request", size=16),
        4: 1_250,
        5: world.NOW,
    }
    return envelope("receipt", cbor.encode(fields), signer)
