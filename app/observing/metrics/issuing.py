"""Metrics of issuing: requests, IDs, segments, buffers, the router."""

import threading
from bisect import bisect_left

from app.observing.metrics.series import BUCKETS_S, Cell, Families, Metric

ISSUERS = ("segment", "snowflake", "uuid7", "uuid4", "plugin")
ALGORITHMS = (*ISSUERS, "none")
OUTCOMES = ("ok", "refused", "error")
LOADS = ("ok", "error")
PRELOADS = ("ok", "error", "late")
KINDS = ("int64", "uuid")
ROLLBACKS = ("wait", "logical", "degrade")

TABLE = (
    Metric(
        "idgen_generate_requests_total",
        "counter",
        "Requests for IDs; algorithm none: failed before one was chosen; refused: the caller's mistake",
        {"algorithm": ALGORITHMS, "outcome": OUTCOMES},
    ),
    Metric(
        "idgen_generate_duration_seconds",
        "histogram",
        "Time to answer a request for IDs",
        {"algorithm": ALGORITHMS},
    ),
    Metric("idgen_ids_total", "counter", "IDs issued", {"algorithm": ALGORITHMS}),
    Metric("idgen_leases_total", "counter", "Ranges handed to clients, or not", {"outcome": OUTCOMES}),
    Metric("idgen_leased_ids_total", "counter", "IDs in ranges handed to clients"),
    Metric(
        "idgen_segment_usage_ratio",
        "gauge",
        "Used share of the current segment, the fullest process",
        {"tag": None},
        merge="livemax",
    ),
    Metric("idgen_segment_loads_total", "counter", "Ranges fetched from the store", {"outcome": LOADS}),
    Metric(
        "idgen_segment_preloads_total",
        "counter",
        "Ranges fetched ahead; late: a request had to wait",
        {"outcome": PRELOADS},
    ),
    Metric(
        "idgen_segment_capacity_used_ratio",
        "gauge",
        "Used share of all IDs that a tag has in this data centre",
        {"tag": None},
        merge="livemax",
    ),
    Metric(
        "idgen_router_switches_total",
        "counter",
        "Changes of the algorithm that serves a tag; none: nothing can",
        {"from": ALGORITHMS, "to": ALGORITHMS},
    ),
    Metric(
        "idgen_degraded_state",
        "gauge",
        "1 while a tag is served by another algorithm than its own",
        {"tag": None},
        merge="livemax",
    ),
    Metric(
        "idgen_snowflake_exhaustion_days",
        "gauge",
        "Days until the layout's timestamps are used up",
        merge="livemin",
        preset=False,
    ),
    Metric(
        "idgen_clock_rollbacks_total",
        "counter",
        "Steps back of the clock, by what was done about them",
        {"tier": ROLLBACKS},
    ),
    Metric(
        "idgen_ring_buffer_takes_total",
        "counter",
        "Takes from the ring buffer; miss: it was empty",
        {"kind": KINDS, "outcome": ("hit", "miss")},
    ),
    Metric(
        "idgen_ring_buffer_fill_ratio",
        "gauge",
        "Filled share of the ring buffer, the emptiest process",
        {"kind": KINDS},
        merge="livemin",
        preset=False,
    ),
)


class Issuing:
    """What the issuing path reports. Unknown algorithms count as `plugin`."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._lock = threading.Lock()
        requests = families["idgen_generate_requests_total"]
        self._requests = {(a, o): Cell(requests(a, o)._value) for a in ALGORITHMS for o in OUTCOMES}
        self._ids = {a: Cell(families["idgen_ids_total"](a)._value) for a in ALGORITHMS}
        durations = {a: families["idgen_generate_duration_seconds"](a) for a in ALGORITHMS}
        self._seconds = {a: Cell(one._sum) for a, one in durations.items()}
        self._buckets = {a: [Cell(bucket) for bucket in one._buckets] for a, one in durations.items()}
        self._loads = families["idgen_segment_loads_total"]
        self._preloads = families["idgen_segment_preloads_total"]
        self._usage = families["idgen_segment_usage_ratio"]

    def request(self, algorithm: str, outcome: str, seconds: float, ids: int) -> None:
        """Count one request: the only call on the path of each, about 2 us."""
        if algorithm not in self._ids:
            algorithm = "plugin"
        bucket = self._buckets[algorithm][bisect_left(BUCKETS_S, seconds)]
        with self._lock:
            self._requests[algorithm, outcome].add(1)
            self._seconds[algorithm].add(seconds)
            bucket.add(1)
            if ids:
                self._ids[algorithm].add(ids)

    def leased(self, outcome: str, ids: int = 0) -> None:
        """Count one request for a range of `ids` IDs."""
        self._families["idgen_leases_total"](outcome).inc()
        if ids:
            self._families["idgen_leased_ids_total"]().inc(ids)

    def segment_load(self, outcome: str) -> None:
        """Count one range fetched (`ok`) or not (`error`)."""
        self._loads(outcome).inc()

    def preload(self, outcome: str, times: int = 1) -> None:
        """Count ranges fetched ahead: `ok`, `error`, or `late` when a request waited for it."""
        self._preloads(outcome).inc(times)

    def segment_usage(self, tag: str, ratio: float) -> None:
        """Show how far a tag's current segment is used."""
        self._usage(tag).set(ratio)

    def capacity_used(self, tag: str, ratio: float) -> None:
        """Show how much of a tag's IDs in this data centre is used."""
        self._families["idgen_segment_capacity_used_ratio"](tag).set(ratio)

    def switched(self, tag: str, from_: str, to: str, *, degraded: bool) -> None:
        """Count a router's switch and show whether the tag is degraded now."""
        switches = self._families["idgen_router_switches_total"]
        switches(switches.bounded("from", from_, "plugin"), switches.bounded("to", to, "plugin")).inc()
        self._families["idgen_degraded_state"](tag).set(float(degraded))

    def exhaustion_days(self, days: float) -> None:
        """Show the days that the snowflake's layout still lasts."""
        self._families["idgen_snowflake_exhaustion_days"]().set(days)

    def clock_rollback(self, tier: str) -> None:
        """Count one step back of the clock: `wait`, `logical` or `degrade`."""
        self._families["idgen_clock_rollbacks_total"](tier).inc()

    def ring_take(self, kind: str, *, hit: bool, times: int = 1) -> None:
        """Count takes from the buffer of `int64` or `uuid`."""
        self._families["idgen_ring_buffer_takes_total"](kind, "hit" if hit else "miss").inc(times)

    def ring_fill(self, kind: str, ratio: float) -> None:
        """Show how full a buffer is."""
        self._families["idgen_ring_buffer_fill_ratio"](kind).set(ratio)
