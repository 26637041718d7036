"""The running or last release, for a terminal: stages, evidence, decision, and how a rollback was proved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from release.engine.progress import Progress
from release.lock import Holder, alive
from release.report.series import Stage, Story

COLOURS = {
    "promoted": "green",
    "deployed": "green",
    "rolled_back": "yellow",
    "rollback_unverified": "bold red",
}


def view(story: Story, progress: Progress, holder: Holder | None, head: str) -> Group:
    """Everything at a glance."""
    parts: list[RenderableType] = [_headline(story), Text(_where(story, progress, holder))]
    if story.stages:
        parts.append(_stages(story))
    if (evidence := _latest_evidence(progress)) is not None:
        parts.append(_evidence(evidence, progress))
    parts += [Text(f"{stage.name}: {stage.reason}") for stage in story.stages if stage.reason]
    if progress.rollback is not None:
        parts.append(Text(f"rollback: {progress.rollback['reason']}"))
    if progress.verification is not None:
        parts.append(_checks(progress.verification))
    parts.append(Text(f"journal head {head[:16]}", style="dim"))
    return Group(*parts)


def _headline(story: Story) -> Text:
    state = story.outcome.replace("_", " ")
    before = f" after {story.previous}" if story.previous else ""
    text = Text(f"{story.release_id}  {story.version}{before}  ")
    return text.append(state, style=COLOURS.get(story.outcome, "cyan"))


def _where(story: Story, progress: Progress, holder: Holder | None) -> str:
    line = f"{story.environment}, profile {story.profile}, slot {progress.candidate}"
    line += f", {progress.share_bp / 100:g} % of traffic"
    if holder is not None:
        line += f"; {'run by' if alive(holder) else 'left by a dead process:'} {holder}"
    elif progress.open:
        line += f"; nobody works on it, next step: {progress.next_step or 'promotion'}"
    return line


def _stages(story: Story) -> Table:
    table = Table("stage", "share", "time", "samples", "decision")
    for stage in story.stages:
        table.add_row(
            stage.name,
            f"{stage.share:g} %",
            f"{stage.until_s - stage.from_s:.0f} s",
            f"{stage.samples}",
            _decision(stage),
        )
    return table


def _decision(stage: Stage) -> Text:
    style = {"promote": "green", "rollback": "red", "hold": "yellow"}.get(stage.decision, "")
    return Text(stage.decision, style=style)


def _latest_evidence(progress: Progress) -> Mapping[str, Any] | None:
    ticks = [tick for step in progress.steps.values() for tick in step.ticks]
    if not ticks:
        return None
    last: Mapping[str, Any] = max(ticks, key=lambda tick: tick.ts).data
    return last


def _evidence(tick: Mapping[str, Any], progress: Progress) -> Table:
    """The last tick's e-values beside what each gate needs to reject, or to show health."""
    plan = (progress.preflight or {})["plan"]
    step = next(s for s in plan["steps"] if s["name"] == tick["step"])
    title = f"evidence at the last tick ({tick['step']}, {tick['observation']['kind'].replace('_', ' ')})"
    table = Table(
        "gate", "bad / requests", "e of harm", "rejects at", "e of health", "healthy at", title=title
    )
    for gate, planned in zip(tick["evidence"]["gates"], step["gates"], strict=True):
        health = gate["log_e_health"]
        table.add_row(
            gate["name"],
            f"{gate['bad']} / {gate['requests']}",
            _e(gate["log_e_harm"]),
            f"{1 / planned['alpha']:.0f}",
            "" if health is None else _e(health),
            "" if health is None else f"{1 / planned['health_alpha']:.0f}",
        )
    return table


def _e(log_e: float) -> str:
    """An e-value from its natural logarithm."""
    return f"{math.exp(log_e):.3g}" if log_e < 50 else f"1e{log_e / math.log(10):.0f}"


def _checks(verification: Mapping[str, Any]) -> Table:
    table = Table("rollback proved by", "", "what was seen")
    for check in verification["checks"]:
        mark = Text("ok", style="green") if check["passed"] else Text("NOT", style="bold red")
        table.add_row(check["name"], mark, check["detail"])
    return table
