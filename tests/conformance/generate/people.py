"""The people between whom the chains of the vectors go."""

from offline_protocol import Chain, Signed, Voucher
from tests.conformance.generate import world
from tests.conformance.generate.world import SLACK, Device, extend

ALGORITHMS: dict[str, frozenset[int]] = {
    "Ed25519": frozenset(),
    "P-256": frozenset({0, 1}),
    "mixed": frozenset({1}),
    "mixed the other way": frozenset({0}),
}
"""Which devices have secure hardware: those whose place is even (0), or odd (1)."""


def people(algorithms: str = "Ed25519", count: int = 10) -> list[Device]:
    return [
        world.device(f"{algorithms} {place}", hardware=place % 2 in ALGORITHMS[algorithms])
        for place in range(count)
    ]


PEOPLE = people()
HOLDER, ALMA, BRUNO, CARLA = PEOPLE[:4]
VOUCHER = world.voucher(HOLDER.key)
FRESH = Chain(VOUCHER)
ONE = extend(FRESH, HOLDER, ALMA.key)
TWO = extend(ONE, ALMA, BRUNO.key)
Broken = tuple[str, int, Chain]


def passed_on(devices: list[Device], hops: int, *, voucher: Signed[Voucher] | None = None) -> Chain:
    """A voucher that went so many times from one to the next, each time without its last unit."""
    chain = Chain(voucher or world.voucher(devices[0].key))
    for place in range(hops):
        giver, taker = devices[place], devices[place + 1]
        proof = None if place == 0 else giver.certificate
        chain = extend(chain, giver, taker.key, proof=proof, hi=chain.hi - 1)
    return chain


def first_second() -> int:
    return VOUCHER.body.issued_at - SLACK
