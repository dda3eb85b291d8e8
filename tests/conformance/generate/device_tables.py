"""Tables of the objects between devices."""

from dataclasses import replace

from offline_protocol import KeyBinding, Limits, Receipt, TransferKind, VoucherLimits
from tests.conformance.generate import world
from tests.conformance.generate.tables import MOST, Table, currencies, keys, strings, texts, uints
from tests.conformance.generate.world import NOW, entropy


def device_table() -> Table:
    body = world.device("aina").certificate.body
    return Table(
        body,
        world.ISSUING,
        {
            "with a name": replace(body, display_name="Caf\u00e9 Mitte"),
            "with the longest name": replace(body, display_name="\u00fc" * 32),
            "for hardware": world.device("bo", hardware=True).certificate.body,
            "of one second": replace(body, valid_to=body.valid_from),
            "that allows nothing": replace(body, limits=Limits(0, 0, 0)),
            "with the greatest numbers": replace(
                body, valid_to=MOST, limits=Limits(MOST, MOST, 8), kid=bytes(8)
            ),
            "with the smallest numbers": replace(body, valid_from=0, kid=b"\x00"),
        },
        {
            2: strings(1, 8),
            3: keys(),
            4: [*uints(), body.valid_to + 1],
            5: [*uints(), body.valid_from - 1],
            6: [
                *([], [1, 2], [1, 2, 3, 4], [1, 2, 9], [1, 2, MOST], ["1", 2, 3], [1, b"", 3]),
                *(1, b"", {1: 1, 2: 2, 3: 3}),
            ],
            7: uints(1, 2),
            8: texts(64),
        },
        frozenset({8}),
        (3,),
        2,
    )


def voucher_table() -> Table:
    body = world.voucher(world.ed25519("holder").public_key).body
    return Table(
        body,
        world.ISSUING,
        {
            "for hardware": replace(body, holder=world.p256("holder").public_key),
            "of one unit": replace(body, value=1),
            "of the greatest value": replace(body, value=MOST, limits=VoucherLimits(1, MOST)),
            "of one second": replace(body, spend_by=body.issued_at, claim_by=body.issued_at),
            "in the longest currency": replace(body, currency="GOLD1234"),
            "in the shortest currency": replace(body, currency="X12"),
            "until the end of time": replace(body, spend_by=MOST, claim_by=MOST),
        },
        {
            2: strings(1, 8),
            3: strings(16),
            4: currencies(),
            5: uints(1),
            6: keys(),
            7: [*uints(), body.spend_by + 1],
            8: [*uints(), body.issued_at - 1, body.claim_by + 1],
            9: [[], [1], [1, 2, 3], [0, 1], [9, 1], [1, "2"], ["1", 2], 1, {1: 1, 2: 2}],
            10: [*uints(), body.spend_by - 1],
        },
        frozenset(),
        (6,),
        3,
    )


def request_table() -> Table:
    payee = world.device("shop", display_name="Shop")
    body = world.request(payee).body
    many = tuple(f"lan:192.0.2.{number}:7000" for number in range(8))
    return Table(
        body,
        payee.signer,
        {
            "without transports": replace(body, transports=()),
            "with every transport": replace(body, transports=many),
            "with a long transport": replace(body, transports=("x" * 128,)),
            "with a memo": replace(body, memo="two loaves of bread"),
            "with the longest memo": replace(body, memo="\u00f6" * 140),
            "for any amount": replace(body, amount=0),
            "for the greatest amount": replace(body, amount=MOST, expires_at=MOST, epoch=MOST),
            "of hardware": world.request(world.device("till", hardware=True)).body,
            "whose certificate is no certificate": replace(body, certificate=b"\x00"),
        },
        {
            2: strings(16),
            3: keys(),
            4: currencies(),
            5: uints(),
            6: uints(),
            7: strings(32),
            8: uints(),
            9: texts(280),
            10: [
                *([], ["qr"] * 9, [""], ["x" * 129], ["a\x00"], ["\u202e"], [1], [b"qr"], [["qr"]]),
                *("qr", 1, {1: "qr"}),
            ],
            11: [b"", 1, "certificate", [b"c"]],
        },
        frozenset({9, 10}),
        (3,),
        4,
    )


def transfer_table() -> Table:
    payer = world.ed25519("payer")
    body = world.transfer(payer, entropy("parent"), world.ed25519("payee").public_key).body
    return Table(
        body,
        payer,
        {
            "back": replace(body, kind=TransferKind.RETURN),
            "to the issuer": replace(body, kind=TransferKind.CLAIM, request_id=bytes(16)),
            "to hardware": replace(body, payee=world.p256("payee").public_key),
            "of one unit": replace(body, lo=body.hi - 1),
            "of the last unit": replace(body, lo=MOST - 1, hi=MOST),
            "with the greatest numbers": replace(body, sequence=MOST, time=MOST),
            "with the smallest numbers": replace(body, sequence=0, time=0),
        },
        {
            2: strings(32),
            3: [*uints(), body.hi, body.hi + 1],
            4: [*uints(), body.lo],
            5: keys(),
            6: strings(16),
            7: uints(),
            8: uints(),
            9: [0, 3, MOST, b"\x01", "1", [1]],
        },
        frozenset({9}),
        (5,),
        5,
    )


def receipt_table() -> Table:
    ids = tuple(sorted(entropy("transfer", number) for number in range(8)))
    body = Receipt(ids[:2], entropy("request", size=16), 1_250, NOW)
    return Table(
        body,
        world.ed25519("shop"),
        {
            "for one transfer": replace(body, transfer_ids=ids[:1]),
            "for eight transfers": replace(body, transfer_ids=ids),
            "of one unit": replace(body, amount=1),
            "with the greatest numbers": replace(body, amount=MOST, time=MOST),
        },
        {
            2: [
                *([], list(reversed(ids[:2])), [ids[0], ids[0]], [*ids, b"\xff" * 32]),
                *([bytes(31)], [bytes(33)], ["a" * 32], [1], ids[0], {1: ids[0]}),
            ],
            3: strings(16),
            4: uints(1),
            5: uints(),
        },
        frozenset(),
        (),
        6,
    )


def key_binding_table() -> Table:
    bound = world.ed25519("pseudonym")
    body = KeyBinding(world.ed25519("owner").public_key, bound.public_key, world.ROOT.public_key.id)
    return Table(
        body,
        bound,
        {
            "to a key in hardware": replace(body, owner=world.p256("owner").public_key),
            "of a key in hardware": replace(body, bound=world.p256("pseudonym").public_key),
        },
        {2: keys(), 3: keys(), 4: strings(32)},
        frozenset(),
        (2, 3),
        10,
    )
