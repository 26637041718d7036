"""How large the next range should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ids.steps import Duration, Fixed, Velocity, policy


@given(
    st.integers(1, 10**6), st.integers(1, 10**8), st.integers(0, 10**9), st.floats(0, 10**6), st.floats(-1, 9)
)
def test_every_policy_stays_between_the_tags_step_and_the_largest(step, last, issued, seconds, pressure):
    largest = max(step, 10**6)
    for one in (Fixed(step), Duration(step, 900.0, largest), Velocity(step, lambda: pressure, largest)):
        assert step <= one.next(last, issued, seconds) <= largest


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, 2_000), (899, 2_000), (900, 1_000), (1_800, 1_000), (1_801, 500)]
)
def test_duration_doubles_below_its_aim_and_halves_above_twice_of_it(seconds, expected):
    assert Duration(100, 900.0).next(1_000, 1_000, seconds) == expected


@given(st.floats(1, 1e5))
def test_duration_settles_where_a_range_lasts_as_long_as_it_should(rate):
    one, size = Duration(100, 900.0), 100
    for _ in range(60):
        size = one.next(size, size, size / rate)
    lasts_s = size / rate
    assert 900 <= lasts_s <= 1_800 or size in (one.step, one.largest)


def test_velocity_is_the_formula():
    # 10,000 x (1 + 0.5 x 2) x (1 + 0.3 x 0.5)
    assert Velocity(10_000, lambda: 0.5).next(1, 40_000, 2.0) == 23_000
    assert Velocity(10_000).next(1, 0, 2.0) == 10_000


def test_velocity_survives_no_time_at_all():
    assert Velocity(10, largest=5_000).next(1, 100, 0.0) == 5_000


def test_policies_are_made_by_name():
    assert policy("fixed", 7) == Fixed(7)
    assert policy("duration", 7, segment_s=60.0) == Duration(7, 60.0)
    assert policy("velocity", 7, cpu_pressure=lambda: 1.0).next(7, 0, 1.0) == 9
    with pytest.raises(ValueError, match="step_policy: 'other' is not allowed; allowed: fixed, duration"):
        policy("other", 7)
