"""Where a release stands: its journal, read from the start. Pure: entries in, values out.

Every phase asks this first and does only what is missing, which is all that resuming is.
Shares are basis points of the requests that the candidate gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from release.targets.model import Slot


class Entry(Protocol):
    """One line of the journal."""

    @property
    def ts(self) -> float:
        """Unix seconds."""
        ...

    @property
    def type(self) -> str:
        """What happened."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """Its details."""
        ...


@dataclass(frozen=True)
class Tick:
    """One look at the metrics, as it was written down."""

    ts: float
    data: Mapping[str, Any]


@dataclass
class StepProgress:
    """One step: when its share was applied, what was seen, and how it ended ('' while it runs)."""

    name: str
    shifted_at: float | None = None
    #: When the current window began: at the shift, or when a held step was taken up again.
    window_from: float | None = None
    ticks: list[Tick] = field(default_factory=list)
    decision: str = ""
    reason: str = ""
    decided_at: float | None = None


@dataclass
class Progress:
    """What the journal says. `share_intended` is an intent whose completion isn't in the journal."""

    begin: Mapping[str, Any] = field(default_factory=dict)
    began_at: float = 0.0
    preflight: Mapping[str, Any] | None = None
    install_started: bool = False
    installed: bool = False
    steps: dict[str, StepProgress] = field(default_factory=dict)
    share_intended: Mapping[str, Any] | None = None
    share_bp: int = 0
    rollback: Mapping[str, Any] | None = None
    rollback_at: float | None = None
    zero_at: float | None = None
    verification: Mapping[str, Any] | None = None
    verified: bool | None = None
    promoted: bool = False
    outcome: str | None = None
    finished_at: float | None = None

    @property
    def candidate(self) -> Slot:
        """The slot of the version that is released."""
        slot: Slot = self.begin["candidate"]
        return slot

    @property
    def version(self) -> str:
        """The version that is released."""
        return str(self.begin["version"])

    @property
    def previous(self) -> Mapping[str, Any] | None:
        """{"version", "slot"} that served before, or None at an environment's first release."""
        previous: Mapping[str, Any] | None = self.begin["previous"]
        return previous

    @property
    def open(self) -> bool:
        """Begun and not finished."""
        return bool(self.begin) and self.outcome is None

    def step(self, name: str) -> StepProgress:
        """A step's progress; empty when it hasn't begun."""
        return self.steps.setdefault(name, StepProgress(name))

    @property
    def next_step(self) -> str | None:
        """The first step of the profile that wasn't promoted past; None after the last."""
        for name in self.begin["steps"]:
            if self.step(name).decision != "promote":
                return str(name)
        return None


def read(entries: Iterable[Entry]) -> Progress:
    """Read a journal from its first entry."""
    progress = Progress()
    for entry in entries:
        apply(progress, entry)
    return progress


def apply(progress: Progress, entry: Entry) -> None:
    """Add one more entry to what is known."""
    _READERS.get(entry.type, _ignore)(progress, entry)


def _ignore(progress: Progress, entry: Entry) -> None:
    """An entry that says who did something, and changes nothing."""


def _begin(progress: Progress, entry: Entry) -> None:
    progress.begin, progress.began_at = entry.data, entry.ts


def _preflight(progress: Progress, entry: Entry) -> None:
    progress.preflight = entry.data


def _install_started(progress: Progress, entry: Entry) -> None:
    progress.install_started = True


def _install_done(progress: Progress, entry: Entry) -> None:
    progress.installed = True


def _share_intent(progress: Progress, entry: Entry) -> None:
    progress.share_intended = entry.data


def _share_done(progress: Progress, entry: Entry) -> None:
    progress.share_intended = None
    progress.share_bp = int(entry.data["share_bp"])
    name = entry.data.get("step")
    if progress.rollback is not None and progress.share_bp == 0:
        progress.zero_at = entry.ts
    elif name:
        step = progress.step(name)
        step.shifted_at = step.window_from = entry.ts


def _tick(progress: Progress, entry: Entry) -> None:
    progress.step(entry.data["step"]).ticks.append(Tick(entry.ts, entry.data))


def _decision(progress: Progress, entry: Entry) -> None:
    step = progress.step(entry.data["step"])
    step.decision, step.reason, step.decided_at = entry.data["action"], entry.data["reason"], entry.ts


def _resumed(progress: Progress, entry: Entry) -> None:
    """A step that was held is looked at again: its window starts anew, its evidence stays."""
    for step in progress.steps.values():
        if step.decision == "hold":
            step.decision, step.reason, step.window_from = "", "", entry.ts


def _rollback_started(progress: Progress, entry: Entry) -> None:
    progress.rollback, progress.rollback_at = entry.data, entry.ts
    progress.zero_at = progress.verified = progress.outcome = progress.finished_at = None


def _rollback_verified(progress: Progress, entry: Entry) -> None:
    progress.verification, progress.verified = entry.data, True


def _rollback_unverified(progress: Progress, entry: Entry) -> None:
    progress.verification, progress.verified = entry.data, False


def _promoted(progress: Progress, entry: Entry) -> None:
    progress.promoted = True


def _finished(progress: Progress, entry: Entry) -> None:
    progress.outcome, progress.finished_at = entry.data["outcome"], entry.ts


_READERS = {
    "begin": _begin,
    "preflight": _preflight,
    "install_started": _install_started,
    "install_done": _install_done,
    "share_intent": _share_intent,
    "share_done": _share_done,
    "tick": _tick,
    "decision": _decision,
    "resumed": _resumed,
    "rollback_started": _rollback_started,
    "rollback_verified": _rollback_verified,
    "rollback_unverified": _rollback_unverified,
    "promoted": _promoted,
    "finished": _finished,
}
