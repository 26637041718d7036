"""What every phase of one release works with: its journal, its fleet, a clock and a voice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from release.engine import progress
from release.engine.progress import Entry, Progress
from release.targets.model import Fleet


class Journal(Protocol):
    """Where entries go. `append` returns when the entry is on disk."""

    def append(self, entry_type: str, data: dict[str, Any], *, ts: float) -> Entry:
        """Write one entry down. Raises OSError when it can't, and then nothing was written."""
        ...

    def entries(self) -> Iterable[Entry]:
        """All entries, from the first."""
        ...


class Clock(Protocol):
    """Time, so that a test can bring its own."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


class ReleaseFailed(Exception):
    """A phase failed. The message says what happened, what it means, and what to run next."""


@dataclass
class Session:
    """One release at work. `token` is the fencing token that every change of a share carries."""

    release_id: str
    journal: Journal
    fleet: Fleet
    token: int
    say: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.progress: Progress = progress.read(self.journal.entries())

    def write(self, entry_type: str, **data: Any) -> None:
        """Append to the journal, and to what is known of the release."""
        entry = self.journal.append(entry_type, data, ts=self.clock.now())
        progress.apply(self.progress, entry)
