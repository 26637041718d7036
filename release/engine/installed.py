"""Whether what Ansible installed can take traffic: there, up, known to the edges, warm, and working."""

from __future__ import annotations

from collections.abc import Mapping

from release.engine.session import ReleaseFailed, Session
from release.targets.model import FleetUnreachable
from release.traffic.shares import TrafficError

WARM_UP_REQUESTS = 40
PATIENCE_S = 60.0
PAUSE_S = 1.0


def installed(session: Session, failures: Mapping[str, str]) -> None:
    """Accept the candidate before it gets traffic. `failures` are what Ansible said by host.

    Raises ReleaseFailed; the running version was not touched.
    """
    now = session.progress
    if now.installed:
        return
    problems = [f"{host}: {why}" for host, why in sorted(failures.items())]
    try:
        problems = problems or _not_there(session) or _not_up(session) or _not_working(session)
    except (FleetUnreachable, TrafficError) as error:
        problems = [str(error)]
    if problems:
        raise ReleaseFailed(
            f"install: {'; '.join(problems)}. The candidate got no traffic, what serves was not touched, and "
            "the release has ended"
        )
    session.write("install_done", version=now.version, slot=now.candidate)


def _not_there(session: Session) -> list[str]:
    """Hosts whose slot isn't the candidate, running."""
    slot, version = session.progress.candidate, session.progress.version
    wrong = []
    for host, state in session.fleet.states().items():
        found = state.slots.get(slot)
        if found is None or (found.unit, found.installed) != ("active", version):
            wrong.append(f"{host}: {slot} should run {version}, but is {found}")
    return wrong


def _not_up(session: Session) -> list[str]:
    """Servers that the edges still hold for down after PATIENCE_S: traffic to them would be lost."""
    deadline = session.clock.now() + PATIENCE_S
    while (down := session.fleet.not_up(session.progress.candidate)) and session.clock.now() < deadline:
        session.clock.sleep(PAUSE_S)
    return down


def _not_working(session: Session) -> list[str]:
    """Warm it up, then let it do its work once on every host."""
    slot, version = session.progress.candidate, session.progress.version
    session.fleet.warm_up(slot, WARM_UP_REQUESTS)
    found = session.fleet.smoke(slot, version)
    problems = [f"{host}: {'; '.join(what)}" for host, what in found.items() if what]
    if not problems:
        session.say(f"  {version} works in {slot} on {', '.join(found)}; no traffic yet")
    return problems
