"""How a metric is declared, and how its series are made.

Under gunicorn each process writes files in PROMETHEUS_MULTIPROC_DIR and /metrics adds them up. So there are
no custom collectors, every gauge says how processes are merged, and every series whose labels are bounded
exists from the start at 0, or the first increments would be lost on whoever takes differences.
"""

import itertools
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
"""Upper edges of every histogram of seconds that doesn't say others."""

_DOUBLE = struct.Struct("d")

Merge = Literal["livesum", "livemax", "livemin"]


@dataclass(frozen=True)
class Metric:
    """One metric. `name` is what Prometheus shows, so a counter's ends in _total.

    labels: beside slot and version; the values that each may have, or None where they are not bounded.
    merge: of a gauge, how the living processes' values become one. preset: whether bounded series exist at 0
    from the start; a gauge for which 0 would be an alarm has none before its first value.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    merge: Merge | None = None
    preset: bool = True
    buckets: tuple[float, ...] = BUCKETS_S

    def __post_init__(self) -> None:
        if (self.kind == "gauge") != (self.merge is not None):
            raise ValueError(f"{self.name}: a gauge, and nothing else, says how processes are merged")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: a counter's name, and no other, ends in _total")


class Family:
    """The series of one metric; those made once are found again by one look-up."""

    def __init__(self, metric: Metric, constant: Mapping[str, str], registry: CollectorRegistry) -> None:
        self._made: dict[tuple[str, ...], Any] = {}
        self._constant, self._labels = constant, metric.labels
        names = [*constant, *metric.labels]
        self._metric: Any
        if metric.kind == "counter":
            self._metric = Counter(metric.name, metric.help, names, registry=registry)
        elif metric.kind == "gauge":
            assert metric.merge is not None
            self._metric = Gauge(
                metric.name, metric.help, names, registry=registry, multiprocess_mode=metric.merge
            )
        else:
            self._metric = Histogram(
                metric.name, metric.help, names, registry=registry, buckets=metric.buckets
            )
        bounds = list(metric.labels.values())
        if metric.preset and None not in bounds:
            for values in itertools.product(*(bound for bound in bounds if bound is not None)):
                self(*values)

    def __call__(self, *values: str) -> Any:
        """The series with these label values, in the order of the declaration."""
        made = self._made.get(values)
        if made is None:
            labels = dict(zip(self._labels, values, strict=True))
            made = self._made[values] = self._metric.labels(**self._constant, **labels)
        return made

    def bounded(self, label: str, value: str, other: str) -> str:
        """`value` if the label may have it, else `other`: a plugin must not add series without end."""
        allowed = self._labels[label]
        return value if allowed is None or value in allowed else other


class Families(dict[str, Family]):
    """All metrics of one process, by name."""

    def __init__(self, table: tuple[Metric, ...], constant: Mapping[str, str]) -> None:
        super().__init__()
        self.registry = CollectorRegistry()
        for metric in table:
            self[metric.name] = Family(metric, constant, self.registry)


class Cell:
    """One float of a series, added to without what prometheus_client does around it.

    Counter.inc takes 2.3 us in multiprocess mode and a histogram's observe thrice that, a good part of a
    single-ID request; writing the float where prometheus_client keeps it takes 0.4 us. The cell must be the
    only writer of its series, and its owner must hold a lock.
    """

    __slots__ = ("_add", "_file", "_slice", "_total")

    def __init__(self, value: Any) -> None:
        self._total = value.get()
        self._add = value.inc
        self._file = getattr(value, "_file", None)
        if self._file is not None:
            at = self._file._positions[value._key]
            self._slice = slice(at, at + 8)

    def add(self, amount: float) -> None:
        """Raise the series; at once visible to the process that answers /metrics."""
        if self._file is None:
            self._add(amount)
            return
        self._total += amount
        # One slice assignment, as prometheus_client does it: pack_into would let a reader see half a number.
        # The map is looked up each time, since it's replaced when the file grows.
        self._file._m[self._slice] = _DOUBLE.pack(self._total)
