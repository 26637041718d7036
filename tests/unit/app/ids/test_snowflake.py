"""Snowflake IDs under simulated clocks: unique and ascending whatever the clock does."""

import itertools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ids import IdsUnavailableError, flatten
from app.ids.layout import EARLIEST_MS, Layout
from app.ids.snowflake import (
    LOGICAL_MS,
    MOST_LAG_MS,
    WAIT_MS,
    ClockRolledBackError,
    ClockStuckError,
    ReservationFailedError,
    Snowflake,
)

START_MS = EARLIEST_MS + 1_000_000


class Clock:
    """Simulated time; sleeping advances it."""

    def __init__(self, now_ms: float = START_MS) -> None:
        self.now_ms, self.slept_s = float(now_ms), 0.0

    def read(self) -> int:
        return int(self.now_ms)

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.now_ms += seconds * 1_000


def snowflake(clock: Clock, **more) -> Snowflake:
    return Snowflake(datacenter=1, worker=7, clock_ms=clock.read, sleep=clock.sleep, **more)


def time_of(value: int) -> int:
    return Layout().unpack(value).unix_ms


STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(-8, 8), st.integers(-1_500, 1_500), st.integers(-4_000_000, 4_000_000)),
        st.one_of(st.integers(1, 5), st.integers(1, 30_000)),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_ids_ascend_and_never_lead_the_clock_beyond_the_bound(steps):
    clock = Clock(START_MS + 5_000_000)
    generator = snowflake(clock)
    last = -1
    for jump_ms, count in steps:
        clock.now_ms = max(START_MS, clock.now_ms + jump_ms)
        try:
            blocks = generator.blocks(count)
        except ClockRolledBackError as refused:
            assert refused.behind_ms > LOGICAL_MS
            continue
        ids = flatten(blocks)
        assert len(ids) == count
        assert ids[0] > last
        assert all(a < b for a, b in itertools.pairwise(ids))
        assert time_of(ids[-1]) - clock.read() <= LOGICAL_MS + WAIT_MS
        last = ids[-1]


def test_a_burst_is_limited_to_the_layouts_ceiling():
    clock = Clock()
    generator = snowflake(clock)
    generator.blocks(500_000)
    elapsed_ms = clock.read() - START_MS
    assert 500_000 / 2048 - WAIT_MS - MOST_LAG_MS - 1 <= elapsed_ms <= 500_000 / 2048 + 2


def test_a_step_back_of_up_to_5_ms_is_waited_out():
    clock = Clock()
    generator = snowflake(clock)
    before = generator.blocks(1)[0][0]
    clock.now_ms -= 4
    after = generator.blocks(1)[0][0]
    assert after > before
    assert 0.003 <= clock.slept_s <= 0.010


def test_a_step_back_of_up_to_a_second_goes_on_by_the_logical_clock_without_waiting():
    clock = Clock()
    generator = snowflake(clock)
    before = generator.blocks(1)[0][0]
    clock.now_ms -= 900
    after = generator.blocks(1)[0][0]
    assert after == before + 1
    assert clock.slept_s == 0


def test_the_logical_clock_ends_when_the_clock_has_caught_up():
    clock = Clock()
    generator = snowflake(clock)
    generator.blocks(1)
    clock.now_ms -= 900
    generator.blocks(1)
    clock.now_ms += 1_000
    assert time_of(generator.blocks(1)[0][0]) == clock.read()


def test_a_longer_step_back_is_refused_until_the_clock_is_near_again():
    clock = Clock()
    generator = snowflake(clock)
    before = generator.blocks(1)[0][0]
    clock.now_ms -= 5_000
    with pytest.raises(ClockRolledBackError, match="5000 ms behind"):
        generator.blocks(1)
    assert not generator.can_issue()
    clock.now_ms += 4_500
    assert generator.can_issue()
    assert generator.blocks(1)[0][0] > before


def test_an_idle_generator_does_not_mind_a_step_back_to_after_its_last_id():
    clock = Clock()
    generator = snowflake(clock)
    generator.blocks(1)
    clock.now_ms += 3_600_000
    generator.can_issue()
    clock.now_ms -= 1_800_000
    generator.blocks(1)
    assert clock.slept_s == 0


def test_a_clock_that_stands_still_is_an_error_and_not_an_endless_wait():
    generator = Snowflake(datacenter=0, worker=0, clock_ms=lambda: START_MS, sleep=lambda s: None)
    with pytest.raises(ClockStuckError):
        generator.blocks(100_000)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(-4_000, 4_000))
def test_the_next_holder_of_the_worker_id_repeats_nothing(steps, jump_ms):
    clock = Clock(START_MS + 5_000_000)
    reserved = [0]

    def reserve(ms: int) -> int:
        reserved[0] = ms + 3_000
        return reserved[0]

    first = snowflake(clock, reserve=reserve)
    issued = set()
    for jump, count in steps:
        clock.now_ms = max(START_MS, clock.now_ms + jump)
        try:
            issued.update(flatten(first.blocks(min(count, 3_000))))
        except ClockRolledBackError:
            continue
    # Killed: nothing but the reservation survives, and the clock may have been stepped meanwhile.
    clock.now_ms += jump_ms
    second = snowflake(clock, reserve=reserve, start_after_ms=reserved[0])
    try:
        again = flatten(second.blocks(3_000))
    except ClockRolledBackError:
        return
    assert issued.isdisjoint(again)
    assert not issued or min(again) > max(issued)


def test_a_reservation_that_fails_hands_nothing_out():
    clock = Clock()
    fail = [True]

    def reserve(ms: int) -> int:
        if fail[0]:
            raise OSError("disk full")
        return ms

    generator = snowflake(clock, reserve=reserve)
    with pytest.raises(ReservationFailedError, match="disk full"):
        generator.blocks(1)
    fail[0] = False
    assert len(generator.blocks(1)[0]) == 1


def test_threads_share_a_generator_without_a_duplicate():
    generator = Snowflake(
        datacenter=0, worker=0, clock_ms=lambda: time.time_ns() // 1_000_000, sleep=time.sleep
    )
    taken: list[list[int]] = []

    def draw() -> None:
        taken.append([value for _ in range(300) for value in flatten(generator.blocks(7))])

    threads = [threading.Thread(target=draw) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [value for one in taken for value in one]
    assert len(everything) == len(set(everything)) == 6 * 300 * 7
    assert all(one == sorted(one) for one in taken)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused(count):
    with pytest.raises(ValueError, match="count"):
        snowflake(Clock()).blocks(count)


def test_a_restart_within_the_millisecond_of_the_last_id_repeats_nothing():
    clock = Clock()
    first = snowflake(clock)
    issued = set(flatten(first.blocks(10)))
    second = snowflake(clock, start_after_ms=first.stop())
    assert issued.isdisjoint(flatten(second.blocks(10)))


def test_once_stopped_nothing_is_issued():
    generator = snowflake(Clock())
    generator.blocks(1)
    assert generator.stop() == START_MS
    assert not generator.can_issue()
    with pytest.raises(IdsUnavailableError, match="given its worker id back"):
        generator.blocks(1)
