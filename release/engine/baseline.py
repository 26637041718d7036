"""How the service does before the release, and whether it is back there after a rollback.

Rates are fractions of requests. The baseline is the last BASELINE_S seconds of what serves, read from
the metrics' history, so that nobody waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from release.evidence import log_e_harm
from release.gates import GatePlan
from release.plan import Baseline
from release.profile import Gate, Profile
from release.sample import NoData, Sample, Slot, SlotCounts, Snapshot, Unreachable, difference

BASELINE_S = 30.0
EVERY_S = 1.0
#: An SLI is broken, or worse than before, when that is shown at this error probability.
ALPHA = 0.001
#: A rate up to this many times the baseline's counts as the same, as does any rate within the gate's bound.
SAME_RATIO = 2.0


class Source(Protocol):
    """Where raw counters come from."""

    def snapshot(self, now: float) -> Snapshot | NoData | Unreachable:
        """All edges' counters as of a time, unix seconds."""
        ...

    def history(self, now: float, seconds: float, every_s: float) -> list[Snapshot] | NoData | Unreachable:
        """Snapshots of the last seconds, oldest first."""
        ...


class Measured(BaseModel):
    """The window before a release: each gate's SLI by the gate's name, and what is out of its bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = 0.0
    requests: int = 0
    gates: dict[str, Baseline] = {}
    broken: tuple[str, ...] = ()

    @property
    def rate_per_s(self) -> float:
        """Requests a second over all versions."""
        return self.requests / self.seconds if self.seconds else 0.0


def measure(profile: Profile, slot: Slot, snapshots: Sequence[Snapshot]) -> Measured:
    """Rate and overdispersion of each gate's SLI over snapshots of the slot that serves."""
    ticks = [tick for tick in map(difference, snapshots, snapshots[1:]) if isinstance(tick, Sample)]
    gates, broken = {}, []
    for gate in every_gate(profile):
        pairs = [bad_of(gate, tick.slots[slot]) for tick in ticks]
        gates[gate.name] = Baseline.of(pairs)
        n, k = sum(n for n, _ in pairs), sum(k for _, k in pairs)
        if gate.kind == "absolute" and _shown_above(n, k, gate.threshold):
            broken.append(
                f"{gate.name}: {k} of {n} requests ({k / n:.2%}), at most {gate.threshold:.2%} allowed"
            )
    return Measured(
        seconds=sum(tick.seconds for tick in ticks),
        requests=sum(tick.slots[slot].requests for tick in ticks),
        gates=gates,
        broken=tuple(broken),
    )


def worse_than(profile: Profile, before: Measured, now: SlotCounts) -> list[str]:
    """What is shown to be worse than before the release; empty when nothing is."""
    worse = []
    for gate in every_gate(profile):
        if gate.kind != "absolute":
            continue
        was = before.gates.get(gate.name, Baseline()).rate
        bound = max(gate.threshold, SAME_RATIO * was)
        n, k = bad_of(gate, now)
        if bound < 1 and _shown_above(n, k, bound):
            worse.append(f"{gate.name} {k} of {n} ({k / n:.2%}), before the release {was:.2%}")
    return worse


def every_gate(profile: Profile) -> list[Gate]:
    """The profile's gates, each name once, in the order of the steps."""
    found: dict[str, Gate] = {}
    for step in profile.steps:
        for gate in step.gates:
            found.setdefault(gate.name, gate)
    return list(found.values())


def bad_of(gate: Gate, counts: SlotCounts) -> tuple[int, int]:
    """(requests, bad ones) of a gate's SLI."""
    return GatePlan(gate=gate, alpha=1, health_alpha=1).counts(counts)


def _shown_above(n: int, k: int, bound: float) -> bool:
    return n > 0 and float(log_e_harm(n, min(max(k, 0), n), bound)) >= math.log(1 / ALPHA)
