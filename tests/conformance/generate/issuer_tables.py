"""Tables of the objects that an issuer publishes."""

from dataclasses import replace
from typing import Any

from offline_protocol import (
    AcceptancePolicy,
    AcceptanceRule,
    KeyUse,
    LogHead,
    RevocationDelta,
    RevocationList,
)
from offline_protocol.acceptance import Verdict
from tests.conformance.generate import world
from tests.conformance.generate.tables import MOST, Table, logs, strings, texts, uints
from tests.conformance.generate.world import NOW, entropy


def key_set_table() -> Table:
    body = world.key_set(previous=entropy("key set 6"), log=LogHead(12, entropy("log")))
    entry = [world.KEYS[0].kid, world.KEYS[0].key.raw, 1, 2, 1]
    many = tuple(
        world.issuer_key(world.ed25519("issuer", number), KeyUse.ISSUE) for number in range(32)
    )
    scales = tuple((f"A{number:02d}", number % 19) for number in range(64))

    def with_key(place: int, value: Any) -> Any:
        return [[*entry[:place], value, *entry[place + 1 :]]]

    twice = [entry, entry]
    return Table(
        body,
        world.ROOT,
        {
            "without what may be missing": world.key_set(scales=()),
            "of one key": replace(body, keys=world.KEYS[:1]),
            "of as many keys as fit": replace(body, keys=many),
            "of as many currencies as fit": replace(body, scales=scales),
            "with one kid for two uses": replace(
                body, keys=(world.KEYS[0], replace(world.KEYS[0], use=KeyUse.SETTLE))
            ),
            "with a key of one second": replace(
                body, keys=(replace(world.KEYS[0], not_before=5, not_after=5),)
            ),
            "with the greatest numbers": replace(body, version=MOST, epoch_floor=MOST, time=MOST),
        },
        {
            1: uints(1),
            2: texts(64),
            3: [
                *([], 1, b"", "keys", {1: entry}, [entry[:4]], [[*entry, 1]], [1], twice),
                *(with_key(0, b""), with_key(0, bytes(9)), with_key(0, 1)),
                *(with_key(1, bytes(31)), with_key(1, 1), with_key(1, {1: 1})),
                *(with_key(2, 3), with_key(2, "1"), with_key(3, 0), with_key(3, b"")),
                *(with_key(4, 0), with_key(4, 3), with_key(4, "1")),
                [[*entry[:1], many[n].key.raw, 1, 2, 1 + n % 2] for n in range(3)],
            ],
            4: uints(),
            5: uints(),
            6: strings(32),
            7: [
                *([], [["EUR"]], [["EUR", 2, 3]], [["EUR", 19]], [["EUR", "2"]], [["eur", 2]]),
                *([["JPY", 0], ["EUR", 2]], [["EUR", 2], ["EUR", 2]], [[2, "EUR"]], ["EUR"]),
                *(1, "EUR", {1: 2}, [[code, 1] for code, _ in scales] + [["B00", 1]]),
            ],
            8: logs(),
        },
        frozenset({6, 7, 8}),
    )


def revocation_list_table() -> Table:
    prefixes = sorted(entropy("revoked", number, size=8) for number in range(5))
    body = RevocationList(
        world.ISSUING.public_key.kid, 4, NOW, b"".join(prefixes), LogHead(12, entropy("log"))
    )
    return Table(
        body,
        world.ISSUING,
        {
            "that is empty": replace(body, entries=b"", log=None),
            "of one entry": replace(body, entries=prefixes[0]),
            "of the first epoch": replace(body, epoch=1, time=0),
            "of the greatest numbers": replace(body, epoch=MOST, time=MOST, kid=bytes(8)),
            "larger than any other object": replace(
                body, entries=b"".join(number.to_bytes(8, "big") for number in range(700))
            ),
        },
        {
            2: strings(1, 8),
            3: uints(1),
            4: uints(),
            5: [
                *(prefixes[0][:7], prefixes[0] + b"\x00", prefixes[0] * 2),
                *(prefixes[1] + prefixes[0], 1, "entries", [prefixes[0]]),
            ],
            6: logs(),
        },
        frozenset({6}),
        (),
        7,
    )


def revocation_delta_table() -> Table:
    prefixes = sorted(entropy("revoked", number, size=8) for number in range(5))
    body = RevocationDelta(
        kid=world.ISSUING.public_key.kid,
        from_epoch=4,
        to_epoch=6,
        time=NOW,
        added=prefixes[0] + prefixes[2],
        removed=prefixes[1],
        digest=entropy("digest"),
        log=LogHead(0),
    )
    wrong = [prefixes[0][:7], prefixes[0] * 2, prefixes[1] + prefixes[0], 1, "e", [prefixes[0]]]
    return Table(
        body,
        world.ISSUING,
        {
            "that changes nothing": replace(body, added=b"", removed=b"", log=None),
            "from the beginning": replace(body, from_epoch=0, to_epoch=1),
            "of the greatest numbers": replace(body, from_epoch=0, to_epoch=MOST, time=MOST),
            "larger than any other object": replace(
                body, added=b"".join(number.to_bytes(8, "big") for number in range(600))
            ),
        },
        {
            2: strings(1, 8),
            3: [*uints(), body.to_epoch],
            4: [*uints(), body.from_epoch, body.from_epoch - 1],
            5: uints(),
            6: [*wrong, prefixes[1]],
            7: [*wrong, prefixes[2]],
            8: strings(32),
            9: logs(),
        },
        frozenset({9}),
        (),
        8,
    )


def policy_table() -> Table:
    rules = (
        AcceptanceRule(Verdict.WARN, amount_over=10_000, currency="EUR"),
        AcceptanceRule(Verdict.REFUSE, hops_over=4),
        AcceptanceRule(Verdict.WARN, certificate_age_over=7 * world.DAY),
        AcceptanceRule(Verdict.WARN, revocation_age_over=world.DAY, assurance_under=2),
    )
    body = AcceptancePolicy(world.ISSUING.public_key.kid, 3, NOW, rules)
    return Table(
        body,
        world.ISSUING,
        {
            "without rules": replace(body, rules=()),
            "of as many rules as fit": replace(body, rules=rules[1:2] * 64),
            "of a rule with every condition": replace(
                body, rules=(AcceptanceRule(Verdict.REFUSE, "JPY", 1, 2, 3, 4, 5),)
            ),
            "of a rule about a currency": replace(
                body, rules=(AcceptanceRule(Verdict.REFUSE, "JPY"),)
            ),
            "with the greatest numbers": replace(
                body,
                version=MOST,
                time=MOST,
                rules=(AcceptanceRule(Verdict.WARN, amount_over=MOST),),
            ),
        },
        {
            2: strings(1, 8),
            3: uints(1),
            4: uints(),
            5: [
                *(1, b"", "rules", {1: 1}, [1], [[1, 2]], [{}], [{1: 1}], [{2: "EUR", 3: 1}]),
                *([{1: 0, 3: 1}], [{1: 3, 3: 1}], [{1: "1", 3: 1}], [{1: 1, 8: 1}]),
                *([{1: 1, -1: 1}], [{1: 1, 2: "eur", 3: 1}], [{1: 1, 2: 978, 3: 1}]),
                *([{1: 1, number: "1"}] for number in range(3, 8)),
                [{1: 1, 3: 1}] * 65,
            ],
        },
        frozenset(),
        (),
        9,
    )
