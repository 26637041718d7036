"""A step's evidence as a value: what each gate has seen, tick by tick.

Everything that a decision needs is in here and goes through JSON without loss, so that an observer
killed between two ticks goes on exactly where the journal ends.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from release import evidence
from release.profile import Gate
from release.sample import Observation, Sample, Slot, SlotCounts


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GatePlan(_Value):
    """A gate of a step, with what the plan worked out for it.

    alpha: its part of the release's false-rollback rate. health_alpha: how sure it must be of health.
    phi >= 1: overdispersion of its SLI in the baseline; log e-values are divided by it.
    """

    gate: Gate
    alpha: float
    health_alpha: float
    phi: float = 1.0

    @property
    def decides_health(self) -> bool:
        """Only an absolute gate can show health; a relative one only objects."""
        return self.gate.kind == "absolute"

    def counts(self, counts: SlotCounts) -> tuple[int, int]:
        """(requests, bad ones) of this gate's SLI."""
        if self.gate.sli == "errors" or self.gate.slower_than_s is None:
            return counts.requests, counts.errors
        return counts.timed, counts.slower_than(self.gate.slower_than_s)


class GateEvidence(_Value):
    """What one gate has seen in this step. Log e-values are natural logarithms, divided by phi.

    bad may be below 0 for a moment (see SlotCounts). sums are the relative gate's log likelihood ratios
    on its grid; they are linear in the bad requests, so they make up for it too. rejected stays once it
    is true: the bound holds for the highest e-value ever, so a later lull doesn't take it back.
    """

    name: str
    requests: int = 0
    bad: int = 0
    control_requests: int = 0
    control_bad: int = 0
    sums: tuple[float, ...] | None = None
    log_e_harm: float = 0.0
    highest_log_e_harm: float = 0.0
    log_e_health: float | None = None
    rejected: bool = False
    healthy: bool = False

    def after(self, plan: GatePlan, candidate: SlotCounts, control: SlotCounts) -> GateEvidence:
        """The evidence with one more sample in it."""
        requests, bad = plan.counts(candidate)
        control_requests, control_bad = plan.counts(control)
        n, k = self.requests + requests, self.bad + bad
        sums, health, healthy = None, None, False
        if plan.gate.kind == "absolute":
            whole = min(max(k, 0), n)
            harm = evidence.log_e_harm(n, whole, plan.gate.threshold) / plan.phi
            health = evidence.log_e_health(n, whole, plan.gate.threshold) / plan.phi
            healthy = health >= math.log(1 / plan.health_alpha)
        else:
            tick = evidence.ratio_log_likelihoods(
                bad, control_bad, requests, control_requests, plan.gate.threshold
            )
            before = self.sums or (0.0,) * evidence.GRID_POINTS
            sums = tuple(s + float(t) for s, t in zip(before, tick, strict=True))
            harm = evidence.log_e_ratio(sums) / plan.phi
        highest = max(self.highest_log_e_harm, harm)
        return GateEvidence(
            name=self.name,
            requests=n,
            bad=k,
            control_requests=self.control_requests + control_requests,
            control_bad=self.control_bad + control_bad,
            sums=sums,
            log_e_harm=harm,
            highest_log_e_harm=highest,
            log_e_health=health,
            rejected=self.rejected or highest >= math.log(1 / plan.alpha),
            healthy=healthy,
        )


class StepEvidence(_Value):
    """All gates of one step, and how the last look went. Start with `start`, add with `after`."""

    gates: tuple[GateEvidence, ...]
    samples: int = 0
    ticks: int = 0
    unanswered: int = 0
    last: Literal["none", "sample", "no_data", "unreachable"] = "none"
    last_why: str = ""

    @classmethod
    def start(cls, plans: tuple[GatePlan, ...]) -> Self:
        """Nothing seen yet."""
        return cls(gates=tuple(GateEvidence(name=plan.gate.name) for plan in plans))

    def after(self, plans: tuple[GatePlan, ...], candidate: Slot, seen: Observation) -> StepEvidence:
        """With one more look. No data and could-not-ask change nothing but the count of such looks."""
        if not isinstance(seen, Sample):
            return self.model_copy(
                update={
                    "ticks": self.ticks + 1,
                    "unanswered": self.unanswered + 1,
                    "last": seen.kind,
                    "last_why": seen.why,
                }
            )
        mine = seen.slots[candidate]
        control = seen.slots["blue" if candidate == "green" else "green"]
        return StepEvidence(
            gates=tuple(
                gate.after(plan, mine, control) for gate, plan in zip(self.gates, plans, strict=True)
            ),
            samples=self.samples + mine.requests,
            ticks=self.ticks + 1,
            unanswered=self.unanswered,
            last="sample",
        )
