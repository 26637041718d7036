"""The module app_release on a directory that stands for a host."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SECRET = "postgresql://u:top-secret@db/x"


@pytest.fixture
def host(load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = load("playbooks/library/app_release.py")
    root = tmp_path / "opt"
    monkeypatch.setattr(module, "RELEASES", root / "releases")
    links = {name: root / "slots" / name for name in ("blue", "green")} | {"downstream": root / "downstream"}
    monkeypatch.setattr(module, "LINKS", links)
    monkeypatch.setattr(module, "CONFIGURATION", tmp_path / "etc")
    monkeypatch.setattr(module.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(module, "running_with", lambda _slot: module.running)
    (tmp_path / "etc").mkdir()
    module.running, module.links, module.etc = None, links, tmp_path / "etc"
    return module


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def built(version: str, content: str = "code") -> dict[str, Any]:
        source = tmp_path / f"{version}-{content}"
        (source / "site-packages").mkdir(parents=True, exist_ok=True)
        (source / "VERSION").write_text(version + content)
        archive = tmp_path / "bundles" / f"{version}-{content}.tar.gz"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, "w:gz") as tar:
            for path in sorted(source.iterdir()):
                tar.add(path, path.name)
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        return {"version": version, "bundle": str(archive), "sha256": sha256}

    return built


def install(host: Any, release: dict[str, Any], slot: str = "blue", check: bool = False, **more: Any) -> Any:
    wanted = {
        "slot": slot,
        "config": {},
        "environment": {"PLUMBLINE_SLOT": slot},
        "secrets": {"PLUMBLINE_DATABASE_URL": SECRET},
        "keep": 5,
    }
    return host.install(host.Host(check), wanted | release | more)


def test_a_release_is_unpacked_linked_and_configured(host: Any, bundle: Any) -> None:
    result = install(host, bundle("1.0.0"), config={"faults": []})
    assert result["changed"]
    assert (host.links["blue"].resolve() / "VERSION").read_text() == "1.0.0code"
    assert host.links["downstream"].resolve() == host.links["blue"].resolve()
    assert '"faults": []' in (host.etc / "release-blue.json").read_text()
    assert f'PLUMBLINE_DATABASE_URL="{SECRET}"' in (host.etc / "app-blue.env").read_text()
    assert (host.etc / "app-blue.env").stat().st_mode & 0o777 == 0o640


def test_the_same_again_changes_nothing(host: Any, bundle: Any) -> None:
    release = bundle("1.0.0")
    install(host, release)
    again = install(host, release)
    assert not again["changed"]
    assert again["diff"] == {"before": "", "after": ""}


def test_check_mode_shows_the_change_and_makes_none(host: Any, bundle: Any) -> None:
    result = install(host, bundle("1.0.0"), check=True)
    assert result["changed"]
    assert "1.0.0" in result["diff"]["after"]
    assert not host.RELEASES.exists()
    assert list(host.etc.iterdir()) == []


def test_the_secret_is_shown_neither_when_new_nor_when_changed(host: Any, bundle: Any) -> None:
    release = bundle("1.0.0")
    first = install(host, release)
    second = install(host, release, secrets={"PLUMBLINE_DATABASE_URL": SECRET + "2"})
    assert second["changed"]
    assert "top-secret" not in str(first) + str(second)


@pytest.mark.parametrize(
    ("change", "needed"),
    [({}, False), ({"config": {"faults": [1]}}, True), ({"environment": {"PLUMBLINE_SLOT": "x"}}, True)],
)
def test_a_restart_is_needed_when_the_process_was_started_from_something_else(
    host: Any, bundle: Any, change: dict[str, Any], needed: bool
) -> None:
    release = bundle("1.0.0")
    assert install(host, release)["restart_needed"]
    [line] = [x for x in (host.etc / "app-blue.env").read_text().splitlines() if "PLUMBLINE_INSTALL" in x]
    host.running = line.partition("=")[2].strip('"')
    assert install(host, release, **change)["restart_needed"] is needed


def test_old_releases_go_but_none_in_use(host: Any, bundle: Any) -> None:
    install(host, bundle("1.0.0"), slot="green")
    for number in range(1, 8):
        install(host, bundle(f"1.{number}.0"), keep=3)
    kept = sorted(path.name for path in host.RELEASES.iterdir())
    assert kept == ["1.0.0", "1.5.0", "1.6.0", "1.7.0"]


def test_a_bundle_stays_as_long_as_its_release(host: Any, bundle: Any) -> None:
    for number in range(4):
        release = bundle(f"1.{number}.0")
        named = Path(release["bundle"]).with_name(f"{release['sha256']}.tar.gz")
        Path(release["bundle"]).rename(named)
        install(host, release | {"bundle": str(named)}, keep=2)
    stamps = {host.stamp(path)["sha256"] for path in host.RELEASES.iterdir()}
    assert {path.name.removesuffix(".tar.gz") for path in named.parent.iterdir()} == stamps
    assert len(stamps) == 3, "two kept, and the first, which the policy service runs from"


def test_a_version_in_use_never_changes_its_content(host: Any, bundle: Any) -> None:
    install(host, bundle("1.0.0"))
    with pytest.raises(host.CantInstall, match=r"1\.0\.0 is in use here with other content"):
        install(host, bundle("1.0.0", "other"), slot="green")
    assert (host.links["blue"].resolve() / "VERSION").read_text() == "1.0.0code"


def test_a_bundle_with_another_hash_is_refused_before_anything_is_touched(host: Any, bundle: Any) -> None:
    with pytest.raises(host.CantInstall, match="expected 00000"):
        install(host, bundle("1.0.0") | {"sha256": "0" * 64})
    assert not any(link.is_symlink() for link in host.links.values())


def test_what_a_killed_installation_left_is_cleared_away(host: Any, bundle: Any) -> None:
    (host.RELEASES / ".unpack-killed").mkdir(parents=True)
    install(host, bundle("1.0.0"))
    assert [path.name for path in host.RELEASES.iterdir()] == ["1.0.0"]


def test_values_are_quoted_as_systemd_reads_them(host: Any) -> None:
    assert host.environment_file({"A": 'a "b" \\c'}) == 'A="a \\"b\\" \\\\c"\n'
    with pytest.raises(host.CantInstall, match="A has a line break"):
        host.environment_file({"A": "x\nB=1"})


def test_the_running_process_is_asked_what_it_was_started_with(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = load("playbooks/library/app_release.py")
    environment = {"PATH": os.environ["PATH"], "PLUMBLINE_INSTALL": "abc"}
    with subprocess.Popen(["sleep", "60"], env=environment) as process:
        try:
            while not Path(f"/proc/{process.pid}/environ").read_bytes():
                time.sleep(0.01)  # the kernel shows it a moment after the program has begun
            for pid, expected in ((process.pid, "abc"), (os.getpid(), None), (0, None), ("", None)):
                done = subprocess.CompletedProcess([], 0, stdout=f"{pid}\n")
                monkeypatch.setattr(module.subprocess, "run", lambda *_, done=done, **__: done)
                assert module.running_with("blue") == expected
        finally:
            process.kill()
