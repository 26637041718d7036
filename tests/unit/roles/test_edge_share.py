"""edge-share refuses what it must before it touches anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


class Workers:
    """HAProxy's master and its workers: what they are asked, and the map that each holds."""

    def __init__(self, *pids: str) -> None:
        self.maps = {pid: {"green": 0, "token": 0} for pid in pids}
        self.deaf: set[str] = set()

    def ask(self, command: str) -> str:
        words = command.split()
        if words == ["show", "proc"]:
            return "#<PID> <type> <reloads>\n1 master 0\n" + "".join(f"{pid} worker 0\n" for pid in self.maps)
        own = self.maps[words[0].removeprefix("@!")]
        if words[1] == "set":
            if words[0].removeprefix("@!") not in self.deaf:
                own[words[4]] = int(words[5])
            return "\n"
        return "".join(f"0x55 {key} {value}\n" for key, value in own.items())


@pytest.fixture
def share(load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = load("roles/edge/files/edge_share.py")
    monkeypatch.setattr(module, "MAP", tmp_path / "share.map")
    monkeypatch.setattr(module, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(module, "RELOAD_S", 0.1)
    module.MAP.write_text("green 0\ntoken 0\n")
    module.workers = Workers("10", "11")
    monkeypatch.setattr(module, "ask", module.workers.ask)
    return module


def put(share: Any, green_bp: object, token: object) -> Any:
    return share.main(["set", "--green-bp", str(green_bp), "--token", str(token)])


def test_a_share_reaches_every_process_and_the_disk(share: Any) -> None:
    assert put(share, 1000, 7) == {"green_bp": 1000, "token": 7}
    assert share.workers.maps == {pid: {"green": 1000, "token": 7} for pid in ("10", "11")}
    assert share.MAP.read_text() == "green 1000\ntoken 7\n"
    assert share.main(["get"]) == {"green_bp": 1000, "token": 7}


def test_a_lower_token_is_refused_and_changes_nothing(share: Any) -> None:
    put(share, 1000, 7)
    with pytest.raises(share.Refused) as refused:
        put(share, 0, 6)
    assert refused.value.code == 5
    assert refused.value.answer["token"] == 7
    assert share.main(["get"]) == {"green_bp": 1000, "token": 7}


def test_the_same_token_may_set_again(share: Any) -> None:
    put(share, 1000, 7)
    assert put(share, 0, 7) == {"green_bp": 0, "token": 7}


@pytest.mark.parametrize("value", ["-1", "10001", "1e3", "", " 5", "٣", "0.5"])
def test_a_share_outside_0_to_10000_is_refused_by_name(share: Any, value: str) -> None:
    with pytest.raises(share.Refused) as refused:
        put(share, value, 1)
    assert refused.value.code == 2
    assert "--green-bp" in refused.value.answer["error"]
    assert repr(value) in refused.value.answer["error"]
    assert share.MAP.read_text() == "green 0\ntoken 0\n"


@pytest.mark.parametrize("arguments", [[], ["set"], ["set", "--green-bp", "1"], ["get", "x"], ["bogus"]])
def test_other_commands_are_refused(share: Any, arguments: list[str]) -> None:
    with pytest.raises(share.Refused) as refused:
        share.main(arguments)
    assert refused.value.code == 2


def test_a_process_that_keeps_the_old_share_is_found_by_reading_back(share: Any) -> None:
    share.workers.deaf = {"11"}
    with pytest.raises(share.Refused) as refused:
        put(share, 1000, 7)
    assert refused.value.code == 1
    assert "process 11" in refused.value.answer["error"]
    with pytest.raises(share.Refused):
        share.main(["get"])


def test_answers_that_a_reload_cut_short_are_asked_for_again(
    share: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = [ConnectionRefusedError(111, "no socket"), "", ConnectionResetError(104, "cut")]

    def ask(command: str) -> str:
        if not cuts:
            return str(share.workers.ask(command))
        cut = cuts.pop(0)
        if isinstance(cut, OSError):
            raise cut
        return cut

    monkeypatch.setattr(share, "ask", ask)
    assert put(share, 1000, 7) == {"green_bp": 1000, "token": 7}
    assert share.workers.maps["11"] == {"green": 1000, "token": 7}


def test_without_haproxy_the_share_is_kept_for_its_start(share: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(command: str) -> str:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(share, "ask", nobody)
    with pytest.raises(OSError, match="refused"):
        put(share, 0, 9)
    assert share.MAP.read_text() == "green 0\ntoken 9\n"


def test_a_damaged_file_is_said_to_be_damaged(share: Any) -> None:
    share.MAP.write_text("green\n")
    with pytest.raises(share.Refused, match="must hold"):
        share.main(["get"])


def test_the_answer_is_one_line_of_json(share: Any) -> None:
    assert json.loads(json.dumps(put(share, 5, 1))) == {"green_bp": 5, "token": 1}
