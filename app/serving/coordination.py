"""The worker id, the list of nodes and the live configuration of one process."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from app.coordination.config_watch import ConfigWatch
from app.coordination.lease import WorkerLease
from app.coordination.nodes import Node, NodeRegistration
from app.coordination.tenure import Tenure
from app.observing.metrics import Metrics
from app.server.logs import logger
from app.serving.stores import Stores
from app.settings import Settings

Record = Callable[..., None]
CONFIG_CACHE = "tag-configuration.json"
_COUNTED = {"renewed_failed": "renew_failed"}
_ALERTING = ("lost", "exhausted")


class Coordination:
    """held(tenure): a worker id was got. record: the audit's."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        metrics: Metrics,
        *,
        record: Record,
        held: Callable[[Tenure], None],
        pid: int,
    ) -> None:
        self._metrics, self._record, self._held = metrics, record, held
        self.exhausted = False
        self.lease = WorkerLease(
            stores.etcd,
            stores.epochs(),
            datacenter=settings.datacenter,
            holder=f"{stores.holder}/{time.time_ns()}",
            directory=settings.claims_dir,
            ttl_s=settings.lease_ttl_s,
            on_event=self._lease_event,
        )
        self.config = ConfigWatch(
            stores.etcd,
            settings.claims_dir / CONFIG_CACHE,
            on_change=self._changed,
            on_refused=self._refused,
            on_trouble=lambda why: logger().warning("configuration is not followed", reason=why),
        )
        self._node = NodeRegistration(
            stores.etcd,
            settings.datacenter,
            stores.holder.replace("/", "-"),
            Node(settings.slot, settings.version, pid, time.time()),
            on_failure=lambda why: logger().warning("node is not listed", reason=why),
        )

    def follow(self) -> str:
        """Load the configuration and follow it; where it came from."""
        source = self.config.load()
        self.config.start()
        self._node.start()
        return source

    def acquire(self) -> Tenure:
        """Take a worker id and keep it. Raises what the lease raises."""
        tenure = self.lease.acquire()
        self.lease.start()
        return tenure

    def show(self) -> None:
        """The lease as gauges."""
        tenure = self.lease.tenure
        self._metrics.coordination.lease(
            held=self.lease.usable(), remaining_s=tenure.left_s() if tenure else 0.0
        )

    def stop(self, last_ms: int) -> None:
        """Give the worker id back, leave the list, follow nothing."""
        self.lease.release(last_ms)
        self._node.stop()
        self.config.stop()

    def _lease_event(self, kind: str, detail: Mapping[str, object]) -> None:
        self.exhausted = kind == "exhausted" or (self.exhausted and kind != "acquired")
        self._metrics.coordination.lease_event(_COUNTED.get(kind, kind))
        log = logger().warning if kind in _ALERTING or kind == "renewed_failed" else logger().info
        log("worker id", what=kind, **detail)
        if kind != "renewed_failed":
            result = "error" if kind in _ALERTING else "ok"
            self._record(f"worker.{kind}", "worker id", result, detail=dict(detail))
        tenure = self.lease.tenure
        if kind == "acquired" and tenure is not None:
            self._held(tenure)

    def _changed(self, place: Any, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        self._metrics.coordination.config_update("removed" if new is None else "applied")
        logger().info("configuration changed", key=place.key, new=dict(new or {}))
        detail = {"old": dict(old or {}), "new": dict(new or {})}
        self._record("config.changed", place.key, "ok", detail=detail)

    def _refused(self, key: str, why: str) -> None:
        self._metrics.coordination.config_update("refused")
        logger().error("configuration refused", key=key, reason=why)
        self._record("config.refused", key, "refused", detail={"reason": why[:500]})
