"""Looking at one step: raw counters in, evidence added up, a decision out. Resumes from its own ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from release.decision import Decision, decide
from release.engine.baseline import Source
from release.gates import StepEvidence
from release.plan import StepPlan, duration
from release.sample import Observation, Sample, Slot, Snapshot, difference


class StepObserver:
    """One step's evidence. A tick's journal entry holds all that a later process needs to go on.

    Time in which nothing could be learned extends the window, at most to twice its longest wait, since a
    window that nobody could look through must neither promote nor run for ever.
    """

    def __init__(self, plan: StepPlan, candidate: Slot, source: Source, window_from: float) -> None:
        self._plan, self._candidate, self._source = plan, candidate, source
        self._window_from = window_from
        self._evidence = StepEvidence.start(plan.gates)
        self._before: Snapshot | None = None
        self._blind_s = 0.0

    def replay(self, tick: Mapping[str, Any]) -> None:
        """Take up a tick that an earlier process wrote down."""
        self._evidence = StepEvidence.model_validate(tick["evidence"])
        if tick["snapshot"] is not None:
            self._before = Snapshot.model_validate(tick["snapshot"])
        self._count_blind(tick["observation"]["kind"], tick["since"], tick["until"])

    def look(self, since: float, now: float) -> dict[str, Any]:
        """One tick, as it goes into the journal. Never raises for what the source does."""
        seen = self._observe(since, now)
        self._evidence = self._evidence.after(self._plan.gates, self._candidate, seen)
        self._count_blind(seen.kind, since, now)
        return {
            "since": since,
            "until": now,
            "observation": seen.model_dump(mode="json"),
            "snapshot": None if self._before is None else self._before.model_dump(mode="json"),
            "evidence": self._evidence.model_dump(mode="json"),
        }

    def judge(self, window_s: float) -> Decision:
        """Decide from all that was seen; window_s is how long this window has run."""
        return decide(self._plan, self._evidence, window_s - min(self._blind_s, self._plan.longest_s))

    def line(self, decision: Decision) -> str:
        """One line for people: samples, the e-value nearest to rejecting, health, the longest wait."""
        if self._evidence.last != "sample":
            return decision.awaits or decision.reason
        pairs = list(zip(self._plan.gates, self._evidence.gates, strict=True))
        plan, worst = max(pairs, key=lambda pair: pair[1].log_e_harm + math.log(pair[0].alpha))
        health = [f"{g.name} {_e(g.log_e_health)}" for _, g in pairs if g.log_e_health is not None]
        return (
            f"{self._evidence.samples} of {self._plan.min_samples} requests; "
            f"e of harm {_e(worst.log_e_harm)} of {1 / plan.alpha:.0f} ({worst.name}); "
            f"of health {', '.join(health)} of {1 / plan.health_alpha:.0f}; "
            f"at {duration(self._plan.longest_s)} {self._plan.on_inconclusive}"
        )

    def _observe(self, since: float, now: float) -> Observation:
        """What happened since the last snapshot; the first is the one of when the share was applied."""
        if self._before is None:
            first = self._source.snapshot(since)
            if not isinstance(first, Snapshot):
                return first
            self._before = first
        latest = self._source.snapshot(now)
        if not isinstance(latest, Snapshot):
            return latest
        seen = difference(self._before, latest)
        if isinstance(seen, Sample):
            self._before = latest
        return seen

    def _count_blind(self, kind: str, since: float, until: float) -> None:
        if kind != "sample" and since >= self._window_from:
            self._blind_s += until - since


def _e(log_e: float) -> str:
    """An e-value from its natural logarithm, short."""
    return f"{math.exp(log_e):.3g}" if log_e < 14 else f"1e{log_e / math.log(10):.0f}"
