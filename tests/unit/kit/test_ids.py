from datetime import timedelta

from server.kit.ids import SystemIds
from tests.fakes.clock import ManualClock


def test_ids_rise_strictly_although_the_clock_stands_still_or_goes_back() -> None:
    clock = ManualClock()
    ids = SystemIds(clock)
    made = [ids.uuid() for _ in range(10_000)]
    clock.advance(timedelta(hours=-1))
    made += [ids.uuid() for _ in range(10)]
    assert made == sorted(set(made))


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_time() -> None:
    clock = ManualClock()
    made = SystemIds(clock).uuid()
    assert made.version == 7
    assert made.int >> 80 == int(clock.now().timestamp() * 1000)
