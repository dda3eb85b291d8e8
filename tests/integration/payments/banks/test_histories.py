"""Long random histories of a bank and its users, against a model of a few lines."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from server.kit.auth import Caller
from server.kit.errors import Conflict
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind
from server.payments.banks.errors import DepositDecided
from server.payments.banks.models import BankDepositRow
from server.payments.banks.suspense import Decision, decide
from tests.integration.payments.banks.partner import VAULT, Partner, assert_balanced, shown
from tests.integration.payments.banks.test_reversals import spend
from tests.integration.payments.people import available, join

STEPS = 60


@dataclass
class Model:
    """What must be true: whose each deposit is, what is left of it, who has and owes what."""

    owners: dict[str, str | None] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    has: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    owes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    spent: int = 0

    def give(self, user: str, amount: int) -> None:
        pays = min(amount, self.owes[user])
        self.owes[user] -= pays
        self.has[user] += amount - pays

    def reverse(self, transaction: str, amount: int) -> None:
        self.left[transaction] -= amount
        user = self.owners[transaction]
        if user is not None:
            pays = min(amount, self.has[user])
            self.has[user] -= pays
            self.owes[user] += amount - pays


class History:
    """What happens, step by step, here and in the model."""

    def __init__(self, uow: UnitOfWork, partner: Partner, seed: int) -> None:
        self.uow, self.partner = uow, partner
        self.chance, self.model = random.Random(seed), Model()
        self.people: dict[str, Caller] = {}
        self.references: dict[str, str] = {}
        self.told: list[dict[str, Any]] = []
        self.number = 0

    async def begin(self) -> None:
        for name in ("ada", "bob"):
            self.people[name] = await join(self.uow, name)
            self.references[name] = await self.partner.reference(self.people[name])
        self.officer = await join(self.uow, "officer")
        await self.pay()

    async def step(self) -> None:
        self.number += 1
        steps = [self.pay, self.pay, self.again, self.twist, self.reverse, self.spend, self.assign]
        await self.chance.choice(steps)()

    async def pay(self) -> None:
        owner = self.chance.choice([*self.people, None])
        amount = self.chance.randint(1, 1_000)
        document = self.partner.deposit(self.references[owner] if owner else "?", amount)
        await self.partner.tell(document)
        self.told.append(document)
        self.model.owners[document["transaction_id"]] = owner
        self.model.left[document["transaction_id"]] = amount
        if owner:
            self.model.give(owner, amount)

    async def again(self) -> None:
        document = dict(self.chance.choice(self.told))
        if self.chance.random() < 0.5:
            document["delivery_id"] = f"again-{self.number}"
        await self.partner.tell(document)

    async def twist(self) -> None:
        changed = {"amount": 1_001, "delivery_id": f"twist-{self.number}"}
        with pytest.raises(Conflict):
            await self.partner.tell(self.chance.choice(self.told) | changed)

    async def reverse(self) -> None:
        transaction = self.chance.choice(list(self.model.left))
        if left := self.model.left[transaction]:
            part = self.chance.randint(1, left)
            await self.partner.tell(self.partner.reversal(transaction, part))
            self.model.reverse(transaction, part)

    async def spend(self) -> None:
        name, amount = self.chance.choice(list(self.people)), self.chance.randint(1, 500)
        went = await spend(self.uow, self.people[name], amount, self.number)
        assert went == (amount <= self.model.has[name])
        if went:
            self.model.has[name] -= amount
            self.model.spent += amount

    async def assign(self) -> None:
        transaction = self.chance.choice(list(self.model.left))
        name = self.chance.choice(list(self.people))
        lost = self.model.owners[transaction] is None and self.model.left[transaction]
        try:
            await assign(self.uow, self.officer, transaction, self.people[name].user_id)
        except DepositDecided:
            assert not lost
        else:
            assert lost
            self.model.owners[transaction] = name
            self.model.give(name, self.model.left[transaction])


@pytest.mark.parametrize("seed", range(4))
async def test_a_random_history_ends_as_the_model_says(
    uow: UnitOfWork, partner: Partner, seed: int
) -> None:
    history = History(uow, partner, seed)
    await history.begin()
    for _ in range(STEPS):
        await history.step()
    await compare(uow, partner, history.model, history.people)


async def assign(uow: UnitOfWork, officer: Caller, transaction: str, user: UUID) -> None:
    query = select(BankDepositRow.id).where(BankDepositRow.transaction_id == transaction)
    deposit = await uow.read(lambda tx: tx.session.scalar(query))
    assert deposit is not None
    decision = Decision("assign", "found", user)
    await uow.run(lambda tx: decide(tx, VAULT, officer, deposit, decision, four_eyes=False))


async def compare(
    uow: UnitOfWork, partner: Partner, model: Model, people: dict[str, Caller]
) -> None:
    for name, who in people.items():
        owed = await shown(uow, AccountKind.USER_DEBT, owner=who.user_id)
        assert (await available(uow, who), owed) == (model.has[name], model.owes[name])
    lost = sum(model.left[each] for each, owner in model.owners.items() if owner is None)
    assert await shown(uow, AccountKind.HOUSE_SUSPENSE) == lost
    assert await partner.holds() == sum(model.left.values())
    assert await shown(uow, AccountKind.HOUSE_CAPITAL) == model.spent
    await assert_balanced(uow)
