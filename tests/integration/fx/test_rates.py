"""Rates: stored once, never changed, refused when they are old; sources that fail do no harm."""

import asyncio
import gzip
import socket
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.fx import RatesUnavailable, last_mids, provider_of, refresh_rates
from server.fx.adapters.reference_file import RatesFromUrl
from server.fx.errors import RateInvalid, RateMissing, RateStale
from server.fx.jobs import PAUSE_S, RateJob
from server.fx.rate_file import FILE_BYTES_MAX
from server.fx.rates import current_mid, newest_rates, set_rate, store_rates, working_days
from server.kit.errors import InvalidRequest
from server.kit.money import UnknownCurrency
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.factories.rates import Answer, load_rates, rate_file, run_sql, serving, whole
from tests.fakes.clock import ManualClock

MONDAY = date(2026, 3, 2)
"""The day on which the tests' clock starts."""
FRIDAY = date(2026, 2, 27)


async def mid(uow: UnitOfWork, sell: str, buy: str, age_max_days: int = 3) -> Fraction:
    found = await uow.read(lambda tx: current_mid(tx, 1, sell, buy, age_max_days=age_max_days))
    return found.value


async def count(uow: UnitOfWork) -> int:
    async def query(tx: Tx) -> int:
        return int(await tx.connection.scalar(text("SELECT count(*) FROM fx_rate")) or 0)

    return await uow.read(query)


async def test_cross_rates_go_through_the_euro_exactly(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.1583", JPY="177.31")
    assert await mid(uow, "EUR", "USD") == Fraction("1.1583")
    assert await mid(uow, "USD", "EUR") == 1 / Fraction("1.1583")
    assert await mid(uow, "USD", "JPY") == Fraction("177.31") / Fraction("1.1583")
    product = await mid(uow, "USD", "JPY") * await mid(uow, "JPY", "USD")
    assert product == 1


async def test_the_same_sheet_again_stores_nothing_and_a_correction_is_a_new_row(
    uow: UnitOfWork,
) -> None:
    await load_rates(uow, USD="1.1583", JPY="177.31")
    await load_rates(uow, USD="1.15830", JPY="177.31")
    assert await count(uow) == 2
    await load_rates(uow, USD="1.16", JPY="177.31")
    assert await count(uow) == 3
    assert await mid(uow, "EUR", "USD") == Fraction("1.16")


async def test_an_old_sheet_never_replaces_a_newer_one(uow: UnitOfWork) -> None:
    await load_rates(uow, MONDAY, USD="1.16")
    await load_rates(uow, FRIDAY, USD="1.05", JPY="180")
    assert await mid(uow, "EUR", "USD") == Fraction("1.16")
    assert await mid(uow, "EUR", "JPY") == 180


async def test_currencies_of_the_sheet_that_we_do_not_know_are_left_out(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.16", CZK="25", EUR="2")
    assert await count(uow) == 1


async def test_without_a_rate_there_is_no_exchange(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.16")
    with pytest.raises(RateMissing):
        await mid(uow, "USD", "KES")
    with pytest.raises(UnknownCurrency):
        await mid(uow, "USD", "XAU")
    with pytest.raises(InvalidRequest):
        await mid(uow, "USD", "USD")


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        ("2026-02-27", "2026-02-27", 0),
        ("2026-02-27", "2026-02-28", 0),  # Saturday
        ("2026-02-27", "2026-03-01", 0),
        ("2026-02-27", "2026-03-02", 1),
        ("2026-02-28", "2026-03-02", 1),
        ("2026-02-26", "2026-03-02", 2),
        ("2026-04-02", "2026-04-07", 3),  # Easter: Thursday's rate on Tuesday
        ("2026-01-01", "2027-01-01", 261),
        ("2026-03-02", "2026-02-27", 0),
    ],
)
def test_weekends_do_not_make_a_rate_older(since: str, until: str, days: int) -> None:
    assert working_days(date.fromisoformat(since), date.fromisoformat(until)) == days


async def test_a_rate_is_good_for_so_many_working_days_and_not_one_more(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await load_rates(uow, FRIDAY, USD="1.16")
    assert await mid(uow, "EUR", "USD", 1) == Fraction("1.16")
    clock.advance(timedelta(days=1))
    with pytest.raises(RateStale) as caught:
        await mid(uow, "EUR", "USD", 1)
    assert caught.value.status == 503
    assert caught.value.members == {"currency": "USD", "rate_date": "2026-02-27"}
    assert await mid(uow, "EUR", "USD", 2) == Fraction("1.16")


async def test_one_stale_side_is_enough_to_refuse(uow: UnitOfWork) -> None:
    await load_rates(uow, MONDAY, USD="1.16")
    await load_rates(uow, MONDAY - timedelta(days=30), KES="150")
    with pytest.raises(RateStale, match="KES"):
        await mid(uow, "USD", "KES")


async def test_an_officer_sets_what_the_sheet_does_not_have(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.16")
    rate = await uow.run(
        lambda tx: set_rate(tx, 1, "KES", "150.25", on=MONDAY, by="ada", reason="bank's board")
    )
    assert rate.source == "officer"
    found = await uow.read(lambda tx: current_mid(tx, 1, "USD", "KES", age_max_days=3))
    assert (found.value, found.source) == (Fraction("150.25") / Fraction("1.16"), "officer")


@pytest.mark.parametrize(
    ("currency", "number", "on", "reason"),
    [
        ("EUR", "1", MONDAY, "why"),
        ("KES", "0", MONDAY, "why"),
        ("KES", "-3", MONDAY, "why"),
        ("KES", "1e3", MONDAY, "why"),
        ("KES", "150", MONDAY + timedelta(days=1), "why"),
        ("KES", "150", MONDAY, "  "),
        ("USD", "1.2", FRIDAY, "why"),
    ],
)
async def test_what_an_officer_cannot_set(
    uow: UnitOfWork, currency: str, number: str, on: date, reason: str
) -> None:
    await load_rates(uow, MONDAY, USD="1.16")
    with pytest.raises(RateInvalid):
        await uow.run(lambda tx: set_rate(tx, 1, currency, number, on=on, by="ada", reason=reason))


async def test_the_database_keeps_rates_as_they_are(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.16")
    statements = [
        "UPDATE fx_rate SET rate = '9'",
        "DELETE FROM fx_rate",
        "INSERT OR REPLACE INTO fx_rate SELECT * FROM fx_rate"
        if uow.dialect == "sqlite"
        else "TRUNCATE fx_rate",
    ]
    for statement in statements:
        with pytest.raises(DBAPIError):
            await run_sql(uow, statement)
    assert await mid(uow, "EUR", "USD") == Fraction("1.16")


async def test_what_was_known_at_an_instant_is_still_known(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    before = clock.now()
    clock.advance(timedelta(hours=1))
    await load_rates(uow, USD="1.16")
    then = clock.now()
    clock.advance(timedelta(hours=1))
    await load_rates(uow, USD="1.17")
    assert await uow.read(lambda tx: last_mids(tx, 1, ["USD"], at=before)) == {}
    assert await uow.read(lambda tx: last_mids(tx, 1, ["USD"], at=then)) == {
        "USD": Fraction("1.16")
    }
    assert await uow.read(lambda tx: last_mids(tx, 1, ["USD", "EUR"])) == {
        "USD": Fraction("1.17"),
        "EUR": 1,
    }


async def test_two_processes_that_load_one_sheet_at_once_store_it_once(
    uow: UnitOfWork, tmp_path: Path
) -> None:
    path = tmp_path / "rates.xml"
    path.write_bytes(rate_file(MONDAY, USD="1.16", JPY="177"))
    provider = provider_of(str(path))
    await asyncio.gather(*(refresh_rates(uow, provider, tenant=1) for _ in range(6)))
    assert await count(uow) == 2


async def test_tenants_have_rates_of_their_own(uow: UnitOfWork) -> None:
    await load_rates(uow, USD="1.16")
    assert await uow.read(lambda tx: newest_rates(tx, 2, ["USD"])) == {}


# --- where rates come from --------------------------------------------------------------------


async def test_a_file_on_disk_is_read_again_each_time(uow: UnitOfWork, tmp_path: Path) -> None:
    path = tmp_path / "rates.xml"
    provider = provider_of(str(path))
    assert await refresh_rates(uow, provider, tenant=1) == []
    path.write_bytes(rate_file(FRIDAY, USD="1.15"))
    assert await refresh_rates(uow, provider, tenant=1) == ["USD"]
    path.write_bytes(rate_file(MONDAY, USD="1.16"))
    assert await refresh_rates(uow, provider, tenant=1) == ["USD"]
    assert await refresh_rates(uow, provider, tenant=1) == []
    assert await mid(uow, "EUR", "USD") == Fraction("1.16")


def test_no_source_is_no_provider() -> None:
    assert provider_of("") is None


async def test_rates_are_fetched_over_http(uow: UnitOfWork) -> None:
    with serving(whole(rate_file(MONDAY, USD="1.16", JPY="177"))) as url:
        assert await refresh_rates(uow, provider_of(url), tenant=1) == ["USD", "JPY"]
    assert await mid(uow, "EUR", "JPY") == 177


def _never(_connection: socket.socket, ended: Event) -> None:
    ended.wait()


def _dribble(connection: socket.socket, ended: Event) -> None:
    """Send a byte every now and then, so that no single wait is ever long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not ended.wait(0.02):
        connection.sendall(b" ")


def _endless(connection: socket.socket, ended: Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not ended.is_set():
        connection.sendall(b" " * 65_536)


def _cut(connection: socket.socket, _ended: Event) -> None:
    body = rate_file(MONDAY, USD="1.16")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[:-30])


_ZIPPED = gzip.compress(rate_file(MONDAY, USD="1.16") + b" " * 5_000_000)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_never, "no answer in"),
        (_dribble, "no answer in"),
        (_endless, "bytes"),
        (_cut, "RemoteProtocolError"),
        (whole(rate_file(MONDAY, USD="1.16")[:-30]), "well-formed"),
        (whole(b"<html>maintenance</html>"), "envelope"),
        (whole(b""), "well-formed"),
        (whole(b"x" * (FILE_BYTES_MAX + 1)), "bytes"),
        (whole(rate_file(MONDAY, USD="1.16"), status="500 Oops"), "status 500"),
        (whole(b"", status="404 Not Found"), "status 404"),
        (
            whole(b"", status="302 Found", headers="Location: /stats/eurofxref-daily.xml\r\n"),
            "TooManyRedirects",
        ),
        (
            whole(b"", status="302 Found", headers="Location: file:///etc/hostname\r\n"),
            "UnsupportedProtocol",
        ),
        (whole(_ZIPPED, headers="Content-Encoding: gzip\r\n"), "well-formed"),
        (whole(rate_file(MONDAY, USD="-3")), "no decimal number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_source_that_fails_leaves_the_rates_as_they_are(
    uow: UnitOfWork, answer: Answer, why: str
) -> None:
    await load_rates(uow, FRIDAY, USD="1.15")
    with serving(answer) as url:
        provider = RatesFromUrl(url, within_s=0.5)
        with pytest.raises(RatesUnavailable, match=why):
            await provider.fetch()
        assert await refresh_rates(uow, provider, tenant=1) == []
    assert await count(uow) == 1


async def test_nobody_listening_is_no_answer(uow: UnitOfWork) -> None:
    with serving(whole(b"")) as url:
        pass
    with pytest.raises(RatesUnavailable, match="ConnectError"):
        await RatesFromUrl(url).fetch()
    assert await refresh_rates(uow, RatesFromUrl(url), tenant=1) == []


async def test_a_sheet_of_a_day_to_come_is_not_believed(uow: UnitOfWork, tmp_path: Path) -> None:
    path = tmp_path / "rates.xml"
    path.write_bytes(rate_file(MONDAY + timedelta(days=2), USD="1.16"))
    assert await refresh_rates(uow, provider_of(str(path)), tenant=1) == []
    path.write_bytes(rate_file(MONDAY + timedelta(days=1), USD="1.16"))
    assert await refresh_rates(uow, provider_of(str(path)), tenant=1) == ["USD"]


async def test_a_rate_that_jumps_is_believed_to_an_officer_only(
    uow: UnitOfWork, tmp_path: Path
) -> None:
    path = tmp_path / "rates.xml"
    provider = provider_of(str(path))
    path.write_bytes(rate_file(FRIDAY, USD="1.10", JPY="160", TRY="40"))
    await refresh_rates(uow, provider, tenant=1)
    path.write_bytes(rate_file(MONDAY, USD="11.0", JPY="106", TRY="60"))
    assert await refresh_rates(uow, provider, tenant=1) == ["TRY"]
    assert await mid(uow, "EUR", "USD") == Fraction("1.10")
    assert await mid(uow, "EUR", "JPY") == 160
    await uow.run(lambda tx: set_rate(tx, 1, "JPY", "106", on=MONDAY, by="ada", reason="seen"))
    path.write_bytes(rate_file(MONDAY + timedelta(days=1), USD="1.11", JPY="105"))
    assert sorted(await refresh_rates(uow, provider, tenant=1)) == ["JPY", "USD"]


async def test_what_an_officer_corrects_stays_until_the_next_day_of_the_file(
    uow: UnitOfWork, tmp_path: Path
) -> None:
    path = tmp_path / "rates.xml"
    provider = provider_of(str(path))
    path.write_bytes(rate_file(MONDAY, USD="1.10"))
    await refresh_rates(uow, provider, tenant=1)
    await uow.run(lambda tx: set_rate(tx, 1, "USD", "1.12", on=MONDAY, by="ada", reason="typo"))
    assert await refresh_rates(uow, provider, tenant=1) == []
    assert await mid(uow, "EUR", "USD") == Fraction("1.12")
    await uow.run(lambda tx: set_rate(tx, 1, "USD", "1.13", on=MONDAY, by="ada", reason="again"))
    assert await mid(uow, "EUR", "USD") == Fraction("1.13")
    path.write_bytes(rate_file(MONDAY + timedelta(days=1), USD="1.11"))
    assert await refresh_rates(uow, provider, tenant=1) == ["USD"]


async def test_a_slow_source_holds_up_no_other_job(uow: UnitOfWork) -> None:
    go_on = Event()
    asked = 0

    def slow(connection: socket.socket, ended: Event) -> None:
        nonlocal asked
        asked += 1
        go_on.wait()
        whole(rate_file(MONDAY, USD="1.16"))(connection, ended)

    with serving(slow) as url:
        job = RateJob(uow, RatesFromUrl(url), tenant=1)
        for _ in range(50):
            assert await job() == []
            await asyncio.sleep(0)
        go_on.set()
        changed: list[str] = []
        while not changed:
            await asyncio.sleep(0.01)
            changed = await job()
        assert changed == ["USD"]
        assert await job() == []
        assert asked == 1
        assert PAUSE_S >= 60


async def test_storing_by_hand_refuses_nothing_that_a_sheet_may_hold(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> list[str]:
        rates = {"UGX": "4127.123456789012", "BHD": "0.000000000001"}
        return await store_rates(tx, 1, rates, on=MONDAY, source="test")

    assert sorted(await uow.run(command)) == ["BHD", "UGX"]
    assert await mid(uow, "EUR", "BHD") == Fraction(1, 10**12)


def test_the_tests_start_on_a_monday() -> None:
    assert ManualClock().now() == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert MONDAY.weekday() == 0
