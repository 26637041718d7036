"""What the processes of the stand's service cost: memory and CPU, from /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from release.load.bench.stand import Service

KIB_PER_MB = 1_000_000 / 1024


def memory_mb(service: Service) -> float:
    """Memory of master and workers, 10**6 octets: what each has alone, and its part of what they share."""
    lines = f"for p in {_pids(service)}; do grep ^Pss: /proc/$p/smaps_rollup; done"
    return sum(float(line.split()[1]) for line in service.shell(lines).splitlines()) / KIB_PER_MB


def cpu_s(service: Service) -> dict[int, float]:
    """CPU seconds of each worker so far."""
    ticks = float(service.shell("getconf CLK_TCK"))
    found = {}
    for pid in service.workers():
        fields = service.shell(f"cat /proc/{pid}/stat").rpartition(")")[2].split()
        found[pid] = (int(fields[11]) + int(fields[12])) / ticks
    return found


@dataclass
class Cpu:
    """Measures while it is open; `shares` is each worker's CPU, 1 = a whole core."""

    service: Service
    monotonic: Callable[[], float] = time.monotonic
    shares: list[float] = field(default_factory=list)
    _began: float = 0.0
    _before: dict[int, float] = field(default_factory=dict)

    def __enter__(self) -> Cpu:
        self._before, self._began = cpu_s(self.service), self.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        after, seconds = cpu_s(self.service), self.monotonic() - self._began
        self.shares = [round((after[pid] - self._before.get(pid, 0.0)) / seconds, 3) for pid in after]


def _pids(service: Service) -> str:
    return f"$(cat {service.pid_file}) $(pgrep -P $(cat {service.pid_file}))"
