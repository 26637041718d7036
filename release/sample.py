"""What the metrics said at one tick: raw counters as values, and their differences.

Counts are differences of raw counters, since rate functions extrapolate and miss a series' first
increment. Times are Unix seconds of the metrics' own clock (the scrape), never of the controller.
Three answers differ on purpose: a Sample, NoData (the source answers, the figures aren't there) and
Unreachable (the source didn't answer).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Slot = Literal["blue", "green"]
SLOTS: tuple[Slot, Slot] = ("blue", "green")

#: Upper edges in seconds of the edge's latency histogram. A latency threshold must be one of them.
LATENCY_EDGES_S: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


class _Value(BaseModel):
    """A value: never changed after it was made, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SlotCounts(_Value):
    """Requests of one slot, as the client met them.

    requests and errors are counted by the edge. timed is how many have a measured duration, and
    at_most[i] how many of these took at most LATENCY_EDGES_S[i] seconds (cumulative).

    An exporter reads its counters one after the other while requests go on, so in one interval the parts
    may be apart (seen on a busy machine: buckets by one request in 1 of 700 scrapes), even below 0 when
    subtracted. The next intervals make up for it exactly; so add up first, and only then cut at 0.
    """

    requests: int = 0
    errors: int = 0
    timed: int = 0
    at_most: tuple[int, ...] = (0,) * len(LATENCY_EDGES_S)

    def slower_than(self, threshold_s: float) -> int:
        """How many timed requests took longer than a bucket edge, see above for values below 0.

        Raises ValueError off an edge.
        """
        return self.timed - self.at_most[LATENCY_EDGES_S.index(threshold_s)]

    def __add__(self, other: SlotCounts) -> SlotCounts:
        """Both together."""
        return SlotCounts(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            timed=self.timed + other.timed,
            at_most=tuple(a + b for a, b in zip(self.at_most, other.at_most, strict=True)),
        )

    def since(self, before: SlotCounts) -> SlotCounts | None:
        """What was added since; None when any counter fell, which is how a restart shows."""
        parts = [a - b for a, b in zip(self.at_most, before.at_most, strict=True)]
        requests, errors = self.requests - before.requests, self.errors - before.errors
        timed = self.timed - before.timed
        if min(requests, errors, timed, *parts) < 0:
            return None
        return SlotCounts(requests=requests, errors=errors, timed=timed, at_most=tuple(parts))


class HostCounters(_Value):
    """Raw counters of one edge host, as of one scrape."""

    scraped_at: float
    slots: dict[Slot, SlotCounts]


class Snapshot(_Value):
    """All edges' raw counters at one look. A value: in the journal it lets a resumed observer go on."""

    hosts: dict[str, HostCounters]

    @property
    def at(self) -> float:
        """Time of the oldest scrape in it: everything up to then is counted."""
        return min(host.scraped_at for host in self.hosts.values())


class Sample(_Value):
    """What happened between two snapshots. `reset_hosts` restarted their counters in between."""

    kind: Literal["sample"] = "sample"
    since: float
    until: float
    slots: dict[Slot, SlotCounts]
    reset_hosts: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the interval, longer than a tick when ticks before it had no data."""
        return self.until - self.since


class NoData(_Value):
    """The source answered, but the figures aren't there or are stale."""

    kind: Literal["no_data"] = "no_data"
    why: str


class Unreachable(_Value):
    """The source could not be asked."""

    kind: Literal["unreachable"] = "unreachable"
    why: str


Observation = Annotated[Sample | NoData | Unreachable, Field(discriminator="kind")]


def difference(before: Snapshot, now: Snapshot) -> Sample | NoData:
    """What happened between two snapshots.

    A host whose counters fell was restarted: all its counts since the restart are taken, since after a
    reset the counters begin at 0 (what it counted between the last scrape and the restart is lost to
    everybody). A host that wasn't in `before` has no known start and adds nothing this time. With no
    newer scrape there is nothing to say yet: keep `before` and nothing is lost.
    """
    if missing := sorted(set(before.hosts) - set(now.hosts)):
        return NoData(why=f"no counters from {', '.join(missing)}")
    known = {name: host for name, host in now.hosts.items() if name in before.hosts}
    if stuck := sorted(n for n, h in known.items() if h.scraped_at <= before.hosts[n].scraped_at):
        return NoData(why=f"no scrape of {', '.join(stuck)} since the last tick")
    total: dict[Slot, SlotCounts] = {slot: SlotCounts() for slot in SLOTS}
    resets = []
    for name, host in sorted(known.items()):
        old = before.hosts[name].slots
        added = {slot: host.slots[slot].since(old[slot]) for slot in SLOTS}
        reset = any(counts is None for counts in added.values())
        if reset:
            resets.append(name)
        for slot in SLOTS:
            total[slot] += host.slots[slot] if reset else added[slot] or SlotCounts()
    return Sample(since=before.at, until=now.at, slots=total, reset_hosts=tuple(resets))
