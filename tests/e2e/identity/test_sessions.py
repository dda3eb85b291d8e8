import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from server.kit.unit_of_work import Tx, UnitOfWork
from tests.factories.identity import Person, signer
from tests.fakes.clock import ManualClock


async def _signals(uow: UnitOfWork) -> list[str]:
    async def query(tx: Tx) -> list[str]:
        rows = await tx.connection.execute(text("SELECT kind FROM identity_signal ORDER BY at, id"))
        return [str(kind) for (kind,) in rows]

    return await uow.read(query)


async def test_sessions_are_listed_with_name_and_last_use_and_the_present_one_is_marked(
    ada: Person, clock: ManualClock
) -> None:
    phone = await ada.join()
    clock.advance(timedelta(minutes=5))
    laptop = await ada.sign_in(device_name="Laptop")
    clock.advance(timedelta(minutes=5))
    items = (await phone.call("GET", "/v1/sessions")).json()["items"]
    assert [(item["name"], item["current"]) for item in items] == [
        ("Phone", True),
        ("Laptop", False),
    ]
    assert items[0]["last_seen_at"] == "2026-03-02T09:10:00Z"
    assert items[1]["id"] == laptop.session_id


async def test_a_session_is_renamed(ada: Person) -> None:
    device = await ada.join()
    path = f"/v1/sessions/{device.session_id}"
    assert (await device.call("PATCH", path, {"name": "  Old   phone "})).json()[
        "name"
    ] == "Old phone"
    assert (await device.call("PATCH", path, {"name": "a\u0000b"})).json()["code"] == "name_invalid"
    assert (await device.call("PATCH", path, {"name": ""})).status_code == 400


async def test_an_ended_session_is_dead_at_once_with_all_its_tokens(ada: Person) -> None:
    phone = await ada.join()
    laptop = await ada.sign_in(device_name="Laptop")
    assert (await phone.call("DELETE", f"/v1/sessions/{laptop.session_id}")).status_code == 204
    assert (await laptop.call("GET", "/v1/me")).json()["code"] == "session_ended"
    assert (await laptop.refresh()).json()["code"] == "session_ended"
    assert (await phone.call("DELETE", f"/v1/sessions/{laptop.session_id}")).status_code == 404
    assert (await phone.call("GET", "/v1/me")).status_code == 200


async def test_ending_all_sessions_ends_this_one_too(ada: Person) -> None:
    phone, laptop = await ada.join(), await ada.sign_in(device_name="Laptop")
    assert (await phone.call("DELETE", "/v1/sessions")).status_code == 204
    for device in (phone, laptop):
        assert (await device.call("GET", "/v1/sessions")).json()["code"] == "session_ended"


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_other_peoples_sessions_look_like_none(ada: Person, eve: Person, method: str) -> None:
    theirs, mine = await ada.join(), await eve.join()
    document = {"name": "mine now"} if method == "PATCH" else None
    for session_id in (theirs.session_id, "01890a5d-ac96-774b-bcce-b302099a8057"):
        response = await mine.call(method, f"/v1/sessions/{session_id}", document)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    (item,) = (await theirs.call("GET", "/v1/sessions")).json()["items"]
    assert item["name"] == "Phone"


async def test_a_refresh_token_gives_new_tokens_and_works_once(
    ada: Person, uow: UnitOfWork, clock: ManualClock
) -> None:
    device = await ada.join()
    first = device.tokens
    clock.advance(timedelta(minutes=20))
    assert (await device.call("GET", "/v1/me")).json()["code"] == "token_expired"
    device.tokens = (await device.refresh()).json()
    assert device.tokens["session_id"] == first["session_id"]
    assert (await device.call("GET", "/v1/me")).status_code == 200
    again = await device.refresh(first["refresh_token"])
    assert (again.status_code, again.json()["code"]) == (401, "refresh_token_invalid")
    assert (await device.call("GET", "/v1/me")).json()["code"] == "session_ended"
    assert (await device.refresh()).json()["code"] == "session_ended"
    assert await _signals(uow) == ["refresh_reused"]
    assert (await ada.messages())[-1].subject == "We ended one of your sessions"


async def test_ten_refreshes_of_a_device_at_once_make_one_successor_and_end_nothing(
    ada: Person, uow: UnitOfWork
) -> None:
    device = await ada.device()
    answers = await asyncio.gather(*(device.refresh() for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1

    async def unused(tx: Tx) -> int:
        query = "SELECT count(*) FROM identity_refresh_token WHERE used_at IS NULL"
        return int((await tx.connection.execute(text(query))).scalar_one())

    assert await uow.read(unused) == 1
    device.tokens = answers[3].json()
    assert (await device.call("GET", "/v1/me")).status_code == 200
    assert (await device.refresh()).status_code == 200
    assert await _signals(uow) == []


async def test_ten_refreshes_at_once_without_a_device_key_end_the_session(ada: Person) -> None:
    device = await ada.join()
    answers = await asyncio.gather(*(device.refresh() for _ in range(10)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert (await device.call("GET", "/v1/me")).json()["code"] == "session_ended"


async def test_a_lost_answer_is_given_again_for_ten_seconds_and_then_ends_the_session(
    ada: Person, clock: ManualClock, uow: UnitOfWork
) -> None:
    device = await ada.device()
    first = (await device.refresh()).json()
    clock.advance(timedelta(seconds=10))
    again = (await device.refresh()).json()
    assert again["refresh_token"] == first["refresh_token"]
    clock.advance(timedelta(seconds=1))
    assert (await device.refresh()).json()["code"] == "refresh_token_invalid"
    assert (await device.refresh(first["refresh_token"])).json()["code"] == "session_ended"
    assert await _signals(uow) == ["refresh_reused"]


async def test_a_bound_refresh_token_is_worth_nothing_without_its_key(
    ada: Person, uow: UnitOfWork
) -> None:
    device = await ada.device()
    own = device.key
    for key in (None, signer(9)):
        device.key = key
        assert (await device.refresh()).json()["code"] == "proof_invalid"
    device.key = own
    assert (await device.refresh()).status_code == 200
    assert await _signals(uow) == ["refresh_wrong_key"] * 2


async def test_an_unused_refresh_token_dies_after_thirty_days_and_any_after_ninety(
    ada: Person, clock: ManualClock
) -> None:
    device = await ada.join()
    idle = await ada.sign_in()
    for _ in range(3):
        clock.advance(timedelta(days=29))
        device.tokens = (await device.refresh()).json()
    assert (await idle.refresh()).json()["code"] == "refresh_token_invalid"
    clock.advance(timedelta(days=2, hours=23, minutes=50))
    device.tokens = (await device.refresh()).json()
    assert device.tokens["expires_in"] == 600
    clock.advance(timedelta(minutes=10))
    assert (await device.refresh()).json()["code"] == "session_ended"


@pytest.mark.parametrize("token", ["A" * 43, "A" * 42, "", "ä" * 43, "A" * 64, "A" * 65, "=" * 43])
async def test_a_made_up_refresh_token_is_refused(ada: Person, token: str) -> None:
    response = await ada.client.post("/v1/sessions/refresh", json={"refresh_token": token})
    assert response.status_code in {400, 401}
    assert response.json()["code"] in {"invalid_request", "refresh_token_invalid"}


async def test_the_fifty_first_session_ends_the_one_used_longest_ago(
    ada: Person, clock: ManualClock
) -> None:
    oldest = await ada.join()
    devices = []
    for _ in range(50):
        clock.advance(timedelta(seconds=1))
        devices.append(await ada.sign_in())
    assert (await oldest.call("GET", "/v1/me")).json()["code"] == "session_ended"
    assert len((await devices[0].call("GET", "/v1/sessions")).json()["items"]) == 50
