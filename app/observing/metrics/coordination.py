"""Metrics of the worker id's lease and of live configuration."""

from app.observing.metrics.series import Families, Metric

LEASE_EVENTS = ("acquired", "renew_failed", "lost", "exhausted", "released")
UPDATES = ("applied", "refused", "removed")

TABLE = (
    Metric("idgen_worker_lease_held", "gauge", "Processes that hold a usable worker id", merge="livesum"),
    Metric(
        "idgen_worker_lease_remaining_seconds",
        "gauge",
        "Time that the worker id may still be used without a renewal, the shortest",
        merge="livemin",
        preset=False,
    ),
    Metric(
        "idgen_worker_lease_events_total",
        "counter",
        "What happened to worker ids; exhausted: all of the data centre are held",
        {"event": LEASE_EVENTS},
    ),
    Metric(
        "idgen_config_updates_total",
        "counter",
        "Configuration of tags that came while running; refused: not valid",
        {"outcome": UPDATES},
    ),
)


class Coordination:
    """What the lease and the configuration watch report."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def lease(self, *, held: bool, remaining_s: float | None = None) -> None:
        """Show this process's lease; None where it has no end."""
        self._families["idgen_worker_lease_held"]().set(float(held))
        if remaining_s is not None:
            self._families["idgen_worker_lease_remaining_seconds"]().set(remaining_s)

    def lease_event(self, event: str) -> None:
        """Count one of LEASE_EVENTS."""
        self._families["idgen_worker_lease_events_total"](event).inc()

    def config_update(self, outcome: str) -> None:
        """Count one of UPDATES."""
        self._families["idgen_config_updates_total"](outcome).inc()
