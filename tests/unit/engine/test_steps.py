"""A release killed at any entry of its journal goes on where it stopped: nothing twice, nothing lost."""

from dataclasses import dataclass
from itertools import pairwise

import pytest

from release.decision import Decision
from release.engine.session import Session
from release.engine.shifting import Drifted
from release.engine.steps import run_steps
from release.engine.verifying import Check, verify
from release.plan import StepPlan
from release.targets.simulated import SimulatedFleet
from release.traffic.shares import EdgeShare
from tests.unit.engine.controllers import FleetClock, Killed


def step_plan(name, share):
    return StepPlan(
        name=name,
        share=share,
        gates=(),
        interval_s=1.0,
        min_samples=1,
        shortest_s=0,
        longest_s=60,
        on_inconclusive="hold",
        rate_per_s=1.0,
        needed=1,
        expected_s=1.0,
        harm_s=1.0,
    )


PLAN = [step_plan("canary", 10), step_plan("half", 50), step_plan("full", 100)]
TICKS = 3


@dataclass(frozen=True)
class Line:
    ts: float
    type: str
    data: dict


class Journal:
    """Entries in memory; `dies_at` kills the process before (or after) that many appends."""

    def __init__(self):
        self.lines = []
        self.dies_at = None
        self.after = False
        self.appends = 0

    def append(self, entry_type, data, *, ts):
        self.appends += 1
        if self.appends == self.dies_at and not self.after:
            raise Killed
        line = Line(ts, entry_type, data)
        self.lines.append(line)
        if self.appends == self.dies_at:
            raise Killed
        return line

    def entries(self):
        return list(self.lines)

    def types(self):
        return [line.type for line in self.lines]


class Watcher:
    """Decides after TICKS ticks: roll back when the step is the bad one, else promote."""

    def __init__(self, step, bad):
        self.seen, self.bad = [], step in bad

    def replay(self, tick):
        self.seen.append(tick)

    def look(self, since, now):
        self.seen.append({"since": since, "now": now})
        return {"since": since, "now": now}

    def judge(self, window_s):
        action = "extend" if len(self.seen) < TICKS else ("rollback" if self.bad else "promote")
        return Decision(action=action, reason=f"{len(self.seen)} ticks")

    def line(self, decision):
        return decision.reason


def make_fleet():
    fleet = SimulatedFleet(requests_per_s=1.0)
    fleet.installed = {"blue": "1.0.0", "green": "1.1.0"}
    fleet.edges = {"edge1": EdgeShare(0, 0), "edge2": EdgeShare(0, 0)}
    return fleet


def begun():
    journal = Journal()
    journal.append(
        "begin",
        {
            "version": "1.1.0",
            "candidate": "green",
            "previous": {"version": "1.0.0", "slot": "blue"},
            "steps": [step.name for step in PLAN],
        },
        ts=0.0,
    )
    return journal


def session_of(fleet, journal, token=1):
    return Session("r1", journal, fleet, token, say=lambda line: None, clock=FleetClock(fleet))


def run(fleet, journal, *, bad=(), stage="all", token=1):
    session = session_of(fleet, journal, token)
    outcome = run_steps(session, PLAN, lambda step: Watcher(step, bad), stage)
    if outcome == "rolled_back":
        verify(session, lambda: Check("slis", True, "fine"))
    return outcome


def run_with_kill(bad, dies_at, after):
    fleet, journal = make_fleet(), begun()
    journal.dies_at, journal.after = dies_at, after
    try:
        return fleet, journal, run(fleet, journal, bad=bad)
    except Killed:
        journal.dies_at = None
        return fleet, journal, run(fleet, journal, bad=bad, token=2)


HEALTHY = [("share", "green", bp) for bp in (1000, 5000, 10_000)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(2, 20))
def test_a_healthy_release_killed_anywhere_ends_promoted_with_each_share_set_once(dies_at, after):
    fleet, journal, outcome = run_with_kill((), dies_at, after)
    assert outcome == "promoted"
    assert fleet.effects == HEALTHY
    assert journal.types().count("tick") == 3 * TICKS
    assert journal.types().count("decision") == journal.types().count("share_done") == 3
    assert all(edge.green_bp == 10_000 for edge in fleet.edges.values())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(2, 18))
def test_a_bad_release_killed_anywhere_ends_rolled_back_and_verified(dies_at, after):
    fleet, journal, outcome = run_with_kill(("half",), dies_at, after)
    assert outcome == "rolled_back"
    assert all(edge.green_bp == 0 for edge in fleet.edges.values())
    assert fleet.effects == [*HEALTHY[:2], ("share", "green", 0)]
    assert journal.types().count("tick") == 2 * TICKS
    assert journal.types().count("rollback_started") == journal.types().count("rollback_verified") == 1
    assert journal.types().count("share_done") == 3


def test_a_stage_ends_after_its_step_and_leaves_the_share_there():
    fleet, journal = make_fleet(), begun()
    assert run(fleet, journal, stage="canary") == "reached"
    assert all(edge.green_bp == 1000 for edge in fleet.edges.values())
    assert run(fleet, journal, stage="canary") == "reached"
    assert fleet.effects == HEALTHY[:1]
    assert run(fleet, journal, stage="half", token=2) == "reached"
    assert run(fleet, journal, stage="full", token=3) == "promoted"
    assert fleet.effects == HEALTHY


def test_ticks_are_one_interval_apart_across_a_stop():
    fleet, journal = make_fleet(), begun()
    journal.dies_at, journal.after = 5, True
    with pytest.raises(Killed):
        run(fleet, journal)
    journal.dies_at = None
    run(fleet, journal, token=2)
    times = [line.ts for line in journal.lines if line.type == "tick" and line.data["step"] == "canary"]
    assert [round(b - a, 6) for a, b in pairwise(times)] == [1.0, 1.0]


def test_an_edge_that_cannot_be_set_on_the_way_up_takes_everything_back():
    fleet, journal = make_fleet(), begun()
    fleet.stuck.add("edge2")
    assert run(fleet, journal) == "rolled_back"
    assert all(edge.green_bp == 0 for edge in fleet.edges.values())
    assert journal.types().count("decision") == 0


def test_a_rollback_with_an_edge_away_is_never_called_verified():
    fleet, journal = make_fleet(), begun()
    session = session_of(fleet, journal)

    class Leaves(Watcher):
        def judge(self, window_s):
            fleet.unreachable.add("edge1")
            return Decision(action="rollback", reason="bad")

    assert run_steps(session, PLAN, lambda step: Leaves(step, ()), "all") == "rolled_back"
    assert fleet.edges["edge2"].green_bp == 0
    assert session.progress.zero_at is None
    assert not verify(session, lambda: Check("slis", True, "fine"))
    assert journal.types()[-1] == "rollback_unverified"


def test_a_share_changed_by_hand_in_the_middle_is_drift_and_nothing_is_set():
    fleet, journal = make_fleet(), begun()
    run(fleet, journal, stage="canary")
    fleet.edges["edge1"] = EdgeShare(3000, 1)
    with pytest.raises(Drifted, match="edge1 30 %, edge2 10 %"):
        run(fleet, journal, stage="half", token=2)
    assert fleet.effects == HEALTHY[:1]


def test_a_rollback_is_not_verified_while_the_candidate_still_answers():
    fleet, journal = make_fleet(), begun()
    session = session_of(fleet, journal)
    session.write("rollback_started", reason="bad", by="gate", step="canary")
    fleet.edges["edge2"] = EdgeShare(500, 1)
    assert not verify(session, lambda: Check("slis", True, "fine"))
    failed = {check["name"] for check in session.progress.verification["checks"] if not check["passed"]}
    assert failed >= {"shares", "answers through edge2"}
