"""The service's figures over HTTP, with Postgres, Redis, etcd, keys and metrics on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from release.load.bench import processes
from release.load.bench.stand import Service, Stand
from release.load.bench.wrk import Load, Measured, run

SEGMENT, SNOWFLAKE = "orders", "events"
CEILING_PER_WORKER = 2_048_000
"""IDs a second of one worker id at 11 sequence bits."""

Say = Callable[[str], None]


def figures(stand: Stand, service: Service, seconds: float, say: Say) -> dict[str, Any]:
    """json_1000, binary_5000, lease, single and memory, as the file has them."""
    workers = len(service.workers())
    memory: dict[str, float] = {"start_mb": round(processes.memory_mb(service), 1)}
    _load(stand, service, Load(SEGMENT, 1000, connections=8, duration_s=3))  # ranges grow to the demand

    def measure(name: str, load: Load) -> dict[str, Any]:
        say(f"{name}: {load.connections} connections, {load.count} IDs a request")
        with processes.Cpu(service) as cpu:
            found = _load(stand, service, load)
        shown = {**found.to_json(), "workers": workers, "cpu_per_worker": cpu.shares, "kind": load.kind}
        speed = f"{found.requests_per_s:,.0f} requests/s, {found.ids_per_s:,.0f} IDs/s"
        say(f"  {speed}, p99 {found.p99_ms:.1f} ms")
        return shown

    def load(tag: str, count: int, connections: int, **more: Any) -> Load:
        return Load(tag, count, connections=connections, duration_s=seconds, **more)

    json_1000 = measure("json_1000", load(SEGMENT, 1000, 8, pause_ms=1))
    json_1000["saturated"] = measure("json_1000, saturated", load(SEGMENT, 1000, 8))
    json_1000["snowflake"] = measure("json_1000 snowflake", load(SNOWFLAKE, 1000, 8, pause_ms=2))
    binary = measure("binary_5000", load(SEGMENT, 5000, 8, kind="octets"))
    binary["snowflake"] = measure("binary_5000 snowflake", load(SNOWFLAKE, 5000, 8, kind="octets"))
    ceiling = CEILING_PER_WORKER * workers
    binary["snowflake"]["of_ceiling"] = round(binary["snowflake"]["ids_per_s"] / ceiling, 4)
    single = measure("single", load(SEGMENT, 1, 16, pause_ms=2))
    single["saturated"] = measure("single, saturated", load(SEGMENT, 1, 16))
    single["snowflake"] = measure("single snowflake", load(SNOWFLAKE, 1, 16, pause_ms=2))
    single["each_request_different"] = measure("single, each different", load(SEGMENT, 1, 16, spread=True))
    lease = measure("lease", load(SEGMENT, 10_000_000, 4, lease=True))
    memory["steady_mb"] = round(processes.memory_mb(service), 1)
    return {"json_1000": json_1000, "binary_5000": binary, "lease": lease, "single": single, "memory": memory}


def tracing_cost(
    stand: Stand, plain: Service, traced: Service, seconds: float, rounds: int
) -> dict[str, Any]:
    """Single-ID requests/s without and with tracing, turn by turn in one run, and the cost as a share."""
    pairs = []
    for _ in range(rounds):
        load = Load(SEGMENT, 1, connections=16, duration_s=seconds)
        pairs.append((_load(stand, plain, load).requests_per_s, _load(stand, traced, load).requests_per_s))
    without, with_ = (statistics.median(side) for side in zip(*pairs, strict=True))
    return {
        "requests_per_s_without": round(without),
        "requests_per_s_with": round(with_),
        "cost": round(1 - statistics.median(b / a for a, b in pairs), 4),
        "rounds": rounds,
    }


def memory_over(stand: Stand, service: Service, minutes: float) -> dict[str, Any]:
    """The memory once a minute, in 10**6 octets, while single IDs, batches and leases are drawn."""
    loads = (
        Load(SEGMENT, 1, connections=4, duration_s=20, pause_ms=10),
        Load(SNOWFLAKE, 1000, connections=2, duration_s=20, pause_ms=20, spread=True),
        Load(SEGMENT, 5000, "octets", connections=2, duration_s=20, pause_ms=20),
    )
    samples = [round(processes.memory_mb(service), 1)]
    began, requests = time.monotonic(), 0
    while time.monotonic() - began < minutes * 60:
        for load in loads:
            requests += _load(stand, service, load).requests
        samples.append(round(processes.memory_mb(service), 1))
    return {
        "start_mb": samples[0],
        "end_mb": samples[-1],
        "most_mb": max(samples),
        "requests": requests,
        "duration_s": round(time.monotonic() - began),
        "samples_mb": samples,
    }


def _load(stand: Stand, service: Service, load: Load) -> Measured:
    found = run(stand.address, service.port, stand.key, load)
    if found.failed or found.broken:
        raise RuntimeError(f"{load.path}: {found.failed} requests failed, {found.broken} connections broke")
    return found
