"""`python -m release`: look at releases. Releasing itself is `ansible-playbook release.yml`.

Exit codes: 0 ok, 1 a journal was tampered with, 2 bad input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from infra import paths
from release import journal, status
from release.engine.baseline import BASELINE_S, EVERY_S, measure
from release.engine.request import BadRequest, check_version
from release.engine.serving import what_serves
from release.engine.session import ReleaseFailed, SystemClock
from release.engine.site import of_environment
from release.engine.store import Releases
from release.lock import alive
from release.plan import make_plan, render
from release.profile import ProfileError, load_profile
from release.report import write_report
from release.report.series import tell
from release.report.writing import summary

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Env = Annotated[str, typer.Argument(help="environment, such as dev")]
Instance = Annotated[str, typer.Option(envvar="PLUMBLINE_INSTANCE", help="a parallel copy of it")]
ReleaseId = Annotated[str, typer.Argument(help="a release's id; the newest when left out")]


@app.command("status")
def show_status(
    env: Env = "dev",
    instance: Instance = "",
    release_id: Annotated[str, typer.Option("--id", help="a release's id; the newest when left out")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show the running or last release: stages, evidence, decision, proof of a rollback."""
    releases, chosen = _chosen(env, instance, release_id)
    entries = releases.entries(chosen)
    story, progress, holder = tell(entries), releases.look(chosen), releases.lock.holder()
    if as_json:
        now = {"share": progress.share_bp / 100, "next_step": progress.next_step, "open": progress.open}
        held = None if holder is None else {**vars(holder), "alive": alive(holder)}
        print(json.dumps({**summary(story, entries[-1].hash), **now, "lock": held}, indent=2))
        return
    holder = holder if progress.open else None
    Console(highlight=False).print(status.view(story, progress, holder, entries[-1].hash))


@app.command()
def plan(
    env: Env = "dev",
    instance: Instance = "",
    profile: Annotated[str, typer.Option(help="a profile's name or file")] = "canary",
    version: Annotated[str, typer.Option(help="the version that would be released")] = "0.0.1",
    rate: Annotated[float | None, typer.Option(help="requests/s; measured when left out")] = None,
) -> None:
    """Say what a release would do: windows, requests needed, and whether the traffic can deliver them."""
    try:
        loaded = load_profile(profile)
        check_version(version)
        if rate is not None:
            if rate < 0:
                raise BadRequest(f"rate: {rate:g} is not allowed; use requests a second, 0 or more")
            print(render(make_plan(loaded, version, "(now)", "green", rate)))
            return
        site = of_environment(env, instance)
        serving = what_serves(site.fleet)
        found = site.source.history(SystemClock().now(), BASELINE_S, EVERY_S)
        if not isinstance(found, list):
            _stop(f"metrics: {found.why}; give --rate to plan without them")
        seen = measure(loaded, serving.slot, found)
        made = make_plan(loaded, version, serving.version, serving.idle, seen.rate_per_s, baseline=seen.gates)
        print(render(made))
    except (BadRequest, ProfileError, ReleaseFailed) as error:
        _stop(str(error))


@app.command("verify-journal")
def verify_journal(release_id: ReleaseId = "", env: str = "dev", instance: Instance = "") -> None:
    """Prove that a journal wasn't altered, cut or reordered."""
    releases, chosen = _chosen(env, instance, release_id)
    anchor = journal.read_anchor(releases.anchor)
    mine = anchor if anchor is not None and anchor.release_id == chosen else None
    lines = journal.read_lines(releases.journal_path(chosen))
    problems = journal.verify(lines, mine)
    for problem in problems:
        print(f"{chosen} line {problem.line}: {problem.what}")
    if problems:
        raise typer.Exit(1)
    anchored = "its end is anchored" if mine else "its end isn't anchored (a newer release has the anchor)"
    print(f"{chosen}: {len(lines)} entries, unaltered; {anchored}")


@app.command()
def report(
    release_id: ReleaseId = "",
    env: str = "dev",
    instance: Instance = "",
    out: Annotated[Path | None, typer.Option(help="folder; results/<id> when left out")] = None,
) -> None:
    """Write a release's report again, from its journal."""
    releases, chosen = _chosen(env, instance, release_id)
    path = releases.journal_path(chosen)
    entries = [journal.parse(line) for line in journal.read_lines(path)]
    written = write_report(entries, path, entries[-1].hash, out or paths.repo_root() / "results" / chosen)
    print(written.html)


def _chosen(env: str, instance: str, release_id: str) -> tuple[Releases, str]:
    """An environment's releases and the one that is meant; ends the program when there is none."""
    try:
        folder = paths.state_root() / paths.qualified(env, instance)
    except ValueError as error:
        _stop(str(error))
    if not (folder / "releases").is_dir():
        _stop(f"environment: {folder.name!r} has no releases yet; run: ansible-playbook release.yml")
    releases = Releases(folder)
    ids = releases.ids()
    if not ids or (release_id and release_id not in ids):
        allowed = ", ".join(ids[-5:]) or "none yet"
        _stop(f"release: {release_id or '(newest)'!r} is not known in {folder.name}; the last are: {allowed}")
    return releases, release_id or ids[-1]


def _stop(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(2)
