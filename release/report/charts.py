"""Two pictures of a release: P99 against time and error rate against time, stages and rollback marked."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from release.report.series import Point, Stage, Story

CANDIDATE, CONTROL, ROLLBACK = "#d1495b", "#2e6f95", "#7a1022"
BANDS = {"promote": "#dcefe3", "rollback": "#f8d9dc", "hold": "#f6ecd2"}
OTHER_BAND = "#ececec"


def p99(story: Story) -> Figure:
    """P99 of candidate and control, in milliseconds, against seconds since the release began."""
    return _figure(story, "P99 latency at the edge", "milliseconds", lambda p: _thousand(p.p99_s), log=True)


def errors(story: Story) -> Figure:
    """Error rate of candidate and control in percent, against seconds since the release began."""
    return _figure(story, "Errors at the edge", "% of requests", lambda p: _percent(p.error_rate))


def save_png(figure: Figure, path: Path) -> None:
    """Write a picture; the same figure gives the same bytes."""
    figure.savefig(path, dpi=140, metadata={"Software": None})


def svg(figure: Figure) -> str:
    """The picture as an <svg> element to put into a page, without an XML header."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "plumbline", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _figure(
    story: Story, title: str, unit: str, value: Callable[[Point], float | None], *, log: bool = False
) -> Figure:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.add_subplot()
    sides = [
        ("control", story.previous, story.control, CONTROL),
        ("candidate", story.version, story.candidate, CANDIDATE),
    ]
    top = 0.0
    for side, version, points, colour in sides:
        xy = [(p.at_s, y) for p in points if (y := value(p)) is not None]
        if xy:
            label = f"{version or 'nothing'} ({side})"
            axes.plot(
                *zip(*xy, strict=True), color=colour, marker="o", markersize=3.5, linewidth=1.8, label=label
            )
            top = max(top, *(y for _, y in xy))
    _scale(axes, top, log=log)
    _stages(axes, story.stages)
    _marks(axes, story)
    axes.set_title(f"{title}: {_headline(story)}", loc="left", fontsize=11, pad=26)
    axes.set_xlabel("seconds since the release began")
    axes.set_ylabel(unit)
    axes.grid(axis="y", color="#00000018")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", frameon=True, framealpha=0.9, fontsize=9)
    return figure


def _scale(axes: Axes, top: float, *, log: bool) -> None:
    """Latency spans decades, so it gets a logarithmic axis; errors start at 0, where they belong."""
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: ""))
        axes.set_ylim(bottom=1, top=max(top * 3, 100))
    else:
        axes.set_ylim(bottom=0, top=max(top * 1.35, 1.0))


def _stages(axes: Axes, stages: Sequence[Stage]) -> None:
    """A coloured band for each stage, named above the picture."""
    for stage in stages:
        until = max(stage.until_s, stage.from_s + 0.5)
        axes.axvspan(stage.from_s, until, color=BANDS.get(stage.decision, OTHER_BAND), zorder=0, linewidth=0)
        text = f"{stage.name} {stage.share:g} %\n{stage.decision}"
        axes.text(
            (stage.from_s + until) / 2,
            1.01,
            text,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            color="#333333",
        )


def _marks(axes: Axes, story: Story) -> None:
    """The rollback's decision, and the ticks that had no answer."""
    if story.rollback_s is not None:
        at = story.decided_s if story.decided_s is not None else story.rollback_s
        axes.axvline(at, color=ROLLBACK, linewidth=1.6, linestyle="--")
        took = f"\n0 % after {story.rollback_took_s:.1f} s" if story.rollback_took_s is not None else ""
        axes.annotate(
            f" rolled back{took}",
            (at, 0.97),
            xycoords=axes.get_xaxis_transform(),
            va="top",
            fontsize=9,
            color=ROLLBACK,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )
    for index, (at, _) in enumerate(story.blind):
        label = "no figures" if index == 0 else None
        axes.plot(
            at,
            0.02,
            marker="x",
            color="#555555",
            transform=axes.get_xaxis_transform(),
            linestyle="",
            label=label,
        )


def _headline(story: Story) -> str:
    against = f" after {story.previous}" if story.previous else ""
    return f"{story.version}{against}, {story.outcome.replace('_', ' ')}"


def _thousand(value: float | None) -> float | None:
    return None if value is None else value * 1000


def _percent(value: float | None) -> float | None:
    return None if value is None else value * 100
