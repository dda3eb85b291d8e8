"""The order of syncs, the cutting of batches and doubled uploads leave no trace."""

import random
from uuid import UUID

import pytest
from sqlalchemy import select

from offline_protocol import TransferKind
from offline_protocol.settlement import settle
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, statement
from server.offline import close_due_roots
from server.offline.models import AccountRow, PositionRow
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.histories import History, live, upload_all
from tests.integration.offline.town import AFTER_CLAIM_BY, CURRENCY, Town, policy

POLICIES = {
    "generous": policy(),
    "tight": policy(user=25, fund=30),
    "no fund": policy(user=0, fund=0),
}


@pytest.mark.parametrize("rules", list(POLICIES))
@pytest.mark.parametrize("seed", [9, 19, 35])
async def test_any_order_of_syncs_leads_to_the_same_balances(
    make_town: MakeTown, seed: int, rules: str
) -> None:
    open_states, closed_states = [], []
    for tenant in (1, 2):
        town = make_town(POLICIES[rules], tenant=tenant, seed=seed)
        start = town.clock.now()
        history = await live(
            town, random.Random(str(seed)), people=6, cheats=2 + seed % 3, steps=60 + seed % 40
        )
        await upload_all(town, history, random.Random(f"{seed}/{tenant}"))
        open_states.append(await town.state())
        assert (await town.report()).forks > 0, "a history without a cheat shows nothing"
        await _agrees_with_the_protocol(town, history)

        town.clock.advance(AFTER_CLAIM_BY)
        await close_due_roots(town.uow, town.policy)
        closed_states.append(await town.state())
        await town.check()
        await _agrees_with_the_protocol(town, history)
        if rules == "generous":
            await _honest_people_lost_nothing(town, history)
        town.clock.advance(start - town.clock.now())
    await town.audit()
    assert open_states[0] == open_states[1]
    assert closed_states[0] == closed_states[1]


async def _agrees_with_the_protocol(town: Town, history: History) -> None:
    """Compare what was posted with the pure function over everything that was ever signed."""
    owner = {d.signer.public_key: str(d.user) for d in town.devices.values()}

    async def read(tx: Tx) -> tuple[list[PositionRow], list[AccountRow]]:
        positions = select(PositionRow).where(PositionRow.tenant == town.tenant)
        accounts = select(AccountRow).where(AccountRow.tenant == town.tenant)
        return (
            list(await tx.session.scalars(positions)),
            list(await tx.session.scalars(accounts)),
        )

    positions, accounts = await town.uow.read(read)
    limits = town.policy.limits(CURRENCY)
    result = settle(
        history.roots,
        account_of=lambda key: owner[key],
        excluded={},
        instant_limit=dict.fromkeys(owner.values(), limits.instant["user"]),
        collateral={str(row.user_id): row.recovered for row in accounts},
        fund_cap=limits.fund,
        now=int(town.clock.now().timestamp()),
    )
    expected = {
        (root.voucher_id, UUID(account)): credit.amount
        for root in result.roots
        for account, credit in root.credits.items()
    }
    posted = {
        (row.root, row.account): row.amount
        for row in positions
        if row.leg == "credit" and row.amount
    }
    assert posted == expected
    debts = {(r.root, r.account): r.amount for r in positions if r.leg == "debt" and r.amount}
    assert debts == {
        (root.voucher_id, UUID(account)): amount
        for root in result.roots
        for account, amount in root.debts.items()
        if amount
    }


async def _honest_people_lost_nothing(town: Town, history: History) -> None:
    """With a fund that is large enough every honest device has what it holds, to the unit.

    A unit that reached one account twice counts once: a wallet refuses the second of the two, and
    the people of these histories do not look.
    """
    units: dict[str, set[tuple[bytes, int]]] = {name: set() for name in town.devices}
    for piece in history.pieces:
        for lo, hi in piece.free:
            root = piece.chain.voucher.id
            units[piece.owner] |= {(root, unit) for unit in range(lo, hi)}
    for name, device in town.devices.items():
        for chain in history.known.get(name, ()):
            link = chain.links[-1]
            tip = link.transfer.body
            if tip.kind is TransferKind.CLAIM and link.signer == device.signer.public_key:
                units[name] |= {(chain.voucher.id, unit) for unit in range(tip.lo, tip.hi)}
    for name in town.devices.keys() - history.cheats:
        device = town.devices[name]
        start = (await _topped_up(town, device.user)) - history.loaded[name]
        assert await town.available(device) == start + len(units[name]), name


async def _topped_up(town: Town, user: UUID) -> int:
    ref = AccountRef(AccountKind.USER_AVAILABLE, CURRENCY, user, town.tenant)
    lines = await town.uow.read(lambda tx: statement(tx, ref, limit=1000))
    return sum(line.delta for line in lines if line.kind == "test.top_up")
