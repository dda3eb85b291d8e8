"""Random histories of people who pay each other offline, some of whom cheat."""

import random
from dataclasses import dataclass, field

from offline_protocol import Chain, Root, Signed, Transfer, TransferKind
from server.offline import IssuerKeys
from server.offline.schemas import RecordUpload
from tests.integration.offline.town import Device, Town, transfers_of

HOPS_MAX = 4


@dataclass
class Piece:
    """Part of a chain's tip that a device may sign away, with the parts it has kept."""

    owner: str
    chain: Chain
    free: list[tuple[int, int]]


@dataclass
class History:
    """Who signed what, and what each device has seen of it."""

    cheats: frozenset[str]
    pieces: list[Piece] = field(default_factory=list)
    known: dict[str, list[Chain]] = field(default_factory=dict)
    signed: dict[bytes, Signed[Transfer]] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)
    vouchers: list[Chain] = field(default_factory=list)

    @property
    def roots(self) -> list[Root]:
        """Every voucher with every transfer that anybody signed under it."""
        found: dict[bytes, dict[bytes, Transfer]] = {v.voucher.id: {} for v in self.vouchers}
        for chains in self.known.values():
            for chain in chains:
                for hop in chain.hops:
                    found[chain.voucher.id][hop.transfer.id] = hop.transfer.body
        return [Root(v.voucher.body, tuple(found[v.voucher.id].values())) for v in self.vouchers]

    def records_of(self, name: str) -> list[RecordUpload]:
        return transfers_of(self.known.get(name, ()))


async def live(town: Town, rng: random.Random, *, people: int, cheats: int, steps: int) -> History:
    """Let people join, load vouchers and pay; nobody synchronises."""
    names = [f"p{number}" for number in range(people)]
    history = History(frozenset(names[:cheats]))
    for name in names:
        amount = rng.randrange(60, 250)
        # Some have nothing but what they take offline, so that debts cannot be covered at once.
        device = await town.person(name, money=amount + rng.choice([0, 0, 20, 200]))
        history.loaded[name] = amount
        for chain in await town.issue(device, amount):
            history.vouchers.append(chain)
            history.pieces.append(Piece(name, chain, [(0, chain.hi)]))
    for _ in range(steps):
        _act(town, history, rng, town.keys)
    for piece in list(history.pieces):
        for lo, hi in list(piece.free):
            if rng.random() < 0.6:
                device = town.devices[piece.owner]
                chain = device.claim(piece.chain, town.keys, lo, hi)
                _record(history, piece, device, chain, None)
    return history


def _act(town: Town, history: History, rng: random.Random, keys: IssuerKeys) -> None:
    piece = rng.choice([each for each in history.pieces if each.free])
    device = town.devices[piece.owner]
    lo, hi = rng.choice(piece.free)
    tip = piece.chain.tip
    action = rng.random()
    untouched = piece.free == [(piece.chain.lo, piece.chain.hi)]
    if action < 0.1 and tip is not None and tip.kind is TransferKind.PAY and untouched:
        payer = town.devices[_payer(town, piece.chain)]
        _record(history, piece, device, device.give_back(piece.chain, payer), payer)
    elif action < 0.35:
        start, end = _part(rng, lo, hi)
        _record(history, piece, device, device.claim(piece.chain, keys, start, end), None)
    elif piece.chain.hops_used < HOPS_MAX:
        start, end = _part(rng, lo, hi)
        payee = rng.choice([each for each in town.devices.values() if each is not device])
        _record(history, piece, device, device.pay(piece.chain, payee, start, end), payee)


def _record(
    history: History, piece: Piece, signer: Device, chain: Chain, payee: Device | None
) -> None:
    # A cheat forgets, now and then, what it has signed away: as a phone that was set back does.
    forgets = signer.name in history.cheats and chain.tip_id[0] % 3 != 0
    if not forgets:
        piece.free = _without(piece.free, chain.lo, chain.hi)
    history.known.setdefault(signer.name, []).append(chain)
    if payee is not None:
        history.known.setdefault(payee.name, []).append(chain)
        history.pieces.append(Piece(payee.name, chain, [(chain.lo, chain.hi)]))


def _payer(town: Town, chain: Chain) -> str:
    key = chain.links[-1].signer
    return next(d.name for d in town.devices.values() if d.signer.public_key == key)


def _part(rng: random.Random, lo: int, hi: int) -> tuple[int, int]:
    if rng.random() < 0.4:
        return lo, hi
    start = rng.randrange(lo, hi)
    return start, rng.randrange(start, hi) + 1


def _without(free: list[tuple[int, int]], lo: int, hi: int) -> list[tuple[int, int]]:
    kept = []
    for left, right in free:
        kept += [(a, b) for a, b in ((left, min(right, lo)), (max(left, hi), right)) if a < b]
    return kept


async def upload_all(town: Town, history: History, rng: random.Random) -> None:
    """Let every device upload what it knows: any order, any batches, some of it twice."""
    queue: list[tuple[str, RecordUpload]] = []
    for name in history.known:
        records = history.records_of(name)
        records += rng.sample(records, len(records) // 3)
        queue += [(name, record) for record in records]
    rng.shuffle(queue)
    while queue:
        name = queue[0][0]
        size = rng.randrange(1, 30)
        batch = [record for owner, record in queue if owner == name][:size]
        for record in batch:
            queue.remove((name, record))
        await town.upload(town.devices[name], batch)
        await town.check()
