"""Metrics of the database pool and of what Redis and memory spare it."""

from collections.abc import Mapping
from typing import Any

from app.observing.metrics.series import Families, Metric

CACHES = ("tags",)
KEY_LEVELS = ("l1", "l2", "database", "none")
ACQUIRE_BUCKETS_S = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10)

TABLE = (
    Metric("idgen_db_pool_in_use", "gauge", "Database connections in use", merge="livesum"),
    Metric("idgen_db_pool_idle", "gauge", "Database connections open and idle", merge="livesum"),
    Metric("idgen_db_pool_max", "gauge", "Database connections at most", merge="livesum"),
    Metric(
        "idgen_db_pool_acquire_seconds",
        "histogram",
        "Wait for a database connection",
        buckets=ACQUIRE_BUCKETS_S,
    ),
    Metric("idgen_db_pool_timeouts_total", "counter", "Waits for a connection that were given up"),
    Metric(
        "idgen_cache_requests_total",
        "counter",
        "Look-ups in Redis; error: it is away",
        {"cache": CACHES, "outcome": ("hit", "miss", "error")},
    ),
    Metric("idgen_db_pool_waiting", "gauge", "Threads that wait for a connection", merge="livesum"),
    Metric(
        "idgen_redis_calls_total",
        "counter",
        "Calls to Redis; skipped: it is known to be away",
        {"operation": None, "outcome": ("ok", "error", "skipped")},
    ),
    Metric("idgen_redis_up", "gauge", "Processes that Redis answers", merge="livesum"),
    Metric(
        "idgen_key_cache_hits_total",
        "counter",
        "API keys found, by where; none: no such key",
        {"level": KEY_LEVELS},
    ),
)


class Storage:
    """What the pool, the caches and the key directory report."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._acquire = families["idgen_db_pool_acquire_seconds"]()
        self._levels = families["idgen_key_cache_hits_total"]

    def pool(self, numbers: Mapping[str, Any]) -> None:
        """Show this process's connections, as the pool's `numbers` gives them."""
        for name, value in numbers.items():
            self._families[f"idgen_db_pool_{name}"]().set(value)

    def acquired(self, seconds: float, timed_out: bool = False) -> None:
        """One wait for a connection ended, with one or given up."""
        self._acquire.observe(seconds)
        if timed_out:
            self._families["idgen_db_pool_timeouts_total"]().inc()

    def redis_call(self, operation: str, outcome: str) -> None:
        """Count one call to Redis: `ok`, `error` or `skipped`."""
        self._families["idgen_redis_calls_total"](operation, outcome).inc()

    def redis_up(self, up: bool) -> None:
        """Show whether Redis answers this process."""
        self._families["idgen_redis_up"]().set(float(up))

    def cache(self, cache: str, outcome: str) -> None:
        """Count one look-up in Redis: `hit`, `miss` or `error`."""
        self._families["idgen_cache_requests_total"](cache, outcome).inc()

    def key_found(self, level: str, times: int = 1) -> None:
        """Count key look-ups by the level that had it: `l1`, `l2`, `database`, `none`."""
        self._levels(level).inc(times)
