"""Running the demo's commands: output into a log, what matters on the terminal, times measured."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console

#: What Ansible prints around the lines that matter to a spectator.
NOISE = ("PLAY ", "TASK ", "ok: ", "skipping: ", "changed: ", "included: ", "localhost ", "[WARNING]")


class StageFailed(Exception):
    """A command of the demo failed; the message names its log."""


def everything(line: str) -> bool:
    """Show every line."""
    return bool(line.strip())


def without_noise(line: str) -> bool:
    """Show what a playbook's own tasks say, not Ansible's frame around it."""
    return bool(line.strip()) and not line.startswith(NOISE)


def nothing(line: str) -> bool:
    """Show no line; the log has them."""
    return False


@dataclass
class Stages:
    """The demo's stages. Logs go to `logs`; seconds of each are kept by name in `seconds`."""

    root: Path
    logs: Path
    environment: Mapping[str, str]
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Announce a stage, and add what it takes to its name."""
        self.console.print(f"[bold]==> {title}[/bold]")
        started = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.console.print(f"    done in {took:.1f} s")

    def run(
        self,
        command: Sequence[str],
        log: str,
        *,
        show: Callable[[str], bool] = nothing,
        allowed: tuple[int, ...] = (0,),
    ) -> int:
        """Run a command to its end. Raises StageFailed on an exit code that isn't allowed."""
        path = self.logs / f"{log}.log"
        with path.open("w") as file:
            process = subprocess.Popen(
                list(command),
                cwd=self.root,
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            try:
                tail = self._follow(process, file, show)
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if code not in allowed:
            raise StageFailed(f"{' '.join(command)} ended with {code}: {tail} (log: {path})")
        return code

    def _follow(self, process: subprocess.Popen[str], log: TextIO, show: Callable[[str], bool]) -> str:
        """Copy what it prints until it ends; gives its last line."""
        tail = ""
        for line in process.stdout or ():
            log.write(line)
            tail = line.strip() or tail
            if show(line):
                self.console.print(f"    {line.rstrip()}", markup=False)
        return tail
