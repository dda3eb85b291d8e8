"""What another device sends when two meet: evidence, a touch, an address."""

from collections.abc import Iterable, Sequence
from typing import Final

from client_sdk.errors import UnreadableMessage
from client_sdk.transports import lan
from client_sdk.transports.base import InvalidAddress
from client_sdk.transports.ble import naming
from client_sdk.transports.nfc import handover
from offline_protocol import FrameKind, FraudProof, ProtocolError
from offline_protocol.gossip import (
    TAGS_MAX,
    News,
    Spend,
    Tag,
    read_spends,
    read_tags,
    write_spends,
    write_tags,
)
from offline_protocol.gossip_talk import GossipTalk

BUDGET: Final = 8_192


class OpenEar:
    """A shelf that wants whatever it is told of and believes nothing."""

    def news(self, budget: int) -> News:
        return News(epoch=1, key_set_version=1, policy_version=0, budget=budget)

    def gifts(self, peer: News) -> Iterable[tuple[FrameKind, bytes]]:
        return [(FrameKind.KEY_SET, bytes(300))] if peer.key_set_version == 0 else []

    def take(self, kind: FrameKind, body: bytes) -> None:
        if kind is FrameKind.FRAUD_PROOF:
            FraudProof.decode(body)

    def tags(self) -> Sequence[Tag]:
        return [Tag(bytes(8), lo, lo + 1) for lo in range(TAGS_MAX)]

    def hear(self, tags: Sequence[Tag]) -> Sequence[Tag]:
        return tags

    def spends(self, tag: Tag) -> Sequence[Spend]:
        assert isinstance(tag, Tag)
        return ()

    def confront(self, spends: Sequence[Spend]) -> Sequence[FraudProof]:
        assert all(isinstance(spend.tag, Tag) for spend in spends)
        return ()


def news(data: bytes) -> None:
    assert News.decode(data).encode() == data


def tags(data: bytes) -> None:
    assert write_tags(read_tags(data, most=TAGS_MAX)) == data


def spends(data: bytes) -> None:
    assert write_spends(read_spends(data)) == data


def talk(data: bytes) -> None:
    """Frames after their lengths in two bytes: no order of them makes a side say too much."""
    said = GossipTalk(OpenEar(), budget=BUDGET, leads=bool(data[:1] == b"\x01"))
    said.begin()
    at = 1
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        try:
            said.take(data[at + 2 : at + 2 + size])
        except ProtocolError:
            return
        finally:
            assert said.sent <= BUDGET
        at += 2 + size


def touch(data: bytes) -> None:
    try:
        handover.decode(data)
    except UnreadableMessage:
        return


def address(data: bytes) -> None:
    text = data.decode("latin-1")
    for split in (lan.split_address, naming.split_address):
        try:
            split(text)
        except InvalidAddress:
            continue
    lan.is_service(text)
