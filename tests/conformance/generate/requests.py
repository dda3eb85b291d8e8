"""Payment requests as their payers judge them."""

from collections.abc import Iterator
from typing import Any

from offline_protocol import PaymentRequest, Signed
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import DAY, ISSUING, NOW, SLACK, Device

SHOP = world.device("shop", display_name="Shop am Eck")
TILL = world.device("till", hardware=True, by=world.ISSUING_P256)
WEEK = 7 * DAY
Judged = tuple[str, Signed[PaymentRequest], dict[str, Any]]


def vectors() -> Vectors:
    out = Vectors("requests", "Payment requests and whether to answer them")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    opened = out.share("key set without currencies", world.OPEN_TRUSTED.envelope.hex())
    usual: dict[str, Any] = {"key_set": trusted, "now": NOW, "floor": 0, "revoked": []}
    for name, request, changes in _good():
        out.add("request", name, request=request.envelope, **(usual | changes))
    out.add(
        "request",
        "any currency where none is listed",
        request=world.request(SHOP, currency="USD").envelope,
        **(usual | {"key_set": opened}),
    )
    for number, found in _BAD.items():
        for name, request, changes in found():
            out.add(
                "request",
                f"{number}: {name}",
                error=number,
                request=request.envelope,
                **(usual | changes),
            )
    return out


def _holding(payee: Device, certificate: bytes, **changes: Any) -> Signed[PaymentRequest]:
    return world.request(payee, certificate=certificate, **changes)


def _good() -> Iterator[Judged]:
    usual = world.request(SHOP)
    yield "by a shop", usual, {}
    yield "by hardware", world.request(TILL), {}
    yield "by somebody without a name", world.request(world.device("lena")), {}
    yield (
        "with a memo and transports",
        world.request(SHOP, memo="bread", transports=("ble:1", "qr")),
        {},
    )
    yield "for any amount", world.request(SHOP, amount=0), {}
    yield "in its last second and the slack", usual, {"now": usual.body.expires_at + SLACK}
    yield "for seven days and the slack", world.request(SHOP, expires_at=NOW + WEEK + SLACK), {}
    first, last = SHOP.certificate.body.valid_from, SHOP.certificate.body.valid_to
    yield (
        "in the certificate's last second and the slack",
        world.request(SHOP, expires_at=last + SLACK),
        {"now": last + SLACK},
    )
    yield (
        "in the certificate's first second and the slack",
        world.request(SHOP, expires_at=first),
        {"now": first - SLACK},
    )
    yield "by a clock that is behind the floor", usual, {"now": NOW - YEAR_AGO, "floor": NOW}
    other = [world.entropy("id", number).hex() for number in range(3)]
    yield "with others revoked", usual, {"revoked": [*other, other[0][:16]]}
    yield "with a shorter prefix revoked", usual, {"revoked": [SHOP.key.id[:7].hex()]}
    yield "with a longer prefix revoked", usual, {"revoked": [SHOP.key.id[:9].hex()]}


YEAR_AGO = 365 * DAY


def _unreadable() -> Iterator[Judged]:
    good = SHOP.certificate.envelope
    weak = world.changed(SHOP.certificate.body.payload, {3: bytes(32)})
    for name, data in {
        "a certificate of one byte": b"\x00",
        "a certificate cut short": good[:-1],
        "a certificate and a byte": good + b"\x00",
        "a certificate with a tag": b"\xd2" + good,
        "a certificate of another algorithm": good[:4] + b"\x26" + good[5:],
        "a receipt for a certificate": world.envelope("receipt", b"\xa0", SHOP.signer),
        "a certificate with an unknown field": world.envelope(
            "device-certificate", world.changed(SHOP.certificate.body.payload, {9: 1}), ISSUING
        ),
        "a certificate for a weak key": world.envelope("device-certificate", weak, ISSUING),
        "text for a certificate": b"certificate",
        "a voucher for a certificate": world.voucher(SHOP.key).envelope,
    }.items():
        yield name, _holding(SHOP, data), {}


def _of_others() -> Iterator[Judged]:
    yield "somebody else's certificate", _holding(SHOP, TILL.certificate.envelope), {}
    twin = world.device("twin", display_name="Shop am Eck")
    yield "a certificate of the same name", _holding(SHOP, twin.certificate.envelope), {}


def _not_issued() -> Iterator[Judged]:
    for name, certificate in {
        "by a stranger": world.certificate(SHOP.key, by=world.STRANGER, kid=ISSUING.public_key.kid),
        "by an unknown key": world.certificate(SHOP.key, by=world.STRANGER),
        "by a settling key": world.certificate(SHOP.key, by=world.SETTLING),
        "by the root": world.certificate(SHOP.key, by=world.ROOT),
        "by itself": world.certificate(SHOP.key, by=SHOP.signer, kid=ISSUING.public_key.kid),
        "from before its key": world.certificate(SHOP.key, valid_from=world.ROTATED - 1),
        "by another key of the issuer": world.certificate(
            SHOP.key, by=world.ISSUING_P256, kid=ISSUING.public_key.kid
        ),
    }.items():
        yield f"a certificate {name}", _holding(SHOP, certificate.envelope), {}
    good = SHOP.certificate.envelope
    turned = good[:-1] + bytes([good[-1] ^ 1])
    yield "a certificate with a bit turned", _holding(SHOP, turned), {}


def _not_signed() -> Iterator[Judged]:
    yield "by a stranger", world.request(SHOP, by=world.STRANGER), {}
    yield "by a key of another algorithm", world.request(SHOP, by=TILL.signer), {}
    yield "by the issuer", world.request(SHOP, by=ISSUING), {}
    good = world.request(SHOP)
    for name, envelope in {
        "with a bit turned": good.envelope[:-1] + bytes([good.envelope[-1] ^ 1]),
        "with another amount": world.request(SHOP, amount=9).envelope[:-64] + good.envelope[-64:],
        "signed as a receipt": world.envelope("receipt", good.body.payload, SHOP.signer),
    }.items():
        yield name, Signed(good.body, envelope), {}


def _certificate_not_current() -> Iterator[Judged]:
    first, last = SHOP.certificate.body.valid_from, SHOP.certificate.body.valid_to
    yield (
        "a second after the certificate and the slack",
        world.request(SHOP, expires_at=last + 300),
        {"now": last + SLACK + 1},
    )
    yield (
        "a second before the certificate and the slack",
        world.request(SHOP, expires_at=first),
        {"now": first - SLACK - 1},
    )
    yield "the floor is after the certificate", world.request(SHOP), {"floor": last + SLACK + 1}
    long_ago = world.certificate(SHOP.key, valid_from=NOW - 60 * DAY, valid_to=NOW - 46 * DAY)
    yield "a certificate of long ago", _holding(SHOP, long_ago.envelope), {}


def _not_current() -> Iterator[Judged]:
    request = world.request(SHOP)
    yield "a second after it and the slack", request, {"now": request.body.expires_at + SLACK + 1}
    yield "the floor is after it", request, {"floor": request.body.expires_at + SLACK + 1}
    yield (
        "a second more than seven days and the slack",
        world.request(SHOP, expires_at=NOW + WEEK + SLACK + 1),
        {},
    )
    yield "until the end of time", world.request(SHOP, expires_at=2**53 - 1), {}
    yield "expired at the beginning of time", world.request(SHOP, expires_at=0), {}


def _revoked() -> Iterator[Judged]:
    for name, identity in {
        "the payee's key": SHOP.key.id,
        "the issuing key": ISSUING.public_key.id,
    }.items():
        yield name, world.request(SHOP), {"revoked": [identity.hex()]}
        yield f"the prefix of {name}", world.request(SHOP), {"revoked": [identity[:8].hex()]}
        among = [world.entropy("id", number, size=8).hex() for number in range(5)]
        yield (
            f"{name} among others",
            world.request(SHOP),
            {"revoked": sorted([*among, identity[:8].hex()])},
        )


def _other_currency() -> Iterator[Judged]:
    for code in ("USD", "EUR2", "XXX"):
        yield code, world.request(SHOP, currency=code), {}


_BAD = {
    301: _unreadable,
    302: _of_others,
    303: _not_issued,
    304: _not_signed,
    305: _certificate_not_current,
    306: _not_current,
    307: _revoked,
    308: _other_currency,
}
