"""How a release ends: first deployment, promotion, SLIs after a rollback, the last entry and the report."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from release.decision import Decision
from release.engine.baseline import BASELINE_S, EVERY_S, Source, worse_than
from release.engine.opened import FIRST_STEP
from release.engine.preflight import baseline_of
from release.engine.session import ReleaseFailed, Session
from release.engine.shifting import check_unchanged, shift
from release.engine.site import Site
from release.engine.verifying import PROBES_NEEDED, PROBES_PER_EDGE, Check
from release.profile import Profile
from release.sample import Sample, Snapshot, difference
from release.targets.model import other
from release.traffic.shares import FULL_BP

#: The fresh window after a rollback: it grows until it has this many requests, at most to LONGEST_S.
FRESH_REQUESTS = 300
SHORTEST_S = 4.0
LONGEST_S = 30.0
EDGE_PATIENCE_S = 30.0
#: Releases up to this long are drawn second by second; in longer ones the ticks are fine enough.
DRAWN_FINE_S = 900.0


def deploy_first(session: Session) -> None:
    """All traffic to an environment's first release, at once: there is nobody to take it from."""
    step = session.progress.step(FIRST_STEP)
    if step.decision:
        return
    session.say(f"{session.progress.version} is the first release here: it gets all traffic at once")
    shift(session, FIRST_STEP, FULL_BP)
    deadline = session.clock.now() + EDGE_PATIENCE_S
    while (wrong := _wrong_answers(session)) and session.clock.now() < deadline:
        session.clock.sleep(1.0)
    if wrong:
        raise ReleaseFailed(f"first release: {wrong}. Look at the app hosts, then run the same command again")
    decision = Decision(
        action="promote", reason="first release: nothing to compare with; it answers everywhere"
    )
    session.write("decision", step=FIRST_STEP, action=decision.action, reason=decision.reason)


def promote(session: Session) -> None:
    """Say that the candidate serves, once every edge and every answer from outside says so."""
    if session.progress.promoted:
        return
    check_unchanged(session)
    if wrong := _wrong_answers(session):
        raise ReleaseFailed(
            f"promotion: {wrong}. The release stays open at 100 %. Run the same command again, or: "
            "ansible-playbook rollback.yml"
        )
    session.write("promoted", version=session.progress.version, slot=session.progress.candidate)
    session.say(f"{session.progress.version} answers through every edge")


def _wrong_answers(session: Session) -> str:
    """What doesn't answer as the candidate, from outside; '' when everything does."""
    expected = (session.progress.version, session.progress.candidate)
    for edge, probes in session.fleet.probe(PROBES_PER_EDGE).items():
        if others := sorted(pair for pair in probes.seen if pair != expected):
            return f"{others[0][0]} from {others[0][1]} still answers through {edge}"
        if probes.seen[expected] < PROBES_NEEDED:
            why = probes.failed[0] if probes.failed else f"{probes.nobody_there} found nobody"
            return f"only {probes.seen[expected]} of {PROBES_PER_EDGE} probes answered through {edge}: {why}"
    return ""


def slis_are_back(session: Session, source: Source) -> Check:
    """The previous version's SLIs over a fresh window, against the window before the release."""
    name = "SLIs"
    if session.progress.preflight is None:
        return Check(name, True, "the release ended before a baseline was taken and before any traffic")
    profile = Profile.model_validate(session.progress.begin["profile"])
    before = baseline_of(session)
    slot = other(session.progress.candidate)
    started = session.clock.now()
    first = source.snapshot(started)
    seen: Sample | None = None
    why = "" if isinstance(first, Snapshot) else first.why
    while session.clock.now() - started < LONGEST_S:
        session.clock.sleep(2.0)
        if not isinstance(first, Snapshot):
            first = source.snapshot(session.clock.now())
            why = "" if isinstance(first, Snapshot) else first.why
            continue
        latest = source.snapshot(session.clock.now())
        found = difference(first, latest) if isinstance(latest, Snapshot) else latest
        if not isinstance(found, Sample):
            why = found.why
            continue
        seen = found
        if seen.seconds >= SHORTEST_S and seen.slots[slot].requests >= min(FRESH_REQUESTS, before.requests):
            break
    if seen is None:
        return Check(name, False, f"could not be read: {why}")
    counts = seen.slots[slot]
    if before.requests and not counts.requests:
        return Check(
            name, False, f"no request in {seen.seconds:.0f} s, before {before.rate_per_s:.0f} a second"
        )
    if worse := worse_than(profile, before, counts):
        return Check(name, False, f"worse than before the release: {'; '.join(worse)}")
    said = f"{counts.errors} errors in {counts.requests} requests over {seen.seconds:.0f} s"
    return Check(name, True, f"as before the release: {said}")


def end(session: Session, outcome: str, source: Source) -> None:
    """The last entry; nothing when it is there."""
    if session.progress.outcome is None:
        session.write("finished", outcome=outcome, observations=_second_by_second(session, source))


def _second_by_second(session: Session, source: Source) -> list[dict[str, Any]]:
    """The whole release and the time before it, for the report's pictures; [] where it can't be had."""
    now = session.clock.now()
    span = now - session.progress.began_at + BASELINE_S
    if span > DRAWN_FINE_S:
        return []
    found = source.history(now, span, EVERY_S)
    if not isinstance(found, list):
        return []
    samples = (difference(before, after) for before, after in pairwise(found))
    return [sample.model_dump(mode="json") for sample in samples if isinstance(sample, Sample)]


def report(site: Site, session: Session) -> Path:
    """Write the report of the release as it stands, and remember it once the release has ended."""
    from release.report import write_report  # noqa: PLC0415 - its pictures take seconds to load

    folder = site.results / session.release_id
    journal = site.releases.open(session.release_id, session.token)
    write_report(journal.entries(), journal.path, journal.head, folder)
    site.releases.mark_reported(session.release_id, session.progress.outcome is not None)
    return folder
