"""Banks over HTTP: notices at the open address, users' own pages, the officers' desk."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import select

from server.identity import Role, set_role
from server.kit.unit_of_work import UnitOfWork
from server.payments.banks.models import BankOrderRow
from server.payments.banks.orders import content_of
from server.payments.banks.partners import set_active
from server.payments.banks.signatures import HEADER, WEBHOOK, sign
from tests.factories.identity import Device, Person
from tests.integration.payments.banks.partner import PAYER, VAULT, Partner

IBAN = "DE75512108001245126199"


async def ask(
    device: Device, method: str, path: str, document: Any = None, *, key: str | None = None
) -> Response:
    """Call as a signed-in user, with an Idempotency-Key when one is given."""
    headers = {"Authorization": f"Bearer {device.tokens['access_token']}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return await device.client.request(method, path, json=document, headers=headers)


async def notify(
    client: AsyncClient, partner: Partner, document: dict[str, Any], **changes: Any
) -> Response:
    """Post a notice as the bank does."""
    body = changes.get("body") or json.dumps(document).encode()
    signature = sign(partner.secret.encode(), WEBHOOK, body, at=partner.clock.now())
    bank = changes.get("bank", partner.bank.id)
    return await client.post(
        f"/v1/webhooks/banks/{bank}",
        content=body,
        headers={"Content-Type": "application/json", HEADER: changes.get("signature", signature)},
    )


async def test_a_user_pays_in_with_the_reference_that_the_page_shows(
    client: AsyncClient, partner: Partner, ada: Person
) -> None:
    device = await ada.join()
    [how] = (await ask(device, "GET", "/v1/deposit-instructions?currency=EUR")).json()
    assert how["bank"] == "First Bank"
    assert how["reference_shown"].replace(" ", "") == how["reference"]
    document = partner.deposit(f"my money {how['reference_shown']}", 12_345)
    answer = await notify(client, partner, document)
    assert (answer.status_code, answer.json()) == (200, {"outcome": "credited", "replayed": False})
    again = await notify(client, partner, document)
    assert again.json() == {"outcome": "credited", "replayed": True}
    [deposit] = (await ask(device, "GET", "/v1/deposits")).json()
    assert (deposit["amount"], deposit["currency"], deposit["taken_back"]) == (12_345, "EUR", 0)
    history = (await ask(device, "GET", "/v1/history")).json()["items"]
    assert [item["amount"] for item in history] == [12_345]


async def test_notices_at_once_are_booked_once(
    client: AsyncClient, partner: Partner, ada: Person
) -> None:
    device = await ada.join()
    [how] = (await ask(device, "GET", "/v1/deposit-instructions?currency=EUR")).json()
    document = partner.deposit(how["reference"])
    answers = await asyncio.gather(*(notify(client, partner, document) for _ in range(32)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(not answer.json()["replayed"] for answer in answers) == 1
    assert len((await ask(device, "GET", "/v1/deposits")).json()) == 1


async def test_what_is_not_signed_gets_the_same_answer_whether_there_is_such_a_bank_or_not(
    client: AsyncClient, partner: Partner
) -> None:
    document = partner.deposit("none")
    wrong = f"t={int(partner.clock.now().timestamp())},v1={'0' * 64}"
    answers = [
        await notify(client, partner, document, signature=wrong),
        await notify(client, partner, document, bank=UUID(int=5)),
        await notify(client, partner, document, signature=""),
    ]
    problems = [answer.json() | {"correlation_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert problems[0] == problems[1] == problems[2]
    assert problems[0]["code"] == "signature_invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -5},
        {"amount": "5"},
        {"amount": 5.0},
        {"amount": 2**53},
        {"transaction_id": "x" * 36},
        {"transaction_id": "a b"},
        {"delivery_id": ""},
        {"type": "gift"},
        {"booked_on": "yesterday"},
        {"reference": "x" * 501},
        {"extra": 1},
        {"currency": "eur"},
    ],
)
async def test_a_notice_of_another_form_is_refused(
    client: AsyncClient, partner: Partner, changes: dict[str, object]
) -> None:
    answer = await notify(client, partner, partner.deposit("none") | changes)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert await partner.holds() == 0


async def test_a_body_that_could_be_read_in_two_ways_or_is_huge_is_refused(
    client: AsyncClient, partner: Partner
) -> None:
    twice = json.dumps(partner.deposit("none"))[:-1].encode() + b', "amount": 1}'
    assert (await notify(client, partner, {}, body=twice)).status_code == 400
    huge = json.dumps(partner.deposit("none")).encode() + b" " * 70_000
    assert (await notify(client, partner, {}, body=huge)).status_code == 413
    assert await partner.holds() == 0


async def test_a_suspended_bank_is_told_so(
    client: AsyncClient, uow: UnitOfWork, partner: Partner
) -> None:
    await uow.run(lambda tx: set_active(tx, 1, partner.bank.id, active=False))
    answer = await notify(client, partner, partner.deposit("none"))
    assert (answer.status_code, answer.json()["code"]) == (403, "bank_suspended")


@pytest.mark.usefixtures("partner")
async def test_a_bank_account_is_added_once_masked_verified_and_removed(
    uow: UnitOfWork, ada: Person
) -> None:
    device = await ada.join()
    wish = {"currency": "EUR", "payee": {"name": "Ada Yilmaz", "iban": IBAN}}
    made = [await ask(device, "POST", "/v1/bank-accounts", wish, key="k1") for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json() == made[1].json()
    account = made[0].json()
    assert IBAN not in made[0].text
    assert (account["state"], account["attempts"]) == ("unverified", 5)
    assert (await ask(device, "POST", "/v1/bank-accounts", wish, key="k2")).status_code == 409

    orders = list(await uow.read(lambda tx: tx.session.scalars(select(BankOrderRow))))
    [code] = [content_of(VAULT, order).reference[-6:] for order in orders]
    path = f"/v1/bank-accounts/{account['id']}/verification/code"
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for left in (4, 3):
        answer = await ask(device, "POST", path, {"code": wrong})
        assert (answer.status_code, answer.json()["attempts_left"]) == (422, left)
    done = await ask(device, "POST", path, {"code": code})
    assert done.json()["state"] == "verified"
    [listed] = (await ask(device, "GET", "/v1/bank-accounts")).json()
    assert listed == done.json()
    gone = await ask(device, "DELETE", f"/v1/bank-accounts/{account['id']}")
    assert gone.status_code == 204
    assert (await ask(device, "GET", "/v1/bank-accounts")).json() == []


async def test_officers_and_nobody_else_find_the_owner_of_lost_money(
    client: AsyncClient, uow: UnitOfWork, partner: Partner, ada: Person, eve: Person
) -> None:
    user, officer = await ada.join(), await eve.join()
    await notify(client, partner, partner.deposit("no idea", 700, payer=PAYER))
    assert (await ask(officer, "GET", "/v1/bank-desk/suspense")).status_code == 403
    await uow.run(lambda tx: set_role(tx, 1, eve.username, Role.COMPLIANCE))
    [lost] = (await ask(officer, "GET", "/v1/bank-desk/suspense")).json()
    assert lost["cause"] == "no_reference"
    assert lost["payer"].startswith("Grace Hopper, ••••")
    me = (await ask(user, "GET", "/v1/me")).json()["id"]
    path = f"/v1/bank-desk/suspense/{lost['id']}/decision"
    unclear = {"action": "assign", "reason": "the payer called"}
    assert (await ask(officer, "POST", path, unclear)).status_code == 400
    decided = await ask(officer, "POST", path, unclear | {"user_id": me})
    assert (decided.status_code, decided.json()["state"]) == (200, "credited")
    [deposit] = (await ask(user, "GET", "/v1/deposits")).json()
    assert deposit["amount"] == 700
    assert (await ask(officer, "GET", "/v1/bank-desk/suspense")).json() == []


async def test_breaks_are_listed_and_closed_at_the_desk(
    client: AsyncClient, uow: UnitOfWork, partner: Partner, eve: Person
) -> None:
    officer = await eve.join()
    await uow.run(lambda tx: set_role(tx, 1, eve.username, Role.COMPLIANCE))
    answer = await notify(client, partner, partner.deposit("x", currency="USD"))
    assert (answer.status_code, answer.json()["code"]) == (422, "currency_not_agreed")
    [found] = (await ask(officer, "GET", "/v1/bank-desk/breaks")).json()
    path = f"/v1/bank-desk/breaks/{found['id']}/closing"
    closed = await ask(officer, "POST", path, {"note": "the bank converts it"})
    assert closed.json()["state"] == "closed"
    assert (await ask(officer, "GET", "/v1/bank-desk/breaks")).json() == []
