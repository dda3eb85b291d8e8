"""Every kind of object: good ones, and for each field what must not stand in it."""

from collections.abc import Iterator
from dataclasses import replace

from offline_protocol import cbor, seal
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.device_tables import (
    device_table,
    key_binding_table,
    receipt_table,
    request_table,
    transfer_table,
    voucher_table,
)
from tests.conformance.generate.issuer_tables import (
    key_set_table,
    policy_table,
    revocation_delta_table,
    revocation_list_table,
)
from tests.conformance.generate.tables import Table
from tests.conformance.generate.world import changed, envelope

_WEAK = bytes(32)


TABLES = (
    key_set_table,
    device_table,
    voucher_table,
    request_table,
    transfer_table,
    receipt_table,
    revocation_list_table,
    revocation_delta_table,
    policy_table,
    key_binding_table,
)


def vectors() -> Vectors:
    out = Vectors("objects", "Every kind of signed object, and what must not stand in its fields")
    for make in TABLES:
        table = make()
        name = table.body.NAME
        for what, body in {"": table.body, **table.good}.items():
            signed = seal(body, table.signer)
            out.add("object", f"{name} {what}".strip(), name=name, envelope=signed.envelope)
        for algorithm, signer in (("Ed25519", world.ed25519("any")), ("P-256", world.p256("any"))):
            sealed = seal(table.body, signer)
            out.add("object", f"{name} by {algorithm}", name=name, envelope=sealed.envelope)
            signed_by = {"name": name, "envelope": sealed.envelope, "key": signer.public_key.raw}
            out.add("signed", f"{name} by {algorithm}", **signed_by)
            other = seal(replace(table.body), world.STRANGER)
            out.add(
                "signed",
                f"{name} by a stranger, not {algorithm}",
                error=113,
                **signed_by | {"envelope": other.envelope},
            )
        for what, payload, error in _bad_payloads(table):
            out.add(
                "object",
                f"{name}: {what}",
                error=error,
                name=name,
                envelope=envelope(name, payload, table.signer),
            )
    return out


def _bad_payloads(table: Table) -> Iterator[tuple[str, bytes, int]]:
    good: bytes = table.body.payload
    fields = cbor.decode(good)
    assert isinstance(fields, dict)
    for number in sorted({*fields, *table.wrong} - table.optional):
        yield f"without field {number}", changed(good, {number: None}), 102
    for number, values in table.wrong.items():
        for place, value in enumerate(values):
            yield f"wrong field {number}, {place + 1}", changed(good, {number: value}), 102
    for number in table.keys_at:
        yield f"weak key in field {number}", changed(good, {number: _WEAK}), 112
        off = b"\x02" + bytes(31) + b"\x01"
        yield f"key off the curve in field {number}", changed(good, {number: off}), 112
    if table.type_number is not None:
        for wrong in (0, table.type_number + 1, 23, "type", b"\x01"):
            yield f"type {wrong!r}", changed(good, {1: wrong}), 102
    unknown = max(*fields, *table.wrong) + 1
    for number in (unknown, 23, -1):
        yield f"unknown field {number}", changed(good, {number: 1}), 102
    for value in (0, "object", b"", [], list(fields.values())):
        yield (
            f"a payload that is no map but {cbor.encode(value)[:4].hex()}",
            cbor.encode(value),
            102,
        )
    yield "no payload", b"", 101
    yield "a payload cut short", good[:-1], 101
    yield "a payload and a zero", good + b"\x00", 101
    yield "a payload with a longer head", b"\xb8" + bytes([good[0] & 0x1F]) + good[1:], 101
    yield "a payload with a tag", b"\xd8\x18" + good, 101
    yield "a payload without length", b"\xbf" + good[1:] + b"\xff", 101
    doubled = bytes([good[0] + 1]) + good[1:3] + good[1:]
    yield "a payload with a field twice", doubled, 101
