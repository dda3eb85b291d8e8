from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from server.kit.money import AMOUNT_MAX, UnknownCurrency
from server.ledger import (
    AccountClass,
    AccountKind,
    AccountRef,
    EntryRequest,
    InsufficientFunds,
    Operation,
    Outcome,
    Refusal,
)
from server.ledger.errors import EntryRefused, refused
from tests.unit.ledger.books import ANNA, BERK, FLOAT, GATEWAY, START, move, user

HOLD = UUID(int=77)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"credit": ANNA}, "same account"),
        ({"credit": user(2, "USD")}, "different assets"),
        ({"credit": user(2, tenant=2)}, "different tenants"),
        ({"amount": 0}, "out of range"),
        ({"amount": -1}, "out of range"),
        ({"amount": AMOUNT_MAX + 1}, "out of range"),
        ({"amount": 1.0}, "not an int"),
        ({"amount": True}, "not an int"),
        ({"kind": ""}, "characters"),
        ({"hold": HOLD}, "only a capture or release"),
        ({"operation": Operation.CAPTURE}, "only a capture or release"),
        ({"operation": Operation.RELEASE, "hold": HOLD}, "names no amount"),
        ({"operation": Operation.EXPIRE}, "only the ledger"),
        ({"expires_at": START}, "only a hold"),
    ],
)
def test_a_request_that_contradicts_itself_cannot_be_made(
    fields: dict[str, Any], problem: str
) -> None:
    sound: dict[str, Any] = {"debit": ANNA, "credit": BERK, "amount": 5, "kind": "test"}
    with pytest.raises(ValueError, match=problem):
        EntryRequest(id=UUID(int=1), **(sound | fields))


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "other"},
        {"credit": FLOAT},
        {"debit": GATEWAY},
        {"amount": 6},
        {"chain": UUID(int=3)},
        {"effective_at": START},
        {"memo": {"a": 1}},
        {"operation": Operation.HOLD},
        {"operation": Operation.HOLD, "expires_at": START + timedelta(days=1)},
        {"operation": Operation.CAPTURE, "hold": HOLD},
    ],
)
def test_every_field_is_part_of_what_an_id_stands_for(changed: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"debit": ANNA, "credit": BERK, "amount": 5, "kind": "test"}
    first = EntryRequest(id=UUID(int=1), **fields)
    other = EntryRequest(id=UUID(int=1), **(fields | changed))
    assert first.fingerprint != other.fingerprint
    assert first.fingerprint == EntryRequest(id=UUID(int=1), **fields).fingerprint


def test_a_memo_is_the_same_in_any_order_of_its_members() -> None:
    one = move(ANNA, BERK, 5, id=UUID(int=1), memo={"a": 1, "b": 2})
    other = move(ANNA, BERK, 5, id=UUID(int=1), memo={"b": 2, "a": 1})
    assert one.fingerprint == other.fingerprint


def test_a_memo_has_a_limit() -> None:
    with pytest.raises(ValueError, match="longer than"):
        _ = move(ANNA, BERK, 5, memo={"text": "x" * 4096}).fingerprint


def test_an_account_has_one_id_wherever_it_is_named() -> None:
    again = AccountRef(AccountKind.USER_AVAILABLE, "EUR", UUID(int=1))
    assert again.id == ANNA.id
    others = [user(1, "USD"), user(1, tenant=2), user(2)]
    others.append(AccountRef(AccountKind.USER_RECEIVABLE, "EUR", UUID(int=1)))
    assert len({ref.id for ref in [ANNA, *others]}) == 5


def test_the_id_of_an_account_never_changes() -> None:
    assert str(GATEWAY.id) == "58f21818-1d7d-5935-92ed-742424d833da"


def test_an_unknown_asset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownCurrency) as caught:
        user(1, "XXX")
    assert "EUR" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("kind", "owner"),
    [(AccountKind.USER_AVAILABLE, None), (AccountKind.HOUSE_CAPITAL, UUID(int=1))],
)
def test_users_own_and_the_house_does_not(kind: AccountKind, owner: UUID | None) -> None:
    with pytest.raises(ValueError, match="owner"):
        AccountRef(kind, "EUR", owner)


def test_every_kind_has_its_rule_and_user_money_never_goes_below_zero() -> None:
    assert all(kind.rule.purpose for kind in AccountKind)
    assert AccountKind.USER_AVAILABLE.rule.floor == 0
    assert AccountKind.HOUSE_OFFLINE_FLOAT.rule.floor == 0
    signs = {kind: kind.sign for kind in AccountClass}
    assert [name for name, sign in signs.items() if sign < 0] == ["asset", "expense"]


@pytest.mark.parametrize("reason", Refusal)
def test_every_refusal_has_an_error_of_the_same_code(reason: Refusal) -> None:
    error = refused(reason, UUID(int=1))
    assert isinstance(error, EntryRefused)
    assert error.code == reason.value
    assert error.fix


def test_an_outcome_raises_only_when_it_is_a_refusal() -> None:
    Outcome(UUID(int=1), applied=True).raise_for_refusal()
    with pytest.raises(InsufficientFunds):
        Outcome(UUID(int=1), applied=False, reason=Refusal.INSUFFICIENT_FUNDS).raise_for_refusal()
