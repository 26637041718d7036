"""Going through the steps: shift, observe, decide; and back to 0 at once when a gate rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from release.decision import Decision
from release.engine.progress import StepProgress
from release.engine.request import WHOLE
from release.engine.session import Session
from release.engine.shifting import check_unchanged, shift, to_zero
from release.plan import StepPlan
from release.traffic.shares import Disagreement, EdgeUnreachable

Outcome = Literal["promoted", "reached", "holding", "rolled_back"]


class Observer(Protocol):
    """Looks and judges. One for each step; ticks from before a stop are given back to it by `replay`."""

    def replay(self, tick: Mapping[str, Any]) -> None:
        """Take up a tick that an earlier process wrote down."""
        ...

    def look(self, since: float, now: float) -> dict[str, Any]:
        """What happened between two times (unix seconds), as it goes into the journal. Never raises."""
        ...

    def judge(self, window_s: float) -> Decision:
        """Decide from all ticks so far; window_s is how long this window has run."""
        ...

    def line(self, decision: Decision) -> str:
        """What was seen and what would decide it, for people."""
        ...


class Observers(Protocol):
    """Makes the observer of a step."""

    def __call__(self, step: str) -> Observer:
        """An observer that has seen nothing yet."""
        ...


def run_steps(session: Session, plan: Sequence[StepPlan], observers: Observers, stage: str) -> Outcome:
    """Walk the steps that are left, up to `stage` ("all": to the end). Raises ReleaseFailed, TrafficError."""
    while True:
        if session.progress.rollback is not None:
            finish_rollback(session)
            return "rolled_back"
        name = session.progress.next_step
        if name is None:
            return "promoted"
        if stage != WHOLE and _comes_after(plan, name, stage):
            return "reached"
        decision = _run_step(session, next(s for s in plan if s.name == name), observers)
        if decision == "hold":
            return "holding"


def _run_step(session: Session, step: StepPlan, observers: Observers) -> str:
    """One step to its decision, or the decision that it already has."""
    seen = session.progress.step(step.name)
    if not seen.decision:
        if not _shift(session, step):
            return "rollback"
        watch(session, step, observers(step.name))
    if seen.decision == "rollback":
        start_rollback(session, seen.reason, by="gate", step=step.name, decided_at=seen.decided_at)
    return seen.decision


def watch(session: Session, step: StepPlan, observer: Observer) -> Decision:
    """Tick until something is decided. A tick is due one interval after the last one, stop or no stop."""
    seen = session.progress.step(step.name)
    for tick in seen.ticks:
        observer.replay(tick.data)
    if seen.ticks and (decision := observer.judge(_window(session, seen))).action != "extend":
        return _decide(session, step.name, decision)
    while True:
        since = seen.ticks[-1].ts if seen.ticks else _start(seen)
        session.clock.sleep(since + step.interval_s - session.clock.now())
        details = observer.look(since, session.clock.now())
        session.write("tick", step=step.name, n=len(seen.ticks) + 1, share_bp=step.share_bp, **details)
        decision = observer.judge(_window(session, seen))
        session.say(f"  {step.name} {_window(session, seen):4.0f} s  {observer.line(decision)}")
        if decision.action != "extend":
            return _decide(session, step.name, decision)


def start_rollback(
    session: Session, reason: str, *, by: str, step: str = "", decided_at: float | None = None
) -> None:
    """Take the candidate's traffic away now. What the journal gets to know is written on the way."""
    decided = session.clock.now() if decided_at is None else decided_at
    session.say(f"ROLL BACK: {reason}")
    session.write("rollback_started", reason=reason, by=by, step=step, decided_at=decided)
    finish_rollback(session, resumed=False)


def finish_rollback(session: Session, *, resumed: bool = True) -> None:
    """The share is 0 on every edge, or the edges that don't answer were said. Does nothing twice."""
    if session.progress.zero_at is None and to_zero(session, resumed=resumed):
        since = float((session.progress.rollback or {}).get("decided_at", 0.0))
        took = session.clock.now() - since
        session.say(f"  candidate at 0 % on every edge, {took:.2f} s after the decision")


def _shift(session: Session, step: StepPlan) -> bool:
    """The step's share is on every edge; False when it couldn't be, and everything was taken back."""
    resumed = session.progress.step(step.name).shifted_at is not None
    if resumed:
        check_unchanged(session)
        return True
    if session.progress.share_intended is None:
        check_unchanged(session)
    session.say(f"{step.name}: {step.share_bp / 100:g} % of traffic to {session.progress.version}")
    try:
        shift(session, step.name, step.share_bp)
    except (EdgeUnreachable, Disagreement) as error:
        start_rollback(session, f"{step.name}: share couldn't be set everywhere: {error}", by="engine")
        return False
    return True


def _decide(session: Session, step: str, decision: Decision) -> Decision:
    session.write("decision", step=step, action=decision.action, reason=decision.reason)
    session.say(f"  {step}: {decision.action}: {decision.reason}")
    return decision


def _window(session: Session, seen: StepProgress) -> float:
    return (seen.ticks[-1].ts if seen.ticks else session.clock.now()) - (seen.window_from or 0.0)


def _start(seen: StepProgress) -> float:
    if seen.shifted_at is None:
        raise AssertionError("a step is observed after its share was applied")
    return seen.shifted_at


def _comes_after(plan: Sequence[StepPlan], name: str, stage: str) -> bool:
    order = [step.name for step in plan]
    return order.index(name) > order.index(stage)
