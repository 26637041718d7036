"""One run of wrk against the stand, and what it measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("ids.lua")
ACCEPT = {"json": "application/json", "ndjson": "application/x-ndjson", "octets": "application/octet-stream"}


@dataclass(frozen=True)
class Load:
    """`count` IDs a request of one tag in one format, over kept-alive connections, for some seconds.

    pause_ms: a connection's pause after each answer. Without it the load is what the service can bear, and
    the time of an answer is mostly the wait for the others' answers.
    """

    tag: str
    count: int
    kind: str = "json"
    connections: int = 16
    duration_s: float = 8
    spread: bool = False
    pause_ms: int = 0
    lease: bool = False

    @property
    def path(self) -> str:
        """The request's target."""
        return f"/v1/{'leases' if self.lease else 'ids'}/{self.tag}?count={self.count}"


@dataclass(frozen=True)
class Measured:
    """Times in milliseconds. `failed`: answers other than 2xx or 3xx; `broken`: connections."""

    requests_per_s: float
    ids_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    failed: int
    broken: int
    connections: int
    count: int
    pause_ms: int

    def to_json(self) -> dict[str, Any]:
        """Rounded, for a file."""
        return {
            key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def run(address: str, port: int, key: str, load: Load) -> Measured:
    """Send the load. Raises RuntimeError with wrk's words when it doesn't run or nothing was answered."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is missing; run: python3 -m tools.setup bench")
    environment = {
        **os.environ,
        "BENCH_KEY": key,
        "BENCH_ACCEPT": ACCEPT[load.kind],
        "BENCH_SPREAD": "1" if load.spread else "0",
        "BENCH_PAUSE_MS": str(load.pause_ms),
    }
    command = [
        wrk, "-t1", f"-c{load.connections}", f"-d{load.duration_s:g}s", "--timeout", "10s",
        "-s", str(SCRIPT), f"http://{address}:{port}{load.path}",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=load.duration_s + 60
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise RuntimeError(f"wrk: {(done.stderr or done.stdout).strip()[-400:]}")
    return measured(json.loads(lines[-1]), load)


def measured(found: dict[str, Any], load: Load) -> Measured:
    """The figures of one run. IDs count only where the answer was good."""
    seconds = found["duration_us"] / 1e6
    good = found["requests"] - found["failed"]
    return Measured(
        requests_per_s=good / seconds,
        ids_per_s=good * load.count / seconds,
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        max_ms=found["max_us"] / 1000,
        requests=found["requests"],
        failed=found["failed"],
        broken=found["broken"],
        connections=load.connections,
        count=load.count,
        pause_ms=load.pause_ms,
    )
