"""One action of Pulumi on one layer: what it did, counted from the engine's events."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from pulumi import automation

from infra.config import Layer

Action = Literal["up", "preview", "refresh", "destroy"]


@dataclass
class LayerRun:
    """What one action did to one layer. `changes` counts resources by operation (create, same, ...)."""

    layer: Layer
    action: Action
    state: Literal["running", "done", "failed", "skipped"] = "running"
    seconds: float = 0.0
    changes: dict[str, int] = field(default_factory=dict)
    current: str = ""
    reason: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return any(count for kind, count in self.changes.items() if kind not in ("same", "read"))


Report = Callable[[LayerRun], None]


def run_layer(stack: automation.Stack, run: LayerRun, logs: Path, report: Report) -> None:
    """Do `run.action` and fill in `run`, telling `report` of every step. The engine's text goes to a log."""
    begun = time.monotonic()
    problems: list[str] = []
    logs.mkdir(mode=0o700, exist_ok=True)
    log = logs / f"{run.layer}-{run.action}.log"

    def on_event(event: automation.events.EngineEvent) -> None:
        _count(run, event, problems)
        run.seconds = time.monotonic() - begun
        report(run)

    report(run)
    with log.open("w") as file:
        try:
            _act(stack, run.action, on_event, lambda text: _write(file, text))
        except automation.CommandError as error:
            run.state = "failed"
            run.reason = "\n".join(dict.fromkeys(problems)) or _last_lines(str(error))
            run.reason += f"\n  (all of it: {log})"
        else:
            run.state = "done"
    run.seconds, run.current = time.monotonic() - begun, ""
    report(run)


def _act(
    stack: automation.Stack,
    action: Action,
    on_event: Callable[[automation.events.EngineEvent], None],
    on_output: Callable[[str], None],
) -> None:
    common: dict[str, Any] = {"on_event": on_event, "on_output": on_output, "color": "never"}
    if action == "up":
        stack.up(refresh=True, suppress_outputs=True, suppress_progress=True, **common)
    elif action == "preview":
        stack.preview(refresh=True, suppress_outputs=True, suppress_progress=True, **common)
    elif action == "refresh":
        stack.refresh(suppress_outputs=True, suppress_progress=True, **common)
    else:
        stack.destroy(suppress_outputs=True, suppress_progress=True, **common)


def _count(run: LayerRun, event: automation.events.EngineEvent, problems: list[str]) -> None:
    if event.resource_pre_event:
        run.current = event.resource_pre_event.metadata.urn.rsplit("::", 1)[-1]
    if event.summary_event:
        # With a refresh there are two summaries; the last one is of the action itself.
        changes = event.summary_event.resource_changes or {}
        run.changes = {str(getattr(kind, "value", kind)): int(count) for kind, count in changes.items()}
    diagnostic = event.diagnostic_event
    if diagnostic and diagnostic.severity == "error" and (text := _first_line(diagnostic.message)):
        name = diagnostic.urn.rsplit("::", 1)[-1] if diagnostic.urn else ""
        problems.append(f"{name}: {text}" if name and not text.startswith(name) else text)


def _first_line(message: str) -> str:
    """The line that says what is wrong: a plugin's message, or the end of a program's traceback."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines or lines[0].startswith("update failed"):
        return ""
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1]
    return re.sub(r"^Unexpected <class '[^']*'>: ", "", lines[0]).rstrip(":")


def _last_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-5:])


def _write(file: IO[str], text: str) -> None:
    file.write(text.rstrip("\n") + "\n")
    file.flush()


def as_summary(env: str, instance: str, runs: list[LayerRun], seconds: float) -> dict[str, Any]:
    """The machine-readable summary of an action."""
    layers = []
    for run in runs:
        entry = asdict(run)
        entry.pop("current")
        entry["seconds"] = round(run.seconds, 2)
        entry["changed"] = run.changed
        layers.append(entry)
    return {"environment": env, "instance": instance, "seconds": round(seconds, 2), "layers": layers}
