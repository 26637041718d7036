"""What the service counts about itself, with its slot and version on every series.

`Metrics` is made once in each process, after any fork. Its attributes are the subjects; other parts are given
the bound methods that they call, and know nothing of Prometheus.
"""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.observing.metrics import coordination, issuing, operations, rpc, storage
from app.observing.metrics.series import Families, Metric

SUBJECTS = {
    "Issuing": issuing.TABLE,
    "Worker ids and configuration": coordination.TABLE,
    "Database and caches": storage.TABLE,
    "Operations": operations.TABLE,
    "gRPC": rpc.TABLE,
}
"""All metrics by subject."""

TABLE: tuple[Metric, ...] = tuple(metric for table in SUBJECTS.values() for metric in table)


class Metrics:
    """slugs: the kinds of problems, so that each is counted from 0."""

    def __init__(self, slot: str, version: str, slugs: Iterable[str] = ()) -> None:
        families = Families(TABLE, {"slot": slot, "version": version})
        self.registry = families.registry
        self.issuing = issuing.Issuing(families)
        self.coordination = coordination.Coordination(families)
        self.storage = storage.Storage(families)
        self.operations = operations.Operations(families, slugs)
        self.rpc = rpc.Rpc(families)
        self.request = self.issuing.request
        self.segment_load = self.issuing.segment_load
        self.segment_usage = self.issuing.segment_usage
        self.fault_struck = self.operations.fault_struck
        self.faults_active = self.operations.faults_active
        self.problem = self.operations.problem

    def render(self) -> bytes:
        """The text format, over all processes of this server."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
