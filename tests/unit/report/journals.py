"""Journals of releases that never were, for the report's tests: seeded, so always the same."""

from dataclasses import dataclass

import numpy as np

from release.sample import LATENCY_EDGES_S

T0 = 1_800_000_000.0
GATES = [
    {"name": "errors", "sli": "errors", "kind": "absolute", "threshold": 0.01},
    {"name": "slow", "sli": "slow", "kind": "absolute", "threshold": 0.01, "slower_than_s": 0.5},
]


@dataclass(frozen=True)
class Line:
    ts: float
    type: str
    data: dict


def counts(rng, requests, error_rate, slow_rate):
    errors = int(rng.binomial(requests, error_rate))
    slow = rng.random(requests) < slow_rate
    took = np.where(slow, rng.normal(0.8, 0.05, requests), rng.lognormal(-5.3, 0.4, requests))
    at_most = [int((took <= edge).sum()) for edge in LATENCY_EDGES_S]
    return {"requests": requests, "errors": errors, "timed": requests, "at_most": at_most}


def second(at, share=0.1):
    """One second of observation, `at` seconds after the release began."""
    rng = np.random.default_rng(100 + at)
    slots = {"green": counts(rng, int(600 * share), 0.2, 0.2), "blue": counts(rng, 540, 0.0005, 0.0005)}
    return {"kind": "sample", "since": T0 + at, "until": T0 + at + 1, "slots": slots}


def release(*, faulty, blind_at=()):
    """A release of 1.2.0 over 1.1.0 under the demo's load; `blind_at` are tick numbers without figures."""
    rng = np.random.default_rng(7)
    faults = [{"kind": "dependency", "mode": "error", "share": 0.2}] if faulty else []
    steps = [
        {"name": n, "share": s, "gates": GATES} for n, s in (("canary", 10), ("half", 50), ("full", 100))
    ]
    lines = [
        Line(
            T0,
            "begin",
            {
                "release_id": "20270115T080000Z-1.2.0",
                "environment": "dev",
                "version": "1.2.0",
                "previous": {"version": "1.1.0", "slot": "blue"},
                "candidate": "green",
                "profile": {"name": "demo", "steps": steps},
                "release_config": {"faults": faults},
            },
        )
    ]
    now, tick = T0 + 9, 0
    for step in steps:
        lines.append(Line(now, "share_intent", {"step": step["name"], "share_bp": step["share"] * 100}))
        now += 0.3
        lines.append(Line(now, "share_done", {"step": step["name"], "share_bp": step["share"] * 100}))
        for _ in range(2 if faulty else 7):
            tick += 1
            now += 2
            mine = int(1200 * step["share"] / 100)
            seen = {
                "kind": "sample",
                "since": now - 2,
                "until": now,
                "slots": {
                    "green": counts(rng, mine, 0.2 if faulty else 0.0005, 0.2 if faulty else 0.0005),
                    "blue": counts(rng, 1200 - mine, 0.0005, 0.0005),
                },
            }
            if tick in blind_at:
                seen = {"kind": "unreachable", "why": "Prometheus refused the connection"}
            lines.append(Line(now, "tick", {"step": step["name"], "n": tick, "observation": seen}))
        action = "rollback" if faulty else "promote"
        reason = "errors: 46 of 240 (19.17 %) against 1 %" if faulty else "errors 0 of 840, health shown"
        lines.append(Line(now, "decision", {"step": step["name"], "action": action, "reason": reason}))
        if faulty:
            lines.append(Line(now, "rollback_started", {"reason": reason, "by": "gate", "decided_at": now}))
            lines.append(Line(now + 0.42, "share_done", {"step": "", "share_bp": 0}))
            checks = [{"name": "shares", "passed": True, "detail": "candidate at 0 % on edge1"}]
            lines.append(Line(now + 9, "rollback_verified", {"checks": checks}))
            break
    lines.append(Line(now + 10, "finished", {"outcome": "rolled_back" if faulty else "promoted"}))
    return lines
