import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from server.identity import suspend_device
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import UnitOfWork
from tests.factories.identity import Device, Person, p256_signer, signer
from tests.fakes.clock import ManualClock


async def _state(device: Device, device_id: str) -> str:
    items = (await device.call("GET", "/v1/devices")).json()["items"]
    return str({item["id"]: item["status"] for item in items}[device_id])


async def test_enrolling_binds_the_session_and_ends_the_tokens_it_had(ada: Person) -> None:
    device = await ada.join()
    before = Device(device.client, device.clock, tokens=device.tokens)
    response = await device.enrol(signer())
    assert response.status_code == 201
    answer = response.json()
    assert answer["token_type"] == "DPoP"
    assert answer["session_id"] == before.session_id
    account = (await device.call("GET", "/v1/me")).json()
    assert account["device_id"] == answer["device_id"]
    (item,) = (await device.call("GET", "/v1/devices")).json()["items"]
    assert (item["id"], item["status"], item["current"]) == (answer["device_id"], "active", True)
    assert item["key_id"] == to_base64url(signer().public_key.id)
    assert (await before.call("GET", "/v1/me")).json()["code"] == "token_invalid"
    assert "added to your account" in (await ada.messages())[-1].text
    assert (await before.refresh()).json()["code"] == "proof_invalid"
    assert (await device.refresh(before.tokens["refresh_token"])).status_code == 401


async def test_a_device_whose_hardware_has_p256_only_is_enrolled_like_any_other(
    ada: Person,
) -> None:
    device = await ada.join()
    assert (await device.enrol(p256_signer())).status_code == 201
    assert (await device.call("GET", "/v1/me")).status_code == 200
    (item,) = (await device.call("GET", "/v1/devices")).json()["items"]
    assert item["key_id"] == to_base64url(p256_signer().public_key.id)
    assert (await device.refresh()).status_code == 200
    assert (await device.call("GET", "/v1/me")).status_code == 200
    device.key = p256_signer(2)
    assert (await device.call("GET", "/v1/me")).json()["code"] == "proof_invalid"
    device.key = signer()
    assert (await device.call("GET", "/v1/me")).json()["code"] == "proof_invalid"


async def test_a_challenge_is_good_once_for_five_minutes_and_in_its_own_session(
    ada: Person, clock: ManualClock
) -> None:
    device, other = await ada.join(), await ada.sign_in(device_name="Laptop")
    foreign = (await other.call("POST", "/v1/devices/challenges")).json()["challenge"]
    assert (await device.enrol(signer(), challenge=foreign)).json()["code"] == "challenge_invalid"
    old = (await device.call("POST", "/v1/devices/challenges")).json()
    assert old["expires_in"] == 300
    clock.advance(timedelta(minutes=5))
    response = await device.enrol(signer(), challenge=old["challenge"])
    assert response.json()["code"] == "challenge_invalid"
    wrong = await device.enrol(signer(), proof=to_base64url(b"\x00" * 64))
    assert wrong.json()["code"] == "enrolment_proof_invalid"
    assert (await device.call("GET", "/v1/devices")).json()["items"] == []
    assert (await device.enrol(signer())).status_code == 201


async def test_a_failed_proof_uses_the_challenge_up(ada: Person) -> None:
    device = await ada.join()
    user_id = UUID((await device.call("GET", "/v1/me")).json()["id"])
    challenge = (await device.call("POST", "/v1/devices/challenges")).json()["challenge"]
    message = b"tallystick/1/enrol" + from_base64url(challenge, field="c") + user_id.bytes
    document = {
        "name": "Phone",
        "public_key": to_base64url(signer().public_key.raw),
        "challenge": challenge,
        "proof": to_base64url(signer(2).sign(message)),
    }
    codes = [(await device.call("POST", "/v1/devices", document)).json()["code"] for _ in range(2)]
    assert codes == ["enrolment_proof_invalid", "challenge_invalid"]
    document["proof"] = to_base64url(signer().sign(message))
    assert (await device.call("POST", "/v1/devices", document)).status_code == 422


async def test_a_proof_for_one_person_enrols_nothing_for_another(ada: Person, eve: Person) -> None:
    theirs, mine = await ada.join(), await eve.join()
    ada_id = UUID((await theirs.call("GET", "/v1/me")).json()["id"])
    challenge = (await mine.call("POST", "/v1/devices/challenges")).json()["challenge"]
    message = b"tallystick/1/enrol" + from_base64url(challenge, field="c") + ada_id.bytes
    document = {
        "name": "Phone",
        "public_key": to_base64url(signer().public_key.raw),
        "challenge": challenge,
        "proof": to_base64url(signer().sign(message)),
    }
    response = await mine.call("POST", "/v1/devices", document)
    assert response.json()["code"] == "enrolment_proof_invalid"


async def test_a_key_belongs_to_one_person_for_ever(ada: Person, eve: Person) -> None:
    device = await ada.device()
    device_id = device.tokens["device_id"]
    thief = await eve.join()
    assert (await thief.enrol(signer())).json()["code"] == "device_key_taken"
    await device.call("DELETE", f"/v1/devices/{device_id}")
    assert (await thief.enrol(signer())).json()["code"] == "device_key_taken"
    again = await ada.sign_in()
    assert (await again.enrol(signer())).json()["code"] == "device_state"


async def test_a_known_key_binds_the_next_session_to_the_same_device(ada: Person) -> None:
    device = await ada.device()
    device_id = device.tokens["device_id"]
    again = await ada.sign_in()
    told = len(await ada.messages())
    response = await again.enrol(signer())
    assert response.json()["device_id"] == device_id
    assert len((await again.call("GET", "/v1/devices")).json()["items"]) == 1
    assert len(await ada.messages()) == told
    assert (await device.call("GET", "/v1/me")).status_code == 200


async def test_a_bound_session_cannot_move_to_another_key(ada: Person) -> None:
    device = await ada.device()
    response = await device.enrol(signer(2))
    assert response.json()["code"] == "device_state"
    assert (await device.call("GET", "/v1/me")).status_code == 200


async def test_one_key_enrolled_at_the_same_time_is_one_device(ada: Person) -> None:
    first = await ada.join()
    sessions = [first, *[await ada.sign_in() for _ in range(4)]]
    documents = [await session.enrolment(signer()) for session in sessions]
    answers = await asyncio.gather(
        *(
            session.call("POST", "/v1/devices", document)
            for session, document in zip(sessions, documents, strict=True)
        )
    )
    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({answer.json()["device_id"] for answer in answers}) == 1


async def test_a_suspended_device_is_dead_at_once_and_lives_again_when_resumed(
    ada: Person,
) -> None:
    device = await ada.device()
    laptop = await ada.sign_in(device_name="Laptop")
    device_id = device.tokens["device_id"]
    for _ in range(2):
        answer = await laptop.call("POST", f"/v1/devices/{device_id}/suspend")
        assert (answer.status_code, answer.json()["status"]) == (200, "suspended")
    refused = await device.call("GET", "/v1/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "device_inactive")
    assert (await device.refresh()).json()["code"] == "device_inactive"
    assert (await laptop.call("POST", f"/v1/devices/{device_id}/resume")).status_code == 200
    assert (await device.call("GET", "/v1/me")).status_code == 200
    assert (await device.refresh()).status_code == 200


@pytest.mark.parametrize(
    ("method", "action", "state"), [("POST", "/report-lost", "lost"), ("DELETE", "", "revoked")]
)
async def test_lost_and_revoked_are_final(
    ada: Person, method: str, action: str, state: str
) -> None:
    device = await ada.device()
    laptop = await ada.sign_in(device_name="Laptop")
    device_id = device.tokens["device_id"]
    assert (await laptop.call(method, f"/v1/devices/{device_id}{action}")).status_code < 300
    assert (await device.call("GET", "/v1/me")).json()["code"] == "session_ended"
    assert (await device.refresh()).json()["code"] == "session_ended"
    for change in ("resume", "suspend"):
        response = await laptop.call("POST", f"/v1/devices/{device_id}/{change}")
        assert (response.status_code, response.json()["code"]) == (409, "device_state")
    assert await _state(laptop, device_id) == state
    assert f"is {state} now" in (await ada.messages())[-1].text


async def test_a_device_that_the_house_suspended_is_not_the_owners_to_resume(
    ada: Person, uow: UnitOfWork
) -> None:
    device = await ada.device()
    laptop = await ada.sign_in(device_name="Laptop")
    device_id = device.tokens["device_id"]
    await laptop.call("POST", f"/v1/devices/{device_id}/suspend")
    for changed in (True, False):
        held = await uow.run(lambda tx: suspend_device(tx, 1, UUID(device_id), "double spend"))
        assert held is changed
    response = await laptop.call("POST", f"/v1/devices/{device_id}/resume")
    assert response.json()["code"] == "device_state"
    (item,) = (await laptop.call("GET", "/v1/devices")).json()["items"]
    assert (item["status"], item["held"]) == ("suspended", True)
    assert (await laptop.call("DELETE", f"/v1/devices/{device_id}")).status_code == 204


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/suspend"),
        ("POST", "/resume"),
        ("POST", "/report-lost"),
    ],
)
async def test_other_peoples_devices_look_like_none_and_stay_as_they_are(
    ada: Person, eve: Person, method: str, action: str
) -> None:
    theirs, mine = await ada.device(), await eve.join()
    device_id = theirs.tokens["device_id"]
    document = {"name": "mine now"} if method == "PATCH" else None
    answers = [
        await mine.call(method, f"/v1/devices/{unknown}{action}", document)
        for unknown in (device_id, "01890a5d-ac96-774b-bcce-b302099a8057")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert (await mine.call(method, f"/v1/devices/nonsense{action}", document)).status_code == 404
    (item,) = (await theirs.call("GET", "/v1/devices")).json()["items"]
    assert (item["name"], item["status"]) == ("Phone", "active")


async def test_a_device_is_renamed(ada: Person) -> None:
    device = await ada.device()
    path = f"/v1/devices/{device.tokens['device_id']}"
    assert (await device.call("PATCH", path, {"name": "Till 2"})).json()["name"] == "Till 2"
    assert (await device.call("PATCH", path, {"name": "\u200b"})).json()["code"] == "name_invalid"


_UNFIT: list[tuple[dict[str, str], str]] = [
    ({"public_key": "A"}, "invalid_request"),
    ({"public_key": "===="}, "invalid_request"),
    ({"public_key": to_base64url(b"\xff" * 300)}, "invalid_request"),
    ({"public_key": to_base64url(b"nonsense")}, "device_key_invalid"),
    ({"public_key": to_base64url(bytes(32))}, "device_key_invalid"),
    ({"public_key": to_base64url(b"\x02" + bytes(31))}, "device_key_invalid"),
    ({"public_key": to_base64url(b"\x02" + b"\xff" * 32)}, "device_key_invalid"),
    ({"challenge": "AAAA"}, "challenge_invalid"),
    ({"challenge": "!"}, "invalid_request"),
    ({"proof": "AAAA"}, "enrolment_proof_invalid"),
    ({"proof": "A" * 129}, "invalid_request"),
    ({"name": ""}, "invalid_request"),
    ({"name": "\u202e"}, "name_invalid"),
    ({"tenant": "2"}, "invalid_request"),
]


async def test_an_enrolment_that_does_not_fit_enrols_nothing(ada: Person) -> None:
    device = await ada.join()
    for changes, code in _UNFIT:
        response = await device.enrol(signer(), **changes)
        assert response.headers["content-type"] == "application/problem+json", changes
        assert response.json()["code"] == code, changes
    assert (await device.call("GET", "/v1/devices")).json()["items"] == []


async def test_challenges_are_limited(ada: Person) -> None:
    device = await ada.join()
    statuses = [
        (await device.call("POST", "/v1/devices/challenges")).status_code for _ in range(31)
    ]
    assert statuses == [201] * 30 + [429]


async def test_a_person_has_at_most_twenty_devices_also_when_enrolling_at_once(
    ada: Person,
) -> None:
    await ada.join()
    sessions = []
    for number in range(1, 20):
        session = await ada.sign_in()
        assert (await session.enrol(signer(number))).status_code == 201
        sessions.append(session)
    rest = [await ada.sign_in() for _ in range(9)]
    documents = [
        await session.enrolment(signer(number)) for number, session in enumerate(rest, start=20)
    ]
    answers = await asyncio.gather(
        *(
            session.call("POST", "/v1/devices", document)
            for session, document in zip(rest, documents, strict=True)
        )
    )
    codes = sorted(answer.json().get("code", "enrolled") for answer in answers)
    assert codes == ["enrolled"] + ["too_many_devices"] * 8
    first = sessions[0].tokens["device_id"]
    assert (await sessions[1].call("DELETE", f"/v1/devices/{first}")).status_code == 204
    assert (await (await ada.sign_in()).enrol(signer(40))).status_code == 201
