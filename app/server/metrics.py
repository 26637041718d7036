"""What the service counts about itself, with its slot and version on every series.

Under gunicorn each process writes files in PROMETHEUS_MULTIPROC_DIR and /metrics adds them up. Every label
combination exists from the start at 0, or the first increments would be lost on whoever takes differences.
"""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
ALGORITHMS = ("segment", "snowflake", "none")
OUTCOMES = ("ok", "refused", "error")
FAULT_KINDS = ("cpu", "db", "dependency")


class Metrics:
    """algorithm `none`: failed before a tag was known. outcome `refused`: the caller's mistake."""

    def __init__(self, slot: str, version: str) -> None:
        self.registry = CollectorRegistry()
        mine = {"slot": slot, "version": version}
        names = list(mine)
        requests = Counter(
            "idgen_generate_requests",
            "Requests for IDs",
            [*names, "algorithm", "outcome"],
            registry=self.registry,
        )
        duration = Histogram(
            "idgen_generate_duration_seconds",
            "Time to answer a request for IDs",
            [*names, "algorithm"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        ids = Counter("idgen_ids", "IDs issued", [*names, "algorithm"], registry=self.registry)
        struck = Counter(
            "idgen_faults_injected", "Faults that struck", [*names, "kind"], registry=self.registry
        )
        self._requests = {
            (a, o): requests.labels(**mine, algorithm=a, outcome=o) for a in ALGORITHMS for o in OUTCOMES
        }
        self._duration = {a: duration.labels(**mine, algorithm=a) for a in ALGORITHMS}
        self._ids = {a: ids.labels(**mine, algorithm=a) for a in ALGORITHMS}
        self._struck = {kind: struck.labels(**mine, kind=kind) for kind in FAULT_KINDS}
        loads = Counter("idgen_segment_loads", "Ranges fetched", [*names, "outcome"], registry=self.registry)
        self._loads = {outcome: loads.labels(**mine, outcome=outcome) for outcome in ("ok", "error")}
        self._active = Gauge(
            "idgen_faults_active",
            "Share of requests that a configured fault strikes",
            [*names, "kind", "mode"],
            registry=self.registry,
            multiprocess_mode="max",
        )
        self._usage = Gauge(
            "idgen_segment_usage_ratio",
            "Used share of the current segment, the fullest process",
            [*names, "tag"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._mine = mine

    def request(self, algorithm: str, outcome: str, seconds: float, ids: int) -> None:
        """Count one request."""
        self._requests[algorithm, outcome].inc()
        self._duration[algorithm].observe(seconds)
        if ids:
            self._ids[algorithm].inc(ids)

    def fault_struck(self, kind: str) -> None:
        """Count one injected fault."""
        self._struck[kind].inc()

    def faults_active(self, faults: Iterable[tuple[str, str, float]]) -> None:
        """Show the configured faults as (kind, mode, share)."""
        for kind, mode, share in faults:
            self._active.labels(**self._mine, kind=kind, mode=mode).set(share)

    def segment_load(self, outcome: str) -> None:
        """Count one range fetched (`ok`) or not (`error`)."""
        self._loads[outcome].inc()

    def segment_usage(self, tag: str, ratio: float) -> None:
        """Show how far a tag's current segment is used."""
        self._usage.labels(**self._mine, tag=tag).set(ratio)

    def render(self) -> bytes:
        """The text format, over all processes of this server."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
