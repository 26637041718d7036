"""`python -m release.demo dev`: the whole main job on one machine, and what came of it.

Exit codes: 0 everything as promised, 1 something failed or isn't as promised, 2 bad input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra import paths
from release.demo.scenario import Demo, broken_promises
from release.demo.stages import StageFailed, Stages
from release.engine.request import BadRequest, BuildFailed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    env: Annotated[str, typer.Argument(help="environment, such as dev")] = "dev",
    instance: Annotated[str, typer.Option(envvar="PLUMBLINE_INSTANCE", help="a parallel copy of it")] = "",
) -> None:
    """Run it and judge it."""
    try:
        paths.qualified(env, instance)
    except ValueError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    # A terminated demo stops what it started, the load above all.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = paths.repo_root()
    logs = root / "results" / "demo"
    logs.mkdir(parents=True, exist_ok=True)
    stages = Stages(
        root, logs, {"PLUMBLINE_ENV": env, "PLUMBLINE_INSTANCE": instance, "ANSIBLE_FORCE_COLOR": "0"}
    )
    commands = Path(sys.executable).parent
    demo = Demo(env, instance, stages, sys.executable, str(commands / "ansible-playbook"), _setup_s())
    try:
        summary = demo.run()
    except (StageFailed, BadRequest, BuildFailed) as error:
        stages.console.print(f"demo: {error}", style="bold red", markup=False)
        raise typer.Exit(1) from None
    (logs / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _tell(stages.console, summary, demo.reports)
    broken = broken_promises(summary)
    for line in broken:
        stages.console.print(f"NOT AS PROMISED: {line}", style="bold red", markup=False)
    raise typer.Exit(1 if broken else 0)


def _setup_s() -> float:
    """Seconds since the set-up began, where the caller says when (PLUMBLINE_STARTED, unix seconds)."""
    try:
        return max(0.0, time.time() - float(os.environ["PLUMBLINE_STARTED"]))
    except (KeyError, ValueError):
        return 0.0


def _tell(console: Console, summary: dict[str, Any], reports: dict[str, Path]) -> None:
    """The table that the demo ends with."""
    table = Table(
        "version", "outcome", "stages", "detected after", "traffic back in", "proved", title="Releases"
    )
    for release in summary["releases"]:
        stages = ", ".join(f"{s['name']} {s['share']:g} % {s['decision']}" for s in release["stages"])
        table.add_row(
            release["version"],
            release["outcome"].replace("_", " "),
            stages,
            _seconds(release["detection_s"]),
            _seconds(release["rollback_s"]),
            {True: "yes", False: "NO", None: ""}[release["verified"]],
        )
    console.print(table)
    load, times = summary["load"], summary["timings_s"]
    console.print(
        f"Load: {load['requests']} requests, {load['failed']} failed, "
        f"{load['failed_outside_fault']} of them outside the injected fault"
    )
    console.print("Time: " + ", ".join(f"{name} {value:g} s" for name, value in times.items()))
    for version, folder in reports.items():
        console.print(f"Report of {version}: {folder / 'report.html'}")
    console.print("The platform keeps running. To look: python -m release status. To remove it: make down")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


if __name__ == "__main__":
    app()
