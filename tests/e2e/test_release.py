"""The main promise, on real hosts under load: good versions stay, bad ones go, and it is proved."""

import json
import shutil
import time

import pytest

from tests.e2e.platform import FAULTS, ROOT, Platform, group_is_gone, kill

pytestmark = pytest.mark.e2e


def shares(entries):
    return [e["data"]["share_bp"] for e in entries if e["type"] == "share_done"]


def types(entries):
    return [e["type"] for e in entries]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stage=quarter", "version=1.1.0", "profile=demo"], ["stage", "quarter", "canary, half, full"]),
        (["stage=all", "version=latest", "profile=demo"], ["version", "latest", "1.4.0"]),
        (["stage=all", "version=1.1.0", "profile=bold"], ["profile", "bold", "canary, demo"]),
        (
            ["stage=all", "version=1.1.0", "profile=demo", "release_config=/nowhere"],
            ["release_config", "/nowhere"],
        ),
    ],
)
def test_bad_input_is_named_before_anything_is_touched(serving: Platform, arguments, words):
    before = sorted((serving.home / "releases").glob("*"))
    extra = [part for argument in arguments for part in ("-e", argument)]
    done = serving.run("ansible-playbook", "release.yml", *extra, code=None)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert all(word in said for word in words), said
    assert sorted((serving.home / "releases").glob("*")) == before


def test_a_profile_with_a_missing_key_or_a_share_over_100_is_refused(serving: Platform):
    text = (ROOT / "release" / "profiles" / "demo.yml").read_text()
    for name, old, new, words in (
        ("missing", "    share: 10\n", "", "steps[0].share: missing"),
        ("over", "share: 10\n", "share: 110\n", "steps[0].share: 110 is not allowed"),
    ):
        path = serving.folder / f"{name}.yml"
        path.write_text(text.replace(old, new, 1))
        done = serving.run(
            "ansible-playbook",
            "release.yml",
            "-e",
            "stage=all",
            "-e",
            "version=1.1.0",
            "-e",
            f"profile={path}",
            code=None,
        )
        assert done.returncode != 0
        assert words in " ".join((done.stdout + done.stderr).split())


def test_an_environment_that_nobody_provisions_is_refused(serving: Platform):
    done = serving.python("infra", "up", "moon", code=2)
    assert "moon" in done.stdout + done.stderr
    assert "dev" in done.stdout + done.stderr


def test_a_healthy_version_is_promoted_though_its_controller_is_killed_in_each_phase(serving: Platform):
    """kill -9 in preflight, install, shift, twice in a window, and after the last step; then it finishes."""
    version = "1.1.0"
    for entry, count in (
        ("begin", 1),
        ("install_started", 1),
        ("share_intent", 1),
        ("tick", 2),
        ("share_done", 2),
        ("promoted", 1),
    ):
        process = serving.start_release(version)
        serving.wait_for(version, entry, process, count)
        kill(process)
        assert group_is_gone(process), f"something of the controller killed after {entry} still runs"
    done = serving.release(version)
    entries = serving.journal(version)
    assert "lock" in serving.log(version) + done.stdout
    assert "dead" in serving.log(version) + done.stdout
    assert shares(entries) == [1000, 5000, 10_000], "every share was set exactly once"
    for step in ("canary", "half", "full"):
        numbers = [e["data"]["n"] for e in entries if e["type"] == "tick" and e["data"]["step"] == step]
        assert numbers == list(range(1, len(numbers) + 1)), "no tick twice, none lost"
    assert types(entries).count("lock_taken_over") >= 4
    assert types(entries)[-1] == "finished"
    assert serving.summary(version)["outcome"] == "promoted"
    assert serving.answers() == {version}
    serving.python("release", "verify-journal")


def test_a_faulty_version_is_caught_rolled_back_and_verified_though_its_controller_is_killed(
    serving: Platform,
):
    version = "1.2.0"
    process = serving.start_release(version, FAULTS)
    serving.wait_for(version, "rollback_started", process)
    kill(process)
    assert group_is_gone(process)
    serving.release(version, config=FAULTS, code=2)
    summary = serving.summary(version)
    assert (summary["outcome"], summary["verified"]) == ("rolled_back", True)
    assert summary["injected_faults"]
    assert [s["decision"] for s in summary["stages"]] == ["rollback"]
    assert shares(serving.journal(version)) == [1000, 0]
    assert serving.answers() == {"1.1.0"}
    page = (ROOT / "results" / summary["release_id"] / "report.html").read_text()
    assert "Rolled back, and the rollback is verified" in page


def test_a_second_release_is_refused_while_one_runs_and_no_figures_only_extend_its_window(serving: Platform):
    """Prometheus is stopped in the canary's window; meanwhile somebody else tries to release."""
    version = "1.3.0"
    process = serving.start_release(version)
    serving.wait_for(version, "tick", process, 1)
    prometheus = serving.container("prometheus")
    prometheus.stop(timeout=1)
    try:
        second = serving.release("1.4.0", code=None)
        assert second.returncode != 0
        said = " ".join((second.stdout + second.stderr).split())
        assert f"process {process.pid}, for release" in said, said
        assert "since 20" in said
        deadline = time.monotonic() + 60
        while sum(_blind(e) for e in serving.journal(version)) < 3:
            assert process.poll() is None, serving.log(version)[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert "decision" not in types(serving.journal(version))
    finally:
        prometheus.start()
    assert process.wait(timeout=240) == 0, serving.log(version)[-6000:]
    assert serving.summary(version)["ticks_without_figures"] >= 3
    assert serving.answers() == {version}


def test_an_operator_takes_a_promoted_version_back_to_the_recorded_one(serving: Platform):
    serving.run("ansible-playbook", "rollback.yml")
    assert serving.answers() == {"1.1.0"}


def test_an_altered_journal_is_found_by_verify_journal(serving: Platform):
    journal = sorted((serving.home / "releases").glob("*-1.1.0/journal.jsonl"))[-1]
    kept = journal.with_suffix(".kept")
    shutil.copy2(journal, kept)
    try:
        journal.write_text(journal.read_text().replace('"promote"', '"extend"', 1))
        done = serving.python("release", "verify-journal", journal.parent.name, code=1)
        assert "altered" in done.stdout + done.stderr
    finally:
        kept.replace(journal)


def test_status_says_where_the_last_release_stands(serving: Platform):
    said = json.loads(serving.python("release", "status", "dev", "--json").stdout)
    assert said["version"] == "1.3.0"


def _blind(entry):
    return entry["type"] == "tick" and entry["data"]["observation"]["kind"] == "unreachable"
