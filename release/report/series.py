"""What a journal says, laid out for people: points over time, stages, marks, and a table of SLIs. Pure.

Times are seconds since the release began; rates are fractions of requests; latencies are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from release.engine.progress import Entry
from release.sample import LATENCY_EDGES_S, SlotCounts

#: A share works on the edges up to this long before it was read back from all of them, in seconds.
READ_BACK_S = 2.0


@dataclass(frozen=True)
class Point:
    """One side (candidate or control) in one interval. p99_s is None when nothing was timed."""

    at_s: float
    requests: int
    error_rate: float | None
    p99_s: float | None


@dataclass
class Stage:
    """One step as it went; `until_s` is the decision, or the last tick while there is none."""

    name: str
    share: float
    from_s: float
    until_s: float
    samples: int = 0
    decision: str = "running"
    reason: str = ""


@dataclass(frozen=True)
class Sli:
    """One row of the table, over the candidate's ticks. Units as in `unit`; None: nothing was measured."""

    name: str
    unit: str
    target: float
    least: float | None
    average: float | None
    most: float | None
    passed: bool | None


@dataclass
class Story:
    """A whole release, ready to be drawn and told."""

    release_id: str = ""
    environment: str = ""
    version: str = ""
    previous: str | None = None
    profile: str = ""
    began_at: float = 0.0
    ended_at: float | None = None
    outcome: str = "open"
    faults: list[Mapping[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    candidate: list[Point] = field(default_factory=list)
    control: list[Point] = field(default_factory=list)
    blind: list[tuple[float, str]] = field(default_factory=list)
    rollback_s: float | None = None
    rollback_reason: str = ""
    zero_s: float | None = None
    verified: bool | None = None
    checks: list[Mapping[str, Any]] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    slis: list[Sli] = field(default_factory=list)
    decided_s: float | None = None
    exposed_s: float | None = None
    #: What the gates allow, where a picture can show it: a share of errors, and a P99 in seconds.
    error_limit: float | None = None
    p99_limit_s: float | None = None

    @property
    def detection_s(self) -> float | None:
        """From the candidate's first share of traffic to the decision against it."""
        if self.rollback_s is None or self.exposed_s is None or self.decided_s is None:
            return None
        return self.decided_s - self.exposed_s

    @property
    def rollback_took_s(self) -> float | None:
        """From the decision to 0 % on every edge."""
        if self.zero_s is None or self.decided_s is None:
            return None
        return self.zero_s - self.decided_s


def quantile(counts: SlotCounts, q: float) -> float | None:
    """A quantile in seconds from cumulative buckets, linear within a bucket as Prometheus does it.

    Above the last edge the last edge is given; None without timed requests.
    """
    if counts.timed <= 0:
        return None
    rank = q * counts.timed
    below, lower = 0, 0.0
    for edge, at_most in zip(LATENCY_EDGES_S, counts.at_most, strict=True):
        if at_most >= rank:
            inside = at_most - below
            return lower + (edge - lower) * ((rank - below) / inside if inside else 1.0)
        below, lower = at_most, edge
    return LATENCY_EDGES_S[-1]


def tell(entries: Iterable[Entry]) -> Story:
    """Read a journal from its first entry to its last.

    An entry's `observations` are figures that nothing was decided from: the window before the release,
    the one after a rollback, or second by second all of it. Those of the last entry that has any are
    drawn from their beginning to their end instead of the ticks, which are coarser. Only ticks count
    for the stages and the table.
    """
    story = Story()
    finer: list[Mapping[str, Any]] = []
    slots = ("blue", "green")
    gates: dict[str, Mapping[str, Any]] = {}
    totals: list[SlotCounts] = []
    for entry in entries:
        at = entry.ts - story.began_at if story.began_at else 0.0
        data = entry.data
        if entry.type == "begin":
            slots = _begin(story, entry, gates)
        elif entry.type == "share_done":
            _shared(story, data, at)
        elif entry.type == "tick":
            _tick(story, data, at, slots, totals)
        elif entry.type == "decision":
            _decision(story, data, at)
        elif entry.type == "rollback_started":
            story.rollback_s, story.rollback_reason = at, str(data.get("reason", ""))
            story.decided_s = float(data.get("decided_at", entry.ts)) - story.began_at
            _cut_short(story, at)
            story.zero_s = story.verified = None
            story.outcome = "rolling back"
        elif entry.type in {"rollback_verified", "rollback_unverified"}:
            story.verified = entry.type == "rollback_verified"
            story.checks = list(data.get("checks", ()))
        elif entry.type == "finished":
            story.outcome, story.ended_at = str(data["outcome"]), entry.ts
        elif entry.type in {"lock_taken_over", "resumed"}:
            story.notes.append((at, str(data.get("why") or data.get("line") or entry.type.replace("_", " "))))
        finer = data.get("observations") or finer
    _draw_finer(story, finer, slots)
    for points in (story.candidate, story.control):
        points.sort(key=lambda point: point.at_s)
    # Before its first share the candidate's slot belonged to an older version.
    first = math.inf if story.exposed_s is None else story.exposed_s - READ_BACK_S
    story.candidate = [point for point in story.candidate if point.at_s >= first]
    story.slis = _table(gates.values(), totals)
    return story


def _begin(story: Story, entry: Entry, gates: dict[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Who against whom; gives (candidate, control) slots."""
    data = entry.data
    previous = data.get("previous") or {}
    story.began_at = entry.ts
    story.release_id = str(data.get("release_id", ""))
    story.environment = str(data.get("environment", ""))
    story.version, story.previous = str(data["version"]), previous.get("version")
    profile = data.get("profile")
    story.profile = str(profile.get("name")) if isinstance(profile, Mapping) else str(profile)
    if isinstance(profile, Mapping):
        for step in profile.get("steps", ()):
            gates.update({gate["name"]: gate for gate in step.get("gates", ()) if gate["kind"] == "absolute"})
    _limits(story, gates.values())
    story.faults = list((data.get("release_config") or {}).get("faults", ()))
    candidate = str(data["candidate"])
    return candidate, "green" if candidate == "blue" else "blue"


def _cut_short(story: Story, at: float) -> None:
    """A stage that a rollback ends before anything was decided in it."""
    if story.stages and story.stages[-1].decision == "running":
        stage = story.stages[-1]
        stage.until_s, stage.decision, stage.reason = at, "rollback", story.rollback_reason


def _limits(story: Story, gates: Iterable[Mapping[str, Any]]) -> None:
    """At most 1 % slower than x is a P99 of x; at most another share is no limit of the P99."""
    for gate in gates:
        if gate["sli"] == "errors":
            story.error_limit = float(gate["threshold"])
        elif float(gate["threshold"]) == 0.01:
            story.p99_limit_s = float(gate["slower_than_s"])


def _shared(story: Story, data: Mapping[str, Any], at: float) -> None:
    share = int(data["share_bp"]) / 100
    if story.rollback_s is not None and share == 0:
        story.zero_s = at
    elif data.get("step"):
        story.stages.append(Stage(str(data["step"]), share, at, at))
        if story.exposed_s is None and share > 0:
            story.exposed_s = at


def _tick(
    story: Story, data: Mapping[str, Any], at: float, slots: tuple[str, str], totals: list[SlotCounts]
) -> None:
    seen = data.get("observation") or {}
    stage = next((s for s in reversed(story.stages) if s.name == data.get("step")), None)
    if stage is not None:
        stage.until_s = at
    if seen.get("kind") != "sample":
        story.blind.append((at, str(seen.get("why", "no figures"))))
        return
    mine = _points(story, seen, slots)
    totals.append(mine)
    if stage is not None:
        stage.samples += mine.requests


def _draw_finer(story: Story, finer: Sequence[Mapping[str, Any]], slots: tuple[str, str]) -> None:
    """Replace the points inside the time that finer figures cover."""
    samples = [seen for seen in finer if seen.get("kind") == "sample"]
    if not samples:
        return
    since = min(float(seen["since"]) for seen in samples) - story.began_at
    until = max(float(seen["until"]) for seen in samples) - story.began_at
    for points in (story.candidate, story.control):
        points[:] = [point for point in points if not since <= point.at_s <= until]
    for seen in samples:
        _points(story, seen, slots)


def _points(story: Story, seen: Mapping[str, Any], slots: tuple[str, str]) -> SlotCounts:
    """Put one observation on both lines; gives the candidate's counts."""
    if seen.get("kind") != "sample":
        return SlotCounts()
    middle = (float(seen["since"]) + float(seen["until"])) / 2 - story.began_at
    both = [SlotCounts.model_validate(seen["slots"].get(slot, {})) for slot in slots]
    for counts, points in zip(both, (story.candidate, story.control), strict=True):
        if counts.requests or counts.timed:
            rate = counts.errors / counts.requests if counts.requests else None
            points.append(Point(middle, counts.requests, rate, quantile(counts, 0.99)))
    return both[0]


def _decision(story: Story, data: Mapping[str, Any], at: float) -> None:
    for stage in reversed(story.stages):
        if stage.name == data.get("step"):
            stage.until_s, stage.decision, stage.reason = at, str(data["action"]), str(data.get("reason", ""))
            return


def _table(gates: Iterable[Mapping[str, Any]], totals: Sequence[SlotCounts]) -> list[Sli]:
    """Target, min, max, average and pass of each absolute gate, over the candidate's ticks."""
    rows = []
    for gate in gates:
        bad: Callable[[SlotCounts], int]
        if gate["sli"] == "errors":
            name, bad, of = "errors", _errors, _requests
        else:
            edge = float(gate["slower_than_s"])
            name, of = f"slower than {edge:g} s", _timed

            def bad(counts: SlotCounts, edge: float = edge) -> int:
                return counts.slower_than(edge)

        rates = [max(0, bad(c)) / of(c) for c in totals if of(c)]
        whole = sum(of(c) for c in totals)
        average = max(0, sum(bad(c) for c in totals)) / whole if whole else None
        target = float(gate["threshold"])
        rows.append(
            Sli(
                name,
                "of requests",
                target,
                min(rates, default=None),
                average,
                max(rates, default=None),
                None if average is None else average <= target,
            )
        )
    return rows


def _errors(counts: SlotCounts) -> int:
    return counts.errors


def _requests(counts: SlotCounts) -> int:
    return counts.requests


def _timed(counts: SlotCounts) -> int:
    return counts.timed
