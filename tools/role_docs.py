"""README.md of each role, made from its meta/argument_specs.yml: `python -m tools.role_docs [--check]`.

With --check nothing is written; exit 1 names the files that differ from what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
GENERATED = "<!-- Made from meta/argument_specs.yml by `python -m tools.role_docs`. -->"


def readme(role: Path) -> str:
    """The README of one role."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    parts = [f"# Role `{role.name}`", GENERATED]
    for entry, spec in specs.items():
        if len(specs) > 1:
            parts.append(f"## tasks/{entry}.yml")
        parts.append(f"**{spec['short_description']}.**")
        parts.append("\n".join(f"- {point}" for point in spec["description"]))
        parts.append(table(spec["options"]))
    return "\n\n".join(parts) + "\n"


def table(options: dict[str, dict[str, Any]]) -> str:
    """The options as a Markdown table, in the order of the file."""
    rows = ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        kind = f"{option['type']} of {option['elements']}" if "elements" in option else option["type"]
        choices = f" One of: {', '.join(option['choices'])}." if "choices" in option else ""
        rows.append(f"| `{name}` | {kind} | {default(option)} | {option['description']}{choices} |")
    return "\n".join(rows)


def default(option: dict[str, Any]) -> str:
    """The default as it is shown."""
    if "default" not in option:
        return "required" if option.get("required") else "none"
    value = option["default"]
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    text = text.removesuffix("...\n").strip().replace("|", "\\|")
    return f"`{text}`" if text else "empty"


def main(arguments: list[str] | None = None) -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(prog="python -m tools.role_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args(arguments).check
    stale = []
    for specs in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = specs.parent.parent
        target, text = role / "README.md", readme(role)
        if target.exists() and target.read_text() == text:
            continue
        stale.append(str(target.relative_to(ROLES.parent)))
        if not check:
            target.write_text(text)
    if check and stale:
        print(f"out of date: {', '.join(stale)}; run: python -m tools.role_docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
