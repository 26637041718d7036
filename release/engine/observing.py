"""Looking at one step: raw counters in, evidence added up, a decision out. Resumes from its own ticks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from release.decision import Decision, decide
from release.engine.baseline import Source
from release.gates import StepEvidence
from release.plan import StepPlan
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
