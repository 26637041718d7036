"""What an edge says about its share, and how edges fail. Shares are basis points (0..10000)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FULL_BP = 10_000


class TrafficError(Exception):
    """A share was not set everywhere, or couldn't be read."""


class EdgeUnreachable(TrafficError):
    """One or more edges didn't answer. Whether they changed is unknown."""

    def __init__(self, edges: Mapping[str, str]) -> None:
        super().__init__("edge unreachable: " + "; ".join(f"{n}: {why}" for n, why in sorted(edges.items())))
        self.edges = dict(edges)


class TokenRefused(TrafficError):
    """An edge has seen a higher fencing token: a later controller owns it now."""

    def __init__(self, edge: str, sent: int, detail: str) -> None:
        super().__init__(f"{edge} refused fencing token {sent}: {detail}; another controller took over")
        self.edge = edge
        self.sent = sent


class Disagreement(TrafficError):
    """Edges answer, but with different shares, or with another than the one that was set."""

    def __init__(self, shares: Mapping[str, int], expected: int | None = None) -> None:
        seen = ", ".join(f"{name} {bp / 100:g} %" for name, bp in sorted(shares.items()))
        wanted = "" if expected is None else f", expected {expected / 100:g} %"
        super().__init__(f"edges disagree on green's share: {seen}{wanted}")
        self.shares = dict(shares)
        self.expected = expected


@dataclass(frozen=True)
class EdgeShare:
    """One edge's answer: the share of green, and the highest fencing token that it accepted."""

    green_bp: int
    token: int
