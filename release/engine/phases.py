"""The phases of a release as the playbooks call them. Each reads the journal and does what is missing.

A phase that fails writes a report, gives the lock back and raises; before any traffic moved it also ends
the release, since then nothing is left to go on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from release.engine import ending, opened
from release.engine.baseline import Source
from release.engine.installed import installed
from release.engine.observing import StepObserver
from release.engine.opening import Refused
from release.engine.preflight import plan_of, preflight
from release.engine.request import BadRequest, BuildFailed, ensure_bundle
from release.engine.session import Clock, ReleaseFailed, Session, SystemClock
from release.engine.shifting import check_unchanged
from release.engine.site import Site
from release.engine.steps import finish_rollback, run_steps, start_rollback
from release.engine.verifying import verify
from release.journal import JournalError
from release.lock import LockHeld, LockLost
from release.profile import ProfileError
from release.traffic.shares import TrafficError

#: What a phase may fail with: one line for people. Anything else is a fault in this program.
EXPECTED = (
    BadRequest,
    BuildFailed,
    JournalError,
    LockHeld,
    LockLost,
    OSError,
    ProfileError,
    Refused,
    ReleaseFailed,
    TrafficError,
)


@dataclass
class Phases:
    """One run of a playbook. `controller` is the process id of ansible-playbook, which holds the lock."""

    site: Site
    controller: int
    say: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)

    def begin(self, stage: str, version: str, profile: str, release_config: str = "") -> dict[str, Any]:
        """Check, lock, begin or resume. What it gives is the playbook's variable `release`."""
        request, loaded = opened.checked(self.site, stage, version, profile, release_config)
        found = opened.open_release(
            self.site, request, loaded, controller=self.controller, clock=self.clock, say=self.say
        )
        now = found.session.progress
        install = not (found.done or found.reached or now.installed or now.rollback is not None)
        return {
            "id": found.session.release_id,
            "stage": request.stage,
            "version": now.version,
            "slot": now.candidate,
            "config": now.begin["release_config"],
            "install": install,
            **(self._bundle(now.version) if install else {}),
        }

    def preflight(self, release_id: str) -> None:
        """Look at everything before anything is touched."""
        with self._working(release_id) as session:
            if _going_up(session):
                preflight(session, self.site.source)
                if not session.progress.install_started:
                    session.write("install_started", slot=session.progress.candidate)

    def installed(self, release_id: str, failures: Mapping[str, str]) -> None:
        """Accept what Ansible installed."""
        with self._working(release_id) as session:
            if _going_up(session):
                installed(session, failures)

    def steps(self, release_id: str, stage: str) -> None:
        """Shift, observe and decide, step by step, up to the stage."""
        with self._working(release_id) as session:
            if session.progress.outcome is not None:
                return
            if session.progress.previous is None:
                ending.deploy_first(session)
                return
            if session.progress.rollback is not None:
                finish_rollback(session)
                return
            observers = partial(_observer, session, self.site.source)
            if run_steps(session, plan_of(session).steps, observers, stage) == "promoted":
                ending.promote(session)

    def verify(self, release_id: str) -> None:
        """After a rollback: prove it."""
        with self._working(release_id) as session:
            if session.progress.rollback is not None:
                session.say(
                    f"is {(session.progress.previous or {}).get('version')} back? Looking from outside"
                )
                verify(session, partial(ending.slis_are_back, session, self.site.source))

    def finish(self, release_id: str, *, asked_back: bool = False) -> dict[str, Any]:
        """The last entry, the report, the lock back. Raises ReleaseFailed when it didn't go as asked.

        asked_back: an operator asked for the rollback, so a verified one is what was wanted.
        """
        with self._working(release_id) as session:
            outcome = _outcome(session)
            if outcome:
                ending.end(session, outcome, self.site.source)
            folder = ending.report(self.site, session)
            self.site.releases.lock.release(session.token)
            session.say(f"report: {folder / 'report.html'}")
            message = _last_words(session)
            wanted = ("rolled_back",) if asked_back else ("promoted", "deployed")
            if session.progress.outcome in wanted:
                return {"outcome": session.progress.outcome, "msg": message}
            if session.progress.outcome is None and not _held(session):
                return {"outcome": "holding", "msg": message}
        raise ReleaseFailed(message)

    def rollback(self, reason: str) -> dict[str, Any]:
        """An operator's rollback of the newest release, whether it is open or was promoted."""
        session = opened.take_for_rollback(
            self.site, controller=self.controller, clock=self.clock, say=self.say
        )
        try:
            _refuse_needless(session)
        except Refused:
            self.site.releases.lock.release(session.token)
            raise
        with self._working(session.release_id, session):
            if session.progress.rollback is not None and session.progress.outcome is None:
                finish_rollback(session)
            else:
                if session.progress.outcome == "promoted":
                    check_unchanged(session)
                start_rollback(session, reason or "asked for by an operator", by="operator")
        return {"id": session.release_id}

    @contextmanager
    def _working(self, release_id: str, session: Session | None = None) -> Iterator[Session]:
        """A session for one phase, tidied up when the phase fails."""
        session = session or opened.reopen(
            self.site, release_id, controller=self.controller, clock=self.clock, say=self.say
        )
        try:
            yield session
        except LockLost:
            raise
        except EXPECTED:
            # What is wrong may be the disk itself; the first error is the one to tell.
            with suppress(OSError):
                if _never_moved(session):
                    ending.end(session, "failed", self.site.source)
                ending.report(self.site, session)
                self.site.releases.lock.release(session.token)
            raise

    def _bundle(self, version: str) -> dict[str, str]:
        """Path and checksum of what the role installs."""
        path = ensure_bundle(self.site.state, version, self.site.root)
        with path.open("rb") as file:
            return {"bundle": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _going_up(session: Session) -> bool:
    """Whether the release still heads for promotion."""
    return session.progress.outcome is None and session.progress.rollback is None


def _never_moved(session: Session) -> bool:
    """Whether the release is open and no traffic ever went to the candidate."""
    now = session.progress
    shifted = now.share_intended is not None or any(step.shifted_at for step in now.steps.values())
    return now.open and now.rollback is None and not shifted


def _observer(session: Session, source: Source, step: str) -> StepObserver:
    now = session.progress
    window_from = now.step(step).window_from or session.clock.now()
    return StepObserver(plan_of(session).step(step), now.candidate, source, window_from)


def _outcome(session: Session) -> str | None:
    """How the release ends now; None while it stays open."""
    now = session.progress
    if now.rollback is not None:
        return {True: "rolled_back", False: "rollback_unverified", None: None}[now.verified]
    if now.promoted:
        return "promoted"
    if now.previous is None and now.next_step is None:
        return "deployed"
    return None


def _held(session: Session) -> bool:
    """Whether a step ended without evidence either way."""
    return any(step.decision == "hold" for step in session.progress.steps.values())


def _last_words(session: Session) -> str:
    """How it ended, what that means, and what to run next."""
    now = session.progress
    back = (now.previous or {}).get("version")
    if now.outcome == "rolled_back":
        reason = (now.rollback or {}).get("reason")
        return f"{now.version} was rolled back, and it is verified that {back} serves. Reason: {reason}"
    if now.outcome == "rollback_unverified":
        failed = [c for c in (now.verification or {}).get("checks", ()) if not c["passed"]]
        what = "; ".join(f"{check['name']}: {check['detail']}" for check in failed)
        return (
            f"ROLLBACK UNVERIFIED: {now.version} was to be rolled back to {back}, and that could NOT be "
            f"proved: {what}. Look at once; then run: ansible-playbook rollback.yml"
        )
    if now.outcome in ("promoted", "deployed"):
        return f"{now.version} is {now.outcome}"
    if now.outcome is not None:
        return f"{now.version}: {now.outcome}"
    share, following = f"{now.share_bp / 100:g} %", now.next_step
    again = f"-e stage={following} -e version={now.version}"
    if _held(session):
        why = next(s.reason for s in now.steps.values() if s.decision == "hold")
        return (
            f"{now.version} HOLDS at {share}: {why}. To look again: ansible-playbook release.yml {again}; "
            "to end it: ansible-playbook rollback.yml"
        )
    return f"{now.version} stays at {share}. Next: ansible-playbook release.yml {again}"


def _refuse_needless(session: Session) -> None:
    """Raises Refused when there is nothing to go back from, or to."""
    now = session.progress
    if now.previous is None:
        raise Refused(f"rollback: {now.version} is the first release here; no previous version is recorded")
    if now.outcome in ("rolled_back", "failed"):
        said = "was rolled back already" if now.outcome == "rolled_back" else "never got traffic"
        raise Refused(
            f"rollback: {now.version} {said}; {now.previous['version']} serves. Nothing was touched"
        )
