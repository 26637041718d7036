"""The in-process benchmark measures every figure that is published, in the units of their names."""

import pytest

from release.load.bench import in_process


def test_every_published_figure_is_measured_and_within_an_order_of_its_aim():
    measured = in_process.costs()
    assert set(measured) == {"pop_ns", "switch_ns", "router_ns", "million_mb"}
    # Loose: this machine may be busy. What is published is measured on a quiet one.
    assert 5 < measured["pop_ns"] < 1_000
    assert 0 <= measured["switch_ns"] < 10_000
    assert 0 <= measured["router_ns"] < 10_000
    assert 8 <= measured["million_mb"] < 20


def test_no_snowflake_is_faster_than_its_ceiling():
    measured = in_process.throughputs(0.25)
    ceiling = measured["snowflake_ceiling"]
    assert ceiling == 2_048_000
    # Over so short a time the bound on the lead, and what had just passed, weigh 15 ms.
    for name in ("snowflake_1", "snowflake_5000", "snowflake_octets_5000"):
        assert 0 < measured[name] < ceiling * (1 + 0.020 / 0.25)
    assert measured["segment_5000"] > ceiling


@pytest.mark.parametrize("pairs", [[(5.0, 3.0), (4.0, 9.0)], [(4.0, 3.0)]])
def test_the_least_of_each_is_compared(pairs):
    assert in_process._least_difference(pairs) == 1.0
