"""What a release would do: its steps with windows computed from the load. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from release import evidence
from release.gates import GatePlan
from release.profile import Profile, Step, WhenInconclusive
from release.sample import Slot

#: `longest_s: auto` is PATIENCE times what a version at half the bound needs, and at least LEAST_LOOKS looks.
PATIENCE = 1.5
LEAST_LOOKS = 15
#: Harm for which a plan says how soon it would be seen: a share of bad requests.
SHOWN_HARM = 0.05


class Baseline(BaseModel):
    """How one SLI behaves before the release, over all requests: bad share, and overdispersion phi >= 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = 0.0
    phi: float = 1.0

    @classmethod
    def of(cls, ticks: list[tuple[int, int]]) -> Self:
        """From (requests, bad) of each tick of the window before the release."""
        requests = sum(n for n, _ in ticks)
        rate = max(0, sum(k for _, k in ticks)) / requests if requests else 0.0
        return cls(rate=rate, phi=evidence.overdispersion(ticks))


class StepPlan(BaseModel):
    """One step, every "auto" worked out. Times in seconds; math.inf never appears (None instead).

    needed: candidate requests until health can be shown at the baseline's rate. expected_s: how long
    that takes at this load, None when the load or the baseline can't deliver it.
    harm_s: how long until SHOWN_HARM errors would be seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    share: float
    gates: tuple[GatePlan, ...]
    interval_s: float
    min_samples: int
    shortest_s: float
    longest_s: float
    on_inconclusive: WhenInconclusive
    rate_per_s: float
    needed: int | None
    expected_s: float | None
    harm_s: float | None

    @property
    def share_bp(self) -> int:
        """The share in basis points (0..10000)."""
        return round(self.share * 100)


class Plan(BaseModel):
    """A whole release before it starts. previous is None at an environment's first release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    version: str
    previous: str | None
    candidate_slot: Slot
    alpha: float
    health_alpha: float
    rate_per_s: float
    steps: tuple[StepPlan, ...]

    def step(self, name: str) -> StepPlan:
        """A step by name. Raises KeyError."""
        return next(step for step in self.steps if step.name == name)

    @property
    def warnings(self) -> list[str]:
        """What the current traffic can't deliver, one line each."""
        return [line for step in self.steps for line in _warnings(step)]


def make_plan(
    profile: Profile,
    version: str,
    previous: str | None,
    candidate_slot: Slot,
    rate_per_s: float,
    *,
    baseline: Mapping[str, Baseline] | None = None,
) -> Plan:
    """The plan of a release at a load of rate_per_s requests a second over all versions.

    baseline maps a gate's name to how its SLI behaves before the release (none: no bad requests).
    The release's alpha is split over all gates of all steps by their alpha_share. At a first release
    nobody serves, so only the last step is left, without gates that compare.
    """
    if rate_per_s < 0 or not math.isfinite(rate_per_s):
        raise ValueError(f"rate_per_s: {rate_per_s} is not allowed; use requests a second, >= 0")
    steps = profile.steps if previous is not None else (_alone(profile.steps[-1]),)
    shares = sum(gate.alpha_share for step in steps for gate in step.gates)
    planned = []
    for step in steps:
        gates = tuple(
            GatePlan(
                gate=gate,
                alpha=profile.alpha * gate.alpha_share / shares,
                health_alpha=profile.health_alpha,
                phi=_thinned((baseline or {}).get(gate.name, Baseline()).phi, step.share / 100),
            )
            for gate in step.gates
        )
        planned.append(_plan_step(step, gates, rate_per_s * step.share / 100, baseline or {}))
    return Plan(
        profile=profile.name,
        version=version,
        previous=previous,
        candidate_slot=candidate_slot,
        alpha=profile.alpha,
        health_alpha=profile.health_alpha,
        rate_per_s=rate_per_s,
        steps=tuple(planned),
    )


def _thinned(phi: float, share: float) -> float:
    """The overdispersion that a random share of the requests has, when all of them have phi.

    Exact for thinning a point process (Cox and Isham, "Point Processes", 1980): a burst of 50 bad requests
    is one of 5 where only a tenth of the requests go.
    """
    return 1 + (phi - 1) * share


def _alone(step: Step) -> Step:
    return step.model_copy(update={"gates": tuple(g for g in step.gates if g.kind == "absolute")})


def _plan_step(
    step: Step, gates: tuple[GatePlan, ...], rate_per_s: float, baseline: Mapping[str, Baseline]
) -> StepPlan:
    """Windows by one rule: the requests that evidence for health needs, over the candidate's rate."""
    health = [g for g in gates if g.decides_health]
    least = max(
        evidence.requests_needed_for_health(g.gate.threshold, g.health_alpha, phi=g.phi) for g in health
    )
    wanted = max(
        evidence.expected_requests_for_health(
            g.gate.threshold, baseline.get(g.gate.name, Baseline()).rate, g.health_alpha, g.phi
        )
        for g in health
    )
    min_samples = least if step.min_samples == "auto" else step.min_samples
    needed = max(wanted, min_samples)
    harm = min(
        evidence.expected_requests_to_reject(g.gate.threshold, SHOWN_HARM, g.alpha, g.phi) for g in health
    )
    expected_s = _ticks(needed / rate_per_s, step) if rate_per_s and math.isfinite(needed) else None
    return StepPlan(
        name=step.name,
        share=step.share,
        gates=gates,
        interval_s=step.interval_s,
        min_samples=min_samples,
        shortest_s=step.shortest_s,
        longest_s=_longest(step, gates, rate_per_s),
        on_inconclusive=step.on_inconclusive,
        rate_per_s=rate_per_s,
        needed=int(needed) if math.isfinite(needed) else None,
        expected_s=None if expected_s is None else max(expected_s, step.shortest_s),
        harm_s=_ticks(harm / rate_per_s, step) if rate_per_s and math.isfinite(harm) else None,
    )


def _longest(step: Step, gates: tuple[GatePlan, ...], rate_per_s: float) -> float:
    """How long a step may look for evidence, in seconds."""
    if step.longest_s != "auto":
        return step.longest_s
    requests = max(
        evidence.expected_requests_for_health(g.gate.threshold, g.gate.threshold / 2, g.health_alpha, g.phi)
        for g in gates
        if g.decides_health
    )
    patient = _ticks(PATIENCE * requests / rate_per_s, step) if rate_per_s else 0.0
    return max(patient, LEAST_LOOKS * step.interval_s, step.shortest_s)


def _ticks(seconds: float, step: Step) -> float:
    """Decisions fall on ticks, so a window is a whole number of intervals."""
    return math.ceil(seconds / step.interval_s) * step.interval_s


def _warnings(step: StepPlan) -> list[str]:
    if not step.rate_per_s:
        return [f"{step.name}: no traffic is known, so no window can be computed"]
    if step.needed is None or step.expected_s is None:
        return [f"{step.name}: the baseline is not below a gate's bound, so health can't be shown"]
    if step.expected_s > step.longest_s:
        return [
            f"{step.name}: evidence for health takes about {duration(step.expected_s)} at this load, longer "
            f"than longest_s {duration(step.longest_s)}; then on_inconclusive says {step.on_inconclusive}"
        ]
    return []


def render(plan: Plan) -> str:
    """The plan in words and a table, for `python -m release plan`."""
    after = f" after {plan.previous}" if plan.previous else ", the first release here"
    lines = [
        f"{plan.version}{after}: profile {plan.profile}, into slot {plan.candidate_slot}",
        f"load {plan.rate_per_s:g} requests/s; a version that keeps every bound is rolled back with a chance "
        f"of at most {plan.alpha:.2g}",
        "",
        f"{'step':<10}{'share':>7}{'req/s':>9}{'needed':>9}{'expected':>10}{'longest':>10}"
        f"{f'{SHOWN_HARM:.0%} errors':>12}  then",
    ]
    for step in plan.steps:
        lines.append(
            f"{step.name:<10}{step.share:>6g}%{step.rate_per_s:>9.4g}{_or_never(step.needed):>9}"
            f"{duration(step.expected_s):>10}{duration(step.longest_s):>10}"
            f"{duration(step.harm_s):>12}  {step.on_inconclusive}"
        )
        lines += [f"    {_gate(gate)}" for gate in step.gates]
    lines += [
        "",
        "needed: candidate requests until health can be shown at the baseline's rate; expected: how long",
        f"that takes; {SHOWN_HARM:.0%} errors: how soon they would be seen; then: after the longest wait.",
    ]
    return "\n".join([*lines, *(f"warning: {line}" for line in plan.warnings)])


def _or_never(number: int | None) -> str:
    return "never" if number is None else str(number)


def _gate(plan: GatePlan) -> str:
    gate = plan.gate
    what = "errors" if gate.sli == "errors" else f"slower than {gate.slower_than_s:g} s"
    bound = (
        f"{gate.threshold:.3g} of requests" if gate.kind == "absolute" else f"{gate.threshold:g} x control"
    )
    return f"{gate.name}: {what} at most {bound}, alpha {plan.alpha:.2g}, phi {plan.phi:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 14 s, 12 min, 24 h."""
    if seconds is None:
        return "never"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
