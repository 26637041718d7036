"""Progress on standard error: a live table on a terminal, one line per finished layer elsewhere."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from infra.layer_run import LayerRun

_WORDS = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted"}


class Progress:
    """Shows layers as they run. Safe to call from several threads."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._runs: dict[str, LayerRun] = {}
        self._finished: set[str] = set()
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=False)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self._table())
            self._live.__exit__(kind, error, trace)

    def report(self, run: LayerRun) -> None:
        """Take the news of a layer."""
        with self._lock:
            self._runs[run.layer] = run
            if self._live:
                self._live.update(self._table())
            elif run.state != "running" and run.layer not in self._finished:
                self._finished.add(run.layer)
                self._console.print(f"{run.action} {run.layer}: {summary(run)} ({run.seconds:.1f} s)")

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for run in self._runs.values():
            doing = run.current if run.state == "running" else summary(run)
            table.add_row(run.action, run.layer, f"{run.seconds:5.1f} s", doing)
        return table


def summary(run: LayerRun) -> str:
    """What a layer's run did, in words."""
    if run.state in ("failed", "skipped"):
        return f"{run.state}: {run.reason.splitlines()[0] if run.reason else ''}"
    planned = run.action == "preview"
    parts = [
        f"{count} to {kind}" if planned else f"{count} {_WORDS.get(kind, kind)}"
        for kind, count in sorted(run.changes.items())
        if kind not in ("same", "read") and count
    ]
    same = run.changes.get("same", 0)
    return ", ".join([*parts, f"{same} unchanged"]) if parts else f"no change ({same} resources)"
