"""The words of a report: one HTML page that needs nothing beside it, and the same in Markdown. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from release.report.series import Sli, Story

HEADLINES = {
    "promoted": ("good", "Promoted"),
    "deployed": ("good", "Deployed"),
    "rolled_back": ("bad", "Rolled back, and the rollback is verified"),
    "rollback_unverified": ("worst", "Rolled back, but the rollback could NOT be verified"),
    "failed": ("bad", "Failed before it took traffic"),
}


def headline(story: Story) -> tuple[str, str]:
    """(class, words) for the first line."""
    return HEADLINES.get(story.outcome, ("open", story.outcome.replace("_", " ").capitalize()))


def when(unix_s: float) -> str:
    """A time as people write it, UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def percent(rate: float | None) -> str:
    """A fraction in percent; a dash when nothing was measured."""
    return "-" if rate is None else f"{rate * 100:.2f} %"


def passed(sli: Sli) -> str:
    """One word for the table's last column."""
    return {True: "pass", False: "FAIL", None: "no data"}[sli.passed]


def fault_line(story: Story) -> str:
    """What was injected on purpose, or nothing."""
    if not story.faults:
        return ""
    kinds = ", ".join(
        " ".join(str(f[k]) for k in ("kind", "mode") if k in f)
        + (f" ({float(f['share']) * 100:g} % of its requests)" if "share" in f else "")
        for f in story.faults
    )
    return f"This version's configuration injects a fault on purpose: {kinds}."


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("release.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=select_autoescape(["html.j2"]),
    )
    env.filters.update(when=when, percent=percent, passed=passed)
    return env


def html(story: Story, p99_svg: str, errors_svg: str, head: str) -> str:
    """The page. The pictures are inline SVG: no script, nothing to load, and it prints."""
    return _render("report.html.j2", story, p99_svg=p99_svg, errors_svg=errors_svg, head=head)


def markdown(story: Story, head: str) -> str:
    """The same as Markdown, with the pictures beside it."""
    return _render("report.md.j2", story, head=head)


def _render(template: str, story: Story, **more: str) -> str:
    kind, words = headline(story)
    return (
        _environment()
        .get_template(template)
        .render(story=story, kind=kind, words=words, fault=fault_line(story), **more)
    )
