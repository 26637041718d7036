"""A plan sizes every window by one rule, and says what the traffic can't deliver."""

import math

import numpy as np
import pytest

from release import evidence
from release.plan import Baseline, Plan, make_plan, render
from release.profile import load_profile


def plan(profile="demo", rate=500.0, previous="1.0.0", **more):
    return make_plan(load_profile(profile), "1.1.0", previous, "green", rate, **more)


def test_the_demos_canary_reaches_health_in_about_15_s_of_its_own_load():
    canary = plan().steps[0]
    assert canary.rate_per_s == 50
    assert 560 <= canary.needed <= 750
    assert 12 <= canary.expected_s <= 18


def test_the_alpha_of_a_release_is_split_over_all_its_gates():
    made = plan()
    assert math.fsum(gate.alpha for step in made.steps for gate in step.gates) == pytest.approx(made.alpha)


def test_minimum_samples_are_what_health_needs_at_least():
    assert plan().steps[0].min_samples == evidence.requests_needed_for_health(0.01, 0.01)


def test_half_the_load_takes_twice_as_long():
    assert plan(rate=250).steps[0].expected_s == pytest.approx(2 * plan(rate=500).steps[0].expected_s, abs=2)


def test_a_baseline_with_errors_and_bursts_needs_longer_windows():
    calm = plan().steps[0]
    rough = plan(baseline={"errors": Baseline(rate=0.004, phi=2.0)}).steps[0]
    assert rough.needed > 3 * calm.needed
    assert rough.longest_s > calm.longest_s


def test_a_burst_weighs_as_much_as_the_share_that_meets_it():
    steps = plan(baseline={"errors": Baseline(rate=0.004, phi=11.0)}).steps
    assert [step.gates[0].phi for step in steps] == pytest.approx([2.0, 6.0, 11.0])


def test_a_tenth_of_bursty_requests_is_as_bursty_as_thinning_says():
    random = np.random.default_rng(3)
    rates = 0.02 * np.exp(random.normal(0, 1, 20_000) - 0.5)
    everybody = random.poisson(500 * rates)
    tenth = random.binomial(everybody, 0.1)
    phi_all, phi_tenth = (counts.var() / counts.mean() for counts in (everybody, tenth))
    assert phi_tenth == pytest.approx(1 + (phi_all - 1) * 0.1, rel=0.05)


def test_the_longest_wait_lets_a_version_at_half_the_bound_show_health():
    canary = plan().steps[0]
    assert canary.longest_s * canary.rate_per_s > evidence.expected_requests_for_health(0.01, 0.005, 0.01)


def test_a_first_release_goes_to_all_at_once_and_compares_with_nobody():
    first = plan(previous=None)
    assert [step.name for step in first.steps] == ["full"]
    assert {gate.gate.kind for gate in first.steps[0].gates} == {"absolute"}
    assert "the first release here" in render(first)


def test_a_plan_survives_json_exactly():
    made = plan("gray", rate=7.3, baseline={"slow": Baseline(rate=0.001, phi=1.7)})
    assert Plan.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rate": 0.0}, "no traffic is known"),
        ({"baseline": {"errors": Baseline(rate=0.02)}}, "health can't be shown"),
        ({"profile": "canary", "rate": 0.5}, "longer than longest_s 2 h; then on_inconclusive says hold"),
    ],
)
def test_what_the_traffic_cannot_deliver_is_said_before_the_start(more, words):
    made = plan(**more)
    assert any(words in line for line in made.warnings)
    assert words in render(made)


def test_enough_traffic_needs_no_warning():
    assert plan().warnings == []


@pytest.mark.parametrize("rate", [-1.0, math.inf, math.nan])
def test_a_load_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="rate_per_s"):
        plan(rate=rate)


def test_the_plan_in_words_names_every_step_and_gate():
    text = render(plan())
    for word in ("canary", "half", "full", "14 s", "errors_to_control", "at most 2 x control", "alpha 0.005"):
        assert word in text


def test_a_baseline_is_measured_from_its_ticks():
    measured = Baseline.of([(100, 1), (300, 1)])
    assert measured == Baseline(rate=0.005, phi=1.0)
    assert Baseline.of([]) == Baseline()
