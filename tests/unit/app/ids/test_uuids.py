"""UUIDs of RFC 9562: their bits, their order, and that nothing repeats."""

import itertools
import os
import random
import threading
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ids import Health, IdsUnavailableError
from app.ids.encoding import decode
from app.ids.uuids import Uuid4, Uuid7
from tests.unit.app.ids.simulated import START_MS, Clock


def uuid7(clock: Clock, randomness=None) -> Uuid7:
    return Uuid7(clock_ms=clock.read, randomness=randomness or random.Random(1).randbytes)


def values(batch) -> list[int]:
    return [one.value for one in batch.ids()]


def as_the_rfc_says(value: int, version: int) -> bool:
    one = uuid.UUID(int=value)
    return one.version == version and one.variant == uuid.RFC_4122


def test_the_bits_are_those_of_the_rfc():
    clock = Clock(START_MS)
    generator = uuid7(clock)
    for value in [*values(generator.batch(1_000)), generator.generate().value]:
        assert as_the_rfc_says(value, 7)
        assert value >> 80 == START_MS


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(0), st.integers(-3, 3), st.sampled_from([-500, -5_000, -3_600_000, 3_600_000])),
            st.one_of(st.just(1), st.integers(1, 500)),
        ),
        max_size=30,
    )
)
def test_uuids_ascend_within_a_millisecond_and_over_every_step_of_the_clock(steps):
    clock, last = Clock(START_MS + 10**8), -1
    generator = uuid7(clock)
    highest_ms = 0
    for jump_ms, count in steps:
        clock.now_ms += jump_ms
        highest_ms = max(highest_ms, clock.read())
        made = [generator.generate().value] if count == 1 else values(generator.batch(count))
        assert len(made) == count
        assert made[0] > last
        assert all(a < b for a, b in itertools.pairwise(made))
        assert made[-1] >> 80 == highest_ms, "never ahead of what the clock has read"
        assert all(as_the_rfc_says(value, 7) for value in made)
        last = made[-1]
    assert clock.slept_s == 0


def test_a_counter_that_runs_over_takes_the_next_millisecond_and_keeps_the_order():
    clock = Clock(START_MS)
    generator = uuid7(clock)
    before = generator.generate().value
    generator._counter = (1 << 42) - 3
    made = values(generator.batch(3)) + values(generator.batch(3))
    assert before < made[0]
    assert made == sorted(set(made))
    assert [value >> 80 for value in made] == [START_MS] * 3 + [START_MS + 1] * 3


def test_two_processes_with_one_clock_share_no_uuid_since_their_randomness_differs():
    clock = Clock(START_MS)
    one, other = uuid7(clock, os.urandom), uuid7(clock, os.urandom)
    assert set(values(one.batch(50_000))).isdisjoint(values(other.batch(50_000)))


def test_the_random_part_of_every_uuid_differs():
    tails = [value & 0xFFFFFFFF for value in values(uuid7(Clock(), os.urandom).batch(1_000))]
    assert len(set(tails)) > 990


@pytest.mark.parametrize("ms", [-1, 1 << 48])
def test_a_clock_that_no_uuid_can_hold_is_refused(ms):
    with pytest.raises(IdsUnavailableError, match="clock"):
        Uuid7(clock_ms=lambda: ms, randomness=os.urandom).generate() if ms > 0 else uuid7(Clock())._begin(ms)


def test_threads_share_a_generator_without_a_duplicate_each_in_order():
    generator = Uuid7(clock_ms=Clock().read, randomness=os.urandom)
    taken: list[list[int]] = []

    def draw() -> None:
        mine = []
        for _ in range(200):
            mine.append(generator.generate().value)
            mine += values(generator.batch(5))
        taken.append(mine)

    threads = [threading.Thread(target=draw) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [value for one in taken for value in one]
    assert len(set(everything)) == len(everything) == 6 * 200 * 6
    assert all(one == sorted(one) for one in taken)
    assert generator.metrics()["issued"] == len(everything)


def test_a_clock_behind_the_last_uuid_is_counted():
    clock = Clock()
    generator = uuid7(clock)
    generator.generate()
    clock.now_ms -= 10
    generator.generate()
    assert generator.metrics() == {"issued": 2, "clock_held": 1}


def test_version_4_is_random_but_for_version_and_variant():
    generator = Uuid4(randomness=os.urandom)
    made = [*values(generator.batch(1_000)), *(generator.generate().value for _ in range(100))]
    assert len(set(made)) == len(made)
    assert all(as_the_rfc_says(value, 4) for value in made)
    for bit in set(range(128)) - {62, 63, 76, 77, 78, 79}:
        assert 0.3 < sum(value >> bit & 1 for value in made) / len(made) < 0.7, bit
    assert generator.metrics() == {"issued": 1_100}


def test_one_at_a_time_and_in_batches_version_4_is_the_same_function_of_the_randomness():
    one, many = (Uuid4(randomness=random.Random(5).randbytes) for _ in range(2))
    assert one.generate().value == values(many.batch(1))[0]


@pytest.mark.parametrize("generator", [uuid7(Clock()), Uuid4(randomness=os.urandom)])
def test_uuids_can_always_be_issued_and_a_count_below_one_is_refused(generator):
    assert generator.health() == Health(True)
    assert generator.ready(100_000)
    with pytest.raises(ValueError, match="count: 0"):
        generator.batch(0)


def test_a_version_7_tells_its_time():
    assert decode(uuid7(Clock(START_MS)).generate()).unix_ms == START_MS
