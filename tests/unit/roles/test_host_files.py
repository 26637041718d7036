"""The module host_files on a directory that stands for a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def files(load: Callable[[str], ModuleType]) -> Any:
    return load("playbooks/library/host_files.py")


def wanted(path: Path, content: str | None = "new\n", **more: Any) -> dict[str, Any]:
    unset = {"secret": None, "mode": "0644", "validate": None, "once": False}
    return {"path": str(path), "content": content} | unset | more


def test_files_and_the_directories_above_them_are_made_once(files: Any, tmp_path: Path) -> None:
    file, directory = tmp_path / "a/b/c.conf", tmp_path / "d"
    first = files.keep([wanted(file, "text", mode="0600")], [str(directory)], False)
    assert first["paths"] == [str(directory), str(file)]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("text\n", 0o600)
    assert not files.keep([wanted(file, "text", mode="0600")], [str(directory)], False)["changed"]


def test_a_wrong_mode_is_put_right(files: Any, tmp_path: Path) -> None:
    file = tmp_path / "x"
    files.keep([wanted(file)], [], False)
    file.chmod(0o666)
    assert files.keep([wanted(file)], [], False)["changed"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_check_mode_shows_the_difference_and_makes_none(files: Any, tmp_path: Path) -> None:
    result = files.keep([wanted(tmp_path / "x")], [str(tmp_path / "d")], True)
    assert result["changed"]
    assert result["diff"][1]["after"] == "new\n"
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_written_and_never_shown(files: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hush-old\n")
    result = files.keep([wanted(file, None, secret="hush-new")], [], False)
    assert file.read_text() == "hush-new\n"
    assert "hush" not in str(result["diff"])


def test_what_is_written_once_belongs_to_others_afterwards(files: Any, tmp_path: Path) -> None:
    file = tmp_path / "share.map"
    files.keep([wanted(file, "green 0", once=True)], [], False)
    file.write_text("green 1000\n")
    assert not files.keep([wanted(file, "green 0", once=True)], [], False)["changed"]
    assert file.read_text() == "green 1000\n"


def test_a_file_that_its_validation_refuses_is_not_put_in_place(files: Any, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("old\n")
    with pytest.raises(files.Refused, match="grep -q good %s refuses it"):
        files.keep([wanted(file, "bad", validate="grep -q good %s")], [], False)
    assert file.read_text() == "old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert files.keep([wanted(file, "good", validate="grep -q good %s")], [], False)["changed"]
