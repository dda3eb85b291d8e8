"""Whatever devices meet in whatever order: knowledge only grows, and no honest key is accused."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from offline_protocol import (
    Chain,
    IssuerKey,
    KeyUse,
    RevocationDelta,
    Revoked,
    prefix_of,
    seal,
    verify_fraud_proof,
)
from offline_protocol.gossip import Spend, Tag
from offline_protocol.gossip_talk import BUDGET_MIN
from tests.factories.gossip import Pocket, meet
from tests.factories.protocol import DAY, NOW, Issuer, entropy, signer_from

HONEST = ("ada", "bo", "cem", "dua")
CHEATS = ("eve", "finn")
PEOPLE = (*HONEST, *CHEATS)
VALUE = 40

people = st.integers(0, len(PEOPLE) - 1)
budgets = st.sampled_from((BUDGET_MIN, 700, 2_048, 8_192, 32_768))
steps = st.one_of(
    st.tuples(st.just("meet"), people, people, budgets, budgets),
    st.tuples(st.just("pay"), people, people, st.integers(1, 9), st.booleans()),
    st.tuples(st.just("sync"), people, st.booleans(), st.just(0), st.just(0)),
    st.tuples(st.just("revoke"), st.integers(0, 99), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("rotate"), st.just(0), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("lie"), people, people, st.integers(0, VALUE - 1), st.booleans()),
)


@dataclass
class Town:
    """An issuer and devices; cheats sign the same units again, and lie about others."""

    issuer: Issuer = field(default_factory=lambda: Issuer("gossip town"))
    revoked: Revoked = field(default_factory=Revoked)

    def __post_init__(self) -> None:
        self.pockets = [Pocket.of(self.issuer, name) for name in PEOPLE]
        self.chains = [self.issuer.chain(pocket.device, VALUE) for pocket in self.pockets]
        self.spent = [0] * len(PEOPLE)
        self.held: list[list[Chain]] = [[] for _ in PEOPLE]
        self.epochs = [0] * len(PEOPLE)
        self.cheats = {self.pockets[PEOPLE.index(name)].device.key.id for name in CHEATS}

    def meet(self, one: int, other: int, budget: int, other_budget: int) -> None:
        if one == other:
            return
        told = meet(
            self.pockets[one], self.pockets[other], budget=budget, follower_budget=other_budget
        )
        assert told.finished, "honest protocol never breaks off"
        assert max(told.by_leader, told.by_follower) <= min(budget, other_budget)

    def pay(self, payer: int, payee: int, amount: int, again: bool) -> None:  # noqa: FBT001
        """From the low end of the own voucher, or all of what came in last."""
        if payer == payee:
            return
        pocket, request = self.pockets[payer], self.pockets[payee].device.request(amount)
        cheats = PEOPLE[payer] in CHEATS
        if self.held[payer] and again:
            chain = self.held[payer][-1] if cheats else self.held[payer].pop()
            lo, hi = chain.lo, chain.hi
        else:
            chain, lo = self.chains[payer], self.spent[payer]
            hi = min(lo + amount, VALUE)
            self.spent[payer] = 0 if cheats and again else hi
        if lo < hi and chain.hops_used < 4:
            paid = pocket.device.hand_over(chain, request.body, lo=lo, hi=hi)
            self.pockets[payee].receive(paid)
            self.held[payee].append(paid)

    def sync(self, who: int, whole: bool, *_: int) -> None:  # noqa: FBT001
        pocket = self.pockets[who]
        pocket.key_set = self.issuer.key_set
        held = Revoked() if whole else pocket.revoked
        if held.epoch < self.revoked.epoch:
            kid = self.issuer.issuing.public_key.kid
            body = RevocationDelta.between(held, self.revoked, kid=kid, time=NOW)
            pocket.learn(seal(body, self.issuer.issuing))

    def revoke(self, number: int, *_: int) -> None:
        entry = prefix_of(entropy("revoked", number))
        prefixes = self.revoked.prefixes ^ {entry}
        self.revoked = Revoked(self.revoked.epoch + 1, prefixes)

    def rotate(self, *_: int) -> None:
        current = self.issuer.key_set.body
        if len(current.keys) == 12:
            return
        fresh = signer_from("rotated", current.version)
        key = fresh.public_key
        listed = IssuerKey(key.kid, key, NOW - DAY, NOW + 365 * DAY, KeyUse.ISSUE)
        body = replace(
            current,
            version=current.version + 1,
            keys=(*current.keys, listed),
            previous=current.id,
        )
        self.issuer.issuing, self.issuer.key_set = fresh, seal(body, self.issuer.root)

    def lie(self, liar: int, about: int, lo: int, by_record: bool) -> None:  # noqa: FBT001
        """Claim that somebody has spent something; with a record that the liar signed itself."""
        if PEOPLE[liar] not in CHEATS:
            return
        pocket, voucher = self.pockets[liar], self.chains[about].voucher
        forged = pocket.device.transfer(voucher.id, lo, VALUE, pocket.device.key)
        pocket.heard.setdefault(Tag.of(forged.body))
        if by_record:
            for named in (voucher, self.pockets[about].device.certificate):
                pocket.seen[entropy("lie", named.id.hex())] = (Spend(forged, named), True)

    def check(self) -> None:
        for number, pocket in enumerate(self.pockets):
            assert pocket.revoked.epoch >= self.epochs[number], "an epoch fell"
            self.epochs[number] = pocket.revoked.epoch
            assert pocket.convicted <= self.cheats, "an honest key was convicted"
            for key, proof in pocket.proofs.items():
                assert verify_fraud_proof(proof, self.issuer.key_set.body).key.id == key


@given(st.lists(steps, min_size=5, max_size=40))
@settings(max_examples=150, deadline=None)
def test_knowledge_only_grows_and_no_honest_key_is_accused(
    taken: list[tuple[str, int, int, int, int]],
) -> None:
    town = Town()
    for name, *values in taken:
        getattr(town, name)(*values)
        town.check()
    # In the end everybody meets everybody with room enough, twice: then all know the same.
    town.sync(0, whole=True)
    everybody = range(len(PEOPLE))
    for one, other in [(one, other) for _ in "12" for one in everybody for other in everybody]:
        town.meet(one, other, 32_768, 32_768)
        town.check()
    assert {pocket.revoked for pocket in town.pockets} == {town.revoked}
    assert {pocket.key_set.id for pocket in town.pockets} == {town.issuer.key_set.id}
    convicted = [pocket.convicted for pocket in town.pockets]
    assert all(each == convicted[0] for each in convicted)


@given(st.lists(st.tuples(people, people, budgets, budgets), max_size=25), st.data())
@settings(max_examples=60, deadline=None)
def test_a_fork_between_honest_devices_is_found_when_they_meet(
    meetings: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    town = Town()
    eve, (first, second) = PEOPLE.index("eve"), data.draw(st.permutations(range(4)))[:2]
    town.pay(eve, first, 9, again=True)
    town.pay(eve, second, 5, again=True)
    for one, other, budget, other_budget in meetings:
        town.meet(one, other, budget, other_budget)
        town.check()
    town.meet(first, second, 32_768, 32_768)
    assert town.pockets[first].convicted == town.pockets[second].convicted
    assert town.pockets[first].convicted == {town.pockets[eve].device.key.id}
