"""How long each step took last time, kept in the cache."""

from __future__ import annotations

import json
import os
import time
from fcntl import LOCK_EX, flock
from pathlib import Path

from infra import paths


def _file() -> Path:
    return paths.cache_dir() / "timings.json"


def now() -> float:
    """Seconds on a clock that only goes forward."""
    return time.monotonic()


def load() -> dict[str, float]:
    """Seconds by step name; empty when nothing, or nothing readable, was kept."""
    try:
        kept = json.loads(_file().read_text())
        return {str(name): float(seconds) for name, seconds in kept.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def remember(name: str, seconds: float) -> None:
    """Keep a step's duration. Safe with other set-ups at work: one writer at a time, one replacement."""
    folder = paths.cache_dir()
    (folder / "locks").mkdir(parents=True, exist_ok=True)
    with (folder / "locks" / "timings.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        kept = load()
        kept[name] = round(seconds, 1)
        fresh = folder / f"timings.json.{os.getpid()}"
        fresh.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        fresh.replace(_file())


def words(seconds: float) -> str:
    """`4 s` or `5 min 2 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
