import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.limits import KeyLimits

RATES = st.floats(0.1, 10_000)
STEPS = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 30)), min_size=1, max_size=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(rate=RATES, burst=st.floats(1, 100), steps=STEPS)
def test_in_no_stretch_of_time_a_key_gets_more_than_burst_and_rate(rate, burst, steps):
    clock, taken = Clock(), []
    limits = KeyLimits(rate, burst, clock)
    for pause, n in steps:
        clock.now += pause
        if limits.take(1, n) == 0:
            taken.append((clock.now, n))
    for i, j in itertools.combinations_with_replacement(range(len(taken)), 2):
        got = sum(n for _, n in taken[i : j + 1])
        assert got <= (burst + rate * (taken[j][0] - taken[i][0])) * (1 + 1e-6) + 1e-6


@given(rate=RATES, burst=st.floats(1, 100), steps=STEPS)
def test_who_waits_as_long_as_told_gets_it_and_who_waits_less_does_not(rate, burst, steps):
    clock = Clock()
    limits = KeyLimits(rate, burst, clock)
    for pause, n in steps:
        clock.now += pause
        wait = limits.take(1, n)
        if wait == float("inf"):
            assert n > burst
        elif wait:
            clock.now += wait * 0.9
            assert limits.take(1, n) > 0 or wait < 1e-6
            clock.now += wait * 0.1 + 1e-6
            assert limits.take(1, n) == 0


def test_one_key_over_its_limit_doesnt_slow_another():
    limits = KeyLimits(1, 2, Clock())
    assert [limits.take(1) for _ in range(3)] == [0, 0, 1]
    assert limits.take(2) == 0


def test_a_rate_of_0_is_no_limit_and_costs_no_memory():
    limits = KeyLimits(0, 0, Clock())
    assert not any(limits.take(1, 10**6) for _ in range(1000)) and len(limits) == 0


def test_memory_is_bounded_and_keys_in_the_middle_of_their_limit_are_kept():
    clock = Clock()
    limits = KeyLimits(1, 10, clock, most_keys=100)
    limits.take(-1, 10)
    for key in range(1000):
        limits.take(key)
        assert len(limits) <= 100
    assert limits.take(-1) > 0, "the emptiest bucket wasn't forgotten"
    clock.now += 1000
    limits.take(5000)
    assert limits.take(-1) == 0


def test_threads_together_get_no_more_than_one():
    limits, got = KeyLimits(1, 50, Clock()), []

    def take():
        got.extend(limits.take(1) == 0 for _ in range(100))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 50


@pytest.mark.parametrize(("rate", "burst", "told"), [(-1, 5, "rate: -1"), (1, 0.5, "burst: 0.5")])
def test_a_limit_that_cant_be_is_refused(rate, burst, told):
    with pytest.raises(ValueError, match=told):
        KeyLimits(rate, burst, Clock())
