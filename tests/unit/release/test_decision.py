"""Promote, extend, hold, roll back: each only for its own reason, told in numbers."""

import pytest

from release.decision import decide
from release.gates import StepEvidence
from release.plan import make_plan
from release.profile import load_profile
from release.sample import LATENCY_EDGES_S, NoData, Sample, SlotCounts, Unreachable

PLAN = make_plan(load_profile("demo"), "1.1.0", "1.0.0", "green", 500.0)
CANARY = PLAN.steps[0]
BLIND = [NoData(why="edge1: no scrape"), Unreachable(why="connection refused")]


def counts(requests, errors=0, slow=0):
    fast = requests - slow
    at_most = tuple(fast if edge < 5 else requests for edge in LATENCY_EDGES_S)
    return SlotCounts(requests=requests, errors=errors, timed=requests, at_most=at_most)


def sample(requests, errors=0, slow=0, control=(900, 1, 1)):
    return Sample(since=0, until=2, slots={"green": counts(requests, errors, slow), "blue": counts(*control)})


def seen(*looks, step=CANARY):
    evidence = StepEvidence.start(step.gates)
    for look in looks:
        evidence = evidence.after(step.gates, "green", look)
    return evidence


def after(*looks, elapsed=10.0, **changes):
    step = CANARY.model_copy(update=changes)
    return decide(step, seen(*looks, step=step), elapsed)


def test_shown_health_promotes_and_says_the_numbers():
    decision = after(sample(700))
    assert decision.action == "promote"
    assert (
        "0 of 700 requests failed (0.00 %), at most 1 % allowed (errors: e for health 162 >= 100)"
        in decision.reason
    )
    assert decision.awaits == ""


def test_too_few_samples_extend_and_say_what_is_missing():
    decision = after(sample(100))
    assert decision.action == "extend"
    assert "544 more requests (of 644)" in decision.awaits


def test_health_shown_early_still_waits_for_the_shortest_window():
    decision = after(sample(5000), shortest_s=60, elapsed=59)
    assert (decision.action, decision.awaits.split(";")[0]) == ("extend", "60 s to pass")
    assert after(sample(5000), shortest_s=60, elapsed=60).action == "promote"


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (sample(100, errors=12), "12 of 100 requests failed (12.00 %), at most 1 % allowed (errors: e "),
        (
            sample(100, slow=20),
            "20 of 100 requests slower than 2 s (20.00 %), at most 1 % allowed (slow: e ",
        ),
        (sample(3000, 28, control=(27000, 27, 0)), "28 of 3000 requests failed (0.93 %) against 27 of 27000"),
    ],
)
def test_each_gate_can_roll_back_with_its_own_numbers(look, words):
    decision = after(look)
    assert decision.action == "rollback"
    assert words in decision.reason


def test_harm_is_acted_on_before_enough_samples_or_time_have_passed():
    assert after(sample(60, errors=15), elapsed=1, shortest_s=3600).action == "rollback"


def test_a_rejection_stays_when_a_lull_follows():
    evidence = seen(sample(100, errors=12), *[sample(5000)] * 20)
    assert not evidence.gates[0].log_e_harm > 0
    decision = decide(CANARY, evidence, 10)
    assert decision.action == "rollback"
    assert "(errors: e 1e8 >= 200)" in decision.reason


def test_a_candidate_as_bad_as_its_control_is_not_blamed_by_the_relative_gate():
    evidence = seen(*[sample(100, errors=1, control=(900, 9, 0))] * 20)
    relative = next(g for g in evidence.gates if g.name == "errors_to_control")
    assert not relative.rejected


def test_relative_gates_never_hinder_promotion():
    assert after(sample(700, control=(0, 0, 0))).action == "promote"


@pytest.mark.parametrize("blind", BLIND)
def test_a_look_without_an_answer_extends_even_when_health_was_shown_before(blind):
    decision = after(sample(5000), blind)
    assert decision.action == "extend"
    assert blind.why in decision.awaits


def test_no_data_and_could_not_ask_are_told_apart():
    assert "no data" in after(BLIND[0]).awaits
    assert "could not ask" in after(BLIND[1]).awaits


@pytest.mark.parametrize("blind", BLIND)
def test_a_look_without_an_answer_takes_no_rejection_back(blind):
    assert after(sample(100, errors=12), blind).action == "rollback"


@pytest.mark.parametrize("blind", BLIND)
def test_looks_without_an_answer_leave_the_evidence_as_it_was(blind):
    before, now = seen(sample(300, 1)), seen(sample(300, 1), blind)
    assert (now.gates, now.samples) == (before.gates, before.samples)
    assert (now.ticks, now.unanswered) == (2, 1)


@pytest.mark.parametrize("action", ["hold", "rollback", "promote"])
def test_at_the_longest_wait_the_profile_decides(action):
    looks = [sample(1000, errors=9)]
    assert after(*looks, elapsed=CANARY.longest_s - 1, on_inconclusive=action).action == "extend"
    decision = after(*looks, elapsed=CANARY.longest_s, on_inconclusive=action)
    assert decision.action == action
    assert f"on_inconclusive says {action}" in decision.reason


@pytest.mark.parametrize("looks", [[], [sample(5)], [BLIND[0]], [sample(5000), BLIND[1]]])
def test_a_window_that_saw_too_little_is_never_promoted(looks):
    decision = after(*looks, elapsed=CANARY.longest_s, on_inconclusive="promote")
    assert decision.action == "hold"


def test_evidence_from_the_journal_goes_on_exactly_where_it_stopped():
    looks = [sample(90 + i, errors=i % 3 == 0, slow=i % 7 == 0, control=(800 + i, 3, 2)) for i in range(12)]
    stopped = StepEvidence.model_validate_json(seen(*looks[:5]).model_dump_json())
    for look in looks[5:]:
        stopped = stopped.after(CANARY.gates, "green", look)
    assert stopped == seen(*looks)


def test_the_candidate_is_the_slot_that_was_said():
    look = Sample(since=0, until=2, slots={"blue": counts(100, 12), "green": counts(900)})
    evidence = StepEvidence.start(CANARY.gates).after(CANARY.gates, "blue", look)
    assert decide(CANARY, evidence, 2).action == "rollback"


def test_bursts_in_the_baseline_temper_the_evidence():
    gates = tuple(gate.model_copy(update={"phi": 3.0}) for gate in CANARY.gates)
    step = CANARY.model_copy(update={"gates": gates})
    look = sample(100, errors=7)
    calm, tempered = seen(look).gates[0], seen(look, step=step).gates[0]
    assert tempered.log_e_harm == pytest.approx(calm.log_e_harm / 3)
    assert (calm.rejected, tempered.rejected) == (True, False)


def test_counters_read_a_moment_apart_make_no_request_slow():
    """In every interval the exporter read a bucket one request early or late; nobody was slow."""
    looks = [sample(100, slow=skew, control=(900, 0, -skew)) for skew in [1, -1] * 60]
    evidence = seen(*looks)
    slow = evidence.gates[1]
    assert slow.bad == 0
    assert slow.healthy
    assert not any(gate.rejected for gate in evidence.gates)


def test_bad_requests_below_zero_for_a_moment_count_as_none():
    assert seen(sample(100, slow=-3)).gates[1].log_e_health == seen(sample(100)).gates[1].log_e_health
