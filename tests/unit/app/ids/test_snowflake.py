"""Snowflake IDs under simulated clocks: unique and ascending whatever the clock does."""

import itertools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ids import IdsUnavailableError, flatten
from app.ids.layout import EARLIEST_MS, EPOCH_MS, FIRST_SNOWFLAKE, Layout, Parts
from app.ids.snowflake import (
    LOGICAL_MS,
    MOST_LAG_MS,
    WAIT_MS,
    ClockOutOfRangeError,
    ClockRolledBackError,
    ClockStuckError,
    ReservationFailedError,
    Snowflake,
    WorkerIdUnusableError,
)
from tests.unit.app.ids.simulated import START_MS, Clock


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


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("jump"), st.one_of(st.integers(-8, 8), st.integers(-1_500, 4_000))),
        st.tuples(st.just("jump"), st.sampled_from([-3, -500, -5_000, 3_600_000, -3_600_000])),
        st.tuples(st.just("draw"), st.one_of(st.integers(1, 5), st.integers(1, 9_000))),
        st.tuples(st.sampled_from(["kill", "stop"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.sampled_from([10, 11]))
def test_over_clock_steps_kills_and_stops_ids_stay_unique_ascending_and_near_the_clock(events, bits):
    clock, layout = Clock(START_MS + 10_000_000), Layout(bits)
    durable = [0]

    def reserve(ms: int) -> int:
        durable[0] = ms + 3_000
        return durable[0]

    def start() -> Snowflake:
        return snowflake(clock, layout=layout, reserve=reserve, start_after_ms=durable[0])

    generator, last = start(), 0
    for event, amount in events:
        if event == "jump":
            clock.now_ms = max(START_MS, clock.now_ms + amount)
        elif event == "kill":
            generator = start()
        elif event == "stop":
            durable[0] = generator.stop()
            generator = start()
        else:
            could = generator.can_issue()
            try:
                blocks = generator.blocks(amount)
            except ClockRolledBackError:
                assert not could
                continue
            assert could
            assert sum(map(len, blocks)) == amount
            for block in blocks:
                assert block.start > last
                last = block[-1]
            lead_ms = layout.unpack(last).unix_ms - clock.read()
            assert -MOST_LAG_MS <= lead_ms <= LOGICAL_MS + WAIT_MS
            assert layout.unpack(last)[1:3] == (1, 7)


@pytest.mark.parametrize("bits", [10, 11])
def test_both_layouts_issue_their_ceiling_and_no_more(bits):
    clock = Clock()
    generator = snowflake(clock, layout=Layout(bits))
    per_ms = 1 << bits
    for _ in range(100):
        generator.batch(5_000)
    elapsed_ms = clock.read() - START_MS
    assert 0.95 * per_ms <= 500_000 / elapsed_ms <= per_ms * (1 + (WAIT_MS + MOST_LAG_MS + 2) / elapsed_ms)


def test_a_call_of_several_milliseconds_takes_those_just_passed_and_one_id_never_does():
    clock = Clock()
    generator = snowflake(clock)
    generator.generate()
    clock.now_ms += 500
    ids = flatten(generator.blocks(5_000))
    assert clock.slept_s == 0
    assert time_of(ids[0]) == clock.read() - MOST_LAG_MS
    clock.now_ms += 500
    assert time_of(generator.generate().value) == clock.read()


def test_while_the_lease_is_not_valid_nothing_is_issued():
    clock, held = Clock(), [True]
    generator = snowflake(clock, usable=lambda: held[0])
    before = generator.generate()
    held[0] = False
    assert not generator.health().can_issue
    assert "worker id 7 is no longer held" in generator.health().reason
    with pytest.raises(WorkerIdUnusableError, match="no longer held"):
        generator.batch(1)
    held[0] = True
    assert generator.generate().value > before.value


def test_a_lease_that_ends_while_a_call_waits_ends_the_call():
    clock, held = Clock(), [True]

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        held[0] = False

    generator = Snowflake(datacenter=1, worker=7, clock_ms=clock.read, sleep=sleep, usable=lambda: held[0])
    with pytest.raises(WorkerIdUnusableError):
        generator.blocks(100_000)


def test_a_lease_that_ends_while_the_time_is_reserved_hands_nothing_out():
    clock, held = Clock(), [True]

    def reserve(ms: int) -> int:
        held[0] = False
        return ms

    generator = snowflake(clock, reserve=reserve, usable=lambda: held[0])
    with pytest.raises(WorkerIdUnusableError):
        generator.generate()


def test_a_lease_that_flickers_refuses_the_call_that_saw_it_gone():
    answers = iter([False, True])
    generator = snowflake(Clock(), usable=lambda: next(answers, True))
    with pytest.raises(WorkerIdUnusableError, match="a moment ago"):
        generator.generate()


@pytest.mark.parametrize("ms", [EPOCH_MS, EARLIEST_MS - 1, Layout().last_unix_ms + 1])
def test_a_clock_outside_the_allowed_time_is_refused(ms):
    generator = snowflake(Clock(ms))
    assert not generator.can_issue()
    with pytest.raises(ClockOutOfRangeError, match=f"clock: {ms} ms is not allowed; allowed: {EARLIEST_MS}"):
        generator.generate()


@pytest.mark.parametrize("bits", [10, 11])
def test_the_first_allowed_id_is_beyond_every_segments_value(bits):
    first = snowflake(Clock(EARLIEST_MS), layout=Layout(bits)).generate().value
    last_of_segments = 8 * 2**53 - 1
    assert first > last_of_segments
    assert Layout(bits).pack(Parts(EARLIEST_MS, 0, 0, 0)) == FIRST_SNOWFLAKE or bits == 11


def test_wrong_numbers_are_refused_at_once():
    with pytest.raises(ValueError, match="worker: 256"):
        Snowflake(datacenter=0, worker=256, clock_ms=Clock().read, sleep=Clock().sleep)


def test_the_days_left_and_what_happened_can_be_measured():
    clock = Clock()
    generator = snowflake(clock)
    generator.batch(3)
    clock.now_ms -= 500
    generator.batch(2)
    clock.now_ms -= 5_000
    with pytest.raises(ClockRolledBackError):
        generator.batch(1)
    measured = generator.metrics()
    assert (measured["issued"], measured["rollbacks"], measured["refusals"]) == (5, 1, 1)
    assert measured["lead_ms"] == 5_500
    years = measured["days_left"] / 365.25
    assert 68 < years < 69
    assert Layout().exhausted_at.year == 2094


def test_ready_means_that_a_call_does_not_wait():
    clock = Clock()
    generator = snowflake(clock)
    assert generator.ready(5_000)
    generator.batch((WAIT_MS + MOST_LAG_MS) * 2_048)
    slept_s = clock.slept_s
    assert not generator.ready(5_000)
    clock.now_ms += 3
    assert generator.ready(3 * 2_048)
    generator.batch(3 * 2_048)
    assert clock.slept_s == slept_s
