"""Packages are named with a reason before they are installed, and PLUMBLINE_INSTALL=no installs none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import paths
from tools.setup import docker, packages
from tools.setup.packages import Need
from tools.setup.shell import Children, Log, SetupError


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH whose apt-get leaves a mark when it is called, with no docker and no git on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    mark = tmp_path / "apt-get-was-called"
    (folder / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {mark}\n')
    (folder / "apt-cache").write_text("#!/bin/sh\necho '  Candidate: 26.1'\n")
    (folder / "env").symlink_to("/usr/bin/env")
    for script in ("apt-get", "apt-cache"):
        (folder / script).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return mark


def run_setup(part: str, install: str = "no") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.setup", part],
        cwd=paths.repo_root(),
        env={**os.environ, "PLUMBLINE_INSTALL": install},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_install_tells_each_package_with_its_reason_and_touches_nothing(
    trap: Path, tmp_path: Path
) -> None:
    ended = run_setup("images")
    assert ended.returncode == 2
    assert "docker.io: the Docker daemon" in ended.stderr
    assert "mmdebstrap: makes the base" in ended.stderr
    assert "next: apt-get install --no-install-recommends" in ended.stderr
    assert not trap.exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_value_that_is_neither_yes_nor_no_is_refused_at_the_start() -> None:
    ended = run_setup("venv", install="maybe")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.strip() == "PLUMBLINE_INSTALL: 'maybe' is not allowed; use yes or no"


def test_a_step_that_finds_a_need_on_its_way_installs_nothing_either(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUMBLINE_INSTALL", "no")
    with pytest.raises(SetupError, match="golang-go: builds tools") as refused:
        packages.install([Need("golang-go", "builds tools")], Log("packages", Children()))
    assert refused.value.code == 2
    assert not trap.exists()


def test_allowed_installing_calls_apt_for_what_is_missing(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUMBLINE_INSTALL", "yes")
    monkeypatch.setattr(packages, "as_root", lambda command: command)
    packages.install([Need("git", "why"), Need("git", "again")], Log("packages", Children()))
    assert trap.read_text().splitlines() == ["-y -q update", "-y -q install --no-install-recommends git"]


def test_a_machine_with_everything_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "answers", lambda: True)
    monkeypatch.setattr(packages.venv, "ready", lambda: True)
    assert packages.missing(True, True, find=lambda name: f"/usr/bin/{name}") == []


def test_where_the_command_is_a_package_of_its_own_it_is_asked_for_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(packages, "apt_knows", lambda package: True)
    wanted = {need.package for need in packages.missing_for_docker(lambda name: None)}
    assert wanted == {"docker-cli", "docker.io", "iptables"}
