"""The journal of a release: what was done, in order, so that nothing is done twice and nothing is hidden.

One JSON object a line, canonical (sorted keys, no spaces). Each carries the hash of the one before, so a
line that was altered, taken out, put in or moved shows. A tail that was cut off shows against the anchor,
which is kept outside the journal. An entry is on the disk when `append` returns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRST = "0" * 64


class JournalError(Exception):
    """The journal can't be used as it is. The message says where and what to run."""


@dataclass(frozen=True)
class Entry:
    """One line. ts is Unix seconds; prev and hash are hex SHA-256."""

    seq: int
    ts: float
    type: str
    data: dict[str, Any]
    prev: str
    hash: str

    def line(self) -> str:
        """The entry as its line, without the newline."""
        return canonical({**_body(self.seq, self.ts, self.type, self.data, self.prev), "hash": self.hash})


@dataclass(frozen=True)
class Anchor:
    """How long a journal is and what its last hash is, kept outside it."""

    release_id: str
    length: int
    head: str


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a journal. `line` counts from 1; 0 means the file as a whole."""

    line: int
    what: str


def canonical(value: object) -> str:
    """The one way to write a value: sorted keys, no spaces, no NaN. Raises ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def make(seq: int, ts: float, entry_type: str, data: dict[str, Any], prev: str) -> Entry:
    """An entry with its hash."""
    stored = json.loads(canonical(data))  # what a reader will get: lists for tuples, and so on
    body = canonical(_body(seq, ts, entry_type, stored, prev))
    return Entry(seq, ts, entry_type, stored, prev, hashlib.sha256(body.encode()).hexdigest())


def parse(line: str) -> Entry:
    """An entry from its line. Raises ValueError for anything that isn't one."""
    raw = json.loads(line)
    if not isinstance(raw, dict) or set(raw) != {"seq", "ts", "type", "data", "prev", "hash"}:
        raise ValueError("not an entry")
    return Entry(**raw)


def verify(lines: Sequence[str], anchor: Anchor | None = None) -> list[Problem]:
    """Everything that is wrong with a journal; empty when nothing is. Pure."""
    problems = []
    prev = FIRST
    for number, line in enumerate(lines, start=1):
        try:
            entry = parse(line)
            expected = make(entry.seq, entry.ts, entry.type, entry.data, entry.prev)
        except (ValueError, TypeError):
            problems.append(Problem(number, "is not an entry"))
            prev = ""
            continue
        if entry.hash != expected.hash or line != entry.line():
            problems.append(Problem(number, "was altered: its hash doesn't fit its content"))
        if entry.prev != prev:
            problems.append(Problem(number, "doesn't follow the line before: one was cut, put in or moved"))
        if entry.seq != number - 1:
            problems.append(Problem(number, f"has number {entry.seq} instead of {number - 1}"))
        prev = entry.hash
    if anchor is not None and len(lines) < anchor.length:
        problems.append(Problem(0, f"has {len(lines)} lines of {anchor.length}: the tail was cut off"))
    elif anchor is not None and anchor.length and not _has_head(lines[anchor.length - 1], anchor.head):
        problems.append(Problem(anchor.length, "isn't the line that was anchored"))
    elif anchor is not None and len(lines) > anchor.length + 1:
        problems.append(Problem(anchor.length + 2, "follows the anchor, and only one unanchored line may"))
    return problems


class JournalFile:
    """A journal on disk, with its anchor in a file beside the releases.

    `guard` is called before each entry and raises when this process may no longer write (it lost the lock).
    Raises JournalError when the file was tampered with. A last line that was torn by a crash is removed,
    since an entry counts only when it is whole; `torn` then says so.
    """

    def __init__(
        self, path: Path, anchor_path: Path, release_id: str, guard: Callable[[], None] = lambda: None
    ) -> None:
        self.path, self._anchor_path, self._release_id, self._guard = path, anchor_path, release_id, guard
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines, self.torn = _whole_lines(path)
        anchor = read_anchor(anchor_path)
        mine = anchor if anchor is not None and anchor.release_id == release_id else None
        if problems := verify(lines, mine):
            first = problems[0]
            raise JournalError(
                f"journal: {path}:{first.line} {first.what}. Nothing is done on a journal that can't be "
                f"trusted; run: python -m release verify-journal {release_id}"
            )
        self._entries = [parse(line) for line in lines]
        if self.torn:
            _truncate(path, lines)

    def entries(self) -> list[Entry]:
        """All entries, from the first."""
        return list(self._entries)

    @property
    def head(self) -> str:
        """Hash of the last entry; zeros before the first."""
        return self._entries[-1].hash if self._entries else FIRST

    def append(self, entry_type: str, data: dict[str, Any], *, ts: float) -> Entry:
        """Write one entry and its anchor down. Raises OSError when the disk refuses; then nothing counts.

        A crash between the two leaves one entry that isn't anchored; the next append anchors it.
        """
        self._guard()
        entry = make(len(self._entries), ts, entry_type, data, self.head)
        new = not self.path.exists()
        size = 0 if new else self.path.stat().st_size
        try:
            _append(self.path, entry.line() + "\n")
            if new:
                _sync_folder(self.path.parent)
            write_anchor(self._anchor_path, Anchor(self._release_id, len(self._entries) + 1, entry.hash))
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise
        self._entries.append(entry)
        return entry


def read_lines(path: Path) -> list[str]:
    """A journal's lines as they are, whole or torn, for `verify`. Raises OSError."""
    text = path.read_text()
    return text.removesuffix("\n").split("\n") if text else []


def read_anchor(path: Path) -> Anchor | None:
    """The anchor; None when there is none yet. Raises JournalError for one that can't be read."""
    try:
        raw = json.loads(path.read_text())
        return Anchor(str(raw["release_id"]), int(raw["length"]), str(raw["head"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"anchor: {path} can't be read: {error}") from None


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Replace the anchor at once."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w") as file:
        file.write(canonical(vars(anchor)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _body(seq: int, ts: float, entry_type: str, data: dict[str, Any], prev: str) -> dict[str, Any]:
    return {"seq": seq, "ts": ts, "type": entry_type, "data": data, "prev": prev}


def _has_head(line: str, head: str) -> bool:
    try:
        return parse(line).hash == head
    except (ValueError, TypeError):
        return False


def _whole_lines(path: Path) -> tuple[list[str], bool]:
    """Lines that end in a newline, and whether a torn one follows them."""
    if not path.exists():
        return [], False
    *whole, rest = path.read_bytes().split(b"\n")
    return [line.decode(errors="replace") for line in whole], bool(rest)


def _truncate(path: Path, lines: Sequence[str]) -> None:
    os.truncate(path, sum(len(line.encode()) + 1 for line in lines))


def _append(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        data = text.encode()
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
