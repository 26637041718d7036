"""Bad input at the command line: one line that names it, exit 2, nothing touched; a held lock is exit 3."""

import fcntl
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from infra import environment, preconditions
from infra.cli import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUMBLINE_STATE", str(tmp_path))
    monkeypatch.delenv("PLUMBLINE_INSTANCE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "production"], ["environment: 'production' is not known", "allowed: dev"]),
        (["up", "dev", "--instance", "Not_OK"], ["instance: 'Not_OK' is not allowed", "a-z 0-9"]),
        (["outputs", "dev", "--instance", "none"], ["dev-none is not up", "python -m infra up dev"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], words: list[str], state: Path) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(state.iterdir()) == []


def test_no_docker_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    result = runner.invoke(app, ["up", "dev", "--instance", "none"])
    assert result.exit_code == 2
    assert "docker: the daemon doesn't answer" in result.stderr
    assert list(state.iterdir()) == []


def test_a_full_disk_is_said_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions.shutil, "disk_usage", lambda _path: SimpleNamespace(free=4 * 1024**3))
    client = SimpleNamespace(info=lambda: {"DockerRootDir": "/"})
    with pytest.raises(preconditions.PreconditionError, match=r"4\.0 GiB free .* needed: 5 GiB"):
        preconditions.check_disk(client)  # type: ignore[arg-type]


def test_an_environment_that_is_being_changed_is_refused_saying_by_whom(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setattr(environment.preconditions, "daemon", lambda: None)
    folder = state / "dev-busy"
    folder.mkdir()
    with (folder / "infra.lock").open("w") as lock:
        lock.write('{"pid": 4711, "since": "2026-01-01T00:00:00+0000"}')
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = runner.invoke(app, ["destroy", "dev", "--instance", "busy"])
    assert result.exit_code == 3
    assert "process 4711 since 2026-01-01T00:00:00+0000" in result.stderr


@pytest.mark.parametrize("command", ["up", "preview", "refresh", "destroy", "outputs", "env"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"python -m infra {command}" in result.stdout
