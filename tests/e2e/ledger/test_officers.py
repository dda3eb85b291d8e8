"""Reconciliation, trial balance, days, limits and closing, for officers and nobody else."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import Response

from offline_protocol.keys import SoftwareSigner
from server.identity import PERMISSIONS, Role
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, OutsideLine, close_days, reconcile
from tests.e2e.ledger.conftest import Fund
from tests.factories.identity import Device, Person
from tests.fakes.clock import ManualClock

SIGNER = SoftwareSigner(bytes(range(32)))
GATEWAY = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR")
NOTHING = UUID(int=77)
Appoint = Callable[[Role], Awaitable[Device]]
ROUTES: list[tuple[str, str, str, Any]] = [
    ("GET", "/v1/reconciliation", "reconcile", None),
    ("GET", "/v1/reconciliation/breaks", "reconcile", None),
    ("GET", f"/v1/reconciliation/breaks/{NOTHING}", "reconcile", None),
    ("POST", f"/v1/reconciliation/breaks/{NOTHING}/decisions", "reconcile", {}),
    ("GET", "/v1/ledger/trial-balance", "reconcile", None),
    ("GET", "/v1/ledger/days", "reconcile", None),
    ("GET", f"/v1/ledger/accounts/{NOTHING}", "reconcile", None),
    ("GET", f"/v1/ledger/accounts/{NOTHING}/limits", "reconcile", None),
    ("PUT", f"/v1/ledger/accounts/{NOTHING}/limits", "keep_books", {}),
    ("POST", f"/v1/ledger/accounts/{NOTHING}/close", "keep_books", None),
]


async def _call(device: Device, method: str, path: str, document: Any = None) -> Response:
    return await device.call(method, path, document)


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_gets_what_the_matrix_says(officer: Appoint, role: Role) -> None:
    device = await officer(role)
    for method, path, permission, document in ROUTES:
        answer = await _call(device, method, path, document)
        allowed = permission in PERMISSIONS[role]
        assert (answer.status_code != 403) == allowed, (role, path, answer.text)


async def test_a_break_is_listed_explained_and_closed(
    officer: Appoint, uow: UnitOfWork, clock: ManualClock
) -> None:
    day = clock.now().date()
    lines = [OutsideLine(f"t{n}", 5 + n, "EUR", day, "a line") for n in range(3)]
    await uow.run(lambda tx: reconcile(tx, GATEWAY, "march", lines, closing_balance=18))
    olga = await officer(Role.COMPLIANCE)
    page = (await olga.call("GET", "/v1/reconciliation/breaks?limit=2&state=open")).json()
    assert [item["external_id"] for item in page["items"]] == ["t0", "t1"]
    rest = await olga.call("GET", f"/v1/reconciliation/breaks?cursor={page['next_cursor']}")
    assert [item["external_id"] for item in rest.json()["items"]] == ["t2"]
    path = f"/v1/reconciliation/breaks/{page['items'][0]['id']}"
    for state, status in (("explained", 200), ("explained", 409), ("closed", 200), ("open", 409)):
        decision = {"state": state, "reason": "asked the bank"}
        answer = await olga.call("POST", f"{path}/decisions", decision)
        assert answer.status_code == status, answer.text
    history = (await olga.call("GET", path)).json()
    assert history["subject"]["state"] == "closed"
    assert [(e["state"], e["set_by"]) for e in history["events"]] == [
        ("open", "books"),
        ("explained", "eve"),
        ("closed", "eve"),
    ]
    for bad in (
        {"state": "gone", "reason": "x"},
        {"state": "open", "reason": ""},
        {"state": "open"},
    ):
        assert (await olga.call("POST", f"{path}/decisions", bad)).status_code == 400


async def test_mirrors_are_listed_with_their_last_statement(
    officer: Appoint, ada: Person, fund: Fund, uow: UnitOfWork, clock: ManualClock
) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    olga = await officer(Role.ADMIN)
    (mirror,) = (await olga.call("GET", "/v1/reconciliation")).json()["items"]
    assert (mirror["balance"], mirror["statement"], mirror["sound"]) == (1_000, None, False)
    day = clock.now().date()
    await uow.run(lambda tx: reconcile(tx, GATEWAY, "s", [], closing_balance=0, period=(day, day)))
    (mirror,) = (await olga.call("GET", "/v1/reconciliation")).json()["items"]
    assert (mirror["breaks"], mirror["unexplained"], mirror["sound"]) == (1, 0, False)


async def test_the_trial_balance_at_an_instant_and_of_a_closed_day(  # noqa: PLR0917
    officer: Appoint, ada: Person, eve: Person, fund: Fund, uow: UnitOfWork, clock: ManualClock
) -> None:
    device = await ada.join()
    before = clock.now() - timedelta(minutes=1)
    await fund(device, 1_000)
    await officer(Role.COMPLIANCE)
    today = clock.now().date()
    clock.advance(timedelta(days=1))
    await close_days(uow, SIGNER, upto=today)
    olga = await eve.sign_in()

    async def lines(query: str) -> dict[str, int]:
        answer = await olga.call("GET", f"/v1/ledger/trial-balance?{query}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["balanced"] is True
        return {line["kind"]: line["amount"] for line in answer.json()["lines"]}

    both = {"house_card_gateway": 1_000, "user_available": 1_000}
    assert await lines("") == await lines(f"day={today}") == both
    assert await lines(f"at={before:%Y-%m-%dT%H:%M:%SZ}&by=effective") == {}
    for query, status in ((f"day={today + timedelta(days=1)}", 404), (f"day={today}&at=x", 400)):
        answer = await olga.call("GET", f"/v1/ledger/trial-balance?{query}")
        assert answer.status_code == status
    days = (await olga.call("GET", "/v1/ledger/days")).json()
    assert [item["day"] for item in days["items"]] == [str(today)]
    earlier = (await olga.call("GET", f"/v1/ledger/days?before={today}")).json()
    assert earlier["items"] == []


async def test_an_account_is_limited_and_closed(officer: Appoint, ada: Person, fund: Fund) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    me = UUID((await device.call("GET", "/v1/me")).json()["id"])
    ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", me)
    olga = await officer(Role.ADMIN)
    path = f"/v1/ledger/accounts/{ref.id}"
    assert (await olga.call("GET", path)).json()["balance"] == 1_000
    for floor, status in ((-500, 200), (1_001, 422), (None, 422), ("5", 400), (0, 200)):
        answer = await olga.call("PUT", f"{path}/limits", {"floor": floor, "reason": "agreed"})
        assert answer.status_code == status, (floor, answer.text)
    limits = (await olga.call("GET", f"{path}/limits")).json()["items"]
    assert [(each["floor"], each["set_by"]) for each in limits] == [(0, "eve"), (-500, "eve")]
    refused = await olga.call("POST", f"{path}/close")
    assert (refused.status_code, refused.json()["code"]) == (409, "account_in_use")
    missing = await olga.call("POST", f"/v1/ledger/accounts/{NOTHING}/close")
    assert missing.status_code == 404
    assert json.loads(missing.text)["code"] == "not_found"
