"""What a process does now and then: gauges every few seconds, capacity and months ahead every hour."""

import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from app.audit.log import AuditLog
from app.observing.metrics import Metrics
from app.server.logs import logger
from app.serving.coordination import Coordination
from app.serving.generators import RING_IDS, Generators
from app.serving.stores import Stores
from app.storage import capacity, database, partitions
from app.storage.tags import TagDirectory

SHOW_S = 2.0
HOUR_S = 3_600.0
RETRY_S = 60.0
DAY_MS = 86_400_000


class Upkeep:
    """A daemon thread from `start` to `stop`. The hour's work is spread over the processes."""

    def __init__(
        self,
        stores: Stores,
        *,
        tags: TagDirectory,
        generators: Generators,
        coordination: Coordination,
        audit: AuditLog,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores, self._tags, self._generators = stores, tags, generators
        self._coordination, self._audit, self._metrics = coordination, audit, metrics
        self._monotonic = monotonic
        self._hourly_at = monotonic() + random.uniform(1, 30)
        self._before: dict[tuple[int, str], float] = {}
        self._full: set[int] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and show what it has."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopped.wait(SHOW_S):
            try:
                self.show()
                if self._monotonic() >= self._hourly_at:
                    self._hourly_at = self._monotonic() + RETRY_S
                    self.hourly(datetime.now(UTC))
                    self._hourly_at = self._monotonic() + HOUR_S
            except Exception as error:
                logger().warning("upkeep failed", error=str(error)[:300])

    def show(self) -> None:
        """Gauges of this process."""
        self._coordination.show()
        self._metrics.storage.pool(database.pool_numbers(self._stores.engine))
        self._metrics.operations.audit_queued(self._audit.queued)
        left = self._generators.snowflakes[11].metrics().get("days_left")
        if left is not None:
            self._metrics.issuing.exhaustion_days(left)
        ring = self._generators.ring
        found = ring.metrics()
        for name, hit in (("hits", True), ("misses", False)):
            total = found["hits"] if hit else found["pops"] - found["hits"]
            new = total - self._before.get((0, name), 0)
            self._before[0, name] = total
            self._metrics.issuing.ring_take(ring.kind, hit=hit, times=int(new))
        self._metrics.issuing.ring_fill(ring.kind, found["buffered"] / RING_IDS)
        for tag, _router, buffer in self._generators.states():
            if buffer is None:
                continue
            found = buffer.metrics()
            if tag.config.algorithm == "segment":
                self._metrics.segment_usage(tag.name, found["used_ratio"])
            for outcome, name in (
                ("ok", "preload_hits"),
                ("late", "preload_misses"),
                ("error", "load_failures"),
            ):
                new = found[name] - self._before.get((id(buffer), name), 0)
                self._before[id(buffer), name] = found[name]
                self._metrics.issuing.preload(outcome, int(new))

    def hourly(self, now: datetime) -> None:
        """How much of each tag is used; months ahead of segment_allocations. Raises what Postgres raises."""
        for one in capacity.check(self._stores.engine, self._stores.datacenter, self._tags.known()):
            self._metrics.issuing.capacity_used(one.tag.name, one.used_ratio)
            if one.used_ratio > capacity.ALERT_ABOVE and one.tag.id not in self._full:
                self._full.add(one.tag.id)
                detail = {"used_ratio": round(one.used_ratio, 4), "left": one.left}
                logger().warning("a tag's IDs run out", tag=one.tag.name, **detail)
                self._audit.record("tag.capacity", one.tag.name, "error", detail=detail,
                             workspace_id=one.tag.workspace_id)  # fmt: skip
        made = partitions.ensure(self._stores.engine, today=now.date())
        if made:
            logger().info("months made ahead", tables=made)


def cpu_pressure() -> float:
    """How busy this machine is, 0 to 1: its load a core. 0 where a sandbox hides it."""
    try:
        return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    except OSError:
        return 0.0
