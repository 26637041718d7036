"""A fleet in memory: edges, hosts and the requests that they count. For tests and for simulation.

Time is the caller's: `advance(seconds)` lets requests happen. It keeps every effect in `effects`, so
that a test can say that none happened twice.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from release.sample import (
    LATENCY_EDGES_S,
    SLOTS,
    HostCounters,
    NoData,
    SlotCounts,
    Snapshot,
    Unreachable,
)
from release.targets.model import FleetUnreachable, HostState, Probes, Slot, SlotState, green_bp, share_of
from release.traffic.shares import Disagreement, EdgeShare, EdgeUnreachable, TokenRefused

#: A slow request takes this long, in seconds; every other one less than the first bucket's edge.
SLOW_S = 5.0


@dataclass(frozen=True)
class Behaviour:
    """How a version behaves: shares (0..1) of requests that fail, and that are slow."""

    errors: float = 0.0
    slow: float = 0.0


class SimulatedMetrics:
    """The counters of one edge, at every moment that passed. `answers` False: it can't be asked."""

    def __init__(self, now: float) -> None:
        self.answers = True
        nothing: dict[Slot, SlotCounts] = {slot: SlotCounts() for slot in SLOTS}
        self._moments: list[tuple[float, dict[Slot, SlotCounts]]] = [(now, nothing)]

    def add(self, at: float, added: Mapping[Slot, SlotCounts]) -> None:
        """Count requests that were met up to a time."""
        last = self._moments[-1][1]
        self._moments.append((at, {slot: last[slot] + added.get(slot, SlotCounts()) for slot in SLOTS}))

    def snapshot(self, now: float) -> Snapshot | NoData | Unreachable:
        """The counters as of a time, as Prometheus gives them."""
        if not self.answers:
            return Unreachable(why="simulated: no answer")
        before = [moment for moment in self._moments if moment[0] <= now]
        if not before:
            return NoData(why="simulated: before everything")
        return Snapshot(hosts={"edge1": HostCounters(scraped_at=before[-1][0], slots=before[-1][1])})

    def history(self, now: float, seconds: float, every_s: float) -> list[Snapshot] | NoData | Unreachable:
        """Snapshots of the last seconds, oldest first."""
        times = [now - seconds + i * every_s for i in range(int(seconds / every_s) + 1)]
        found = [self.snapshot(at) for at in times]
        snapshots = [one for one in found if isinstance(one, Snapshot)]
        last = found[-1]
        return snapshots if snapshots or isinstance(last, Snapshot) else last


@dataclass
class SimulatedFleet:
    """Edges and hosts that do what they are told, unless a test breaks them."""

    requests_per_s: float = 600.0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    hosts: tuple[str, ...] = ("app1", "app2", "app3")
    edges: dict[str, EdgeShare] = field(default_factory=lambda: {"edge1": EdgeShare(0, 0)})
    seed: int = 1

    def __post_init__(self) -> None:
        self.now = 1_800_000_000.0
        self.installed: dict[Slot, str | None] = {"blue": None, "green": None}
        self.metrics = SimulatedMetrics(self.now)
        self.effects: list[tuple[object, ...]] = []
        self.unreachable: set[str] = set()
        self.stuck: set[str] = set()
        self.sick: set[Slot] = set()
        self.disk_free = 50 << 30
        self._random = random.Random(self.seed)

    # --- what a test does -------------------------------------------------------------------

    def install(self, slot: Slot, version: str) -> None:
        """What the role `app` does on the hosts: the version is in the slot and answers."""
        self.installed[slot] = version
        self.effects.append(("install", slot, version))

    def advance(self, seconds: float) -> None:
        """Let time pass: every slot meets the requests that its share brings."""
        self.now += seconds
        added: dict[Slot, SlotCounts] = {}
        for slot in SLOTS:
            share = sum(share_of(slot, e.green_bp) for e in self.edges.values()) / len(self.edges) / 10_000
            version = self.installed[slot]
            if version is None or share == 0:
                continue
            how = self.behaviours.get(version, Behaviour())
            requests = self._poisson(self.requests_per_s * share * seconds)
            slow = self._binomial(requests, how.slow)
            added[slot] = SlotCounts(
                requests=requests,
                errors=self._binomial(requests, how.errors),
                timed=requests,
                at_most=tuple(requests if edge >= SLOW_S else requests - slow for edge in LATENCY_EDGES_S),
            )
        self.metrics.add(self.now, added)

    # --- Fleet ------------------------------------------------------------------------------

    def read_shares(self) -> dict[str, EdgeShare]:
        """See Fleet."""
        if self.unreachable:
            raise EdgeUnreachable(dict.fromkeys(self.unreachable, "simulated"))
        return dict(self.edges)

    def set_share(self, slot: Slot, share_bp: int, token: int) -> dict[str, EdgeShare]:
        """See Fleet."""
        green = green_bp(slot, share_bp)
        for name, edge in self.edges.items():
            if name in self.unreachable:
                continue
            if token < edge.token:
                raise TokenRefused(name, token, f"it has seen {edge.token}")
            kept = edge.green_bp if name in self.stuck else green
            self.edges[name] = EdgeShare(kept, token)
        self.effects.append(("share", slot, share_bp))
        answers = self.read_shares()
        if any(edge.green_bp != green for edge in answers.values()):
            raise Disagreement({n: e.green_bp for n, e in answers.items()}, green)
        return answers

    def not_up(self, slot: Slot) -> list[str]:
        """See Fleet."""
        down = self.installed[slot] is None or slot in self.sick
        return [f"{edge}: {host} DOWN" for edge in self.edges for host in self.hosts] if down else []

    def probe(self, per_edge: int) -> dict[str, Probes]:
        """See Fleet."""
        return {name: self._probe_one(edge, per_edge) for name, edge in self.edges.items()}

    def states(self) -> dict[str, HostState]:
        """See Fleet."""
        if lost := [host for host in self.hosts if host in self.unreachable]:
            raise FleetUnreachable(f"app host doesn't answer: {', '.join(lost)}")
        slots: Mapping[Slot, SlotState] = {slot: self._slot(slot) for slot in SLOTS}
        return {host: HostState(self.disk_free, 0.0, slots) for host in self.hosts}

    def warm_up(self, slot: Slot, requests: int) -> None:
        """See Fleet."""

    def smoke(self, slot: Slot, version: str) -> dict[str, list[str]]:
        """See Fleet."""
        right = self.installed[slot] == version and slot not in self.sick
        return {host: [] if right else [f"{slot} doesn't answer as {version}"] for host in self.hosts}

    # --- inside -----------------------------------------------------------------------------

    def _slot(self, slot: Slot) -> SlotState:
        version = self.installed[slot]
        up = version is not None and slot not in self.sick
        return SlotState("active" if up else "inactive", version, version if up else None, up)

    def _probe_one(self, edge: EdgeShare, count: int) -> Probes:
        seen: Counter[tuple[str, str]] = Counter()
        nobody = 0
        for _ in range(count):
            slot: Slot = "green" if self._random.random() * 10_000 < edge.green_bp else "blue"
            version = self.installed[slot]
            if version is None or slot in self.sick:
                nobody += 1
            else:
                seen[(version, slot)] += 1
        return Probes(seen, (), nobody)

    def _poisson(self, mean: float) -> int:
        """A normal approximation: means here are large, and only the scatter matters."""
        return max(0, round(self._random.gauss(mean, math.sqrt(mean)))) if mean > 0 else 0

    def _binomial(self, count: int, rate: float) -> int:
        return sum(self._random.random() < rate for _ in range(count)) if rate > 0 else 0
