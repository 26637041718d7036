"""Tools: which copy is used, which version fits, and that a half-made one is never found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import paths
from tools.setup import binaries, downloads
from tools.setup.shell import Children, Log, SetupError

RANGE = {"compatible": {"at_least": "1.4.0", "below": "2.0.0"}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    paths.tool_on_path.cache_clear()
    yield tmp_path / "cache"
    paths.tool_on_path.cache_clear()


def fake(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("k6 v1.8.1 (go1.26.8, linux/amd64)", (1, 8, 1)),
        ("v3.259.0", (3, 259, 0)),
        ("v3.260.0-alpha.1+dirty", (3, 260, 0)),
        ("go1.26 linux/amd64", None),
        ("", None),
    ],
)
def test_the_version_is_read_from_what_a_tool_says(answer: str, version: paths.Version | None) -> None:
    assert paths.parse_version(answer) == version


@pytest.mark.parametrize(
    ("said", "fits"),
    [("1.4.0", True), ("1.99.0", True), ("1.3.9", False), ("2.0.0", False), ("none", False)],
)
def test_a_version_fits_from_at_least_up_to_below(said: str, fits: bool) -> None:
    assert paths.compatible(paths.parse_version(said), RANGE) is fits


def test_a_compatible_tool_on_path_is_preferred(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = fake(tmp_path / "bin", "k6", "k6 v1.5.0 (go1.25)")
    fake(paths.cached_tool("k6").parent, "k6", "k6 v1.8.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert paths.tool("k6") == own


def test_a_tool_on_path_that_is_too_old_or_broken_gives_way_to_the_cached_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    cached = fake(paths.cached_tool("k6").parent, "k6", "k6 v1.8.1")
    fake(tmp_path / "bin", "k6", "k6 v0.49.0 (go1.21)")
    assert paths.tool("k6") == cached
    paths.tool_on_path.cache_clear()
    (tmp_path / "bin" / "k6").write_text("not a program")
    assert paths.tool("k6") == cached


def test_a_missing_tool_names_the_command_that_gets_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(paths.MissingToolError, match=r"python3 -m tools\.setup tools"):
        paths.tool("k6")
    with pytest.raises(paths.MissingToolError, match="'terraform' is not pinned; known are k6, pulumi"):
        paths.tool("terraform")


def unreachable(*given: object) -> None:
    raise downloads.UnreachableError("no internet")


def test_where_no_site_answers_the_tool_is_built_and_the_route_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(downloads, "official", unreachable)
    monkeypatch.setattr(
        binaries, "build", lambda name, spec, target, log: fake(target, name, f"k6 v{spec['version']}")
    )
    assert binaries.acquire("k6", Log("k6", Children())) == "built from its Go module"
    assert binaries.ready("k6") == "cached, built from its Go module"


def test_a_tool_that_is_refused_or_breaks_off_leaves_nothing_in_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def refuse(name: str, spec: object, target: Path, log: Log) -> None:
        fake(target, name, "k6 v1.8.1")
        raise downloads.ChecksumError("it is not used")

    monkeypatch.setattr(downloads, "official", refuse)
    monkeypatch.setattr(
        binaries, "build", lambda *given: pytest.fail("a wrong checksum is not a missing site")
    )
    with pytest.raises(downloads.ChecksumError):
        binaries.acquire("k6", Log("k6", Children()))
    assert binaries.ready("k6") is None
    assert list((cache / "tools").iterdir()) == []


def test_a_build_that_says_another_version_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(downloads, "official", unreachable)
    monkeypatch.setattr(binaries, "build", lambda name, spec, target, log: fake(target, name, "k6 v1.8.0"))
    with pytest.raises(SetupError, match=r"1\.8\.1 was wanted"):
        binaries.acquire("k6", Log("k6", Children()))
    assert binaries.ready("k6") is None
