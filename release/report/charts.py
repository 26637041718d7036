"""Two pictures of a release: P99 against time and error rate against time, stages and rollback marked."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from release.report.series import Point, Stage, Story

CANDIDATE, CONTROL, ROLLBACK, LIMIT = "#d1495b", "#2e6f95", "#7a1022", "#5b6675"
BANDS = {"promote": "#dcefe3", "rollback": "#f8d9dc", "hold": "#f6ecd2"}
OTHER_BAND = "#ececec"
WORDS = {"promote": "promoted", "rollback": "rolled back", "hold": "held"}
#: Time axis: (longest span in seconds that it suits, seconds in a unit, its name).
UNITS = ((600.0, 1.0, "seconds"), (7200.0, 60.0, "minutes"), (math.inf, 3600.0, "hours"))

Value = Callable[[Point], float | None]


def p99(story: Story) -> Figure:
    """P99 of candidate and control in milliseconds against the time since the release began."""
    limit = _times(story.p99_limit_s, 1000)
    figure, axes = _figure(story, "P99 latency at the edge", _p99_ms, limit)
    axes.set_yscale("log")
    seen = _values(story, _p99_ms, limit)
    axes.set_ylim(min([10.0, *seen]) / 2, max([100.0, *seen]) * 3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"{y / 1000:g} s" if y >= 1000 else f"{y:g} ms")
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("99 % of requests are faster than")
    return figure


def errors(story: Story) -> Figure:
    """Error rate of candidate and control in percent against the time since the release began."""
    limit = _times(story.error_limit, 100)
    figure, axes = _figure(story, "Errors at the edge", _error_percent, limit)
    top = max([1.0, *_values(story, _error_percent, limit)]) * 1.35
    axes.set_ylim(-0.03 * top, top)  # a little below 0, so that a line without errors is seen
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g} %"))
    axes.set_ylabel("requests that failed")
    return figure


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


def _figure(story: Story, title: str, value: Value, limit: float | None) -> tuple[Figure, Axes]:
    """Everything but the scale of the vertical axis."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.add_subplot()
    first, last = _span(story)
    unit_s, unit = next((s, name) for longest, s, name in UNITS if last - first <= longest)
    blind = [(at, None) for at, _ in story.blind]
    for points, label, colour in (
        (story.control, f"{story.previous or 'nothing'}, serving before", CONTROL),
        (story.candidate, f"{story.version}, released", CANDIDATE),
    ):
        _line(axes, sorted([*((p.at_s, value(p)) for p in points), *blind], key=_time), label, colour)
    if limit is not None:
        axes.axhline(limit, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 3)), label="allowed at most")
    margin = 0.01 * (last - first)
    _stages(axes, story.stages, last - first)
    _marks(axes, story, first + 0.82 * (last - first))
    axes.set_title(f"{title}: {_headline(story)}", loc="left", fontsize=12, fontweight="bold", pad=30)
    units = MaxNLocator(steps=[1, 2, 5, 10]).tick_values(first / unit_s, last / unit_s)
    axes.set_xticks([x * unit_s for x in units])
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / unit_s:g}"))
    axes.set_xlabel(f"{unit} since the release began")
    axes.grid(axis="y", color="#00000014")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure, axes


def _span(story: Story) -> tuple[float, float]:
    """First and last second that there is anything to show of; never an empty span."""
    ends = [story.ended_at - story.began_at] if story.ended_at else []
    times = [p.at_s for p in (*story.candidate, *story.control)]
    times += [t for stage in story.stages for t in (stage.from_s, stage.until_s)]
    times += [at for at, _ in story.blind] + ends + [0.0]
    return min(times), max(*times, min(times) + 1.0)


def _values(story: Story, value: Value, limit: float | None) -> list[float]:
    """All that the vertical axis must show."""
    seen = [value(point) for point in (*story.candidate, *story.control)]
    return [y for y in (*seen, limit) if y is not None]


def _line(axes: Axes, points: Sequence[tuple[float, float | None]], label: str, colour: str) -> None:
    """One version over time, interrupted where there is no figure."""
    if all(y is None for _, y in points):
        return
    xy = [(x, math.nan if y is None else y) for x, y in points]
    size = 4.5 if len(xy) < 60 else 0.0
    axes.plot(*zip(*xy, strict=True), color=colour, marker="o", markersize=size, linewidth=1.8, label=label)


def _stages(axes: Axes, stages: Sequence[Stage], span_s: float) -> None:
    """A coloured band for each stage, named above the picture; names of short ones don't overlap."""
    free_from = -math.inf
    for stage in stages:
        until = max(stage.until_s, stage.from_s + 0.004 * span_s)
        axes.axvspan(stage.from_s, until, color=BANDS.get(stage.decision, OTHER_BAND), zorder=0, linewidth=0)
        half = 0.055 * span_s
        middle = max((stage.from_s + until) / 2, free_from + half)
        free_from = middle + half
        axes.text(
            middle,
            1.015,
            f"{stage.name} {stage.share:g} %\n{WORDS.get(stage.decision, stage.decision)}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8.5,
            color="#333333",
        )


def _marks(axes: Axes, story: Story, late: float) -> None:
    """The rollback, named on its right (the candidate is on its left) unless it is too late; blind ticks."""
    if story.rollback_s is not None:
        at = story.decided_s if story.decided_s is not None else story.rollback_s
        axes.axvline(at, color=ROLLBACK, linewidth=1.6)
        took = story.rollback_took_s
        said = "rollback decided" + (f",\n0 % of traffic {took:.1f} s later" if took is not None else "")
        axes.annotate(
            said,
            (at, 0.96),
            xytext=(6 if at < late else -6, 0),
            textcoords="offset points",
            xycoords=axes.get_xaxis_transform(),
            ha="left" if at < late else "right",
            va="top",
            fontsize=9,
            color=ROLLBACK,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
        )
    for index, (at, _) in enumerate(story.blind):
        label = "no figures" if index == 0 else None
        axes.axvline(at, color="#8a8a8a", linewidth=1.0, linestyle=":", label=label)


def _p99_ms(point: Point) -> float | None:
    return _times(point.p99_s, 1000)


def _error_percent(point: Point) -> float | None:
    return _times(point.error_rate, 100)


def _time(point: tuple[float, float | None]) -> float:
    return point[0]


def _headline(story: Story) -> str:
    against = f" after {story.previous}" if story.previous else ""
    return f"{story.version}{against}, {story.outcome.replace('_', ' ')}"


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
