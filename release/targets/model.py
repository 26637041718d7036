"""What a release needs of the fleet that it acts on. One interface for every kind of fleet.

Hosts behind HAProxy edges are `fleet.HostFleet`, a simulated fleet is `simulated.SimulatedFleet`.
Kubernetes is one more class: slots are two Deployments, edges are the HTTPRoutes' weights, and
"hosts" are pods; docs/decisions/0001-release-phases.md maps each operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from release.traffic.shares import FULL_BP, EdgeShare

Slot = Literal["blue", "green"]


def other(slot: Slot) -> Slot:
    """The slot that isn't this one."""
    return "green" if slot == "blue" else "blue"


def green_bp(slot: Slot, share_bp: int) -> int:
    """Green's basis points when `slot` gets share_bp of 10000 requests."""
    return share_bp if slot == "green" else FULL_BP - share_bp


def share_of(slot: Slot, green: int) -> int:
    """The basis points that `slot` gets when green has `green` of 10000."""
    return green if slot == "green" else FULL_BP - green


@dataclass(frozen=True)
class SlotState:
    """One slot on one host. `installed` is the release that the slot's link names, `answers` what it says."""

    unit: str = "unknown"
    installed: str | None = None
    answers: str | None = None
    ready: bool = False


@dataclass(frozen=True)
class HostState:
    """One app host as it is now. Disk in bytes; clock skew in seconds against the controller."""

    disk_free: int
    clock_skew_s: float
    slots: Mapping[Slot, SlotState]


@dataclass(frozen=True)
class Probes:
    """What one edge answered from outside: how often each (version, slot) came, and what went wrong."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: tuple[str, ...] = ()
    nobody_there: int = 0

    @property
    def versions(self) -> set[str]:
        """Every version that answered at least once."""
        return {version for version, _ in self.seen}

    @property
    def answered(self) -> int:
        """Probes that a release answered."""
        return sum(self.seen.values())


class FleetUnreachable(Exception):
    """A host of the fleet doesn't answer, so its state is unknown."""


class Fleet(Protocol):
    """The operations. All of them act on, or ask, every edge or host; none decides anything."""

    def read_shares(self) -> dict[str, EdgeShare]:
        """Green's share on every edge. Raises TrafficError."""
        ...

    def set_share(self, slot: Slot, share_bp: int, token: int) -> dict[str, EdgeShare]:
        """Give `slot` share_bp of 10000 requests on every edge and read it back. Raises TrafficError."""
        ...

    def not_up(self, slot: Slot) -> list[str]:
        """Which of the slot's servers an edge holds for down, one line each. Raises TrafficError."""
        ...

    def probe(self, per_edge: int) -> dict[str, Probes]:
        """Ask the service through every edge from outside, each time on a new connection."""
        ...

    def states(self) -> dict[str, HostState]:
        """Every app host. Raises FleetUnreachable naming those that don't answer."""
        ...

    def warm_up(self, slot: Slot, requests: int) -> None:
        """Send requests to the slot on every host past the edge, so that nobody meets it cold."""
        ...

    def smoke(self, slot: Slot, version: str) -> dict[str, list[str]]:
        """What is wrong with the slot on each host, seen from beside it; empty lists when nothing is."""
        ...
