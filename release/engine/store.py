"""The releases of an environment on disk: a folder with a journal for each, one lock, one anchor.

<state>/releases/<id>/journal.jsonl    what was done
<state>/releases/<id>/reported         there once its report was written after it had ended
<state>/releases/HEAD.json             length and head of the newest journal
"""

from __future__ import annotations

from pathlib import Path

from release.engine import progress
from release.engine.progress import Progress
from release.journal import Entry, JournalFile, parse, read_lines
from release.lock import FileLock


class Releases:
    """All releases of one environment."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "releases"
        self.anchor = self.folder / "HEAD.json"
        self.lock = FileLock(self.folder)

    def ids(self) -> list[str]:
        """Releases that have begun, oldest first: an id begins with its time."""
        found = [p.parent.name for p in self.folder.glob("*/journal.jsonl") if p.stat().st_size > 0]
        return sorted(found)

    def latest(self) -> str | None:
        """The newest release, open or not."""
        ids = self.ids()
        return ids[-1] if ids else None

    def is_new(self, release_id: str) -> bool:
        """Whether an id isn't taken."""
        return not (self.folder / release_id).exists()

    def journal_path(self, release_id: str) -> Path:
        """Where a release's journal is."""
        return self.folder / release_id / "journal.jsonl"

    def open(self, release_id: str, token: int) -> JournalFile:
        """A journal to write to, as long as the lock is held under this token. Raises JournalError."""
        return JournalFile(
            self.journal_path(release_id), self.anchor, release_id, guard=lambda: self.lock.check(token)
        )

    def entries(self, release_id: str) -> list[Entry]:
        """A release's journal, without writing: a line that a crash tore is left out."""
        entries = []
        for line in read_lines(self.journal_path(release_id)):
            try:
                entries.append(parse(line))
            except ValueError:
                break
        return entries

    def look(self, release_id: str) -> Progress:
        """Where a release stands, without writing."""
        return progress.read(self.entries(release_id))

    def reported(self, release_id: str) -> bool:
        """Whether the report was written after the release had ended."""
        return (self.folder / release_id / "reported").exists()

    def mark_reported(self, release_id: str, done: bool) -> None:
        """Remember whether it was."""
        mark = self.folder / release_id / "reported"
        if done:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)
