"""Whether the environment is fit for a release. Looks only; touches nothing."""

from __future__ import annotations

from typing import Any

from release.engine.baseline import BASELINE_S, EVERY_S, Measured, Source, measure
from release.engine.session import ReleaseFailed, Session
from release.engine.verifying import Check
from release.plan import Plan, make_plan, render
from release.profile import Profile
from release.sample import Snapshot
from release.targets.model import Fleet, FleetUnreachable, Slot, SlotState, other

LEAST_DISK_BYTES = 1 << 30
#: Above this a host's logs and the journal can't be laid beside each other, in seconds.
MOST_CLOCK_SKEW_S = 2.0


def preflight(session: Session, source: Source) -> None:
    """Look at everything, work out the plan, journal both. Raises ReleaseFailed naming what is wrong."""
    now = session.progress
    if now.preflight is not None:
        return
    profile = Profile.model_validate(now.begin["profile"])
    version = None if now.previous is None else str(now.previous["version"])
    active = now.candidate if version is None else other(now.candidate)
    checks = hosts_are_fit(session.fleet, active, version)
    measured, metrics = _metrics(session, source, profile, active)
    checks.append(metrics)
    for check in checks:
        session.say(f"  {'ok ' if check.passed else 'NOT'} {check.name}: {check.detail}")
    plan = make_plan(
        profile, now.version, version, now.candidate, measured.rate_per_s, baseline=measured.gates
    )
    if version is not None:
        for line in render(plan).splitlines():
            session.say(f"  {line}")
    session.write(
        "preflight",
        checks=[vars(check) for check in checks],
        baseline=measured.model_dump(mode="json"),
        plan=plan.model_dump(mode="json"),
    )
    if failed := [check for check in checks if not check.passed]:
        reasons = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        raise ReleaseFailed(f"preflight: {reasons}. Nothing was touched; the release has ended")


def plan_of(session: Session) -> Plan:
    """The plan that preflight journalled; it doesn't change during a release."""
    return Plan.model_validate(_preflight(session)["plan"])


def baseline_of(session: Session) -> Measured:
    """The window before the release."""
    return Measured.model_validate(_preflight(session)["baseline"])


def _preflight(session: Session) -> Any:
    if session.progress.preflight is None:
        raise ReleaseFailed(f"{session.release_id}: preflight isn't done; run the same command again")
    return session.progress.preflight


def hosts_are_fit(fleet: Fleet, active: Slot, version: str | None) -> list[Check]:
    """Disk, clock, and what serves being in order on every app host."""
    try:
        states = fleet.states()
    except FleetUnreachable as error:
        return [Check("hosts", False, str(error))]
    small = [f"{h} {s.disk_free >> 20} MiB" for h, s in states.items() if s.disk_free < LEAST_DISK_BYTES]
    skews = {h: s.clock_skew_s for h, s in states.items() if abs(s.clock_skew_s) > MOST_CLOCK_SKEW_S}
    askew = ", ".join(f"{host} {skew:+.1f} s" for host, skew in skews.items())
    checks = [
        Check(
            "disk", not small, f"under 1 GiB free on {', '.join(small)}" if small else "1 GiB free or more"
        ),
        Check("clocks", not askew, f"skewed: {askew}" if askew else "within 2 s of the controller's"),
    ]
    if version is None:
        return [*checks, Check("rollback target", True, "none: nothing serves here yet")]
    ill = [host for host, s in states.items() if not _serves(s.slots.get(active), version)]
    detail = f"{version} in {active}" + (f" doesn't serve on {', '.join(ill)}" if ill else "")
    return [*checks, Check("rollback target", not ill, detail)]


def _serves(state: SlotState | None, version: str) -> bool:
    return state is not None and state.ready and state.answers == version


def _metrics(session: Session, source: Source, profile: Profile, active: Slot) -> tuple[Measured, Check]:
    """The window before the release. No traffic is no fault: then there is nothing to be broken."""
    if session.progress.previous is None:
        return Measured(), Check("SLIs", True, "none yet: nobody serves")
    found = source.history(session.clock.now(), BASELINE_S, EVERY_S)
    if not isinstance(found, list):
        return Measured(), Check("SLIs", False, f"can't be read: {found.why}")
    snapshots: list[Snapshot] = found
    measured = measure(profile, active, snapshots)
    if measured.broken:
        return measured, Check("SLIs", False, f"broken before the release: {'; '.join(measured.broken)}")
    detail = f"in order: {measured.rate_per_s:.0f} requests/s over the last {measured.seconds:.0f} s"
    return measured, Check("SLIs", True, detail)
