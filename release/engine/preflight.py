"""Whether the environment is fit for a release. Looks only; touches nothing."""

from __future__ import annotations

from dataclasses import dataclass

from release.targets.model import Fleet, FleetUnreachable, Slot, SlotState

LEAST_DISK_BYTES = 1 << 30
#: Above this a host's logs and the journal can't be laid beside each other, in seconds.
MOST_CLOCK_SKEW_S = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def hosts_are_fit(fleet: Fleet, active: Slot, version: str | None) -> list[Finding]:
    """Disk, clock, and what serves being in order on every app host."""
    try:
        states = fleet.states()
    except FleetUnreachable as error:
        return [Finding("hosts", False, str(error))]
    small = [f"{h} {s.disk_free >> 20} MiB" for h, s in states.items() if s.disk_free < LEAST_DISK_BYTES]
    askew = [
        f"{h} {s.clock_skew_s:+.1f} s" for h, s in states.items() if abs(s.clock_skew_s) > MOST_CLOCK_SKEW_S
    ]
    findings = [
        Finding(
            "disk", not small, f"under 1 GiB free on {', '.join(small)}" if small else "1 GiB free everywhere"
        ),
        Finding("clocks", not askew, f"skewed: {', '.join(askew)}" if askew else "clocks agree within 2 s"),
    ]
    if version is None:
        return [
            *findings,
            Finding("rollback target", True, "none: the first release here, nothing serves yet"),
        ]
    ill = [h for h, s in states.items() if not _serves(s.slots.get(active), version)]
    detail = f"{version} in {active}"
    if ill:
        detail += f" doesn't serve on {', '.join(ill)}"
    return [*findings, Finding("rollback target", not ill, detail)]


def _serves(state: SlotState | None, version: str) -> bool:
    return state is not None and state.ready and state.answers == version
