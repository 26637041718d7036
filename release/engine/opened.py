"""Taking the lock, and the journal of a new release or of the one that is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from release.engine import opening, process
from release.engine.progress import Progress
from release.engine.request import (
    Request,
    check_stage,
    check_version,
    ensure_bundle,
    read_release_config,
)
from release.engine.serving import what_serves
from release.engine.session import Clock, Session
from release.engine.site import Site
from release.lock import LockHeld, LockLost, Taken, alive
from release.profile import Profile, load_profile

#: The only step of an environment's first release: nobody serves yet, so nothing is shifted bit by bit.
FIRST_STEP = "deploy"


@dataclass(frozen=True)
class Opened:
    """A release that may be worked on. `done`: only its report is left to write."""

    session: Session
    reached: bool
    done: bool = False


def checked(
    site: Site, stage: str, version: str, profile: str, config: str | None
) -> tuple[Request, Profile]:
    """The request, whole and valid by itself. Raises BadRequest or ProfileError; touches nothing."""
    loaded = load_profile(profile)
    request = Request(
        version=check_version(version),
        stage=check_stage(stage, [step.name for step in loaded.steps]),
        profile=profile,
        release_config=read_release_config(config, faults_allowed=site.faults_allowed),
    )
    return request, loaded


def open_release(
    site: Site,
    request: Request,
    profile: Profile,
    *,
    controller: int,
    clock: Clock,
    say: Callable[[str], None],
) -> Opened:
    """Take the lock and begin, or go on. Raises Refused, LockHeld, BuildFailed, ReleaseFailed, JournalError.

    When it raises, nothing was touched and the lock is free again (or still somebody else's).
    """
    _nobody_works(site, controller)
    opening.fits(request, profile, _latest(site))
    new_id = _free_id(site, request.version, clock.now())
    taken = site.releases.lock.take(controller, new_id, clock.now())
    try:
        return _opened(site, request, profile, taken, new_id, clock=clock, say=say)
    except BaseException:
        site.releases.lock.release(taken.holder.token)
        raise


def _opened(
    site: Site,
    request: Request,
    profile: Profile,
    taken: Taken,
    new_id: str,
    *,
    clock: Clock,
    say: Callable[[str], None],
) -> Opened:
    """With the lock held: what was true before may have changed while it was waited for."""
    releases, token = site.releases, taken.holder.token
    latest_id, latest = releases.latest(), _latest(site)
    opens = opening.fits(request, profile, latest)
    if opens.resume and latest_id is not None:
        session = _session(site, latest_id, token, clock, say)
        _say_taken_over(session, taken)
        if not opens.reached:
            session.write("resumed", by=process.who(), token=token, stage=request.stage)
            say(f"resumed {latest_id}, begun {_ago(clock.now() - session.progress.began_at)} ago")
        return Opened(session, opens.reached)
    if latest_id and latest and latest.version == request.version and not releases.reported(latest_id):
        say(f"{latest_id} ended ({latest.outcome}) and only its report was missing")
        return Opened(_session(site, latest_id, token, clock, say), reached=False, done=True)
    ensure_bundle(site.state, request.version, site.root)
    serving = what_serves(site.fleet)
    session = _session(site, new_id, token, clock, say)
    begin = opening.begin_data(
        request, profile, serving, new_id=new_id, environment=site.name, by=process.who()
    )
    if serving.version is None:
        begin["steps"] = [FIRST_STEP]
    session.write("begin", **begin)
    _say_taken_over(session, taken)
    before = serving.version or "nothing"
    say(f"{new_id}: {before} serves from {serving.slot}, {request.version} goes to {serving.idle}")
    return Opened(session, reached=False)


def reopen(
    site: Site, release_id: str, *, controller: int, clock: Clock, say: Callable[[str], None]
) -> Session:
    """The session of a later phase of the same run, under the lock that the first phase took."""
    holder = site.releases.lock.holder()
    if holder is None or holder.pid != controller:
        now = f"held by {holder}" if holder else "free"
        raise LockLost(f"lock: this process lost it; it is {now}. Nothing more is touched")
    return _session(site, release_id, holder.token, clock, say)


def take_for_rollback(site: Site, *, controller: int, clock: Clock, say: Callable[[str], None]) -> Session:
    """The newest release, with the lock. Raises Refused when there is none, LockHeld, JournalError."""
    latest_id = site.releases.latest()
    if latest_id is None:
        raise opening.Refused("rollback: no release was ever made here, so there is nothing to go back to")
    taken = site.releases.lock.take(controller, latest_id, clock.now())
    try:
        session = _session(site, latest_id, taken.holder.token, clock, say)
        if session.progress.open:
            _say_taken_over(session, taken)
        return session
    except BaseException:
        site.releases.lock.release(taken.holder.token)
        raise


def _session(site: Site, release_id: str, token: int, clock: Clock, say: Callable[[str], None]) -> Session:
    journal = site.releases.open(release_id, token)
    return Session(release_id, journal, site.fleet, token, say, clock)


def _nobody_works(site: Site, controller: int) -> None:
    """Raises LockHeld while somebody else does: that is why, whatever else doesn't fit. Taking decides."""
    holder = site.releases.lock.holder()
    if holder is not None and holder.pid != controller and alive(holder):
        raise LockHeld(holder)


def _latest(site: Site) -> Progress | None:
    latest = site.releases.latest()
    return site.releases.look(latest) if latest else None


def _free_id(site: Site, version: str, now: float) -> str:
    while not site.releases.is_new(new_id := opening.release_id(version, now)):
        now += 1
    return new_id


def _say_taken_over(session: Session, taken: Taken) -> None:
    if taken.from_dead is None:
        return
    line = f"lock taken over from a dead process: {taken.from_dead}"
    session.say(line)
    session.write("lock_taken_over", line=line, token=taken.holder.token)


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
