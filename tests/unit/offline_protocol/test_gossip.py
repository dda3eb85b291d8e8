"""Evidence between two devices: bodies of frames, and the order and budget of a talk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from offline_protocol import (
    DeviceCertificate,
    FraudProof,
    MalformedCbor,
    MalformedFrame,
    MalformedObject,
    ProtocolError,
    Signed,
    build_fraud_proof,
    cbor,
    object_id,
    verify_fraud_proof,
)
from offline_protocol.constants import UINT_MAX
from offline_protocol.frames import FrameKind, pack, unpack
from offline_protocol.gossip import (
    PROOFS_MAX,
    SPENDS_MAX,
    TAGS_MAX,
    WANTS_MAX,
    News,
    Spend,
    Tag,
    proof_prefix,
    read_spends,
    read_tags,
    spends_of,
    write_spends,
    write_tags,
)
from offline_protocol.gossip_talk import BUDGET_MIN, ITEMS_MAX, GossipTalk
from tests.factories.protocol import Device, Issuer, entropy

ISSUER = Issuer("gossip")
EVE, BOB, CID = (ISSUER.device(name) for name in ("eve", "bob", "cid"))


def tags_of(count: int) -> list[Tag]:
    return [Tag(entropy("tag", number, size=8), number, number + 1) for number in range(count)]


def paid(payer: Device, payee: Device, lo: int = 0, hi: int = 250) -> Spend:
    chain = ISSUER.chain(payer)
    spend = payer.transfer(chain.tip_id, lo, hi, payee.key)
    return Spend(spend, chain.voucher)


def conflict(number: int = 0) -> tuple[Spend, Spend]:
    """Two transfers of one device that sign the same units away."""
    chain = ISSUER.chain(EVE, 1_000 + number)
    first = EVE.transfer(chain.tip_id, 0, 250, BOB.key)
    second = EVE.transfer(chain.tip_id, 100, 300, CID.key)
    return Spend(first, chain.voucher), Spend(second, EVE.certificate)


@dataclass
class Store:
    """A shelf in memory that keeps whatever is given to it."""

    key_set_version: int = 1
    giving: list[tuple[FrameKind, bytes]] = field(default_factory=list)
    telling: list[Tag] = field(default_factory=list)
    wanting: list[Tag] = field(default_factory=list)
    holding: list[Spend] = field(default_factory=list)
    taken: list[tuple[FrameKind, bytes]] = field(default_factory=list)
    heard: list[Tag] = field(default_factory=list)
    shown: list[Spend] = field(default_factory=list)

    def news(self, budget: int) -> News:
        return News(3, self.key_set_version, 0, budget)

    def gifts(self, peer: News) -> Iterable[tuple[FrameKind, bytes]]:
        assert peer.epoch == 3
        return iter(self.giving)

    def take(self, kind: FrameKind, body: bytes) -> None:
        self.taken.append((kind, body))

    def tags(self) -> Sequence[Tag]:
        return self.telling

    def hear(self, tags: Sequence[Tag]) -> Sequence[Tag]:
        self.heard += tags
        return self.wanting

    def spends(self, tag: Tag) -> Sequence[Spend]:
        return [spend for spend in self.holding if spend.tag == tag]

    def confront(self, spends: Sequence[Spend]) -> Sequence[FraudProof]:
        self.shown += spends
        found = [
            mine.proves_against(theirs, ISSUER.key_set.body)
            for theirs in spends
            for mine in self.holding
        ]
        return [proof for proof in found if proof is not None]


def hold_talk(leader: GossipTalk, follower: GossipTalk) -> list[FrameKind]:
    """Let two sides talk to the end; the kinds of frames in their order."""
    kinds = []
    to_follower, to_leader = leader.begin(), follower.begin()
    while to_follower or to_leader:
        answers: list[bytes] = []
        for frame in to_follower:
            kinds.append(unpack(frame)[0])
            answers += follower.take(frame)
        to_leader += answers
        to_follower = []
        for frame in to_leader:
            kinds.append(unpack(frame)[0])
            to_follower += leader.take(frame)
        to_leader = []
    return kinds


def talks(
    one: Store, other: Store, *, budget: int = 32_768, other_budget: int | None = None
) -> tuple[GossipTalk, GossipTalk]:
    return (
        GossipTalk(one, budget=budget, leads=True),
        GossipTalk(other, budget=other_budget or budget, leads=False),
    )


# Bodies.


@pytest.mark.parametrize("count", [0, 1, PROOFS_MAX])
def test_news_survive_the_wire_and_always_fit_the_smallest_budget(count: int) -> None:
    proofs = sorted(proof_prefix(entropy("proof", number)) for number in range(count))
    news = News(UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, tuple(proofs))
    assert News.decode(news.encode()) == news
    assert len(pack(FrameKind.NEWS, news.encode())) <= BUDGET_MIN * 5 // 8


@pytest.mark.parametrize(
    "proofs",
    [
        (b"short",),
        (b"b" * 8, b"a" * 8),
        (b"a" * 8, b"a" * 8),
        tuple(bytes([number]) * 8 for number in range(PROOFS_MAX + 1)),
    ],
)
def test_news_name_each_proof_once_in_order_and_not_too_many(proofs: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedObject):
        News(0, 0, 0, 0, proofs)


@pytest.mark.parametrize(
    "body",
    [
        cbor.encode({1: 0, 2: 0, 3: 0}),
        cbor.encode({1: 0, 2: 0, 3: 0, 4: 0, 5: b""}),
        cbor.encode({1: 0, 2: 0, 3: 0, 4: 0, 5: b"1234567"}),
        cbor.encode({1: 0, 2: 0, 3: 0, 4: 0, 6: b""}),
        cbor.encode({1: b"0", 2: 0, 3: 0, 4: 0}),
        cbor.encode([0, 0, 0, 0]),
        b"",
    ],
)
def test_what_is_no_news_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        News.decode(body)


@pytest.mark.parametrize("count", [0, 1, TAGS_MAX])
def test_tags_survive_the_wire(count: int) -> None:
    tags = tags_of(count)
    assert read_tags(write_tags(tags), most=TAGS_MAX) == tuple(tags)


def test_256_tags_of_usual_vouchers_take_about_four_kilobytes() -> None:
    tags = [Tag(entropy(number, size=8), 25 * number, 25 * number + 250) for number in range(256)]
    assert len(write_tags(tags)) < 4_300


@pytest.mark.parametrize(
    "value",
    [
        [[b"7 bytes", 0, 1]],
        [[b"8 bytes!", 1, 1]],
        [[b"8 bytes!", 2, 1]],
        [[b"8 bytes!", 0]],
        [[b"8 bytes!", 0, 1, 2]],
        [["8 bytes!", 0, 1]],
        [[b"8 bytes!", b"0", 1]],
        [[b"8 bytes!", 0, 1], [b"8 bytes!", 0, 1]],
        {1: 2},
    ],
)
def test_what_is_no_tag_is_refused(value: cbor.Value) -> None:
    with pytest.raises(MalformedObject):
        read_tags(cbor.encode(value), most=TAGS_MAX)


@pytest.mark.parametrize("most", [TAGS_MAX, WANTS_MAX])
def test_more_tags_than_a_frame_holds_are_refused(most: int) -> None:
    with pytest.raises(MalformedObject):
        read_tags(write_tags(tags_of(most + 1)), most=most)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [((0, 2), (1, 3), True), ((0, 2), (2, 4), False), ((0, 9), (3, 4), True)],
)
def test_tags_overlap_as_their_intervals_do(
    one: tuple[int, int], other: tuple[int, int], *, overlap: bool
) -> None:
    assert Tag(b"8 bytes!", *one).overlaps(Tag(b"8 bytes!", *other)) is overlap
    assert not Tag(b"8 bytes!", *one).overlaps(Tag(b"8 bytes?", *other))


def test_records_survive_the_wire_with_certificate_and_with_voucher() -> None:
    spends = conflict()
    assert read_spends(write_spends(spends)) == spends
    assert read_spends(write_spends([])) == ()


def test_records_that_are_cut_or_lengthened_anywhere_are_refused() -> None:
    data = write_spends(conflict())
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            read_spends(data[:end])
    with pytest.raises(MalformedCbor):
        read_spends(data + b"\x00")


def test_too_many_records_are_refused() -> None:
    with pytest.raises(MalformedObject):
        read_spends(write_spends([paid(EVE, BOB)] * (SPENDS_MAX + 1)))


def test_the_records_of_a_chain_name_the_signer_of_each_transfer() -> None:
    chain = EVE.hand_over(ISSUER.chain(EVE), BOB.request(250).body, lo=0, hi=250)
    chain = BOB.hand_over(chain, CID.request(100).body, lo=0, hi=100)
    assert [spend.signer for spend in spends_of(chain)] == [EVE.key, BOB.key]


def test_two_contradicting_records_are_a_proof_whichever_names_the_signer() -> None:
    first, second = conflict()
    for one, other in ((first, second), (second, first)):
        proof = one.proves_against(other, ISSUER.key_set.body)
        assert proof is not None
        assert verify_fraud_proof(proof, ISSUER.key_set.body).key == EVE.key


def test_records_that_do_not_contradict_prove_nothing() -> None:
    first, _ = conflict(1)
    _, other = conflict(2)
    later = EVE.transfer(first.transfer.body.parent, 250, 300, CID.key)
    for theirs in (first, other, Spend(later, EVE.certificate)):
        assert first.proves_against(theirs, ISSUER.key_set.body) is None


def test_a_record_signed_by_another_key_convicts_nobody() -> None:
    """Bob signs what only Eve may sign, and puts Eve's name on it."""
    first, _ = conflict()
    forged = BOB.transfer(first.transfer.body.parent, 100, 300, CID.key)
    for named in (EVE.certificate, BOB.certificate, first.named):
        theirs = Spend(forged, named)
        assert first.proves_against(theirs, ISSUER.key_set.body) is None
        assert theirs.proves_against(first, ISSUER.key_set.body) is None


# Talks.


def test_a_talk_has_one_order() -> None:
    one, other = Store(), Store()
    leader, follower = talks(one, other)
    assert hold_talk(leader, follower) == [
        FrameKind.NEWS,
        FrameKind.NEWS,
        FrameKind.TAGS,
        FrameKind.TAGS,
        FrameKind.WANT,
        FrameKind.RECORDS,
        FrameKind.WANT,
        FrameKind.RECORDS,
    ]
    assert leader.done
    assert follower.done


def test_gifts_and_tags_reach_the_other_side() -> None:
    gift = (FrameKind.POLICY, b"rules")
    one, other = Store(giving=[gift], telling=tags_of(3)), Store(giving=[gift, gift])
    hold_talk(*talks(one, other))
    assert other.taken == [gift]
    assert other.heard == tags_of(3)
    assert one.taken == [gift, gift]


@pytest.mark.parametrize("follower_asks", [True, False])
def test_a_proof_is_made_on_the_spot_and_both_sides_get_it(*, follower_asks: bool) -> None:
    first, second = conflict()
    one, other = Store(holding=[first]), Store(holding=[second])
    teller, asker = (one, other) if follower_asks else (other, one)
    teller.telling = [spend.tag for spend in teller.holding]
    asker.wanting = list(teller.telling)
    hold_talk(*talks(one, other))
    assert asker.shown == teller.holding
    ((kind, body),) = teller.taken
    assert kind is FrameKind.FRAUD_PROOF
    assert verify_fraud_proof(FraudProof.decode(body), ISSUER.key_set.body).key == EVE.key


def test_only_what_was_told_is_handed_out() -> None:
    secret = paid(EVE, BOB)
    one, other = Store(holding=[secret]), Store(wanting=[secret.tag])
    hold_talk(*talks(one, other))
    assert other.shown == []


def test_records_that_were_not_asked_for_are_not_looked_at() -> None:
    first, second = conflict()
    asker = Store(holding=[first], wanting=[])
    talk = GossipTalk(asker, budget=32_768, leads=False)
    talk.take(pack(FrameKind.NEWS, News(3, 1, 0, 32_768).encode()))
    talk.take(pack(FrameKind.TAGS, write_tags([second.tag])))
    talk.take(pack(FrameKind.RECORDS, write_spends([second])))
    assert asker.shown == []


@pytest.mark.parametrize("budget", [BUDGET_MIN, 600, 1_000, 2_048, 8_192, 32_768])
@pytest.mark.parametrize("other_budget", [BUDGET_MIN, 2_048, 32_768])
def test_budgets_are_kept_to_the_byte(budget: int, other_budget: int) -> None:
    spends = [conflict(number) for number in range(20)]
    gifts = [(FrameKind.FRAUD_PROOF, bytes(size)) for size in (500, 4_000, 20_000, 300, 5)]
    stores = []
    for side in (0, 1):
        mine = [pair[side] for pair in spends]
        theirs = [pair[1 - side] for pair in spends]
        telling = [*(spend.tag for spend in mine), *tags_of(300)]
        wanting = [spend.tag for spend in theirs]
        stores.append(Store(giving=gifts, telling=telling, wanting=wanting, holding=mine))
    leader, follower = talks(*stores, budget=budget, other_budget=other_budget)
    hold_talk(leader, follower)
    assert leader.done
    assert follower.done
    least = min(budget, other_budget)
    assert leader.sent == follower.received <= least
    assert follower.sent == leader.received <= least
    if least >= 2_048:
        assert leader.sent > least / 2, "room is used"


def test_a_later_piece_of_a_list_is_not_sent_without_the_one_before() -> None:
    pieces = [(FrameKind.REVOCATION, bytes(size)) for size in (100, 2_000, 100)]
    one, other = Store(giving=[*pieces, (FrameKind.POLICY, b"p")]), Store()
    hold_talk(*talks(one, other, budget=2_048))
    assert other.taken == [pieces[0], (FrameKind.POLICY, b"p")]


def test_who_sends_more_than_was_asked_for_is_left() -> None:
    talk = GossipTalk(Store(), budget=BUDGET_MIN, leads=False)
    talk.take(pack(FrameKind.NEWS, News(3, 1, 0, 32_768).encode()))
    with pytest.raises(MalformedFrame, match="512"):
        talk.take(pack(FrameKind.POLICY, bytes(BUDGET_MIN)))


def test_who_sends_too_many_frames_is_left() -> None:
    talk = GossipTalk(Store(), budget=32_768, leads=False)
    talk.take(pack(FrameKind.NEWS, News(3, 1, 0, 32_768).encode()))
    for _ in range(ITEMS_MAX):
        talk.take(pack(FrameKind.POLICY, b""))
    with pytest.raises(MalformedFrame, match="too many"):
        talk.take(pack(FrameKind.POLICY, b""))


def test_a_peer_with_no_room_ends_the_talk() -> None:
    for leads in (True, False):
        talk = GossipTalk(Store(), budget=2_048, leads=leads)
        with pytest.raises(MalformedFrame):
            talk.take(pack(FrameKind.NEWS, News(3, 1, 0, BUDGET_MIN - 1).encode()))


BODIES = {
    FrameKind.NEWS: News(3, 1, 0, 2_048).encode(),
    FrameKind.TAGS: write_tags([]),
    FrameKind.WANT: write_tags([]),
    FrameKind.RECORDS: write_spends([]),
}


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("kind", FrameKind)
def test_a_talk_begins_with_news_and_nothing_else(kind: FrameKind, *, leads: bool) -> None:
    talk = GossipTalk(Store(), budget=2_048, leads=leads)
    talk.begin()
    frame = pack(kind, BODIES.get(kind, b""))
    if kind is FrameKind.NEWS:
        talk.take(frame)
        return
    with pytest.raises(MalformedFrame):
        talk.take(frame)


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("twice", [FrameKind.NEWS, FrameKind.TAGS, FrameKind.WANT])
def test_nothing_comes_twice(twice: FrameKind, *, leads: bool) -> None:
    talk = GossipTalk(Store(), budget=2_048, leads=leads)
    talk.begin()
    order = [FrameKind.NEWS, FrameKind.TAGS]
    order += [FrameKind.WANT, FrameKind.RECORDS] if leads else [FrameKind.RECORDS, FrameKind.WANT]
    for kind in order:
        talk.take(pack(kind, BODIES[kind]))
    with pytest.raises(MalformedFrame):
        talk.take(pack(twice, BODIES[twice]))


def test_a_proof_in_news_is_named_by_its_first_bytes() -> None:
    first, second = conflict()
    named: Signed[DeviceCertificate] = EVE.certificate
    proof = build_fraud_proof(first.transfer, second.transfer, certificate=named)
    proof_id = object_id(proof.NAME, proof.encode())
    assert News(0, 0, 0, 0, (proof_prefix(proof_id),)).proofs == (proof_id[:8],)
    assert replace(News(0, 0, 0, 0), epoch=7).epoch == 7


def test_gifts_and_proofs_together_are_no_more_than_the_other_side_takes() -> None:
    spends = [conflict(number) for number in range(4)]
    stores = []
    for side in (0, 1):
        mine, theirs = [pair[side] for pair in spends], [pair[1 - side] for pair in spends]
        stores.append(
            Store(
                giving=[(FrameKind.POLICY, b"")] * (ITEMS_MAX - 2),
                telling=[spend.tag for spend in mine],
                wanting=[spend.tag for spend in theirs],
                holding=mine,
            )
        )
    leader, follower = talks(*stores)
    hold_talk(leader, follower)
    assert leader.done
    assert follower.done
    for store in stores:
        assert len(store.shown) == len(spends)
        assert len(store.taken) == ITEMS_MAX, "two proofs had room beside the gifts"


def test_proofs_come_before_the_records_of_who_follows() -> None:
    talk = GossipTalk(Store(), budget=32_768, leads=True)
    talk.begin()
    for kind in (FrameKind.NEWS, FrameKind.TAGS, FrameKind.WANT, FrameKind.RECORDS):
        talk.take(pack(kind, BODIES[kind]))
    assert talk.done
    with pytest.raises(MalformedFrame, match="out of order"):
        talk.take(pack(FrameKind.FRAUD_PROOF, b""))
