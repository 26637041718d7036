"""Moving the candidate's share: intended in the journal, done on every edge, read back, journalled.

Shares are basis points of all requests that go to the candidate's slot (0..10000).
"""

from __future__ import annotations

from collections.abc import Mapping

from release.engine.session import ReleaseFailed, Session
from release.targets.model import green_bp, share_of
from release.traffic.shares import Disagreement, EdgeShare, EdgeUnreachable, TokenRefused, TrafficError

TRIES = 3
PAUSE_S = 1.0
#: How long a rollback goes on trying to reach an edge before it says that it couldn't, in seconds.
ROLLBACK_PATIENCE_S = 60.0


class Drifted(ReleaseFailed):
    """Somebody else changed a share in the middle of the release."""


def shift(session: Session, step: str, share_bp: int) -> None:
    """Give the candidate its share for a step, unless the journal shows that it has it.

    Raises EdgeUnreachable or Disagreement when the edges couldn't all be set, and TokenRefused.
    """
    now = session.progress
    if now.step(step).shifted_at is not None:
        return
    started = session.clock.now()
    if now.share_intended is not None:
        edges = session.fleet.read_shares()
        if all(edge.green_bp == green_bp(now.candidate, share_bp) for edge in edges.values()):
            session.say(f"  share {share_bp / 100:g} % is already on every edge, as intended before the stop")
            _done(session, step, share_bp, started, edges)
            return
    else:
        session.write("share_intent", step=step, slot=now.candidate, share_bp=share_bp)
    _done(session, step, share_bp, started, _set_with_patience(session, share_bp))


def _set_with_patience(session: Session, share_bp: int) -> dict[str, EdgeShare]:
    for attempt in range(1, TRIES + 1):
        try:
            return session.fleet.set_share(session.progress.candidate, share_bp, session.token)
        except (EdgeUnreachable, Disagreement) as error:
            session.say(f"  {error}; attempt {attempt} of {TRIES}")
            if attempt == TRIES:
                raise
            session.clock.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


def to_zero(session: Session, *, resumed: bool) -> bool:
    """Take all traffic from the candidate, on all edges at once; whether every edge confirmed it.

    `resumed`: an earlier process may have done it, so the edges are asked first. False: an edge didn't
    answer for ROLLBACK_PATIENCE_S; the others are set. Raises TokenRefused.
    """
    candidate = session.progress.candidate
    started = session.clock.now()
    while True:
        try:
            edges = session.fleet.read_shares() if resumed else {}
            if edges and all(edge.green_bp == green_bp(candidate, 0) for edge in edges.values()):
                break
            edges = session.fleet.set_share(candidate, 0, session.token)
        except TokenRefused:
            raise
        except TrafficError as error:
            if session.clock.now() - started > ROLLBACK_PATIENCE_S:
                session.say(f"  {error}; gave up after {ROLLBACK_PATIENCE_S:g} s")
                return False
            session.say(f"  {error}; trying again")
            session.clock.sleep(PAUSE_S)
            continue
        break
    _done(session, "", 0, started, edges)
    return True


def check_unchanged(session: Session) -> None:
    """Raises Drifted when an edge holds another share than the journal's last one."""
    now = session.progress
    expected = green_bp(now.candidate, now.share_bp)
    shares = {name: edge.green_bp for name, edge in session.fleet.read_shares().items()}
    if any(bp != expected for bp in shares.values()):
        seen = ", ".join(f"{n} {share_of(now.candidate, bp) / 100:g} %" for n, bp in sorted(shares.items()))
        raise Drifted(
            f"drift: the candidate's share is {seen}, and this release set {now.share_bp / 100:g} %. "
            "Somebody changed it by hand. The release holds. "
            "Put the share back or run: ansible-playbook rollback.yml"
        )


def _done(session: Session, step: str, share_bp: int, started: float, edges: Mapping[str, EdgeShare]) -> None:
    """Journal what every edge was read to hold."""
    session.write(
        "share_done",
        step=step,
        slot=session.progress.candidate,
        share_bp=share_bp,
        seconds=session.clock.now() - started,
        edges={name: edge.green_bp for name, edge in edges.items()},
    )
