"""A whole release, phase by phase: what is refused, what resumes, what is proved."""

import pytest

from release.engine.opening import Refused
from release.engine.request import BadRequest
from release.engine.session import ReleaseFailed
from release.journal import JournalFile
from release.lock import LockHeld
from release.profile import ProfileError
from release.targets.simulated import Behaviour
from release.traffic.shares import EdgeShare
from tests.unit.engine.controllers import Killed, World

UP = [("share", "green", bp) for bp in (1000, 5000, 10_000)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path, monkeypatch, bad=("1.2.0",))
    yield made
    made.bury()


def test_a_healthy_version_is_promoted(world):
    assert world.release() == "promoted"
    assert world.shares_set() == UP
    assert world.types()[-2:] == ["promoted", "finished"]
    assert world.site.releases.lock.holder() is None


def test_a_bad_version_is_caught_rolled_back_and_verified(world):
    with pytest.raises(
        ReleaseFailed, match=r"1\.2\.0 was rolled back, and it is verified that 1\.0\.0 serves"
    ):
        world.release("1.2.0")
    assert world.shares_set() == [("share", "green", 1000), ("share", "green", 0)]
    assert world.types()[-2:] == ["rollback_verified", "finished"]
    assert world.reports == ["rolled_back"]


def test_the_first_release_gets_all_traffic_at_once(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, serving=None)
    assert world.release("1.0.0") == "deployed"
    assert world.shares_set() == [("share", "blue", 10_000)]
    with pytest.raises(Refused, match="no previous version is recorded"):
        world.rollback()


def test_stages_one_by_one_end_where_all_at_once_does(world):
    for stage, outcome in (("canary", "holding"), ("half", "holding"), ("full", "promoted")):
        assert world.release(stage=stage) == outcome
    assert world.shares_set() == UP
    assert world.fleet.effects.count(("install", "green", "1.1.0")) == 1


def test_the_stage_that_is_done_changes_nothing_when_it_is_asked_for_again(world):
    world.release(stage="canary")
    before = world.types()
    assert world.release(stage="canary") == "holding"
    assert world.types() == before
    assert world.shares_set() == UP[:1]


@pytest.mark.parametrize(
    ("done", "stage", "said"),
    [
        (None, "half", "begin with 'canary' or all"),
        (None, "full", "begin with 'canary' or all"),
        ("canary", "full", "done: canary; next: half"),
        ("half", "canary", "done: canary, half; next: full"),
    ],
)
def test_a_stage_out_of_order_is_refused_and_nothing_is_touched(world, done, stage, said):
    if done:
        world.release(stage="canary")
    if done == "half":
        world.release(stage="half")
    before = list(world.fleet.effects)
    with pytest.raises(Refused, match=f"stage: '{stage}' is out of order.*{said}"):
        world.release(stage=stage)
    assert world.fleet.effects == before
    assert world.site.releases.lock.holder() is None


def test_another_version_is_refused_while_a_release_is_open(world):
    world.release(stage="canary")
    with pytest.raises(
        Refused, match=r"version: '1.2.0' is refused while the release of 1.1.0 is open .* rollback"
    ):
        world.release("1.2.0")


def test_another_profile_is_refused_while_a_release_is_open(world):
    world.release(stage="canary")
    world.profile.write_text(world.profile.read_text().replace("alpha: 0.01", "alpha: 0.02"))
    with pytest.raises(Refused, match=r"profile: 'quick' isn't the one that 1\.1\.0 was begun with"):
        world.release(stage="half")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"version": "1.1"}, BadRequest, "version: '1.1'"),
        ({"stage": "quarter"}, BadRequest, "stage: 'quarter' .* canary, half, full, all"),
        ({"stage": ""}, BadRequest, "stage: ''"),
        ({"config": "/nowhere.json"}, BadRequest, "release_config: /nowhere.json"),
    ],
)
def test_bad_input_is_refused_before_anything_is_touched(world, given, error, said):
    with pytest.raises(error, match=said):
        world.release(**given)
    assert world.fleet.effects == []
    assert world.site.releases.latest() is None
    assert world.site.releases.lock.holder() is None


def test_an_unknown_profile_is_refused(world):
    with pytest.raises(ProfileError, match="profile: 'nope'"):
        world.controller().begin("all", "1.1.0", "nope")


def test_a_second_controller_is_told_who_works_and_since_when(world):
    other = world.other_process()
    world.controller(other.pid).begin("all", "1.1.0", str(world.profile))
    with pytest.raises(LockHeld, match=rf"held by .*process {other.pid}, .* since "):
        world.release()
    with pytest.raises(LockHeld):
        world.release("1.2.0")
    with pytest.raises(LockHeld):
        world.rollback()


def test_the_lock_of_a_dead_controller_is_taken_over_and_that_is_said(world):
    other = world.other_process()
    world.controller(other.pid).begin("all", "1.1.0", str(world.profile))
    world.bury()
    assert world.release() == "promoted"
    assert any("taken over from a dead process" in line for line in world.said)
    assert "lock_taken_over" in world.types()


def test_a_split_share_without_a_release_ends_in_preflight(world):
    world.fleet.edges = {"edge1": EdgeShare(2500, 0)}
    with pytest.raises(ReleaseFailed, match=r"green's share is edge1 25 % and no release is open"):
        world.release()
    assert world.fleet.effects == []


def test_a_service_that_is_ill_already_gets_no_release(world):
    world.fleet.behaviours["1.0.0"] = Behaviour(errors=0.05)
    for _ in range(40):
        world.fleet.advance(1.0)
    with pytest.raises(ReleaseFailed, match="SLIs: broken before the release: errors"):
        world.release()
    assert world.fleet.effects == []
    assert world.reports == ["failed"]


def test_hosts_without_disk_get_no_release(world):
    world.fleet.disk_free = 100 << 20
    with pytest.raises(ReleaseFailed, match="disk: under 1 GiB free on app1 100 MiB"):
        world.release()
    assert world.fleet.effects == []


def test_a_candidate_that_does_not_work_gets_no_traffic(world):
    world.fleet.sick.add("green")
    with pytest.raises(ReleaseFailed, match=r"install: .* The candidate got no traffic"):
        world.release()
    assert world.shares_set() == []
    assert world.types()[-1] == "finished"
    world.fleet.sick.clear()
    assert world.release() == "promoted"


def test_no_answer_from_the_metrics_extends_the_window_and_decides_nothing(world):
    world.release(stage="canary")
    world.fleet.metrics.answers = False
    clock_calls = []
    advance = world.fleet.advance

    def back_after_a_minute(seconds):
        clock_calls.append(seconds)
        advance(seconds)
        if sum(clock_calls) > 20:
            world.fleet.metrics.answers = True

    world.fleet.advance = back_after_a_minute
    assert world.release(stage="half") == "holding"
    newest = world.site.releases.look(world.site.releases.latest())
    kinds = [tick.data["observation"]["kind"] for tick in newest.step("half").ticks]
    assert kinds[:9] == ["unreachable"] * 9
    assert kinds[-1] == "sample"
    assert newest.step("half").decision == "promote"


def test_metrics_that_stay_away_end_in_a_hold_never_in_a_promotion(world):
    world.release(stage="canary")
    world.fleet.metrics.answers = False
    with pytest.raises(ReleaseFailed, match=r"1\.1\.0 HOLDS at 50 %.*could not ask"):
        world.release(stage="half")
    world.fleet.metrics.answers = True
    assert world.release(stage="half") == "holding"
    assert world.release() == "promoted"
    assert world.shares_set() == UP


def test_an_operator_rolls_back_an_open_release(world):
    world.release(stage="canary")
    assert world.rollback() == "rolled_back"
    assert world.fleet.edges["edge1"].green_bp == 0
    with pytest.raises(Refused, match="was rolled back already"):
        world.rollback()


def test_an_operator_rolls_back_after_the_promotion_to_the_recorded_version(world):
    world.release()
    assert world.rollback() == "rolled_back"
    assert world.fleet.edges["edge1"].green_bp == 0
    assert world.types()[-3:] == ["share_done", "rollback_verified", "finished"]


def test_a_rollback_that_cannot_be_proved_says_so_loudly(world):
    world.release(stage="canary")
    world.fleet.sick.add("blue")
    with pytest.raises(ReleaseFailed, match="ROLLBACK UNVERIFIED"):
        world.rollback()
    assert world.types()[-2:] == ["rollback_unverified", "finished"]
    world.fleet.sick.clear()
    assert world.rollback() == "rolled_back"


def test_the_same_version_again_is_a_release_of_its_own(world):
    world.release()
    assert world.release() == "promoted"
    assert len(world.site.releases.ids()) == 2


def killing(monkeypatch, at, *, after):
    """Kill the process at its `at`-th journal entry, before or after the entry is on disk."""
    count = {"n": 0}
    append = JournalFile.append

    def counted(self, entry_type, data, *, ts):
        count["n"] += 1
        if count["n"] == at and not after:
            raise Killed
        entry = append(self, entry_type, data, ts=ts)
        if count["n"] == at:
            raise Killed
        return entry

    monkeypatch.setattr(JournalFile, "append", counted)
    return count


def killed_once_then_again(world, monkeypatch, version, at, after):
    """Run, be killed, run the same command again; whether the kill happened at all."""
    first = world.other_process()
    with monkeypatch.context() as patch:
        killing(patch, at, after=after)
        try:
            world.release(version, pid=first.pid)
            return False
        except Killed:
            pass
        except ReleaseFailed:
            return False
    world.bury()
    try:
        world.release(version)
    except ReleaseFailed as error:
        assert "rolled back, and it is verified" in str(error)
    return True


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("version", ["1.1.0", "1.2.0"])
def test_killed_at_every_entry_the_same_command_finishes_and_repeats_nothing(
    tmp_path, monkeypatch, version, after
):
    (tmp_path / "reference").mkdir()
    reference = World(tmp_path / "reference", monkeypatch, bad=("1.2.0",))
    try:
        reference.release(version)
    except ReleaseFailed:
        assert version == "1.2.0"
    wanted = reference.shares_set()
    entries = reference.types()
    for at in range(1, len(entries) + 1):
        folder = tmp_path / f"kill-{at}"
        folder.mkdir()
        world = World(folder, monkeypatch, bad=("1.2.0",))
        assert killed_once_then_again(world, monkeypatch, version, at, after), at
        assert world.shares_set() == wanted, at
        types = [t for t in world.types() if t not in ("lock_taken_over", "resumed")]
        assert [t for t in types if t != "tick"] == [t for t in entries if t != "tick"], at
        assert world.reports[-1] in ("promoted", "rolled_back"), at
