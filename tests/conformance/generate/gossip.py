"""What two devices tell each other after a payment: news, tags, and the transfers behind them."""

from collections.abc import Iterator
from typing import Any

from offline_protocol import cbor
from offline_protocol.gossip import News, Spend, Tag, spends_of, write_spends, write_tags
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.people import ALMA, HOLDER, TWO, VOUCHER
from tests.conformance.generate.world import entropy

_MOST = 2**53 - 1


def vectors() -> Vectors:
    out = Vectors("gossip", "Bodies of the frames in which devices exchange evidence")
    _add_news(out)
    _add_tags(out)
    _add_spends(out)
    return out


def _prefixes(count: int) -> tuple[bytes, ...]:
    return tuple(sorted(entropy("proof", number, size=8) for number in range(count)))


def _add_news(out: Vectors) -> None:
    for name, news in {
        "nothing": News(0, 0, 0, 0),
        "something": News(4, 7, 3, 8_192),
        "the greatest numbers": News(_MOST, _MOST, _MOST, _MOST),
        "one proof": News(4, 7, 3, 8_192, _prefixes(1)),
        "as many proofs as fit": News(4, 7, 3, 8_192, _prefixes(32)),
    }.items():
        out.add("news", name, data=news.encode())
    good: dict[int, cbor.Value] = {1: 4, 2: 7, 3: 3, 4: 8_192}
    one, two = _prefixes(2)
    wrong: dict[str, Any] = {
        "an array": [4, 7, 3, 8_192],
        "an unknown field": good | {6: 1},
        "no proofs, and said so": good | {5: b""},
        "a proof of seven bytes": good | {5: one[:7]},
        "a proof of nine bytes": good | {5: one + b"\x00"},
        "proofs out of order": good | {5: two + one},
        "a proof twice": good | {5: one + one},
        "33 proofs": good | {5: b"".join(_prefixes(33))},
        "proofs as an array": good | {5: [one, two]},
        "proofs as text": good | {5: "proofs"},
    }
    wrong |= {
        f"no field {number}": {k: v for k, v in good.items() if k != number} for number in good
    }
    wrong |= {f"text in field {number}": good | {number: "4"} for number in good}
    for name, value in wrong.items():
        out.add("news", name, error=102, data=cbor.encode(value))
    whole = cbor.encode(good)
    for name, data in {"empty": b"", "cut off": whole[:-1], "a byte more": whole + b"\x00"}.items():
        out.add("news", name, error=101, data=data)


def _tag(number: int) -> Tag:
    return Tag(entropy("tag", number, size=8), number, number + 100)


def _add_tags(out: Vectors) -> None:
    for name, tags, most in (
        ("none", [], 256),
        ("one", [_tag(1)], 256),
        ("one of the greatest unit", [Tag(bytes(8), _MOST - 1, _MOST)], 256),
        ("as many as fit", [_tag(number) for number in range(256)], 256),
        ("as many as may be asked for", [_tag(number) for number in range(16)], 16),
        ("two pieces of one parent", [Tag(bytes(8), 0, 9), Tag(bytes(8), 9, 12)], 256),
        ("two that overlap", [Tag(bytes(8), 0, 9), Tag(bytes(8), 8, 12)], 256),
    ):
        out.add("tags", name, data=write_tags(tags), most=most)
    prefix = bytes(8)
    for name, value, most in (
        ("a map", {1: [prefix, 0, 1]}, 256),
        ("a number", 1, 256),
        ("257", [[prefix, number, number + 1] for number in range(257)], 256),
        ("seventeen that are asked for", [[prefix, n, n + 1] for n in range(17)], 16),
        ("one twice", [[prefix, 0, 1], [prefix, 0, 1]], 256),
        ("a tag of two", [[prefix, 0]], 256),
        ("a tag of four", [[prefix, 0, 1, 2]], 256),
        ("a tag that is no array", [prefix], 256),
        ("a prefix of seven bytes", [[prefix[:7], 0, 1]], 256),
        ("a prefix of nine bytes", [[prefix + b"\x00", 0, 1]], 256),
        ("a prefix as text", [["parentid", 0, 1]], 256),
        ("no units", [[prefix, 5, 5]], 256),
        ("units backwards", [[prefix, 5, 4]], 256),
        ("a bound as text", [[prefix, 0, "1"]], 256),
        ("a bound as bytes", [[prefix, b"", 1]], 256),
    ):
        out.add("tags", name, error=102, data=cbor.encode(value), most=most)  # type: ignore[arg-type]
    whole = write_tags([_tag(1)])
    for name, data in {"empty": b"", "cut off": whole[:-1], "a byte more": whole + b"\x00"}.items():
        out.add("tags", name, error=101, data=data, most=256)


def _add_spends(out: Vectors) -> None:
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    for name, spends in _pairs():
        out.add("spends", name, data=write_spends(spends), key_set=trusted)
    for name, number, data in _bad_spends():
        out.add("spends", f"{number}: {name}", error=number, data=data, key_set=trusted)


def _pairs() -> Iterator[tuple[str, list[Spend]]]:
    chain = list(spends_of(TWO))
    first = chain[0]
    yield "none", []
    yield "one", chain[:1]
    yield "two of one chain", chain
    yield "one twice", [first, first]
    yield "as many as fit", [first] * 32
    other = world.transfer(
        HOLDER.signer, VOUCHER.id, world.STRANGER.public_key, lo=100, hi=200, sequence=50
    )
    yield "two that prove a fraud", [first, Spend(other, HOLDER.certificate)]
    yield (
        "two that prove a fraud, by a voucher",
        [Spend(first.transfer, VOUCHER), Spend(other, VOUCHER)],
    )
    yield "the other one first", [Spend(other, VOUCHER), first]
    forged = world.transfer(
        ALMA.signer, VOUCHER.id, world.STRANGER.public_key, lo=100, hi=200, sequence=51
    )
    yield "one that somebody else signed", [first, Spend(forged, HOLDER.certificate)]
    stranger = world.certificate(HOLDER.key, by=world.STRANGER)
    yield (
        "two by a certificate of nobody",
        [Spend(first.transfer, stranger), Spend(other, stranger)],
    )
    beside = world.transfer(
        HOLDER.signer, VOUCHER.id, world.STRANGER.public_key, lo=20_000, hi=20_001, sequence=52
    )
    yield "two that only touch", [first, Spend(beside, HOLDER.certificate)]


def _bad_spends() -> Iterator[tuple[str, int, bytes]]:
    spend = next(iter(spends_of(TWO)))
    one = spend.encode()
    moved, named = spend.transfer.envelope, spend.named.envelope
    whole = write_spends([spend])
    yield "empty", 101, b""
    yield "a byte more", 101, whole + b"\x00"
    yield "one more promised", 101, b"\x82" + one
    yield "larger than any frame", 101, whole + bytes(32_769 - len(whole))
    yield "an array with a longer head", 101, b"\x98\x01" + one
    yield "33 records", 102, b"\x98\x21" + one * 33
    yield "a map", 102, one
    yield "a record of one part", 102, b"\x81\xa1\x01" + moved
    yield (
        "a record of three parts",
        102,
        b"\x81\xa3\x01" + moved + b"\x03" + named + b"\x04" + VOUCHER.envelope,
    )
    yield "a record as an array", 102, b"\x81\x82" + moved + named
    yield "a record that begins with part 2", 102, b"\x81\xa2\x02" + moved + b"\x03" + named
    yield "a record that ends with part 2", 102, b"\x81\xa2\x01" + moved + b"\x02" + named
    yield "a record that ends with part 5", 102, b"\x81\xa2\x01" + moved + b"\x05" + named
    yield (
        "a voucher in the place of a certificate",
        102,
        b"\x81\xa2\x01" + moved + b"\x03" + VOUCHER.envelope,
    )
    yield "parts exchanged", 102, b"\x81\xa2\x01" + named + b"\x03" + moved
    yield "cut inside its certificate", 103, whole[:-1]
    yield "a transfer as a byte string", 103, b"\x81\xa2\x01" + cbor.encode(moved) + b"\x03" + named
    yield (
        "an unknown algorithm",
        111,
        b"\x81\xa2\x01" + moved[:4] + b"\x26" + moved[5:] + b"\x03" + named,
    )
