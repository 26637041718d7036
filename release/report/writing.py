"""Write a release's report into a folder, each file whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.engine.progress import Entry
from release.report import charts, pages
from release.report.series import Story, tell


@dataclass(frozen=True)
class ReportPaths:
    """Where the parts of a report are."""

    html: Path
    markdown: Path
    p99: Path
    errors: Path
    summary: Path
    journal: Path


def write_report(entries: Sequence[Entry], journal: Path, head: str, out_dir: Path) -> ReportPaths:
    """Make the report of the release in `entries`; `journal` is copied beside it, `head` is its last hash.

    The same entries give the same files. Raises OSError when the folder can't be written.
    """
    story = tell(entries)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = ReportPaths(
        html=out_dir / "report.html",
        markdown=out_dir / "report.md",
        p99=out_dir / "p99.png",
        errors=out_dir / "errors.png",
        summary=out_dir / "summary.json",
        journal=out_dir / "journal.jsonl",
    )
    p99, errors = charts.p99(story), charts.errors(story)
    for figure, path in ((p99, paths.p99), (errors, paths.errors)):
        partial = path.with_suffix(".part.png")
        charts.save_png(figure, partial)
        partial.replace(path)
    _put(paths.html, pages.html(story, charts.svg(p99), charts.svg(errors), head))
    _put(paths.markdown, pages.markdown(story, head))
    _put(paths.summary, json.dumps(summary(story, head), indent=2) + "\n")
    _put(paths.journal, journal.read_text())
    return paths


def summary(story: Story, head: str) -> dict[str, Any]:
    """The report as data. Times in seconds, rates as fractions, shares in percent."""
    return {
        "release_id": story.release_id,
        "environment": story.environment,
        "version": story.version,
        "previous": story.previous,
        "profile": story.profile,
        "outcome": story.outcome,
        "began_at": story.began_at,
        "ended_at": story.ended_at,
        "injected_faults": [dict(fault) for fault in story.faults],
        "stages": [
            {
                "name": stage.name,
                "share": stage.share,
                "samples": stage.samples,
                "seconds": round(stage.until_s - stage.from_s, 3),
                "decision": stage.decision,
                "reason": stage.reason,
            }
            for stage in story.stages
        ],
        "detection_s": _rounded(story.detection_s),
        "rollback_s": _rounded(story.rollback_took_s),
        "verified": story.verified,
        "checks": [dict(check) for check in story.checks],
        "slis": [
            {
                "name": sli.name,
                "target": sli.target,
                "min": sli.least,
                "avg": sli.average,
                "max": sli.most,
                "pass": sli.passed,
            }
            for sli in story.slis
        ],
        "ticks_without_figures": len(story.blind),
        "journal_head": head,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _put(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
