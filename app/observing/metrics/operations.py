"""Metrics of running the service: problems, audit, plugins, snapshots, faults. Jobs have a process and
/metrics of their own (app.jobs.status)."""

from collections.abc import Iterable

from app.observing.metrics.series import Families, Metric

DONE = ("ok", "refused", "error")
AUDIT = ("written", "dropped", "failed", "spooled")
FAULTS = (
    ("cpu", ("compute", "lock")),
    ("db", ("slow_plan", "missing_index")),
    ("dependency", ("slow", "timeout", "error")),
)
"""Kinds of faults and the modes of each, as app.faults.config has them (a test compares)."""

RELOAD_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

TABLE = (
    Metric(
        "idgen_problems_total",
        "counter",
        "Answers of application/problem+json, by kind (see /problems)",
        {"slug": None},
    ),
    Metric(
        "idgen_audit_events_total",
        "counter",
        "Audit events; dropped: the queue was full; failed: a write did; spooled: kept in a file",
        {"outcome": AUDIT},
    ),
    Metric("idgen_audit_queued", "gauge", "Audit events not yet written", merge="livesum"),
    Metric("idgen_alerts_total", "counter", "Alerts received", {"status": ("firing", "resolved")}),
    Metric("plugin_reload_total", "counter", "Reloads of algorithm plugins", {"outcome": DONE}),
    Metric(
        "plugin_reload_duration_seconds",
        "histogram",
        "Time that a reload of plugins took",
        buckets=RELOAD_BUCKETS_S,
    ),
    Metric("snapshot_create_total", "counter", "Configuration snapshots created", {"outcome": DONE}),
    Metric("snapshot_restore_total", "counter", "Configuration snapshots restored", {"outcome": DONE}),
    Metric("snapshot_cleanup_total", "counter", "Clean-ups of old snapshots", {"outcome": DONE}),
    Metric(
        "idgen_faults_active",
        "gauge",
        "Share of requests that an injected fault strikes",
        {"kind": None, "mode": None},
        merge="livemax",
    ),
    Metric(
        "idgen_faults_injected_total", "counter", "Injected faults that struck", {"kind": None, "mode": None}
    ),
)


class Operations:
    """What the administrative parts report. slugs: the kinds of problems that exist from the start."""

    def __init__(self, families: Families, slugs: Iterable[str] = ()) -> None:
        self._families = families
        self._problems = families["idgen_problems_total"]
        for slug in slugs:
            self._problems(slug)
        # Not every kind has every mode, so these are made here.
        self._modes = [(kind, mode) for kind, modes in FAULTS for mode in modes]
        for kind, mode in self._modes:
            families["idgen_faults_active"](kind, mode).set(0)
            families["idgen_faults_injected_total"](kind, mode)

    def problem(self, slug: str) -> None:
        """Count one problem answered. The caller gives slugs of the service alone, never a client's text."""
        self._problems(slug).inc()

    def audit(self, outcome: str, events: int = 1) -> None:
        """Count audit events `written`, `dropped` or `failed`."""
        self._families["idgen_audit_events_total"](outcome).inc(events)

    def audit_queued(self, events: int) -> None:
        """Show how many audit events wait to be written."""
        self._families["idgen_audit_queued"]().set(events)

    def alert(self, status: str) -> None:
        """Count one alert received: `firing` or `resolved`."""
        self._families["idgen_alerts_total"](status).inc()

    def plugins_reloaded(self, outcome: str, seconds: float) -> None:
        """Count one reload of plugins."""
        self._families["plugin_reload_total"](outcome).inc()
        self._families["plugin_reload_duration_seconds"]().observe(seconds)

    def snapshot(self, action: str, outcome: str) -> None:
        """Count one `create`, `restore` or `cleanup`."""
        self._families[f"snapshot_{action}_total"](outcome).inc()

    def fault_struck(self, kind: str, mode: str) -> None:
        """Count one injected fault."""
        self._families["idgen_faults_injected_total"](kind, mode).inc()

    def faults_active(self, faults: Iterable[tuple[str, str, float]]) -> None:
        """Show the faults of now as (kind, mode, share); all others show 0."""
        shares = dict.fromkeys(self._modes, 0.0)
        for kind, mode, share in faults:
            shares[kind, mode] = max(share, shares[kind, mode])
        for (kind, mode), share in shares.items():
            self._families["idgen_faults_active"](kind, mode).set(share)
