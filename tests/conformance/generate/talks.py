"""Exchanges of evidence as one side gets them: which frame may come when, and how much."""

from collections.abc import Iterator
from typing import Any

from offline_protocol import FraudProof, pack
from offline_protocol.frames import FrameKind
from offline_protocol.gossip import News, Spend, Tag, spends_of, write_spends, write_tags
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.people import HOLDER, TWO, VOUCHER
from tests.conformance.generate.policies import POLICY
from tests.conformance.generate.revocations import REVOCATION
from tests.conformance.generate.world import entropy

ROOMY = 32_768


def _news(budget: int = ROOMY) -> bytes:
    return pack(FrameKind.NEWS, News(4, 7, 3, budget).encode())


def _tags(count: int, kind: FrameKind = FrameKind.TAGS) -> bytes:
    tags = [Tag(entropy("tag", number, size=8), number, number + 100) for number in range(count)]
    return pack(kind, write_tags(tags))


def _proof() -> FraudProof:
    first = next(iter(spends_of(TWO)))
    other = world.transfer(
        HOLDER.signer, VOUCHER.id, world.STRANGER.public_key, lo=100, hi=200, sequence=50
    )
    found = first.proves_against(Spend(other, HOLDER.certificate), world.TRUSTED.body)
    assert found is not None, "the two overlap"
    return found


NEWS, TAGS, NO_TAGS = _news(), _tags(3), _tags(0)
WANT, NO_WANT = _tags(1, FrameKind.WANT), _tags(0, FrameKind.WANT)
RECORDS = pack(FrameKind.RECORDS, write_spends(list(spends_of(TWO))))
NO_RECORDS = pack(FrameKind.RECORDS, write_spends([]))
PROOF = pack(FrameKind.FRAUD_PROOF, _proof().encode())
KEY_SET = pack(FrameKind.KEY_SET, world.TRUSTED.envelope)
PIECE = pack(FrameKind.REVOCATION, REVOCATION)
RULES = pack(FrameKind.POLICY, POLICY)
GIFTS = [KEY_SET, PIECE, RULES, PROOF]
PAYMENT = pack(FrameKind.PAYMENT, b"\x80")
REFUSAL = pack(FrameKind.REFUSAL, b"\xa2\x01\x18\x64\x02\x61a")
Talk = tuple[str, bool, int, list[bytes]]


def vectors() -> Vectors:
    out = Vectors("talks", "Exchanges of evidence, as one side gets the other's frames")
    for name, leads, budget, frames in _good():
        out.add("talk", name, **_given(leads, budget, frames))
    for number, found in {104: _out_of_order, 101: _cut, 102: _wrong}.items():
        for name, leads, budget, frames in found():
            out.add("talk", f"{number}: {name}", error=number, **_given(leads, budget, frames))
    for name, leads, budget, frames in _too_much():
        out.add("talk", f"104: {name}", error=104, **_given(leads, budget, frames))
    return out


def _given(leads: bool, budget: int, frames: list[bytes]) -> dict[str, Any]:  # noqa: FBT001
    return {"leads": leads, "budget": budget, "frames": [frame.hex() for frame in frames]}


def _good() -> Iterator[Talk]:
    yield "payer: nothing yet", True, ROOMY, []
    yield "payee: nothing yet", False, ROOMY, []
    yield "payer: news", True, ROOMY, [NEWS]
    yield "payee: news", False, ROOMY, [NEWS]
    yield "payer: all of it, empty", True, 512, [_news(512), NO_TAGS, NO_WANT, NO_RECORDS]
    yield "payee: all of it, empty", False, 512, [_news(512), NO_TAGS, NO_RECORDS, NO_WANT]
    yield "payer: all of it", True, ROOMY, [NEWS, *GIFTS, TAGS, WANT, PROOF, PROOF, RECORDS]
    yield "payee: all of it", False, ROOMY, [NEWS, *GIFTS, TAGS, RECORDS, WANT, PROOF, PROOF]
    yield "payer: gifts in another order", True, ROOMY, [NEWS, *GIFTS[::-1], PIECE, TAGS]
    yield "payee: gifts in another order", False, ROOMY, [NEWS, *GIFTS[::-1], PIECE, TAGS]
    yield "payee: 64 gifts", False, ROOMY, [NEWS, *[KEY_SET] * 64, TAGS]
    yield "payee: as many tags as there may be", False, ROOMY, [NEWS, _tags(256)]
    most = [NEWS, NO_TAGS, NO_RECORDS, _tags(16, FrameKind.WANT)]
    yield "payee: as many wants as there may be", False, ROOMY, most
    full = [NEWS, KEY_SET, NO_TAGS, NO_WANT, NO_RECORDS]
    yield "payer: to the last byte of the budget", True, max(512, sum(map(len, full))), full
    yield "payee: ended after the tags", False, ROOMY, [NEWS, TAGS]
    yield "payee: the greatest budget", False, ROOMY, [_news(2**53 - 1), NO_TAGS]


def _out_of_order() -> Iterator[Talk]:
    first = {
        "tags": TAGS,
        "wants": WANT,
        "records": RECORDS,
        "a gift": KEY_SET,
        "a proof": PROOF,
        "a payment": PAYMENT,
        "a refusal": REFUSAL,
    }
    for side, leads in (("payer", True), ("payee", False)):
        for name, frame in first.items():
            yield f"{side}: {name} before the news", leads, ROOMY, [frame]
        yield f"{side}: news twice", leads, ROOMY, [NEWS, NEWS]
        yield f"{side}: news after gifts", leads, ROOMY, [NEWS, KEY_SET, NEWS]
        yield f"{side}: wants before the tags", leads, ROOMY, [NEWS, WANT]
        yield f"{side}: records before the tags", leads, ROOMY, [NEWS, RECORDS]
        yield f"{side}: a payment as a gift", leads, ROOMY, [NEWS, PAYMENT]
        yield f"{side}: an alarm as a gift", leads, ROOMY, [NEWS, b"\x01\x06\xa0"]
        yield f"{side}: tags twice", leads, ROOMY, [NEWS, TAGS, TAGS]
        yield f"{side}: a gift after the tags", leads, ROOMY, [NEWS, TAGS, KEY_SET]
        yield f"{side}: a proof right after the tags", leads, ROOMY, [NEWS, TAGS, PROOF]
        yield f"{side}: an empty frame", leads, ROOMY, [NEWS, b""]
        yield f"{side}: another version", leads, ROOMY, [b"\x02" + NEWS[1:]]
        yield f"{side}: an unknown kind", leads, ROOMY, [NEWS, b"\x01\x0f\x80"]
    yield "payer: records before the wants", True, ROOMY, [NEWS, TAGS, RECORDS]
    yield "payee: wants before the records", False, ROOMY, [NEWS, TAGS, WANT]
    led = [NEWS, TAGS, WANT]
    yield "payer: a gift before the records", True, ROOMY, [*led, KEY_SET]
    yield "payer: wants twice", True, ROOMY, [*led, WANT]
    whole = [*led, NO_RECORDS]
    yield "payer: records twice", True, ROOMY, [*whole, NO_RECORDS]
    yield "payer: a gift at the end", True, ROOMY, [*whole, KEY_SET]
    yield "payer: news at the end", True, ROOMY, [*whole, NEWS]
    followed = [NEWS, TAGS, NO_RECORDS]
    yield "payee: a proof before the wants", False, ROOMY, [*followed, PROOF]
    yield "payee: records twice", False, ROOMY, [*followed, NO_RECORDS]
    yield "payee: a gift at the end", False, ROOMY, [*followed, WANT, KEY_SET]
    yield "payee: wants at the end", False, ROOMY, [*followed, WANT, WANT]


def _too_much() -> Iterator[Talk]:
    for side, leads in (("payer", True), ("payee", False)):
        for budget in (0, 1, 511):
            yield f"{side}: a budget of {budget}", leads, ROOMY, [_news(budget)]
        yield f"{side}: 65 gifts", leads, ROOMY, [NEWS, *[KEY_SET] * 65]
        over = [NEWS, KEY_SET, _tags(20)]
        assert sum(map(len, over)) > 513, "room for a budget below"
        budget = sum(map(len, over)) - 1
        yield f"{side}: a byte over the budget", leads, budget, over
        yield f"{side}: gifts over the budget", leads, 600, [_news(600), KEY_SET, KEY_SET, KEY_SET]
        long = [_news(512), pack(FrameKind.TAGS, bytes(600))]
        yield f"{side}: over the budget and malformed", leads, 512, long
    proofs = [NEWS, *[KEY_SET] * 60, TAGS, WANT, *[PROOF] * 5]
    yield "payer: 60 gifts and 5 proofs", True, ROOMY, proofs
    proofs = [NEWS, *[KEY_SET] * 60, TAGS, NO_RECORDS, WANT, *[PROOF] * 5]
    yield "payee: 60 gifts and 5 proofs", False, ROOMY, proofs


def _cut() -> Iterator[Talk]:
    for side, leads in (("payer", True), ("payee", False)):
        yield f"{side}: news cut short", leads, ROOMY, [NEWS[:-1]]
        yield f"{side}: news without a body", leads, ROOMY, [NEWS[:2]]
        yield f"{side}: tags cut short", leads, ROOMY, [NEWS, TAGS[:-1]]
        yield f"{side}: tags and a byte", leads, ROOMY, [NEWS, TAGS + b"\0"]
    yield "payer: wants cut short", True, ROOMY, [NEWS, TAGS, WANT[:-1]]
    yield "payee: records and a byte", False, ROOMY, [NEWS, TAGS, NO_RECORDS + b"\0"]


def _wrong() -> Iterator[Talk]:
    wants = _tags(17, FrameKind.WANT)
    for side, leads in (("payer", True), ("payee", False)):
        yield f"{side}: news as tags", leads, ROOMY, [b"\x01\x08" + TAGS[2:]]
        yield f"{side}: tags as news", leads, ROOMY, [NEWS, b"\x01\x0a" + NEWS[2:]]
        head = bytes([1, FrameKind.TAGS]) + b"\x99\x01\x01"
        many = head + b"".join(
            b"\x83\x48" + entropy("tag", number, size=8) + b"\x00\x01" for number in range(257)
        )
        yield f"{side}: 257 tags", leads, ROOMY, [NEWS, many]
    yield "payer: 17 wants", True, ROOMY, [NEWS, TAGS, wants]
    yield "payee: 17 wants", False, ROOMY, [NEWS, TAGS, NO_RECORDS, wants]
    yield "payee: a map of records", False, ROOMY, [NEWS, TAGS, b"\x01\x0c\xa0"]
