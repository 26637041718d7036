"""docs/metrics.md, made from the tables: `python -m app.observing.metrics [--check]`.

With --check nothing is written; exit 1 says that the file differs from what would be written.
"""

import argparse
import sys
from pathlib import Path

from app.observing.metrics import SUBJECTS
from app.observing.metrics.series import Metric

PATH = Path(__file__).resolve().parents[3] / "docs/metrics.md"
HEAD = """# Metrics of the service

<!-- Made from app/observing/metrics by `python -m app.observing.metrics`. -->

`GET /metrics` on each slot's port, over all processes of that server. Every series also has the labels
`slot` and `version`. Gauges are merged over the living processes as the table says. Counters begin at 0
with each start.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(subject, table) for subject, table in SUBJECTS.items())])


def _section(subject: str, table: tuple[Metric, ...]) -> str:
    rows = [f"## {subject}", "", "| Metric | Kind | Labels | Meaning |", "|---|---|---|---|"]
    for metric in table:
        labels = "; ".join(
            f"`{name}`" + (": " + ", ".join(values) if values else "")
            for name, values in metric.labels.items()
        )
        merge = {"livesum": "sum", "livemax": "highest", "livemin": "lowest", None: ""}[metric.merge]
        kind = f"{metric.kind}, {merge}" if merge else metric.kind
        rows.append(f"| `{metric.name}` | {kind} | {labels} | {metric.help}. |")
    return "\n".join(rows) + "\n"


def main(arguments: list[str] | None = None, path: Path = PATH) -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(prog="python -m app.observing.metrics", description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args(arguments).check:
        path.write_text(page())
        return 0
    if path.is_file() and path.read_text() == page():
        return 0
    print(f"{path} is not what the tables say; run: python -m app.observing.metrics", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
