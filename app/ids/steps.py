"""How large the next range of a segment tag should be. Pure: numbers in, a number out.

Large ranges need the store seldom, small ones lose little when a process dies. A policy is asked before each
load with the size of the last range, how many IDs were issued since it was asked for, and in how long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

LARGEST_STEP = 100_000_000
PolicyName = Literal["fixed", "duration", "velocity"]


class StepPolicy(Protocol):
    """`step`: the first size and the least one, in IDs."""

    @property
    def step(self) -> int: ...

    def next(self, last: int, issued: int, seconds: float) -> int:
        """The size to ask for, when the last range had `last` IDs and `issued` were issued in `seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same size."""

    step: int

    def next(self, last: int, issued: int, seconds: float) -> int:
        return self.step


@dataclass(frozen=True, slots=True)
class Duration:
    """A range should last `segment_s`: the next is doubled after a shorter time, halved after twice as long.

    From Leaf (Meituan), whose aim is 15 minutes. The size stays between `step` and `largest`.
    """

    step: int
    segment_s: float = 900.0
    largest: int = LARGEST_STEP

    def next(self, last: int, issued: int, seconds: float) -> int:
        if seconds < self.segment_s:
            wanted = last * 2
        elif seconds > 2 * self.segment_s:
            wanted = last // 2
        else:
            wanted = last
        return clamp(wanted, self.step, self.largest)


@dataclass(frozen=True, slots=True)
class Velocity:
    """step x (1 + 0.5 x rate / step) x (1 + 0.3 x CPU pressure), rate in IDs a second.

    `cpu_pressure`: 0 (idle) to 1 (all cores busy); values outside are taken as the nearer end.
    """

    step: int
    cpu_pressure: Callable[[], float] = lambda: 0.0
    largest: int = LARGEST_STEP

    def next(self, last: int, issued: int, seconds: float) -> int:
        rate = issued / max(seconds, 0.001)
        pressure = min(1.0, max(0.0, self.cpu_pressure()))
        wanted = self.step * (1 + 0.5 * rate / self.step) * (1 + 0.3 * pressure)
        return clamp(round(wanted), self.step, self.largest)


def policy(
    name: PolicyName,
    step: int,
    *,
    segment_s: float = 900.0,
    cpu_pressure: Callable[[], float] = lambda: 0.0,
    largest: int = LARGEST_STEP,
) -> StepPolicy:
    """The policy of a tag's configuration. Raises ValueError for another name."""
    largest = max(largest, step)
    if name == "fixed":
        return Fixed(step)
    if name == "duration":
        return Duration(step, segment_s, largest)
    if name == "velocity":
        return Velocity(step, cpu_pressure, largest)
    raise ValueError(f"step_policy: {name!r} is not allowed; allowed: fixed, duration, velocity")


def clamp(value: int, least: int, most: int) -> int:
    """`value`, or the nearer end of the range."""
    return max(least, min(most, value))
