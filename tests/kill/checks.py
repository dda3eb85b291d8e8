"""What must hold whatever happened: checked after every step and, more of it, at the end."""

from collections import defaultdict
from typing import TYPE_CHECKING

from client_sdk.core import UNCONFIRMED, State
from client_sdk.records import Exchange, Role
from offline_protocol.fraud import find_clones, find_forks
from offline_protocol.transfers import Transfer

if TYPE_CHECKING:
    from tests.kill.person import Person
    from tests.kill.world import World

Unit = tuple[bytes, int]
"""One minor unit of one voucher."""

KEPT = frozenset({State.STORED, State.RECEIPTED, State.SPENT, State.CLAIMED, State.SETTLED})
GIVEN = frozenset({*KEPT, State.RETURNED})


class Broken(AssertionError):
    """Something that must hold does not."""


def require(condition: bool, what: str) -> None:  # noqa: FBT001
    if not condition:
        raise Broken(what)


def check_keys(world: "World") -> None:
    """No key has contradicted itself, by anything that it ever signed."""
    signed = world.memory.signed
    if len(signed) == world.checked:
        return
    world.checked = len(signed)
    require(not find_forks(transfer for _, transfer in signed), "a unit was signed away twice")
    require(not find_clones(signed), "a sequence number was used twice")


def check_value(world: "World") -> None:
    """Every unit is spendable at one place at most, and is nowhere lost."""
    homes: dict[Unit, str] = {}
    for person in world.people:
        for unit in free_units(person):
            require(unit not in homes, f"{unit} is free at {homes.get(unit)} and {person.name}")
            homes[unit] = person.name
    if any(person.forgetful for person in world.people):
        return
    locked = set[Unit]()
    for person in world.people:
        locked |= locked_units(person, world.people)
    for voucher in world.server.vouchers.values():
        if voucher.id in world.server.closed or voucher.id not in world.held:
            continue
        for unit in ((voucher.id, number) for number in range(voucher.body.value)):
            require(unit in homes or unit in locked, f"{unit} is lost")
            require(not (unit in homes and unit in locked), f"{unit} is free and locked")


def free_units(person: "Person") -> set[Unit]:
    """What this device could sign away now; an old copy can sign nothing away."""
    book = person.open().book
    if book.guard.restored:
        return set()
    return {
        (holding.voucher, number)
        for holding in book.holdings()
        for interval in holding.free
        for number in range(interval.lo, interval.hi)
    }


def locked_units(person: "Person", people: "list[Person]") -> set[Unit]:
    """What this device has reserved or signed away and no other one has got yet."""
    book = person.open().book
    units = set[Unit]()
    for exchange in book.exchanges():
        if exchange.role is Role.RECEIVE or exchange.state is State.RETURNED:
            continue
        for draft in exchange.drafts:
            transfer = Transfer.from_payload(draft.payload)
            if any(other.open().book.holding(transfer.id) is not None for other in people):
                continue  # it has arrived
            holding = book.holding(draft.holding)
            assert holding is not None
            units |= {(holding.voucher, number) for number in range(transfer.lo, transfer.hi)}
    return units


def check_said(world: "World") -> None:
    """What was called paid is there; what left, leaves unchanged; a request is paid once."""
    for person in world.people:
        book = person.open().book
        for exchange_id, transfers in person.said.items():
            exchange = book.find_exchange(exchange_id)
            require(
                person.forgetful
                or (
                    exchange is not None
                    and exchange.state in GIVEN
                    and set(exchange.transfers) == transfers
                ),
                f"{person.name} said paid and has forgotten it",
            )
        paid: dict[bytes, set[bytes]] = defaultdict(set)
        for exchange in book.exchanges(role=Role.RECEIVE):
            waits_for_return = exchange.state is State.STORED and exchange.refusal
            if exchange.state in KEPT and not waits_for_return:
                paid[exchange.request].add(exchange.id)
        require(all(len(ids) == 1 for ids in paid.values()), "a request was paid twice and kept")


def check_confirmed(world: "World") -> None:
    """A payment that is confirmed here has arrived there."""
    if any(person.forgetful for person in world.people):
        return
    for payer, exchange in payments(world):
        if exchange.state is State.ACKED:
            require(
                any(set(other.transfers) == set(exchange.transfers) for other in arrived(world)),
                f"{payer.name} was given a receipt for what nobody has",
            )


def check_agreement(world: "World") -> None:
    """Whoever met again agrees: paid on both sides, or returned on both."""
    there = {frozenset(one.transfers): one.state for one in arrived(world)}
    for payer, exchange in payments(world):
        if payer.forgetful or any(one.forgetful for one in world.people):
            continue
        state = there.get(frozenset(exchange.transfers))
        if exchange.state is State.RETURNED:
            require(state is State.RETURNED, "returned here, not there")
        else:
            require(exchange.state not in UNCONFIRMED, f"{payer.name} is in doubt after meeting")
            require(exchange.state in {State.ACKED, State.SETTLED}, f"it is {exchange.state}")
            require(state in KEPT, f"paid here, {state} there")


def check_heard(world: "World") -> None:
    """After everybody has synchronised: no gaps, and what a payee told the server is known."""
    for key in {key for key, _ in world.memory.signed}:
        owner = next(one for one in world.people if one.name == world.server.accounts[key.id])
        gaps = world.server.missing(key)
        require(not gaps or owner.forgetful, f"{owner.name} left out the numbers {gaps}")
    told = {frozenset(one.body.transfer_ids) for one in world.server.receipts.values()}
    for payer, exchange in payments(world):
        if not payer.forgetful and frozenset(exchange.transfers) in told:
            require(exchange.state not in UNCONFIRMED, f"{payer.name} has not heard of a receipt")


def check_verdict(world: "World") -> None:
    """After claim-by the server's verdict has paid out every unit and ended everything."""
    server = world.server
    require(sum(server.paid.values()) == server.issued, "credits are not what was issued")
    check_everything_ended(world)


def check_everything_ended(world: "World") -> None:
    """Nothing is in doubt, and nothing can be spent, after all vouchers were closed."""
    for person in world.people:
        book = person.open().book
        for exchange in book.exchanges(only_open=True):
            waits = exchange.state in {State.SHOWN, State.OPEN}
            retired = not book.guard.restored and not book.may_sign(exchange)
            require(
                waits or retired or person.forgetful,
                f"{person.name}: {exchange.role} is {exchange.state} after the verdict",
            )
        require(not free_units(person) or person.forgetful, "value of a closed voucher is free")


def arrived(world: "World") -> list[Exchange]:
    return [
        exchange
        for person in world.people
        for exchange in person.open().book.exchanges(role=Role.RECEIVE)
        if exchange.received
    ]


def payments(world: "World") -> "list[tuple[Person, Exchange]]":
    return [
        (person, exchange)
        for person in world.people
        for exchange in person.open().book.exchanges(role=Role.PAY)
    ]
