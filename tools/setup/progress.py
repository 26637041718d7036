"""What people see while the set-up works: one line a step, and for long steps where they are."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from tools.setup.graph import Step
from tools.setup.shell import Log, SetupError
from tools.setup.timings import words

PLAIN_EVERY_S = 10.0
# A step that takes minutes needn't fill the screen.
PLAIN_LATER_EVERY_S = 30.0
LATER_S = 60.0


class Progress:
    """Prints starts, ends and, for what takes long, a line: what, how long so far, how long last time.

    On a terminal that line is rewritten in place; elsewhere a plain one comes every ten seconds.
    """

    def __init__(
        self,
        logs: Mapping[str, Log],
        last: Mapping[str, float],
        out: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._logs, self._last, self._out, self._clock = logs, last, out, clock
        self._terminal = out.isatty()
        self._shown: dict[str, str] = {}
        self._said_at = self._began = clock()

    def tick(self, steps: list[Step]) -> None:
        """Show what changed since the last call."""
        for step in steps:
            if self._shown.get(step.name) != step.state:
                self._shown[step.name] = step.state
                self._changed(step)
        running = [step for step in steps if step.state == "running"]
        line = "; ".join(self._where(step) for step in running)
        if self._terminal:
            width = shutil.get_terminal_size().columns
            self._out.write(f"\r\x1b[K{line[: width - 1]}")
        elif running and self._clock() - self._said_at >= self._pause():
            self._said_at = self._clock()
            self._out.write(f"  ... {line}\n")
        self._out.flush()

    def _pause(self) -> float:
        return PLAIN_EVERY_S if self._clock() - self._began < LATER_S else PLAIN_LATER_EVERY_S

    def _line(self, text: str) -> None:
        self._out.write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")
        self._out.flush()

    def _where(self, step: Step) -> str:
        note = self._logs[step.name].note or step.name
        last = f", last time {words(self._last[step.name])}" if step.name in self._last else ""
        return f"{step.name}: {note} ({words(self._clock() - step.started)} so far{last})"

    def _changed(self, step: Step) -> None:
        if step.state == "done":
            self._line(f"  ok    {step.name}: {step.result} ({words(step.seconds)})")
        elif step.state == "running" and not self._terminal:
            last = f" (last time {words(self._last[step.name])})" if step.name in self._last else ""
            self._line(f"  start {step.name}{last}")
        elif step.state == "left out":
            self._line(f"  left  {step.name}: what it needs is not there")
        elif step.state == "failed":
            self._failed(step)

    def _failed(self, step: Step) -> None:
        log = self._logs[step.name]
        self._line(f"  FAILED {step.name} after {words(step.seconds)}: {step.error}")
        # A refusal before any command ran has said everything already.
        if not (isinstance(step.error, SetupError) and step.error.code == 2):
            for line in log.tail():
                self._line(f"    | {line}")
            self._line(f"    the whole log: {log.path}")
        fix = getattr(step.error, "fix", "")
        self._line(f"    next: {fix or 'python3 -m tools.setup, which goes on from here'}")
