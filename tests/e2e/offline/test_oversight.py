"""Policy, fund, links, debts and disputes over HTTP: who may, who may not, and what is refused."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from httpx import Response
from litestar import Litestar
from litestar.testing import AsyncTestClient

from server.identity import PERMISSIONS, Role, set_role
from server.kit.schema import to_base64url
from server.kit.unit_of_work import UnitOfWork
from server.offline.positions import Positions
from tests.e2e.offline.conftest import MakeWallet, Wallet
from tests.factories.identity import Device

NOBODY = str(UUID(int=77))
WHY = "the board decided so"
STORY = "My phone was stolen on Friday."
Json = dict[str, Any]
Grant = Callable[[str, Role], Any]


@pytest.fixture
def grant(uow: UnitOfWork) -> Grant:
    async def give(username: str, role: Role) -> None:
        await uow.run(lambda tx: set_role(tx, 1, username, role))

    return give


async def _post(device: Device, path: str, document: Json, *, key: str | None = None) -> Response:
    body = json.dumps(document).encode()
    token = device.tokens["access_token"]
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"{device.tokens['token_type']} {token}",
        "DPoP": device.proof("POST", path, body, token=token),
    }
    if key is not None:
        headers["Idempotency-Key"] = key
    return await device.client.post(path, content=body, headers=headers)


async def _cheated(make_wallet: MakeWallet) -> tuple[Wallet, Wallet, Wallet, str]:
    """Eve pays the same units to Bob and Cid; return them and the conflict."""
    eve, bob, cid = [await make_wallet(f"{name}_online") for name in ("eve", "bob", "cid")]
    (voucher,) = await eve.load(5_000)
    for payee in (bob, cid):
        await payee.sync(await payee.claim(eve.sign(voucher, 0, 2_000, payee.key)))
    await bob.sync()
    fork = next(event for event in bob.events if event["type"] == "fork_found")
    return eve, bob, cid, fork["proof_id"]


async def _elsewhere(wallet: Wallet) -> Device:
    """Sign in again without a device, as somebody does whose phone is blocked."""
    client, clock = wallet.device.client, wallet.device.clock
    username = wallet.name
    answer = await client.post(
        "/v1/sessions",
        json={
            "identifier": username,
            "password": "plum radio under seven",
            "device_name": "Library computer",
        },
    )
    assert answer.status_code == 201, answer.text
    return Device(client, clock, tokens=answer.json())


# What each address asks for beside a signed-in caller: the permission, and a body where it takes
# one. The path names things that do not exist.
ROUTES: list[tuple[str, str, str, Json | None]] = [
    ("GET", "/v1/offline/policy/in-force", "oversee_offline", None),
    ("GET", "/v1/offline/policy/versions", "oversee_offline", None),
    ("PUT", "/v1/offline/policy", "offline_policy", {}),
    ("GET", "/v1/offline/fund", "oversee_offline", None),
    ("POST", "/v1/offline/fund/endowments", "offline_fund", {}),
    ("POST", "/v1/offline/fund/withdrawals", "offline_fund", {}),
    ("GET", "/v1/offline/links", "oversee_offline", None),
    ("POST", "/v1/offline/links", "offline_risk", {}),
    ("POST", f"/v1/offline/links/{NOBODY}/end", "offline_risk", {}),
    ("GET", "/v1/offline/debts", "oversee_offline", None),
    ("GET", f"/v1/offline/accounts/{NOBODY}", "oversee_offline", None),
    ("GET", f"/v1/offline/accounts/{NOBODY}/statement", "oversee_offline", None),
    ("PUT", f"/v1/offline/accounts/{NOBODY}/tier", "offline_risk", {}),
    ("POST", f"/v1/offline/accounts/{NOBODY}/write-offs", "offline_risk", {}),
    ("GET", "/v1/offline/audit", "oversee_offline", None),
    ("GET", "/v1/offline/disputes", "oversee_offline", None),
    ("GET", f"/v1/offline/conflicts/{'A' * 43}/case", "oversee_offline", None),
    ("POST", f"/v1/offline/conflicts/{'A' * 43}/dispute/decision", "decide_disputes", {}),
    ("GET", "/v1/offline/collateral", "own_money", None),
    ("POST", "/v1/offline/collateral/deposits", "own_money", {}),
    ("POST", "/v1/offline/collateral/withdrawals", "own_money", {}),
    ("GET", "/v1/offline/statement", "own_money", None),
    ("GET", f"/v1/offline/conflicts/{'A' * 43}/dispute", "own_money", None),
    ("POST", f"/v1/offline/conflicts/{'A' * 43}/dispute", "own_money", {}),
]


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_gets_what_the_matrix_says_and_nothing_else(
    make_wallet: MakeWallet, grant: Grant, role: Role
) -> None:
    ada = await make_wallet("ada_online")
    await grant("ada_online", role)
    for method, path, permission, body in ROUTES:
        answer = await ada.device.call(method, path, body)
        if permission in PERMISSIONS[role]:
            assert answer.status_code in {200, 400, 404}, (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path, answer.text)
            assert (answer.json()["code"], answer.json()["needs"]) == ("forbidden", permission)


async def test_every_address_of_this_part_is_in_the_list(app: Litestar) -> None:
    known = {
        (method, path.replace(NOBODY, "{}").replace("A" * 43, "{}")) for method, path, *_ in ROUTES
    }
    found = set()
    for route in app.routes:
        path = route.path_format
        for name in ("{user_id}", "{link_id}", "{conflict_id}"):
            path = path.replace(name, "{}")
        for handler in getattr(route, "route_handlers", []):
            if {*handler.resolve_tags()} & {"Offline policy", "Offline risk", "Disputes"}:
                found |= {(m, path) for m in handler.http_methods if m != "OPTIONS"}
    assert found - known == {("GET", "/v1/offline/policy")}


async def test_everybody_reads_the_limits_and_a_risk_officer_changes_them(
    make_wallet: MakeWallet, grant: Grant, client: AsyncTestClient[Litestar]
) -> None:
    built_in = (await client.get("/v1/offline/policy")).json()
    assert (built_in["version"], built_in["changes_at"]) == (0, None)
    assert built_in["currencies"]["EUR"]["instant"] == {"user": 10_000, "merchant": 100_000}
    assert "fund" not in built_in["currencies"]["EUR"], "cheats need not know what one may cost"

    rita = await make_wallet("rita_online")
    await grant("rita_online", Role.RISK)
    known = (await rita.device.call("GET", "/v1/offline/policy/in-force")).json()
    document = known["policy"]
    document["hops_max"] = 2
    document["currencies"]["EUR"] = {
        "voucher_value_max": 1_000,
        "payment_max": 1_000,
        "balance_max": 1_000,
        "instant": {"user": 100},
        "fund": 500,
    }
    document["acceptance"] = [{"action": "refuse", "hops_over": 1}]
    change = {"policy": document, "reason": WHY, "replaces": 0}
    changed = await rita.device.call("PUT", "/v1/offline/policy", change)
    assert changed.status_code == 200, changed.text
    assert (await rita.device.call("PUT", "/v1/offline/policy", change)).json() == changed.json()
    stale = await rita.device.call("PUT", "/v1/offline/policy", change | {"reason": "again"})
    assert (stale.status_code, stale.json()["code"], stale.json()["latest"]) == (
        409,
        "policy_changed",
        1,
    )
    public = (await client.get("/v1/offline/policy")).json()
    assert (public["version"], public["hops_max"]) == (1, 2)
    assert public["acceptance"] == [{"action": "refuse", "hops_over": 1}]
    assert public["currencies"]["EUR"]["balance_max"] == 1_000
    kept = (await rita.device.call("GET", "/v1/offline/policy/versions")).json()
    assert [(each["version"], each["changed_by"]) for each in kept["items"]] == [(1, "rita_online")]

    ada = await make_wallet("ada_online")
    await ada.money_call("/v1/top-ups", {"amount": 5_000, "currency": "EUR", "card": "sandbox-ok"})
    refused = await ada.money_call("/v1/offline/vouchers", {"amount": 1_001, "currency": "EUR"})
    assert refused.json()["code"] == "over_offline_limit"


@pytest.mark.parametrize(
    "change",
    [
        {"hops_max": 9},
        {"hops_max": 0},
        {"spend_by_s": 1},
        {"claim_after_s": 10**9},
        {"renew_below_s": 10**6, "certificate_life_s": 10**6},
        {"currencies": {"XXX": {}}},
        {"currencies": {"EUR": {"fund": -1}}},
        {"acceptance": [{"action": "shout", "hops_over": 1}]},
        {"acceptance": [{"action": "warn"}]},
        {"acceptance": [{"action": "warn", "hops_over": 1}] * 33},
        {"unknown": 1},
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(
    make_wallet: MakeWallet, grant: Grant, change: Json
) -> None:
    rita = await make_wallet("rita_online")
    await grant("rita_online", Role.RISK)
    document = (await rita.device.call("GET", "/v1/offline/policy/in-force")).json()["policy"]
    answer = await rita.device.call(
        "PUT",
        "/v1/offline/policy",
        {"policy": document | change, "reason": WHY, "replaces": 0},
    )
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["code"] in {"invalid_request", "policy_invalid"}
    kept = (await rita.device.call("GET", "/v1/offline/policy/versions")).json()
    assert kept["items"] == []


@pytest.mark.parametrize("reason", ["", "  ", "ab", "\x00" * 5, "x" * 501, None, 5])
async def test_a_deed_needs_a_reason(make_wallet: MakeWallet, grant: Grant, reason: Any) -> None:
    rita = await make_wallet("rita_online")
    await grant("rita_online", Role.RISK)
    wish = {"amount": 5, "currency": "EUR", "reason": reason}
    answer = await _post(rita.device, "/v1/offline/fund/endowments", wish, key="k")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_the_fund_and_the_audit(make_wallet: MakeWallet, grant: Grant) -> None:
    rita = await make_wallet("rita_online")
    await grant("rita_online", Role.RISK)
    path = "/v1/offline/fund/endowments"
    wish = {"amount": 900, "currency": "EUR", "reason": WHY}
    first = await _post(rita.device, path, wish, key="one")
    assert first.status_code == 200, first.text
    assert (await _post(rita.device, path, wish, key="one")).json() == first.json()
    without = await _post(rita.device, path, wish)
    assert without.json()["code"] == "invalid_request"
    other = await _post(rita.device, path, wish | {"amount": 901}, key="one")
    assert other.json()["code"] == "idempotency_conflict"
    over = await _post(
        rita.device, "/v1/offline/fund/withdrawals", wish | {"amount": 901}, key="two"
    )
    assert (over.status_code, over.json()["code"], over.json()["free"]) == (
        422,
        "fund_too_low",
        900,
    )
    shown = (await rita.device.call("GET", "/v1/offline/fund")).json()
    assert [(each["currency"], each["balance"]) for each in shown["items"]] == [("EUR", 900)]
    audit = (await rita.device.call("GET", "/v1/offline/audit?subject=fund/EUR")).json()
    assert [(each["action"], each["actor_name"], each["reason"]) for each in audit["items"]] == [
        ("fund_endowed", "rita_online", WHY)
    ]


async def test_links_and_tiers_name_accounts_that_exist(
    make_wallet: MakeWallet, grant: Grant
) -> None:
    rita, ada = await make_wallet("rita_online"), await make_wallet("ada_online")
    await grant("rita_online", Role.RISK)
    me = (await ada.device.call("GET", "/v1/me")).json()["id"]
    you = (await rita.device.call("GET", "/v1/me")).json()["id"]
    bad = await rita.device.call(
        "POST", "/v1/offline/links", {"first": me, "second": NOBODY, "reason": WHY}
    )
    assert bad.status_code == 404
    made = await rita.device.call(
        "POST", "/v1/offline/links", {"first": me, "second": you, "reason": WHY}
    )
    assert made.status_code == 200, made.text
    link = made.json()["id"]
    listed = (await rita.device.call("GET", "/v1/offline/links?limit=1")).json()
    assert [each["id"] for each in listed["items"]] == [link]
    ended = await rita.device.call("POST", f"/v1/offline/links/{link}/end", {"reason": WHY})
    assert ended.json()["ended_by"] == "rita_online"

    path = f"/v1/offline/accounts/{me}/tier"
    unknown = await rita.device.call("PUT", path, {"tier": "palace", "reason": WHY})
    assert unknown.json()["code"] == "policy_invalid"
    given = await rita.device.call("PUT", path, {"tier": "merchant", "reason": WHY})
    assert given.json() == {"user_id": me, "tier": "merchant"}
    seen = (await rita.device.call("GET", f"/v1/offline/accounts/{me}")).json()
    assert (seen["role"], seen["tier"], len(seen["links"])) == ("user", "merchant", 1)
    nothing = await _post(
        rita.device,
        f"/v1/offline/accounts/{me}/write-offs",
        {"currency": "EUR", "reason": WHY},
        key="k",
    )
    assert nothing.json()["code"] == "nothing_owed"
    for cursor in ("x", "..", f"{me}.", f"{me}.XXX", ".EUR"):
        answer = await rita.device.call("GET", f"/v1/offline/debts?cursor={cursor}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_collateral_over_http(make_wallet: MakeWallet) -> None:
    ada, bob = await make_wallet("ada_online"), await make_wallet("bob_online")
    await ada.money_call("/v1/top-ups", {"amount": 5_000, "currency": "EUR", "card": "sandbox-ok"})
    path = "/v1/offline/collateral"
    wish = {"amount": 3_000, "currency": "EUR"}
    put = await ada.money_call(f"{path}/deposits", wish)
    assert put.status_code == 200, put.text
    assert (put.json()["set_aside"], put.json()["balance_max"]) == (3_000, 203_000)
    poor = await ada.money_call(f"{path}/deposits", wish)
    assert poor.json()["code"] == "insufficient_funds"
    stranger = await bob.money_call(f"{path}/withdrawals", wish)
    assert (stranger.status_code, stranger.json()["code"]) == (409, "collateral_bound")
    assert (await bob.device.call("GET", path)).json()["items"] == []
    assert [each["free"] for each in (await ada.device.call("GET", path)).json()["items"]] == [
        3_000
    ]
    back = await ada.money_call(f"{path}/withdrawals", wish)
    assert back.json()["set_aside"] == 0
    assert (await ada.balance())["available"] == 5_000
    steps = (await ada.device.call("GET", "/v1/offline/statement")).json()["items"]
    assert [each["step"] for each in steps] == ["collateral_taken_back", "collateral_set_aside"]


async def test_a_dispute_from_the_accused_to_the_verdict(
    make_wallet: MakeWallet, grant: Grant
) -> None:
    eve, bob, cid, conflict = await _cheated(make_wallet)
    dan, olga = await make_wallet("dan_online"), await make_wallet("olga_online")
    await grant("olga_online", Role.COMPLIANCE)
    path = f"/v1/offline/conflicts/{conflict}/dispute"
    story = {"statement": STORY}

    blocked = await eve.device.call("POST", path, story)
    assert blocked.status_code in {401, 403}, "the accused device is blocked"
    browser = await _elsewhere(eve)
    opened = await browser.call("POST", path, story)
    assert opened.status_code == 200, opened.text
    assert (await browser.call("POST", path, story)).json() == opened.json()
    other = await browser.call("POST", path, {"statement": "another story"})
    assert (other.status_code, other.json()["code"]) == (409, "dispute_exists")

    for stranger, status in ((dan, 404), (bob, 403)):
        answer = await stranger.device.call("POST", path, story)
        assert answer.status_code == status, answer.text
    assert (await dan.device.call("GET", path)).status_code == 404
    assert (await bob.device.call("GET", path)).json()["role"] == "victim"
    for wallet in (eve, bob, dan):
        device = browser if wallet is eve else wallet.device
        case = await device.call("GET", f"/v1/offline/conflicts/{conflict}/case")
        assert case.status_code == 403, "the whole case is for officers"
        verdict = {"verdict": "overturned", "bearer": "fund", "reason": WHY}
        assert (await device.call("POST", f"{path}/decision", verdict)).status_code == 403

    waiting = (await olga.device.call("GET", "/v1/offline/disputes")).json()["items"]
    assert [(each["conflict_id"], each["state"]) for each in waiting] == [(conflict, "open")]
    case = (await olga.device.call("GET", f"/v1/offline/conflicts/{conflict}/case")).json()
    assert (case["statement"], case["proof_verifies"], case["effect"]["cost_of_fork"]) == (
        STORY,
        True,
        2_000,
    )
    decided = await olga.device.call(
        "POST",
        f"{path}/decision",
        {"verdict": "overturned", "bearer": "issuer", "cause": "stolen", "reason": WHY},
    )
    assert decided.status_code == 200, decided.text
    assert decided.json()["dispute"]["state"] == "overturned"
    steps = (await browser.call("GET", "/v1/offline/statement")).json()["items"]
    assert [each["step"] for each in steps[:3]] == [
        "debt_released",
        "dispute_overturned",
        "dispute_opened",
    ]
    for payee in (bob, cid):
        assert (await payee.balance())["available"] == 2_000
        await payee.sync()
        told = [event for event in payee.events if event["type"] == "dispute_step"]
        assert [each["step"] for each in told] == ["opened", "overturned"]


async def test_ids_that_are_none_are_refused(make_wallet: MakeWallet, grant: Grant) -> None:
    ada, olga = await make_wallet("ada_online"), await make_wallet("olga_online")
    await grant("olga_online", Role.COMPLIANCE)
    for identity, status in (("short", 400), ("A" * 43, 404), ("!" * 43, 400), ("A" * 65, 400)):
        for device, path in (
            (ada.device, f"/v1/offline/conflicts/{identity}/dispute"),
            (olga.device, f"/v1/offline/conflicts/{identity}/case"),
        ):
            answer = await device.call("GET", path)
            assert answer.status_code == status, (path, answer.text)
    for query in ("limit=0", "limit=101", "state=lost", "cursor=AAAA"):
        answer = await olga.device.call("GET", f"/v1/offline/disputes?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), query
    for query in ("before=0", "before=x", "subject=%00", f"subject={'a' * 97}", "subject=%C3%A4"):
        answer = await olga.device.call("GET", f"/v1/offline/audit?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), query


async def test_a_settlement_that_is_refused_is_a_503_with_a_code(
    make_wallet: MakeWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await make_wallet("ada_online"), await make_wallet("bob_online")
    (voucher,) = await ada.load(5_000)
    chain = await bob.claim(ada.sign(voucher, 0, 1_000, bob.key))
    records = [
        {"kind": "transfer", "object": to_base64url(hop.transfer.envelope)} for hop in chain.hops
    ]
    whole = Positions.move_to

    def half(self: Positions, root: Any, book: Any, *, revision: int) -> Any:
        return whole(self, root, book, revision=revision)[:-1]

    with monkeypatch.context() as planted:
        planted.setattr(Positions, "move_to", half)
        refused = await bob.device.call(
            "POST", "/v1/offline/sync", {"cursor": 0, "records": records}
        )
    assert refused.status_code == 503, refused.text
    document = refused.json()
    assert document["code"] == "settlement_unsound"
    assert "vouchers" not in document, "the evidence is for operators"
    await bob.sync(chain)
    assert (await bob.balance())["available"] == 1_000
