"""Proving a rollback from outside: what answers, what is installed, and how the service does now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from release.engine.session import Session
from release.targets.model import FleetUnreachable, Probes, green_bp
from release.traffic.shares import TrafficError

PROBES_PER_EDGE = 60
PROBES_NEEDED = 50
TRIES = 3
PAUSE_S = 3.0


@dataclass(frozen=True)
class Check:
    """One thing that must be true after a rollback."""

    name: str
    passed: bool
    detail: str


SliCheck = Callable[[], Check]


def verify(session: Session, slis: SliCheck) -> bool:
    """Write rollback_verified or rollback_unverified; whether it is verified.

    `slis` looks at a fresh window and says whether the SLIs are back inside the baseline. Checks that
    fail are tried again, since an edge or a host may be coming back.
    """
    if session.progress.verified is not None:
        return session.progress.verified
    checks: list[Check] = []
    for attempt in range(1, TRIES + 1):
        checks = [*(check for one in QUICK for check in one(session)), slis()]
        failed = [check for check in checks if not check.passed]
        if not failed:
            break
        if attempt < TRIES:
            session.say(f"  not proved yet: {'; '.join(f'{c.name}: {c.detail}' for c in failed)}")
            session.clock.sleep(PAUSE_S)
    for check in checks:
        session.say(f"  {'ok ' if check.passed else 'NOT'} {check.name}: {check.detail}")
    verified = all(check.passed for check in checks)
    session.write(
        "rollback_verified" if verified else "rollback_unverified", checks=[asdict(c) for c in checks]
    )
    return verified


def shares_are_back(session: Session) -> list[Check]:
    """Every edge holds 0 for the candidate."""
    now = session.progress
    try:
        edges = session.fleet.read_shares()
    except TrafficError as error:
        return [Check("shares", False, str(error))]
    wrong = [n for n, e in edges.items() if e.green_bp != green_bp(now.candidate, 0)]
    detail = f"not 0 % on {', '.join(wrong)}" if wrong else f"candidate at 0 % on {', '.join(edges)}"
    return [Check("shares", not wrong, detail)]


def previous_answers(session: Session) -> list[Check]:
    """Nothing but the previous version answers, from outside, through every edge."""
    previous = session.progress.previous or {}
    expected = (str(previous.get("version")), str(previous.get("slot")))
    return [
        _one_edge(edge, probes, expected) for edge, probes in session.fleet.probe(PROBES_PER_EDGE).items()
    ]


def _one_edge(edge: str, probes: Probes, expected: tuple[str, str]) -> Check:
    name = f"answers through {edge}"
    right = probes.seen[expected]
    others = {f"{v} ({slot})": n for (v, slot), n in probes.seen.items() if (v, slot) != expected}
    if others:
        return Check(
            name, False, f"{', '.join(f'{n} x {v}' for v, n in others.items())} of {probes.answered}"
        )
    if right < PROBES_NEEDED:
        why = probes.failed[0] if probes.failed else f"{probes.nobody_there} found nobody there"
        return Check(name, False, f"only {right} of {PROBES_NEEDED} needed answers; {why}")
    return Check(name, True, f"{right} of {right} answers on new connections came from {expected[0]}")


def hosts_are_right(session: Session) -> list[Check]:
    """The previous version is installed, active, ready, and answers on every host."""
    previous = session.progress.previous or {}
    version, slot = previous.get("version"), previous.get("slot")
    try:
        states = session.fleet.states()
    except FleetUnreachable as error:
        return [Check("hosts", False, str(error))]
    wrong = []
    for host, state in states.items():
        there = state.slots.get("green" if slot == "green" else "blue")
        if there is None or (there.unit, there.installed, there.answers, there.ready) != (
            "active", version, version, True,
        ):  # fmt: skip
            wrong.append(f"{host} {there}")
    detail = "; ".join(wrong) if wrong else f"{version} is active and ready in {slot} on {', '.join(states)}"
    return [Check("hosts", not wrong, detail)]


def smoke_passes(session: Session) -> list[Check]:
    """The previous version issues IDs on every host."""
    previous = session.progress.previous or {}
    slot = "green" if previous.get("slot") == "green" else "blue"
    try:
        problems = session.fleet.smoke(slot, str(previous.get("version")))  # type: ignore[arg-type]
    except FleetUnreachable as error:
        return [Check("smoke", False, str(error))]
    wrong = [f"{host}: {'; '.join(found)}" for host, found in problems.items() if found]
    return [Check("smoke", not wrong, "; ".join(wrong) if wrong else f"IDs issued on {', '.join(problems)}")]


QUICK: tuple[Callable[[Session], list[Check]], ...] = (
    shares_are_back,
    previous_answers,
    hosts_are_right,
    smoke_passes,
)
