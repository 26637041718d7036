"""An image's name is its content."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import paths
from tools.setup import images


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base, a child of it and a grandchild that carries a tool."""
    for name, text in {
        "base": "FROM scratch\n",
        "host": "ARG PARENT=plumbline/base\nFROM ${PARENT}\n",
        "client": "# tool: k6\nARG PARENT=plumbline/host\nFROM ${PARENT}\n",
        "other": "FROM scratch\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text(text)
    monkeypatch.setattr(images, "folder", lambda: tmp_path)
    return tmp_path


def test_the_same_recipe_has_the_same_tag(recipes: Path) -> None:
    assert images.tag("client") == images.tag("client")
    assert images.reference("host") == f"plumbline/host:{images.tag('host')}"


def test_a_change_in_a_parent_renames_every_descendant_and_nobody_else(recipes: Path) -> None:
    before = {name: images.tag(name) for name in images.names()}
    (recipes / "base" / "packages.txt").write_text("ca-certificates\n")
    after = {name: images.tag(name) for name in images.names()}
    assert {name for name in before if before[name] != after[name]} == {"base", "host", "client"}


def test_a_file_that_becomes_executable_renames_its_image(recipes: Path) -> None:
    script = recipes / "host" / "ready"
    script.write_text("#!/bin/sh\n")
    before = images.tag("host")
    script.chmod(0o755)
    assert images.tag("host") != before


def test_another_version_of_a_tool_inside_renames_the_image(
    recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = images.tag("client"), images.tag("host")
    monkeypatch.setattr(paths, "tool_spec", lambda name: {"version": "9.9.9"})
    assert images.tag("client") != before[0]
    assert images.tag("host") == before[1]


def test_another_debian_suite_renames_all(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = images.tag("client")
    monkeypatch.setattr(images, "SUITE", "forky")
    assert images.tag("client") != before


def test_parents_come_before_children(recipes: Path) -> None:
    names = images.names()
    assert names.index("base") < names.index("host") < names.index("client")


def test_an_unknown_image_is_refused_with_the_known_ones(recipes: Path) -> None:
    with pytest.raises(
        images.UnknownImageError, match="'web' is not known; known are base, client, host, other"
    ):
        images.reference("web")
