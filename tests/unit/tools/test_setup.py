"""What people see, what is checked first, and what the locks promise."""

from __future__ import annotations

import io
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import paths
from tools import suite
from tools.setup import checks, docker, timings
from tools.setup.graph import Step
from tools.setup.progress import Progress
from tools.setup.shell import Children, Log, SetupError

REQUIREMENTS = paths.repo_root() / "requirements"


def pins(lock: str) -> dict[str, str]:
    found = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", (REQUIREMENTS / lock).read_text(), re.M
    )
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("lock", ["bootstrap.txt", "app.txt", "dev.txt"])
def test_every_line_of_a_lock_has_hashes_and_none_names_an_index(lock: str) -> None:
    text = (REQUIREMENTS / lock).read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=\S)", text):
        if entry and not entry.startswith("#"):
            assert re.match(r"[A-Za-z0-9._-]+(\[[^\]]*\])?==\S+", entry), entry
            assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("name", ["bootstrap", "app", "dev"])
def test_a_lock_holds_everything_that_was_asked_for(name: str) -> None:
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    asked = {re.split(r"[\[<>=!~; ]", line)[0] for line in lines if line and line[0] not in "#-"}
    assert {re.sub(r"[-_.]+", "-", each).lower() for each in asked} <= set(pins(f"{name}.txt"))


def test_little_disk_is_said_with_the_place(tmp_path: Path) -> None:
    line = checks.disk_problem([tmp_path / "not" / "there"], least_gib=1e6)
    assert line is not None
    assert str(tmp_path) in line
    assert "GiB are needed" in line
    assert checks.disk_problem([tmp_path], least_gib=0) is None


def test_a_taken_port_is_named_and_a_free_one_is_not() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} is taken" in (checks.port_problem([port]) or "")
    assert checks.port_problem([port]) is None


def test_no_docker_and_no_way_to_start_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(docker, "answers", lambda: False)
    monkeypatch.setattr(checks, "may_become_root", lambda: False)
    assert checks.docker_problem() == "docker: no daemon answers, and starting one needs root or sudo"
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:1")
    assert "DOCKER_HOST=tcp://192.0.2.1:1" in (checks.docker_problem() or "")


def test_dockerd_is_not_told_what_the_machine_configures_itself(tmp_path: Path) -> None:
    configuration = tmp_path / "daemon.json"
    assert docker.daemon_options(configuration) == [
        "--bip",
        "198.18.0.1/24",
        "--default-address-pool",
        "base=198.18.8.0/21,size=24",
    ]
    configuration.write_text('{"bip": "10.9.0.1/24", "default-address-pools": []}')
    assert docker.daemon_options(configuration) == []
    configuration.write_text("{")
    with pytest.raises(SetupError, match="not valid JSON"):
        docker.daemon_options(configuration)


def test_a_long_step_says_what_how_long_and_how_long_last_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    log = Log("tool pulumi", Children(), tmp_path)
    out = io.StringIO()
    progress = Progress({log.name: log}, {log.name: 302.0}, out, clock=lambda: now)
    step = Step(log.name, str, state="running", started=now)
    progress.tick([step])
    log.say("building pulumi")
    now = 105.0
    progress.tick([step])
    assert "building" not in out.getvalue()
    now = 111.0
    progress.tick([step])
    assert "tool pulumi: building pulumi (11 s so far, last time 5 min 2 s)" in out.getvalue()


def test_a_failed_step_shows_the_end_of_its_log_and_the_next_command(tmp_path: Path) -> None:
    log = Log("docker", Children(), tmp_path)
    with pytest.raises(SetupError) as failure:
        log.run(["sh", "-c", "seq 100; echo no space >&2; exit 3"])
    out = io.StringIO()
    step = Step("docker", str, state="failed", error=failure.value)
    Progress({"docker": log}, {}, out).tick([step])
    text = out.getvalue()
    assert "ended with 3" in text
    assert "| no space" in text
    assert "| 50\n" not in text
    assert f"the whole log: {log.path}" in text
    assert "next: python3 -m tools.setup" in text


def test_timings_survive_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path))
    timings.remember("venv", 21.94)
    timings.remember("docker", 3)
    assert timings.load() == {"venv": 21.9, "docker": 3}
    (tmp_path / "timings.json").write_text("[1")
    assert timings.load() == {}


def test_a_lock_lets_one_setup_in_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path))
    log = Log("here", Children())
    code = (
        "import time; from tools.setup.shell import Children, Log\n"
        "with Log('there', Children()).only_one('thing'): print('in', flush=True); time.sleep(0.5)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], cwd=paths.repo_root(), stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    started = time.monotonic()
    with log.only_one("thing"):
        assert time.monotonic() - started > 0.2
    other.communicate(timeout=10)
    assert log.note == "waits for another set-up that holds thing"


def test_the_end_of_the_setup_ends_its_commands() -> None:
    children = Children()
    child = children.start(["sleep", "60"], sys.stderr.buffer, None, {"PATH": "/usr/bin:/bin"})
    children.end()
    assert child.wait(timeout=10) != 0


def test_the_suite_says_what_each_part_took() -> None:
    assert suite.table([("lint", True, 12.0), ("unit", False, 61.0)]) == [
        "  lint         ok      12 s",
        "  unit         FAILED  1 min 1 s",
        "  total                1 min 13 s",
    ]


def test_every_target_of_the_makefile_has_a_description() -> None:
    make = shutil.which("make")
    assert make is not None
    shown = subprocess.run(
        [make, "--no-print-directory", "help"],
        cwd=paths.repo_root(),
        capture_output=True,
        text=True,
        check=True,
    )
    phony = re.search(r"^\.PHONY: (.+)$", (paths.repo_root() / "Makefile").read_text(), re.M)
    assert phony is not None
    assert {line.split()[1] for line in shown.stdout.splitlines()} == set(phony[1].split())
