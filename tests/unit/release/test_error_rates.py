"""Simulated releases, seeded: how often a healthy one is rejected, and how soon a sick one is."""

import math

import numpy as np
import pytest

from release import evidence

ALPHA_OF_THE_FIRST_GATE = 0.005


def releases(seed, count, ticks, per_tick, rate):
    """Cumulative (requests, bad) of `count` releases, Poisson requests a tick; shape (ticks, count)."""
    random = np.random.default_rng(seed)
    requests = random.poisson(per_tick, size=(ticks, count))
    bad = random.binomial(requests, rate)
    return requests.cumsum(axis=0), bad.cumsum(axis=0)


def first_crossing(log_e, alpha):
    """Tick (from 1) at which each release first reaches 1/alpha; inf where it never does."""
    crossed = log_e >= math.log(1 / alpha)
    return np.where(crossed.any(axis=0), crossed.argmax(axis=0) + 1.0, np.inf)


def at_most(share, alpha, count):
    """Whether a simulated share agrees with a true one of at most alpha (three standard errors)."""
    return share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / count)


def test_a_version_exactly_at_the_bound_is_rejected_at_most_alpha_of_the_time():
    n, k = releases(1, 3000, 300, 20, 0.01)
    share = np.isfinite(first_crossing(evidence.log_e_harm(n, k, 0.01), 0.05)).mean()
    assert at_most(share, 0.05, 3000)
    assert share > 0.005  # the test looks where rejections do happen


def test_a_version_exactly_at_the_bound_is_called_healthy_at_most_alpha_of_the_time():
    n, k = releases(2, 3000, 300, 20, 0.01)
    share = np.isfinite(first_crossing(evidence.log_e_health(n, k, 0.01), 0.05)).mean()
    assert at_most(share, 0.05, 3000)
    assert share > 0.005


@pytest.mark.parametrize("per_tick", [20 / 6, 60 / 6, 300 / 6])
def test_a_version_at_half_the_bound_is_rejected_less_than_once_in_a_thousand(per_tick):
    n, k = releases(3, 4000, 150, per_tick, 0.005)
    rejected = np.isfinite(first_crossing(evidence.log_e_harm(n, k, 0.01), ALPHA_OF_THE_FIRST_GATE))
    assert rejected.mean() <= 0.001


@pytest.mark.parametrize(
    ("per_minute", "rate", "most_minutes"), [(20, 0.05, 9), (60, 0.05, 3), (300, 0.05, 1), (60, 0.02, 35)]
)
def test_errors_are_seen_within_the_promised_median(per_minute, rate, most_minutes):
    every_s = 5
    n, k = releases(4, 400, most_minutes * 3 * 60 // every_s, per_minute * every_s / 60, rate)
    ticks = first_crossing(evidence.log_e_harm(n, k, 0.01), ALPHA_OF_THE_FIRST_GATE)
    assert np.median(ticks) * every_s / 60 <= most_minutes


@pytest.mark.parametrize(("rate", "r0"), [(0.002, 2.0), (0.01, 1.0), (0.3, 2.0)])
def test_a_candidate_at_the_allowed_ratio_is_rejected_at_most_alpha_of_the_time(rate, r0):
    """Traffic and shares change at every tick, and the rate itself changes during the day."""
    random = np.random.default_rng(5)
    count, alpha = 2000, 0.05
    sums = np.zeros((count, evidence.GRID_POINTS))
    rejected = np.zeros(count, dtype=bool)
    for tick in range(80):
        now = rate * (1 + 0.5 * math.sin(tick / 10))
        total = random.poisson(random.choice([20, 200, 1000]), size=count)
        n = random.binomial(total, random.choice([0.05, 0.25, 0.5, 0.9]))
        k, k_s = random.binomial(n, r0 * now), random.binomial(total - n, now)
        sums += evidence.ratio_log_likelihoods(k, k_s, n, total - n, r0)
        rejected |= evidence.log_e_ratio(sums) >= math.log(1 / alpha)
    assert at_most(rejected.mean(), alpha, count)


def test_a_candidate_far_above_the_allowed_ratio_is_rejected():
    random = np.random.default_rng(6)
    sums = np.zeros(evidence.GRID_POINTS)
    for _ in range(15):
        k, k_s = random.binomial(50, 0.05), random.binomial(450, 0.005)
        sums += evidence.ratio_log_likelihoods(k, k_s, 50, 450, 2.0)
    assert evidence.log_e_ratio(sums) >= math.log(1000)
