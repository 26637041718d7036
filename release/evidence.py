"""Evidence that may be looked at after every tick: exact anytime-valid e-values, in log space.

An e-value E has expectation at most 1 while the hypothesis holds, at any stopping time, so "act once
E >= 1/alpha" errs with probability at most alpha however often it is looked at (Ville's inequality;
Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", 2023).
n are requests, k the bad ones, p0 a rate (0..1). All functions take scalars or numpy arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln

#: Prior of harm, Beta(1, 9) cut to (p0, 1]: most weight on rates not far above the bound.
HARM_PRIOR = (1.0, 9.0)
#: Prior of health, Beta(1, 1) cut to [0, p0): no rate under the bound preferred. Without any bad request,
#: 644 requests show health against a 1 % bound at alpha 1 %; the least possible is 459.
HEALTH_PRIOR = (1.0, 1.0)

#: The ratios that the relative gate averages over, as multiples of its bound, and their weights.
GRID_POINTS = 32
GRID_SPAN = 200.0
_U = (np.arange(GRID_POINTS) + 0.5) / GRID_POINTS * math.log(GRID_SPAN)
RATIOS: NDArray[np.float64] = np.exp(_U)
_W = np.exp(-_U / 2)
LOG_WEIGHTS: NDArray[np.float64] = np.log(_W / _W.sum())

#: Below this a regularized beta function is too near to underflow for its logarithm.
_TINY = 1e-250

Numbers = Any  # int, float or a numpy array of either


def log_e_harm(n: Numbers, k: Numbers, p0: float) -> Any:
    """Log e-value against "rate <= p0": the integral of p^k (1-p)^(n-k) over HARM_PRIOR on (p0, 1],
    divided by p0^k (1-p0)^(n-k).
    """
    a, b = HARM_PRIOR
    n, k = np.asarray(n, dtype=float), np.asarray(k, dtype=float)
    mass = _log_beta_above(a + k, b + n - k, p0) - _log_beta_above(a, b, p0)
    return _plain(mass - k * math.log(p0) - (n - k) * math.log1p(-p0))


def log_e_health(n: Numbers, k: Numbers, p0: float) -> Any:
    """Log e-value against "rate >= p0": the same with HEALTH_PRIOR on [0, p0)."""
    a, b = HEALTH_PRIOR
    n, k = np.asarray(n, dtype=float), np.asarray(k, dtype=float)
    mass = _log_beta_below(a + k, b + n - k, p0) - _log_beta_below(a, b, p0)
    return _plain(mass - k * math.log(p0) - (n - k) * math.log1p(-p0))


def ratio_log_likelihoods(
    bad: Numbers, control_bad: Numbers, exposure: Numbers, control_exposure: Numbers, r0: float
) -> NDArray[np.float64]:
    """One tick's log likelihood ratios q(r) against q(r0), for each ratio r = r0 * RATIOS.

    Given the tick's bad requests, the candidate's part is Binomial(q(r)), q(r) = r n_c / (r n_c + n_s).
    Add these up over ticks and give the sums to `log_e_ratio`. The last axis is the grid.
    With no exposure on either side the tick says nothing.

    Valid at any rate, not only for rare errors: with a = q(r)/q(r0) >= 1 >= b = (1-q(r))/(1-q(r0)), the
    expectation over requests that fail independently with p is the product of (1 + p (a-1)) over the
    candidate's and (1 + p (b-1)) over the control's, at most exp(n_c p_c (a-1) + n_s p_s (b-1)), and that
    exponent is <= 0 whenever the mean rates keep p_c <= r0 p_s.
    """
    k, k_s, n, n_s = (
        np.asarray(v, dtype=float)[..., None] for v in (bad, control_bad, exposure, control_exposure)
    )
    exposed = (n > 0) & (n_s > 0)
    n, n_s = np.where(exposed, n, 1.0), np.where(exposed, n_s, 1.0)
    r = r0 * RATIOS
    # q(r)/q(r0) = (r/r0) m and (1-q(r))/(1-q(r0)) = m with m = (r0 n + n_s) / (r n + n_s)
    log_m = np.log(r0 * n + n_s) - np.log(r * n + n_s)
    result: NDArray[np.float64] = np.where(exposed, k * np.log(RATIOS) + (k + k_s) * log_m, 0.0)
    return result


def log_e_ratio(sums: Sequence[float] | NDArray[np.float64]) -> Any:
    """Log e-value against "candidate's rate <= r0 x control's", from accumulated log likelihood ratios."""
    weighted = np.asarray(sums, dtype=float) + LOG_WEIGHTS
    top = weighted.max(axis=-1)
    return _plain(top + np.log(np.exp(weighted - top[..., None]).sum(axis=-1)))


def overdispersion(batches: Sequence[tuple[int, int]]) -> float:
    """phi >= 1 from the baseline's ticks (requests, bad), by batch means over about sqrt(ticks) batches.

    Bursts make neighbouring ticks alike; long batches see that, a Pearson dispersion of single ticks
    doesn't. 1 when there are fewer than 16 ticks, or nothing bad. Dividing a log e-value by phi is a
    heuristic without a proof.
    """
    ticks = [(n, k) for n, k in batches if n > 0]
    n_total, k_total = sum(n for n, _ in ticks), sum(k for _, k in ticks)
    if len(ticks) < 16 or not 0 < k_total < n_total:
        return 1.0
    size = round(math.sqrt(len(ticks)))
    count = len(ticks) // size
    rate = k_total / n_total
    spread = 0.0
    for i in range(count):
        batch = ticks[i * size : (i + 1) * size]
        n, k = sum(n for n, _ in batch), sum(k for _, k in batch)
        spread += (k - n * rate) ** 2 / (n * rate * (1 - rate))
    return max(1.0, spread / (count - 1))


def requests_needed_for_health(p0: float, alpha: float, k: int = 0, phi: float = 1.0) -> int:
    """Fewest requests, k of them bad, whose evidence for "rate < p0" reaches 1/alpha.

    This rule sizes every window. Raises ValueError outside 0 < p0 < 1, 0 < alpha < 1.
    """
    _check(p0, alpha)
    needed = math.log(1 / alpha) * phi
    return _first(lambda n: log_e_health(n, k, p0) >= needed, start=max(1, k))


def expected_requests_for_health(p0: float, p1: float, alpha: float, phi: float = 1.0) -> float:
    """Requests until a version with true rate p1 has shown health; inf when p1 >= p0.

    The point where the evidence of the expected counts crosses 1/alpha, which is near the median.
    """
    _check(p0, alpha)
    if p1 >= p0:
        return math.inf
    needed = math.log(1 / alpha) * phi
    return float(_first(lambda n: log_e_health(n, n * p1, p0) >= needed))


def expected_requests_to_reject(p0: float, p1: float, alpha: float, phi: float = 1.0) -> float:
    """Requests until a version with true rate p1 is rejected, near the median; inf when p1 <= p0."""
    _check(p0, alpha)
    if p1 <= p0:
        return math.inf
    needed = math.log(1 / alpha) * phi
    return float(_first(lambda n: log_e_harm(n, n * p1, p0) >= needed))


def sequential_lower_bound(p0: float, p1: float, alpha: float) -> float:
    """Least mean requests of any test of this alpha: ln(1/alpha) / KL(p1, p0) (Wald 1945)."""
    _check(p0, alpha)
    divergence = p1 * math.log(p1 / p0) + (1 - p1) * math.log((1 - p1) / (1 - p0))
    return math.log(1 / alpha) / divergence


def _check(p0: float, alpha: float) -> None:
    if not 0 < p0 < 1:
        raise ValueError(f"p0: {p0} is not allowed; use 0 < p0 < 1")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: {alpha} is not allowed; use 0 < alpha < 1")


def _first(holds: Any, start: int = 1) -> int:
    """Smallest n >= start where a condition that stays true begins to hold, by doubling and halving."""
    high = start
    while not holds(high):
        high *= 2
        if high > 1 << 53:
            raise ValueError("more than 2^53 requests would be needed")
    low = max(start - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _log_beta_below(a: Numbers, b: Numbers, x: float) -> NDArray[np.float64]:
    """Log of the integral of t^(a-1) (1-t)^(b-1) from 0 to x."""
    return _log_tail(betainc(a, b, x), a, b, x, 1 - x)


def _log_beta_above(a: Numbers, b: Numbers, x: float) -> NDArray[np.float64]:
    """Log of the integral of t^(a-1) (1-t)^(b-1) from x to 1."""
    return _log_tail(betaincc(a, b, x), b, a, 1 - x, x)


def _log_tail(regularized: Any, a: Numbers, b: Numbers, x: float, y: float) -> NDArray[np.float64]:
    """Log of the integral over [0, x] (y = 1 - x), from its regularized value where that isn't tiny.

    Far in the tail it underflows; there its continued fraction converges fast.
    """
    regularized, a, b = np.broadcast_arrays(regularized, a, b)
    far = regularized < _TINY
    log = np.log(np.where(far, 1.0, regularized)) + betaln(a, b)
    if not far.any():
        return np.asarray(log, dtype=float)
    tail = [_log_fraction(float(i), float(j), x, y) for i, j in zip(a[far], b[far], strict=True)]
    log = np.array(log, dtype=float)
    log[far] = tail
    return log


def _log_fraction(a: float, b: float, x: float, y: float) -> float:
    """Log of x^a y^b / a over the incomplete beta's continued fraction (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, 1.0 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 100_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1 + step * d)
            c = _nonzero(1 + step / c)
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return a * math.log(x) + b * math.log(y) - math.log(a) + math.log(value)


def _nonzero(value: float) -> float:
    """Lentz's method divides by this."""
    return value if abs(value) > 1e-300 else 1e-300


def _plain(value: Any) -> Any:
    """A float for scalars, an array for arrays."""
    return float(value) if np.ndim(value) == 0 else value
