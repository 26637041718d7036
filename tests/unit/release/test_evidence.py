"""The e-values are exact, and they size windows as promised."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy.integrate import quad

from release import evidence


def integrated(n, k, p0, *, prior, low, high):
    """Log e-value by numerical integration, piece by piece around the likelihood's peak."""
    a, b = prior
    norm = quad(lambda p: p ** (a - 1) * (1 - p) ** (b - 1), low, high)[0]

    def log_ratio(p):
        return k * math.log(p / p0) + (n - k) * (math.log1p(-p) - math.log1p(-p0))

    peak = max(min(k / n if n else p0, high), low)
    steps = [d / max(n, 1) for d in (-300, -60, -10, -2, 0, 2, 10, 60, 300)]
    steps += [d * math.sqrt(max(k, 1)) / max(n, 1) for d in (-6, -2, 2, 6)]
    points = sorted({low, high, *(float(np.clip(peak + step, low, high)) for step in steps)})
    top = log_ratio(peak)

    def density(p):
        return p ** (a - 1) * (1 - p) ** (b - 1) / norm * math.exp(log_ratio(p) - top)

    return top + math.log(sum(quad(density, x, y, epsabs=0)[0] for x, y in itertools.pairwise(points)))


COUNTS = [(0, 0), (1, 1), (10, 0), (100, 3), (644, 0), (1000, 30), (5000, 60), (20_000, 100), (50, 50)]


@pytest.mark.parametrize("p0", [0.001, 0.01, 0.05, 0.5])
@pytest.mark.parametrize(("n", "k"), COUNTS)
def test_evidence_for_harm_is_the_integral_it_claims_to_be(n, k, p0):
    expected = integrated(n, k, p0, prior=evidence.HARM_PRIOR, low=p0, high=1 - 1e-12)
    assert evidence.log_e_harm(n, k, p0) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("p0", [0.001, 0.01, 0.05, 0.5])
@pytest.mark.parametrize(("n", "k"), COUNTS)
def test_evidence_for_health_is_the_integral_it_claims_to_be(n, k, p0):
    expected = integrated(n, k, p0, prior=evidence.HEALTH_PRIOR, low=1e-15, high=p0)
    assert evidence.log_e_health(n, k, p0) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("n", "k"), [(10**8, 0), (10**8, 500_000), (10**8, 10**6), (10**8, 10**8)])
def test_a_hundred_million_requests_neither_overflow_nor_underflow(n, k):
    assert math.isfinite(evidence.log_e_harm(n, k, 0.01))
    assert math.isfinite(evidence.log_e_health(n, k, 0.01))


def test_a_version_without_errors_keeps_an_evidence_of_harm_that_falls_smoothly():
    values = [evidence.log_e_harm(n, 0, 0.01) for n in range(0, 200_000, 500)]
    assert all(later < earlier for earlier, later in itertools.pairwise(values))


def test_arrays_give_what_scalars_give():
    n, k = np.array([10, 1000, 10**6]), np.array([1, 4, 10])
    assert evidence.log_e_harm(n, k, 0.01).tolist() == [
        evidence.log_e_harm(int(a), int(b), 0.01) for a, b in zip(n, k, strict=True)
    ]


def test_health_at_a_one_percent_gate_needs_560_to_750_requests():
    assert 560 <= evidence.requests_needed_for_health(0.01, 0.01) <= 750


@pytest.mark.parametrize("k", [0, 1, 5])
def test_the_requests_needed_are_the_fewest(k):
    n = evidence.requests_needed_for_health(0.01, 0.01, k)
    assert evidence.log_e_health(n, k, 0.01) >= math.log(100) > evidence.log_e_health(n - 1, k, 0.01)


def test_bursts_lengthen_the_window():
    calm, bursty = (evidence.requests_needed_for_health(0.01, 0.01, phi=phi) for phi in (1.0, 3.0))
    assert bursty > 2 * calm


@pytest.mark.parametrize(("p0", "alpha"), [(0, 0.01), (1, 0.01), (0.01, 0), (0.01, 1)])
def test_a_bound_or_an_alpha_outside_its_range_is_named(p0, alpha):
    with pytest.raises(ValueError, match=r"^(p0|alpha): .* is not allowed; use 0 < "):
        evidence.requests_needed_for_health(p0, alpha)


def test_a_rate_at_the_bound_can_show_neither_harm_nor_health():
    assert evidence.expected_requests_for_health(0.01, 0.01, 0.01) == math.inf
    assert evidence.expected_requests_to_reject(0.01, 0.01, 0.01) == math.inf


@pytest.mark.parametrize("p1", [0.02, 0.05, 0.2])
def test_rejecting_takes_at_most_1_6_times_the_sequential_bound(p1):
    needed = evidence.expected_requests_to_reject(0.01, p1, 0.005)
    assert 1 <= needed / evidence.sequential_lower_bound(0.01, p1, 0.005) <= 1.6


def test_the_ratios_of_a_tick_are_binomial_likelihood_ratios():
    k, k_s, n, n_s, r0 = 7, 20, 130, 900, 1.5
    q0 = r0 * n / (r0 * n + n_s)
    expected = []
    for r in r0 * evidence.RATIOS:
        q = r * n / (r * n + n_s)
        expected.append(k * math.log(q / q0) + k_s * math.log((1 - q) / (1 - q0)))
    assert evidence.ratio_log_likelihoods(k, k_s, n, n_s, r0) == pytest.approx(expected)


def test_a_tick_without_a_control_says_nothing_about_the_ratio():
    assert evidence.log_e_ratio(evidence.ratio_log_likelihoods(50, 0, 100, 0, 2.0)) == pytest.approx(0)


def test_the_sums_of_a_ratio_survive_json_exactly():
    sums = evidence.ratio_log_likelihoods(7, 20, 130, 900, 1.5).tolist()
    assert json.loads(json.dumps(sums)) == sums


def test_independent_errors_are_not_called_bursts():
    errors = np.random.default_rng(1).binomial(500, 0.01, size=(200, 400))
    phis = [evidence.overdispersion([(500, int(k)) for k in row]) for row in errors]
    assert np.median(phis) < 1.2


def test_bursts_that_last_several_ticks_are_seen():
    random = np.random.default_rng(2)
    log_rate = np.zeros(2000)
    for i in range(1, 2000):
        log_rate[i] = 0.8 * log_rate[i - 1] + random.normal(0, 0.5 * 0.6)
    errors = random.binomial(500, np.clip(0.01 * np.exp(log_rate), 0, 1))
    pearson = np.mean((errors - errors.mean()) ** 2) / errors.mean()
    assert evidence.overdispersion([(500, int(k)) for k in errors]) > 1.5 * pearson > 1.5


@pytest.mark.parametrize("ticks", [[], [(100, 1)] * 15, [(100, 0)] * 50, [(0, 0)] * 50, [(5, 5)] * 50])
def test_a_baseline_that_says_too_little_means_no_overdispersion(ticks):
    assert evidence.overdispersion(ticks) == 1.0
