"""Raw counters of the edges, read from Prometheus.

One instant query with a range selector gives raw samples with the times of their scrapes, so nothing is
extrapolated. `up` is written by the same scrape and has its time: a counter that isn't there at that time
was never raised on that host and is 0; where `up` isn't 1 nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2

from release.sample import (
    LATENCY_EDGES_S,
    SLOTS,
    HostCounters,
    NoData,
    Slot,
    SlotCounts,
    Snapshot,
    Unreachable,
)

REQUESTS, BUCKETS = "edge_requests_total", "edge_request_duration_seconds_bucket"
#: The bucket of all timed requests, as `_part` spells it. Not the histogram's _count: an exporter reads
#: its metrics one after the other while requests go on, and this one is read with the other buckets.
ALL = "inf"
JOB = "edge_log"
TIMEOUT_S = 2.0
#: A scrape older than this many intervals (and than LEAST_FRESH_S) says nothing about now.
FRESH_INTERVALS = 3
LEAST_FRESH_S = 5.0

_EDGES = tuple(f"{edge:g}" for edge in LATENCY_EDGES_S)

_Key = tuple[str, str, str]  # metric, slot, outcome or le


@dataclass
class _Host:
    """One host's raw samples: times of good scrapes, and value by time of each counter."""

    scrapes: list[float] = field(default_factory=list)
    down_at: float = -math.inf
    series: dict[_Key, dict[float, float]] = field(default_factory=dict)


class Prometheus:
    """The stack's Prometheus. `hosts` are the edges that must all have answered its scrapes."""

    def __init__(
        self,
        url: str,
        hosts: Sequence[str],
        scrape_interval_s: float,
        client: httpx2.Client | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._hosts = tuple(hosts)
        self._fresh_s = max(LEAST_FRESH_S, FRESH_INTERVALS * scrape_interval_s)
        self._client = client or httpx2.Client(timeout=TIMEOUT_S)

    def snapshot(self, now: float) -> Snapshot | NoData | Unreachable:
        """All edges' counters as of their last scrape before `now` (Unix seconds)."""
        answer = self._ask(now, self._fresh_s)
        if not isinstance(answer, dict):
            return answer
        return _at(answer, self._hosts, now, self._fresh_s)

    def history(self, now: float, seconds: float, every_s: float) -> list[Snapshot] | NoData | Unreachable:
        """Snapshots of the last `seconds`, one every `every_s`, oldest first; those without data left out."""
        answer = self._ask(now, seconds + self._fresh_s)
        if not isinstance(answer, dict):
            return answer
        count = int(seconds / every_s)
        times = [now - seconds + i * every_s for i in range(count)] + [now]
        found = [_at(answer, self._hosts, at, self._fresh_s) for at in times]
        snapshots = [one for one in found if isinstance(one, Snapshot)]
        if not snapshots:
            return cast(NoData, found[-1])
        return snapshots

    def _ask(self, now: float, seconds: float) -> dict[str, _Host] | NoData | Unreachable:
        selector = f'{{__name__=~"up|{REQUESTS}|{BUCKETS}",job="{JOB}"}}[{math.ceil(seconds)}s]'
        try:
            response = self._client.post(
                f"{self._url}/api/v1/query", data={"query": selector, "time": f"{now:.3f}"}
            )
            body = response.json()
        except httpx2.HTTPError as error:
            return Unreachable(why=f"Prometheus at {self._url}: {type(error).__name__}: {error}")
        except ValueError:
            return Unreachable(why=f"Prometheus at {self._url}: HTTP {response.status_code}, not JSON")
        if not isinstance(body, dict) or body.get("status") != "success":
            said = body.get("error") if isinstance(body, dict) else None
            return Unreachable(why=f"Prometheus at {self._url}: {said or f'HTTP {response.status_code}'}")
        return _read(body["data"]["result"])


def _read(result: Iterable[dict[str, Any]]) -> dict[str, _Host]:
    """Prometheus' matrix by host. Series of slots that nobody knows are left out."""
    hosts: dict[str, _Host] = {}
    for series in result:
        labels = series["metric"]
        host = hosts.setdefault(labels.get("host", labels.get("instance", "")), _Host())
        values = [(float(at), float(value)) for at, value in series["values"]]
        name = labels["__name__"]
        if name == "up":
            host.scrapes = [at for at, up in values if up == 1]
            host.down_at = max((at for at, up in values if up != 1), default=-math.inf)
        elif labels.get("slot") in SLOTS:
            part = labels.get("outcome") if name == REQUESTS else labels.get("le", "")
            host.series.setdefault((name, labels["slot"], _part(name, str(part))), {}).update(values)
    return hosts


def _part(name: str, value: str) -> str:
    """One spelling for a bucket's edge, whatever the exporter writes (0.5, 0.50, 5e-01)."""
    return f"{float(value):g}" if name == BUCKETS else value


def _at(hosts: dict[str, _Host], names: Sequence[str], at: float, fresh_s: float) -> Snapshot | NoData:
    """All hosts' counters as of the last good scrape up to `at`, or why there are none."""
    counters = {}
    for name in names:
        host = hosts.get(name)
        if host is None:
            return NoData(why=f"{name}: its exporter was never scraped")
        last = max((t for t in host.scrapes if t <= at), default=-math.inf)
        if last < host.down_at <= at:
            return NoData(why=f"{name}: its exporter doesn't answer Prometheus")
        if at - last > fresh_s:
            return NoData(why=f"{name}: no scrape in the last {fresh_s:g} s")
        slots: dict[Slot, SlotCounts] = {slot: _counts(host, slot, last) for slot in SLOTS}
        if lacking := sorted({edge for slot in SLOTS for edge in _lacking(host, slot, last)}, key=float):
            return NoData(why=f"{name}: its histogram lacks buckets that gates need: {', '.join(lacking)}")
        counters[name] = HostCounters(scraped_at=last, slots=slots)
    return Snapshot(hosts=counters)


def _lacking(host: _Host, slot: Slot, at: float) -> list[str]:
    """Edges without a bucket in a histogram that is there. Read as 0, they would make everybody slow."""
    if at not in host.series.get((BUCKETS, slot, ALL), {}):
        return []
    return [edge for edge in _EDGES if at not in host.series.get((BUCKETS, slot, edge), {})]


def _counts(host: _Host, slot: Slot, at: float) -> SlotCounts:
    def value(name: str, part: str) -> int:
        return round(host.series.get((name, slot, part), {}).get(at, 0.0))

    ok, errors = value(REQUESTS, "ok"), value(REQUESTS, "error")
    return SlotCounts(
        requests=ok + errors,
        errors=errors,
        timed=value(BUCKETS, ALL),
        at_most=tuple(value(BUCKETS, edge) for edge in _EDGES),
    )
