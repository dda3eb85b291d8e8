from datetime import timedelta
from typing import Any

import pytest

from server.identity import purge
from server.kit.unit_of_work import UnitOfWork
from tests.e2e.identity.conftest import watch_argon2
from tests.factories.identity import Person, code_in, token_in
from tests.fakes.clock import ManualClock


async def test_a_person_registers_confirms_in_either_order_and_sees_what_is_missing(
    ada: Person,
) -> None:
    assert (await ada.register()).status_code == 202
    assert (await ada.confirm_email()).status_code == 204
    device = await ada.sign_in()
    account = (await device.call("GET", "/v1/me")).json()
    assert account["email"] == {"address": "ada@example.com", "confirmed": True}
    assert account["phone"] == {"address": "+905321234567", "confirmed": False}
    assert account["unconfirmed"] == ["phone"]
    assert account["role"] == "user"
    assert (await ada.confirm_phone()).status_code == 204
    assert (await device.call("GET", "/v1/me")).json()["unconfirmed"] == []


async def test_an_account_with_nothing_confirmed_cannot_sign_in_and_says_so_only_to_its_owner(
    ada: Person,
) -> None:
    await ada.register()
    wrong = await ada.try_sign_in(password="wrong guess at it")
    assert wrong.json()["code"] == "sign_in_failed"
    right = await ada.try_sign_in()
    assert (right.status_code, right.json()["code"]) == (403, "contact_unconfirmed")


async def test_the_answer_is_the_same_whatever_is_taken_and_costs_the_same_hashes(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada.join()
    fresh = {"phone": "+905320000001", "email": "other@example.com", "username": "other"}
    nothing: set[str] = set()
    for taken in (nothing, {"phone"}, {"email"}, {"username"}, {"phone", "email"}, set(fresh)):
        with monkeypatch.context() as patch:
            work = watch_argon2(patch)
            changes = {name: value for name, value in fresh.items() if name not in taken}
            response = await ada.register(**changes)
        assert response.status_code == 202, taken
        assert response.json() == {
            "status": "accepted",
            "detail": "If this can go on, a code was sent to the phone number and a link to the "
            "e-mail address.",
        }
        assert sorted(name for name, _ in work) == ["hash", "verify"], taken


async def test_the_owner_of_a_taken_address_is_written_to_and_keeps_the_account(
    ada: Person, clock: ManualClock
) -> None:
    await ada.join()
    clock.advance(timedelta(minutes=2))
    before = len(await ada.messages())
    await ada.register(username="mallory", password="entirely different words")
    told = (await ada.messages())[before:]
    assert [message.channel for message in told] == ["sms", "email"]
    assert all("tried to register" in message.text for message in told)
    assert not any(character in told[0].text for character in "0123456789")
    assert (await ada.try_sign_in(identifier="mallory")).status_code == 401
    assert (await ada.try_sign_in(identifier=ada.email)).status_code == 201


async def test_a_taken_username_is_told_by_mail_only(ada: Person, eve: Person) -> None:
    await ada.join()
    eve.username = "ada"
    assert (await eve.register()).status_code == 202
    (message,) = await eve.messages()
    assert message.channel == "email"
    assert "belongs to somebody else" in message.text


async def test_nobody_can_keep_an_address_from_its_owner_by_registering_first(
    ada: Person, eve: Person, clock: ManualClock
) -> None:
    await eve.register(phone=ada.phone, email=ada.email)
    clock.advance(timedelta(minutes=2))
    await ada.register()
    code, link = [message for message in await ada.messages() if "@ada" in message.text]
    assert (await ada.confirm_phone(code_in(code))).status_code == 204
    document = {"token": token_in(link)}
    assert (await ada.client.post("/v1/contacts/email/confirm", json=document)).status_code == 204
    device = await ada.sign_in(identifier=ada.phone)
    assert (await device.call("GET", "/v1/me")).json()["unconfirmed"] == []
    first_code, first_link = [m for m in await ada.messages() if "@eve" in m.text]
    assert (await ada.confirm_phone(code_in(first_code))).status_code == 422
    document = {"token": token_in(first_link)}
    assert (await ada.client.post("/v1/contacts/email/confirm", json=document)).status_code == 422


async def test_asking_again_reminds_the_same_person_but_never_takes_another_password(
    ada: Person, clock: ManualClock
) -> None:
    await ada.register()
    clock.advance(timedelta(minutes=2))
    await ada.register()
    codes = [code_in(message) for message in await ada.messages(ada.phone)]
    assert len(codes) == 2
    clock.advance(timedelta(minutes=2))
    await ada.register(password="entirely different words")
    last = (await ada.messages())[-1]
    assert "belongs to somebody else" in last.text
    assert (await ada.confirm_phone(codes[1])).status_code == 204
    assert (await ada.try_sign_in(password="entirely different words")).status_code == 401
    assert (await ada.try_sign_in()).status_code == 201


_UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"phone": "12"}, "invalid_request"),
    ({"phone": "+90532"}, "phone_invalid"),
    ({"phone": "not a number"}, "phone_invalid"),
    ({"phone": "+905321234567 ext 9"}, "phone_invalid"),
    ({"phone": "+448712345678"}, "phone_invalid"),
    ({"email": "nobody"}, "email_invalid"),
    ({"email": "a@b@example.com"}, "email_invalid"),
    ({"email": "a" * 250 + "@x.com"}, "invalid_request"),
    ({"username": "a"}, "username_invalid"),
    ({"username": "1ada"}, "username_invalid"),
    ({"username": "a da"}, "username_invalid"),
    ({"username": "admin"}, "username_invalid"),
    ({"username": "аda"}, "username_invalid"),  # noqa: RUF001 - a Cyrillic letter
    ({"password": "short"}, "password_weak"),
    ({"password": "Password123!"}, "password_weak"),
    ({"password": "x" * 129}, "invalid_request"),
    ({"password": "ada@example.com"}, "password_weak"),
    ({"display_name": "a\u202eb"}, "name_invalid"),
    ({"extra": "field"}, "invalid_request"),
    ({"password": 12345678}, "invalid_request"),
    ({"phone": None}, "invalid_request"),
]


async def test_a_registration_that_does_not_fit_is_refused_and_sends_nothing(ada: Person) -> None:
    for changes, code in _UNFIT:
        response = await ada.register(**changes)
        assert response.headers["content-type"] == "application/problem+json", changes
        assert response.json()["code"] == code, changes
    assert await ada.deliver() == []


async def test_accounts_with_nothing_confirmed_are_gone_after_a_day_and_the_name_is_free(
    ada: Person, eve: Person, clock: ManualClock, uow: UnitOfWork
) -> None:
    await ada.register()
    await eve.join()
    clock.advance(timedelta(hours=23))
    await purge(uow)
    assert (await ada.try_sign_in()).json()["code"] == "contact_unconfirmed"
    clock.advance(timedelta(hours=1, minutes=2))
    await purge(uow)
    assert (await ada.try_sign_in()).json()["code"] == "sign_in_failed"
    assert (await eve.try_sign_in()).status_code == 201
    clock.advance(timedelta(minutes=2))
    assert (await (await ada.join()).call("GET", "/v1/me")).json()["unconfirmed"] == []


async def test_the_page_of_the_link_uses_nothing_up_and_lets_no_script_but_its_own_run(
    ada: Person,
) -> None:
    await ada.register()
    for _ in range(2):
        page = await ada.client.get("/confirm-email")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await ada.confirm_email()).status_code == 204
    again = await ada.confirm_email()
    assert (again.status_code, again.json()["code"]) == (422, "link_invalid")
