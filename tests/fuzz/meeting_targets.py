"""What another device sends when two meet: evidence, a touch, an address."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from client_sdk.errors import UnreadableMessage, WalletError
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports import lan
from client_sdk.transports.base import MESSAGE_BYTES_MAX, InvalidAddress
from client_sdk.transports.ble import fragments, naming
from client_sdk.transports.ble.stream import WINDOW_BYTES, Stream, StreamBroken
from client_sdk.transports.nfc import handover
from client_sdk.wallet import Wallet
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
HELD: Final = 6_000


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


def ble_stream(data: bytes) -> None:
    """Fragments after their lengths in one byte: what is kept for them is bounded."""
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=WINDOW_BYTES, received=0)
    stream.outgoing.put(bytes(600))
    at = 0
    while at < len(data):
        size = data[at]
        try:
            stream.take(fragments.decode(data[at + 1 : at + 1 + size]))
        except (fragments.MalformedFragment, StreamBroken):
            return
        stream.incoming.owed()
        at += 1 + size
        assert sum(map(len, stream.incoming.messages)) <= len(data)
        assert stream.outgoing.acknowledged <= stream.outgoing.end


class Meeting:
    """A shop that has asked, and a shopper who has paid and waits for the receipt."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.shop, self.shopper, self.frames = self.runner.run(self._meet())

    async def _meet(self) -> tuple[Wallet, Wallet, list[bytes]]:
        issuer = Issuer()
        shop = await new_wallet(issuer, "shop", 1_000)
        shopper = await new_wallet(issuer, "shopper", HELD - 1_000)
        asked = [await shop.request_payment(250, "EUR") for _ in range(2)]
        paid = [await shopper.pay(one.frame) for one in asked]
        payments = [await shopper.frame_of(one.id) for one in paid]
        received = await shop.receive(payments[0])
        assert received.frame is not None
        return shop, shopper, [*(one.frame for one in asked), *payments, received.frame]

    def offer(self, frame: bytes) -> None:
        """Give a frame to both; neither ends up with more than there is."""
        for wallet in (self.shop, self.shopper):
            try:
                self.runner.run(wallet.receive(frame))
            except WalletError:
                continue
        held = self.runner.run(self._held())
        assert held <= HELD

    async def _held(self) -> int:
        balances = [one for wallet in (self.shop, self.shopper) for one in await wallet.balance()]
        return sum(one.spendable for one in balances)


@cache
def meeting() -> Meeting:
    return Meeting()


def wallets(data: bytes) -> None:
    meeting().offer(data)
