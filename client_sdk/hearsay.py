"""What this wallet has seen signed away, and what others say they have seen.

Seen are the transfers in payments that were received: signed, verified, with what names their
signers. Heard are bare tags: they let this wallet ask and warn, and never decide.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from client_sdk.errors import StoreCorrupt
from client_sdk.store.sealed import Value
from client_sdk.store.sqlite import Row, Store, StoreTx
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.chains import Chain, Payment
from offline_protocol.cose import Signed, unseal
from offline_protocol.gossip import TAG_PREFIX_BYTES, TAGS_MAX, Spend, Tag
from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer
from offline_protocol.vouchers import Voucher

DAY: Final = 86_400
HEARD_DAYS: Final = 30
"""Days for which a tag is remembered, and not taken as news when it comes again."""
FORWARD_DAYS: Final = 3
"""Days for which a tag is told on: so it dies out, though it has no date of its own."""
SEEN_MAX: Final = 20_000
HEARD_MAX: Final = 8_192
OWN_TAGS_MAX: Final = 192
"""Of the tags told in one meeting; the rest is for what others have seen."""

LAST_DAY: Final = 65_535
"""In the year 2149; a voucher that can be claimed later is remembered until then."""
LINKED_MAX: Final = 1_024
"""Rows looked at for one parent."""
RIVALS_MAX: Final = 4
"""Transfers that one record of a peer is compared with."""

_VOUCHER, _CERTIFICATE = 0, 1
_SEEN_PARTS, _HEARD_PARTS = 6, 5
_NEWS, _SAME, _ASKED = 0, 1, 2
_NUMBER_BYTES: Final = 8


class Hearsay:
    """The tables `seen` and `heard` of one wallet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put_seen(self, tx: StoreTx, chain: Chain, owns: Callable[[PublicKey], bool]) -> None:
        """Remember who signed what in a verified chain; this wallet's own signatures are known."""
        day = min(chain.voucher.body.claim_by // DAY, LAST_DAY)
        for hop, link in zip(chain.hops, chain.links, strict=True):
            if owns(link.signer):
                continue
            named, kind = (
                (chain.voucher.envelope, _VOUCHER)
                if hop.certificate is None
                else (hop.certificate.envelope, _CERTIFICATE)
            )
            tag, body = Tag.of(hop.transfer.body), hop.transfer.body
            value: Value = [tag.prefix, tag.lo, tag.hi, int(owns(body.payee)), kind, named]
            tx.put("seen", hop.transfer.id, value, flag=day, link=tag.prefix)

    # Telling.

    def tags(self, peer: bytes, today: int) -> list[Tag]:
        """What to tell a peer: what came with payments, then what others told lately.

        Both newest first.
        """
        rows = self._store.rows("seen", limit=OWN_TAGS_MAX, newest=True)
        found = dict.fromkeys(_seen(row)[0] for row in rows)
        for row in self._store.rows("heard", limit=TAGS_MAX, newest=True):
            tag, state, teller = _heard(row)
            if row.flag > today - FORWARD_DAYS and state == _NEWS and teller != peer:
                found.setdefault(tag)
        return list(found)[:TAGS_MAX]

    def spends(self, tag: Tag) -> list[Spend]:
        """The signed transfers with this tag."""
        return [
            spend
            for row in self._linked("seen", tag.prefix)
            if _seen(row)[0] == tag and (spend := self._spend(row)) is not None
        ]

    # Hearing.

    def hear(self, tx: StoreTx, tags: Iterable[Tag], peer: bytes, today: int, *, most: int) -> int:
        """Remember a peer's tags that are new here, at most so many; how many those were."""
        tags, taken = list(tags), 0
        seen = self._seen_under(tags)
        for tag in tags:
            name = self._name(tag)
            if taken >= most:
                break
            ours = (tag, True) in seen[tag.prefix]  # perhaps it has come back to us
            if not ours and self._store.get("heard", name) is None:
                self._put_heard(tx, name, tag, (_NEWS, peer), today)
                taken += 1
        tx.keep_newest("heard", HEARD_MAX)
        return taken

    def wants(self, tags: Iterable[Tag], peer: bytes, today: int) -> list[Tag]:
        """Those whose transfers would contradict what was seen here, the surest first.

        Where the interval is the same, the transfer may be the same too: that of a transfer to this
        wallet if our own tag has come back, that of an earlier one if the value came from the peer
        or goes there. A peer that has shown this is not asked again, and one that has no answer not
        on the same day.
        """
        tags, ranked = list(tags), list[tuple[int, Tag]]()
        seen = self._seen_under(tags)
        for tag in tags:
            ranks = [
                _rank(tag, other, mine) for other, mine in seen[tag.prefix] if other.overlaps(tag)
            ]
            if ranks and (min(ranks) == 0 or not self._is_answered(tag, peer, today)):
                ranked.append((min(ranks), tag))
        return [tag for _, tag in sorted(ranked, key=lambda each: each[0])]

    def rivals(self, spend: Spend) -> list[Spend]:
        """Other transfers of the same parent seen here that sign some of the same units away.

        A few of them: if the spend is what it says, the first makes a proof.
        """
        found: list[Spend] = []
        for row in self._linked("seen", spend.tag.prefix):
            seen = self._spend(row) if _seen(row)[0].overlaps(spend.tag) else None
            if seen is None or seen.transfer.id == spend.transfer.id:
                continue
            if seen.transfer.body.parent == spend.transfer.body.parent:
                found.append(seen)
            if len(found) == RIVALS_MAX:
                break
        return found

    def mark_answered(
        self, tx: StoreTx, asked: Iterable[Tag], spends: Iterable[Spend], peer: bytes, today: int
    ) -> None:
        """Note which tags of a peer are those of transfers that are known here, or unanswered."""
        same = {
            spend.tag for spend in spends if self._store.get("seen", spend.transfer.id) is not None
        }
        for tag in asked:
            state = _SAME if tag in same else _ASKED
            self._put_heard(tx, self._name(tag, peer), tag, (state, peer), today)
        tx.keep_newest("heard", HEARD_MAX)

    def told_of(self, payment: Payment, today: int) -> bool:
        """Whether somebody says that units of this payment were signed away in another way."""
        for chain in payment.chains:
            for link in chain.links:
                tag = Tag.of(link.transfer.body)
                last = link.transfer.id == chain.tip_id
                for row in self._linked("heard", tag.prefix):
                    heard, state, _ = _heard(row)
                    if row.flag < today - HEARD_DAYS or state != _NEWS:
                        continue
                    # An earlier owner may have told of the transfer that brought the value on.
                    if heard.overlaps(tag) and (last or heard != tag):
                        return True
        return False

    def prune(self, tx: StoreTx, today: int) -> None:
        """Forget what is of no use any more, and what is more than a wallet keeps."""
        tx.delete_below("seen", today)
        tx.keep_newest("seen", SEEN_MAX)
        tx.delete_below("heard", max(0, today - HEARD_DAYS))

    def _linked(self, table: Literal["seen", "heard"], prefix: bytes) -> list[Row]:
        return self._store.linked(table, prefix, newest=LINKED_MAX)

    def _name(self, tag: Tag, peer: bytes = b"") -> bytes:
        numbers = (number.to_bytes(_NUMBER_BYTES, "big") for number in (tag.lo, tag.hi))
        return self._store.name_of(b"heard" + tag.prefix + b"".join(numbers) + peer)

    def _put_heard(
        self, tx: StoreTx, name: bytes, tag: Tag, state: tuple[int, bytes], today: int
    ) -> None:
        value: Value = [tag.prefix, tag.lo, tag.hi, *state]
        tx.put("heard", name, value, flag=today, link=tag.prefix)

    def _is_answered(self, tag: Tag, peer: bytes, today: int) -> bool:
        name = self._name(tag, peer)
        for row in self._linked("heard", tag.prefix):
            if row.key == name:
                return _heard(row)[1] == _SAME or row.flag == today
        return False

    def _seen_under(self, tags: Iterable[Tag]) -> dict[bytes, set[tuple[Tag, bool]]]:
        """By prefix: the tags of what was seen, and whether it was a transfer to this wallet."""
        return {
            prefix: {_seen(row) for row in self._linked("seen", prefix)}
            for prefix in {tag.prefix for tag in tags}
        }

    def _spend(self, row: Row) -> Spend | None:
        record = self._store.get("record", row.key)
        if not isinstance(record, list) or not isinstance(record[-1], bytes):
            return None
        value = row.payload
        assert isinstance(value, list), "looked at by `_seen`"
        kind, envelope = value[4:]
        if not isinstance(envelope, bytes):
            raise StoreCorrupt("A row of transfers that were seen holds something else.")
        named: Signed[DeviceCertificate] | Signed[Voucher] = (
            unseal(DeviceCertificate, envelope)
            if kind == _CERTIFICATE
            else unseal(Voucher, envelope)
        )
        return Spend(unseal(Transfer, record[-1]), named)


def _rank(tag: Tag, seen: Tag, mine: bool) -> int:  # noqa: FBT001 -- one of a pair from a row
    if seen != tag:
        return 0
    return 1 if mine else 2


def _seen(row: Row) -> tuple[Tag, bool]:
    value = row.payload
    if not isinstance(value, list) or len(value) != _SEEN_PARTS:
        raise StoreCorrupt("A row of transfers that were seen holds something else.")
    return _tag(value), value[3] == 1


def _heard(row: Row) -> tuple[Tag, int, bytes]:
    """The tag, what it is, and who told it."""
    value = row.payload
    if not isinstance(value, list) or len(value) != _HEARD_PARTS:
        raise StoreCorrupt("A row of tags holds something else.")
    state, teller = value[3:]
    if not isinstance(state, int) or not isinstance(teller, bytes):
        raise StoreCorrupt("A row of tags holds something else.")
    return _tag(value), state, teller


def _tag(value: Sequence[Value]) -> Tag:
    prefix, lo, hi = value[:3]
    if isinstance(prefix, bytes) and isinstance(lo, int) and isinstance(hi, int):
        return Tag(prefix[:TAG_PREFIX_BYTES], lo, hi)
    raise StoreCorrupt("A row of tags holds something else.")
