import asyncio
from datetime import timedelta

from tests.factories.identity import Deliver, Person, code_in, token_in
from tests.fakes.clock import ManualClock


def _wrong(code: str, step: int = 1) -> str:
    return f"{(int(code) + step) % 1_000_000:06d}"


async def test_a_code_is_good_once_and_for_five_minutes(ada: Person, clock: ManualClock) -> None:
    await ada.register()
    code = await ada.code()
    clock.advance(timedelta(minutes=5))
    assert (await ada.confirm_phone(code)).json()["code"] == "code_invalid"
    path = "/v1/contacts/phone/resend"
    assert (await ada.client.post(path, json={"phone": ada.phone})).status_code == 202
    fresh = await ada.code()
    assert (await ada.confirm_phone(fresh)).status_code == 204
    assert (await ada.confirm_phone(fresh)).json()["code"] == "code_invalid"


async def test_a_new_code_or_link_ends_the_one_before(ada: Person, clock: ManualClock) -> None:
    await ada.register()
    code, link = code_in((await ada.messages())[0]), token_in((await ada.messages())[1])
    clock.advance(timedelta(seconds=61))
    await ada.client.post("/v1/contacts/phone/resend", json={"phone": ada.phone})
    await ada.client.post("/v1/contacts/email/resend", json={"email": ada.email})
    assert code_in((await ada.messages(ada.phone))[-1]) != code
    assert (await ada.confirm_phone(code)).status_code == 422
    response = await ada.client.post("/v1/contacts/email/confirm", json={"token": link})
    assert response.json()["code"] == "link_invalid"
    assert (await ada.confirm_phone()).status_code == 204
    assert (await ada.confirm_email()).status_code == 204


async def test_a_link_is_good_for_a_day(ada: Person, clock: ManualClock) -> None:
    await ada.register()
    clock.advance(timedelta(hours=24))
    assert (await ada.confirm_email()).json()["code"] == "link_invalid"


async def test_codes_guessed_at_the_same_time_get_five_tries_together(ada: Person) -> None:
    await ada.register()
    code = await ada.code()
    guesses = [_wrong(code, step) for step in range(1, 13)]
    answers = await asyncio.gather(*(ada.confirm_phone(guess) for guess in guesses))
    assert {answer.status_code for answer in answers} == {422}
    assert (await ada.confirm_phone(code)).json()["code"] == "code_invalid"


async def test_the_fifth_try_may_still_be_right(ada: Person) -> None:
    await ada.register()
    code = await ada.code()
    for step in range(1, 5):
        assert (await ada.confirm_phone(_wrong(code, step))).status_code == 422
    assert (await ada.confirm_phone(code)).status_code == 204


async def test_one_code_confirms_once_however_often_it_is_sent_at_the_same_time(
    ada: Person,
) -> None:
    await ada.register()
    code = await ada.code()
    answers = await asyncio.gather(*(ada.confirm_phone(code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422, 422]


async def test_of_two_who_claim_a_number_at_the_same_time_one_gets_it(
    ada: Person, eve: Person, clock: ManualClock
) -> None:
    eve.phone = ada.phone
    await ada.register()
    clock.advance(timedelta(minutes=2))
    await eve.register()
    codes = [code_in(message) for message in await ada.messages(ada.phone)]
    answers = await asyncio.gather(*(ada.confirm_phone(code) for code in codes))
    assert sorted(answer.status_code for answer in answers) == [204, 422]
    signed_in = await ada.try_sign_in(identifier=ada.phone)
    assert signed_in.status_code == 201, "both chose the same password"


async def test_thirty_tries_a_day_over_all_codes_for_known_and_unknown_numbers_alike(
    ada: Person, eve: Person, clock: ManualClock
) -> None:
    await ada.register()
    for person in (ada, eve):
        answers = [await person.confirm_phone(f"{number:06d}") for number in range(31)]
        assert [answer.status_code for answer in answers] == [422] * 30 + [429]
        assert int(answers[-1].headers["retry-after"]) > 3600
    clock.advance(timedelta(days=1))
    assert (await eve.confirm_phone("000000")).status_code == 422


async def test_messages_are_limited_alike_for_known_and_unknown_addresses(
    ada: Person, eve: Person, clock: ManualClock
) -> None:
    await ada.register()
    clock.advance(timedelta(minutes=2))
    for path, field in (("phone", "phone"), ("email", "email")):
        for person in (ada, eve):
            document = {field: getattr(person, field)}
            first = await ada.client.post(f"/v1/contacts/{path}/resend", json=document)
            second = await ada.client.post(f"/v1/contacts/{path}/resend", json=document)
            assert (first.status_code, second.status_code) == (202, 429)
            assert second.headers["retry-after"] == "60"
    assert await eve.messages() == []
    statuses = []
    for _ in range(5):
        clock.advance(timedelta(minutes=2))
        response = await ada.client.post("/v1/contacts/phone/resend", json={"phone": ada.phone})
        statuses.append(response.status_code)
    assert statuses == [202, 202, 202, 429, 429]
    assert len(await ada.messages(ada.phone)) == 5


async def test_the_right_code_for_another_number_confirms_nothing(ada: Person, eve: Person) -> None:
    await ada.register()
    await eve.register()
    code = await ada.code()
    assert (await eve.confirm_phone(code)).status_code == 422
    assert (await ada.confirm_phone(code)).status_code == 204


async def test_a_code_is_digits_and_nothing_else(ada: Person) -> None:
    await ada.register()
    for code in ("12345", "1234567", "12345a", "١٢٣٤٥٦", " 12345", ""):
        document = {"phone": ada.phone, "code": code}
        response = await ada.client.post("/v1/contacts/phone/confirm", json=document)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


async def test_claims_that_come_after_do_not_spoil_the_code_that_was_sent(
    ada: Person, clock: ManualClock, deliver: Deliver
) -> None:
    await ada.register()
    code = await ada.code()
    for number in range(4):
        rival = Person(
            ada.client, clock, deliver, f"rival{number}", ada.phone, f"rival{number}@example.org"
        )
        clock.advance(timedelta(seconds=1))
        await rival.register()
    assert (await ada.confirm_phone(code)).status_code == 204
