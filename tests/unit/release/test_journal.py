"""A journal that was changed in any way is found out; one that was only interrupted goes on."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.journal import FIRST, Anchor, JournalError, JournalFile, make, parse, read_anchor, verify


def chain(count=6):
    lines, prev = [], FIRST
    for number in range(count):
        entry = make(number, 1000.0 + number, "tick", {"n": number, "why": "läuft"}, prev)
        lines.append(entry.line())
        prev = entry.hash
    return lines, Anchor("r", count, prev)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def journal(folder, guard=lambda: None):
    return JournalFile(folder / "r" / "journal.jsonl", folder / "HEAD.json", "r", guard)


def test_an_untouched_journal_has_no_problems():
    lines, anchor = chain()
    assert verify(lines, anchor) == []


@given(st.data())
def test_any_altered_character_is_found(data):
    lines, anchor = chain()
    row = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[row]) - 1))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    if lines[row][column] == letter:
        return
    lines[row] = lines[row][:column] + letter + lines[row][column + 1 :]
    assert verify(lines, anchor)


@given(st.data())
def test_any_line_cut_put_in_or_moved_is_found(data):
    lines, anchor = chain()
    row = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["cut", "double", "swap"]))
    changed = list(lines)
    if how == "cut":
        del changed[row]
    elif how == "double":
        changed.insert(other, lines[row])
    else:
        changed[row], changed[other] = changed[other], changed[row]
    if changed != lines:
        assert verify(changed, anchor)


def test_a_cut_tail_shows_only_against_the_anchor_and_is_named():
    lines, anchor = chain()
    assert verify(lines[:-2]) == []
    assert [p.what for p in verify(lines[:-2], anchor)] == ["has 4 lines of 6: the tail was cut off"]


def test_a_tail_made_anew_with_fitting_hashes_is_not_the_anchored_one():
    lines, anchor = chain()
    last = parse(lines[-1])
    lines[-1] = make(last.seq, last.ts, last.type, {"n": 99}, last.prev).line()
    assert [p.line for p in verify(lines, anchor)] == [6]


def test_what_was_appended_is_there_after_a_restart_and_anchored(folder):
    one = journal(folder)
    one.append("begin", {"shares": (1, 2)}, ts=1.0)
    entry = one.append("tick", {"n": 1}, ts=2.0)
    again = journal(folder)
    assert again.entries() == one.entries()
    assert again.entries()[0].data == {"shares": [1, 2]}
    assert read_anchor(folder / "HEAD.json") == Anchor("r", 2, entry.hash)
    assert oct((folder / "r" / "journal.jsonl").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("left", [1, 40])
def test_a_line_torn_by_a_crash_is_taken_back_and_the_journal_goes_on(folder, left):
    journal(folder).append("begin", {"x": 1}, ts=1.0)
    path = folder / "r" / "journal.jsonl"
    torn = make(1, 2.0, "tick", {}, json.loads(path.read_text())["hash"]).line()[:left]
    with path.open("a") as file:
        file.write(torn)
    again = journal(folder)
    assert again.torn
    again.append("tick", {"n": 1}, ts=3.0)
    assert verify(path.read_text().splitlines(), read_anchor(folder / "HEAD.json")) == []


def test_an_entry_written_just_before_its_anchor_is_kept(folder):
    one = journal(folder)
    one.append("begin", {}, ts=1.0)
    anchor = (folder / "HEAD.json").read_bytes()
    one.append("tick", {}, ts=2.0)
    (folder / "HEAD.json").write_bytes(anchor)  # killed between the two writes
    assert len(journal(folder).entries()) == 2


def test_a_tampered_journal_is_not_worked_on(folder):
    one = journal(folder)
    one.append("begin", {"version": "1.0.0"}, ts=1.0)
    path = folder / "r" / "journal.jsonl"
    path.write_text(path.read_text().replace("1.0.0", "1.0.1"))
    with pytest.raises(JournalError, match=r"journal.jsonl:1 was altered.*verify-journal r"):
        journal(folder)


def test_nothing_is_written_by_a_process_that_lost_the_lock(folder):
    def lost():
        raise PermissionError("lost")

    with pytest.raises(PermissionError):
        journal(folder, lost).append("tick", {}, ts=1.0)
    assert not (folder / "r" / "journal.jsonl").exists()


def test_a_full_disk_leaves_no_half_entry(folder, monkeypatch):
    one = journal(folder)
    one.append("begin", {}, ts=1.0)
    write = os.write

    def half(descriptor, data):
        write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            one.append("tick", {}, ts=2.0)
    one.append("tick", {}, ts=3.0)
    assert [e.ts for e in journal(folder).entries()] == [1.0, 3.0]


def test_an_anchor_that_cannot_be_written_leaves_no_entry(folder, monkeypatch):
    one = journal(folder)
    one.append("begin", {}, ts=1.0)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("release.journal.write_anchor", full)
        with pytest.raises(OSError, match="No space"):
            one.append("tick", {}, ts=2.0)
    assert [e.ts for e in one.entries()] == [e.ts for e in journal(folder).entries()] == [1.0]


def test_lines_forged_after_the_anchor_are_found():
    lines, _ = chain()
    anchored = Anchor("r", 4, parse(lines[3]).hash)
    assert verify(lines[:5], anchored) == []  # killed between an entry and its anchor
    assert [p.line for p in verify(lines, anchored)] == [6]
