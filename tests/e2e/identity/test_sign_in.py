import asyncio
import logging
import re
from datetime import timedelta
from threading import BoundedSemaphore

import argon2
import pytest
from sqlalchemy import text

from server.identity import Role, passwords, set_role
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.e2e.identity.conftest import watch_argon2
from tests.factories.identity import PASSWORD, Person
from tests.fakes.clock import ManualClock

WRONG = "not the right words"


async def test_a_person_signs_in_by_phone_email_or_username(ada: Person) -> None:
    await ada.join()
    names = ["ada", "ADA", "ada@example.com", "Ada@Example.com", "+905321234567", "05321234567"]
    for identifier in names:
        response = await ada.try_sign_in(identifier=identifier)
        assert response.status_code == 201, identifier
        assert response.headers["cache-control"] == "no-store"
        tokens = response.json()
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
        assert len(tokens["refresh_token"]) == 43


async def test_remember_gives_six_hours_and_no_refresh_token(
    ada: Person, clock: ManualClock
) -> None:
    await ada.join()
    device = await ada.sign_in(remember=True)
    assert device.tokens["expires_in"] == 6 * 3600
    assert device.tokens["refresh_token"] is None
    clock.advance(timedelta(hours=5, minutes=59))
    assert (await device.call("GET", "/v1/me")).status_code == 200
    clock.advance(timedelta(minutes=1))
    assert (await device.call("GET", "/v1/me")).json()["code"] == "token_expired"


async def test_unknown_and_wrong_get_one_answer_and_one_hash(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada.join()
    work = watch_argon2(monkeypatch)
    names = ["ada", "nobody", "nobody@example.com", "+905320000009", "?!", "x" * 200, "@", "+"]
    answers = [await ada.try_sign_in(identifier=name, password=WRONG) for name in names]
    assert {answer.status_code for answer in answers} == {401}
    said = {
        tuple((name, value) for name, value in answer.json().items() if name != "correlation_id")
        for answer in answers
    }
    assert len(said) == 1
    assert [name for name, _ in work] == ["verify"] * len(names)
    figures = {str(argon2.extract_parameters(str(stored))) for _, (_, stored, *_) in work}
    assert len(figures) == 1
    assert "time_cost=2, memory_cost=19456, parallelism=1" in figures.pop()


async def test_an_unconfirmed_address_signs_nobody_in(ada: Person, eve: Person) -> None:
    await ada.register()
    await ada.confirm_email()
    assert (await ada.try_sign_in(identifier=ada.phone)).status_code == 401
    assert (await ada.try_sign_in(identifier=ada.email)).status_code == 201
    assert (await eve.try_sign_in()).status_code == 401


async def test_after_five_wrong_passwords_sign_in_pauses_longer_each_time(
    ada: Person, clock: ManualClock
) -> None:
    await ada.join()
    for _ in range(5):
        assert (await ada.try_sign_in(password=WRONG)).status_code == 401
    paused = await ada.try_sign_in()
    wrong = await ada.try_sign_in(password=WRONG)
    assert paused.status_code == wrong.status_code == 401
    assert paused.json()["detail"] == wrong.json()["detail"], "a pause must not confirm a guess"
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        clock.advance(timedelta(minutes=minutes) - timedelta(seconds=1))
        assert (await ada.try_sign_in()).status_code == 401
        clock.advance(timedelta(seconds=1))
        assert (await ada.try_sign_in(password=WRONG)).status_code == 401
    clock.advance(timedelta(hours=1))
    assert (await ada.try_sign_in()).status_code == 201
    assert (await ada.try_sign_in(password=WRONG)).status_code == 401
    assert (await ada.try_sign_in()).status_code == 201, "the right password begins anew"


async def test_the_owner_is_told_once_that_sign_in_pauses(ada: Person, clock: ManualClock) -> None:
    await ada.join()
    for _ in range(5):
        await ada.try_sign_in(password=WRONG)
    clock.advance(timedelta(minutes=1))
    await ada.try_sign_in(password=WRONG)
    told = [message for message in await ada.messages() if "pauses" in (message.subject or "")]
    assert len(told) == 1


async def test_guesses_under_different_names_are_counted_together(ada: Person) -> None:
    await ada.join()
    for identifier in (ada.username, ada.phone, ada.email, ada.username, ada.phone):
        await ada.try_sign_in(identifier=identifier, password=WRONG)
    assert (await ada.try_sign_in(identifier=ada.email)).status_code == 401


async def test_passwords_guessed_at_the_same_time_get_five_looks_together(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada.join()
    looked: list[str | None] = []
    verify = passwords.PasswordKeeper.verify

    async def spy(self: passwords.PasswordKeeper, password: str, stored: str | None) -> bool:
        looked.append(stored)
        return await verify(self, password, stored)

    monkeypatch.setattr(passwords.PasswordKeeper, "verify", spy)
    guesses = [f"guess number {number}" for number in range(11)]
    answers = await asyncio.gather(
        *(ada.try_sign_in(password=password) for password in [*guesses, PASSWORD])
    )
    assert len(looked) == 12, "each costs a hash"
    assert sum(stored is not None for stored in looked) == 5
    assert [answer.status_code for answer in answers].count(401) >= 11


async def test_an_outdated_hash_is_made_anew_at_sign_in(
    ada: Person, uow: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        passwords, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
    )
    await ada.join()
    monkeypatch.undo()

    async def stored(tx: Tx) -> str:
        return str(
            (
                await tx.connection.execute(text("SELECT password_hash FROM identity_user"))
            ).scalar_one()
        )

    assert "m=8192,t=1" in await uow.read(stored)
    await ada.sign_in()
    assert "m=19456,t=2" in await uow.read(stored)
    await ada.sign_in()


async def test_when_too_many_wait_the_guess_is_not_counted(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada.join()
    monkeypatch.setattr(passwords, "_places", BoundedSemaphore(1))
    with passwords._places:
        answers = [await ada.try_sign_in(password=WRONG) for _ in range(6)]
        assert (await ada.register()).status_code == 503
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["retry-after"] == "1"
    assert (await ada.try_sign_in()).status_code == 201


async def test_a_new_role_holds_from_the_next_call_on_and_an_unknown_one_may_nothing(
    ada: Person, uow: UnitOfWork
) -> None:
    device = await ada.join()
    await uow.run(lambda tx: set_role(tx, 1, "ada", Role.ADMIN))
    account = (await device.call("GET", "/v1/me")).json()
    assert (account["role"], "own_money" in account["permissions"]) == ("admin", False)

    async def make_up_a_role(tx: Tx) -> None:
        await tx.connection.execute(text("UPDATE identity_user SET role = 'wizard'"))

    await uow.run(make_up_a_role)
    for path in ("/v1/me", "/v1/sessions", "/v1/devices"):
        response = await device.call("GET", path)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_a_sign_in_under_a_new_device_name_is_told_and_a_known_one_is_not(
    ada: Person,
) -> None:
    await ada.join()

    async def told() -> list[str]:
        return [m.text for m in await ada.messages() if m.subject == "New sign-in to your account"]

    assert len(await told()) == 1
    await ada.sign_in()
    assert len(await told()) == 1
    await ada.sign_in(device_name="Library computer")
    assert len(await told()) == 2
    assert "'Library computer', 2026-03-02 09:00 UTC" in (await told())[-1]


_UNFIT: list[dict[str, object]] = [
    {"password": None},
    {"password": ""},
    {"password": ["x"]},
    {"identifier": 7},
    {"identifier": "x" * 255},
    {"device_name": ""},
    {"device_name": "x" * 65},
    {"remember": "yes"},
    {"remember": 1},
    {"role": "admin"},
]


async def test_a_sign_in_that_does_not_fit_opens_nothing(ada: Person) -> None:
    device = await ada.join()
    for changes in _UNFIT:
        response = await ada.try_sign_in(**changes)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request"), changes
    assert len((await device.call("GET", "/v1/sessions")).json()["items"]) == 1


async def test_no_log_line_holds_a_secret_or_an_address(
    ada: Person, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    device = await ada.device()
    await device.refresh()
    await ada.try_sign_in(password=WRONG)
    await device.call("GET", "/v1/me")
    messages = await ada.messages()
    out, err = capfd.readouterr()
    log = (
        "".join(record.getMessage() + str(record.__dict__) for record in caplog.records) + out + err
    )
    assert "request" in log
    secrets = [PASSWORD, WRONG, ada.phone, ada.email, device.tokens["access_token"]]
    secrets += [device.tokens["refresh_token"], *(message.text for message in messages)]
    assert [secret for secret in secrets if secret in log] == []
    # Six digits also occur inside times and numbers of threads.
    assert re.search(rf"(?<![\d.]){await ada.code()}(?!\d)", log) is None
