"""What the tables hold, what is cleaned away, and counting under pressure."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from server.identity import purge
from server.identity.confirmations import confirm_phone, resend
from server.identity.counters import count_up, take_guess
from server.identity.desk import Desk
from server.identity.domain import ContactKind
from server.identity.errors import SignInFailed
from server.identity.models import (
    ConfirmationRow,
    CounterRow,
    GuessRow,
    ProofNonceRow,
    RefreshTokenRow,
    SessionRow,
    SigningKeyRow,
    UserRow,
)
from server.identity.nonces import remember_proof
from server.identity.proofs import CallFacts, verify_proof
from server.identity.registration import register
from server.identity.schemas import RegistrationCreate, SessionCreate
from server.identity.settings import IdentityPolicy
from server.identity.sign_in import sign_in
from server.identity.signing_keys import current_signing_key
from server.kit.db import Base
from server.kit.messaging import Message, deliver_messages
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.factories.identity import PASSWORD, code_in, make_proof, signer
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

PHONE, EMAIL = "+905321234567", "ada@example.com"
POLICY = IdentityPolicy()


async def _count(uow: UnitOfWork, row: type[Base]) -> int:
    async def query(tx: Tx) -> int:
        found = await tx.connection.execute(text(f"SELECT count(*) FROM {row.__tablename__}"))
        return int(found.scalar_one())

    return await uow.read(query)


async def _join(desk: Desk, messages: KeptMessages) -> list[Message]:
    await register(
        desk,
        RegistrationCreate(phone=PHONE, email=EMAIL, username="ada", password=PASSWORD),
    )
    await deliver_messages(desk.uow, messages, desk.vault)
    await confirm_phone(desk, PHONE, code_in(messages.last_to(PHONE)))
    return messages.sent


async def test_no_table_holds_an_address_a_code_a_token_or_a_password_in_the_clear(
    desk: Desk, messages: KeptMessages
) -> None:
    sent = await _join(desk, messages)
    tokens = await sign_in(
        desk, SessionCreate(identifier="ada", password=PASSWORD, device_name="Phone")
    )
    await resend(desk, ContactKind.EMAIL, "eve@example.com")

    async def dump(tx: Tx) -> bytes:
        rows = b""
        for table in Base.metadata.sorted_tables:
            if table.name.startswith("identity_"):
                for row in await tx.connection.execute(text(f"SELECT * FROM {table.name}")):
                    rows += b"\x00".join(
                        value if isinstance(value, bytes) else str(value).encode() for value in row
                    )
        return rows

    stored = await desk.uow.read(dump)
    assert b"ada" in stored
    secrets = [PHONE, PHONE[1:], EMAIL, "eve@", PASSWORD, code_in(sent[0]), tokens.access_token]
    secrets += [tokens.refresh_token or "", sent[1].text[-60:]]
    assert [secret for secret in secrets if secret.encode() in stored] == []


async def test_counting_at_the_same_time_loses_none(uow: UnitOfWork) -> None:
    async def count(tx: Tx) -> int:
        return (await count_up(tx, 1, "test", b"s" * 32, window=timedelta(hours=1))).count

    counts = await asyncio.gather(*(uow.run(count) for _ in range(30)))
    assert sorted(counts) == list(range(1, 31))


async def test_a_window_begins_anew_once_it_is_over(uow: UnitOfWork, clock: ManualClock) -> None:
    async def count(tx: Tx) -> int:
        return (await count_up(tx, 1, "test", b"s" * 32, window=timedelta(hours=1))).count

    assert [await uow.run(count) for _ in range(2)] == [1, 2]
    clock.advance(timedelta(minutes=59))
    assert await uow.run(count) == 3
    clock.advance(timedelta(minutes=1))
    assert await uow.run(count) == 1


async def test_guesses_at_the_same_time_are_allowed_five_and_begin_one_pause(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    async def guess(tx: Tx) -> tuple[bool, bool]:
        taken = await take_guess(tx, 1, b"s" * 32, POLICY)
        return taken.allowed, taken.began_pause

    taken = await asyncio.gather(*(uow.run(guess) for _ in range(20)))
    assert sum(allowed for allowed, _ in taken) == 5
    assert sum(began for _, began in taken) == 1
    clock.advance(timedelta(days=1, minutes=1))
    assert await uow.run(guess) == (True, False)
    assert await uow.run(guess) == (True, False), "after a day the count begins anew"


async def test_the_first_signing_key_may_be_made_by_many_at_once(desk: Desk) -> None:
    keys = await asyncio.gather(
        *(desk.uow.run(lambda tx: current_signing_key(tx, desk)) for _ in range(5))
    )
    assert all(len(key.seed) == 32 for key in keys)
    again = [await desk.uow.run(lambda tx: current_signing_key(tx, desk)) for _ in range(3)]
    assert len({key.kid for key in again}) == 1


async def test_what_has_expired_is_cleaned_away_and_nothing_else(
    desk: Desk, uow: UnitOfWork, clock: ManualClock, messages: KeptMessages
) -> None:
    await _join(desk, messages)
    await sign_in(desk, SessionCreate(identifier="ada", password=PASSWORD, device_name="Phone"))
    with pytest.raises(SignInFailed):
        await sign_in(desk, SessionCreate(identifier="eve", password=PASSWORD, device_name="Phone"))
    url = "https://pay.example/"
    header = make_proof(signer(), method="GET", url=url, now=clock.now(), nonce="n" * 16)
    proof = verify_proof(
        header,
        CallFacts("GET", url, b""),
        access_token=None,
        now=clock.now(),
        window=POLICY.proof_window,
    )
    assert await uow.run(lambda tx: remember_proof(tx, 1, proof))
    assert await purge(uow) == 0
    clock.advance(timedelta(minutes=3))
    assert await purge(uow) > 0
    assert await _count(uow, ProofNonceRow) == 0
    assert await _count(uow, ConfirmationRow) == 1
    clock.advance(timedelta(days=2))
    await purge(uow)
    assert [await _count(uow, row) for row in (ConfirmationRow, CounterRow, GuessRow)] == [0, 0, 0]
    assert await _count(uow, RefreshTokenRow) == 1
    clock.advance(timedelta(days=31))
    await purge(uow)
    assert await _count(uow, RefreshTokenRow) == 0
    assert await _count(uow, SigningKeyRow) == 0
    assert await _count(uow, SessionRow) == 1
    clock.advance(timedelta(days=150))
    await purge(uow)
    assert await _count(uow, SessionRow) == 0
    assert await _count(uow, UserRow) == 1, "a confirmed account stays"
    assert await purge(uow) == 0
