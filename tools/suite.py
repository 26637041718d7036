"""The parts of `make lint` and `make test`, one after the other, with the time that each took.

`python3 -m tools.suite [--fail-fast] PART...`. Standard library only: the set-up is its first part.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from infra import paths
from tools.setup.timings import words


@dataclass(frozen=True)
class Part:
    """Commands that run one after the other, and the part of the set-up that they need."""

    commands: tuple[tuple[str, ...], ...]
    setup: str = "venv"


PARTS = {
    "lint": Part(
        (
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy", "-p", "release", "-p", "infra", "-p", "tools"),
            ("yamllint", "--strict", "."),
            ("ansible-lint", "--offline", "--profile", "production"),
        )
    ),
    "unit": Part((("python", "-m", "pytest", "-q", "tests/unit"),)),
    "integration": Part((("python", "-m", "pytest", "-q", "tests/integration"),), "all"),
    "e2e": Part((("python", "-m", "pytest", "-q", "tests/e2e"),), "all"),
    "molecule": Part((("molecule", "test", "--all"),), "all"),
}


def run_part(part: Part, environment: dict[str, str]) -> bool:
    """Run all commands of a part, also after one failed, so that one run shows everything."""
    well = True
    for command in part.commands:
        print(f"$ {' '.join(command)}", flush=True)
        ended = subprocess.run(command, cwd=paths.repo_root(), env=environment, check=False)
        if ended.returncode != 0:
            print(f"`{' '.join(command)}` ended with {ended.returncode}", flush=True)
            well = False
    return well


def set_up(wanted: list[str]) -> int:
    """Make ready what the parts need; the exit code of the set-up."""
    needed = "all" if any(PARTS[name].setup == "all" for name in wanted) else "venv"
    command = [sys.executable, "-m", "tools.setup", "--quiet", needed]
    return subprocess.run(command, cwd=paths.repo_root(), check=False).returncode


def environment(part: str) -> dict[str, str]:
    """Commands come from the virtual environment. Lint needs an inventory that nobody has to provision."""
    bin_folder = paths.repo_root() / ".venv" / "bin"
    inventory = {"ANSIBLE_INVENTORY": "inventory/static.example.yml"} if part == "lint" else {}
    return {
        **os.environ,
        **inventory,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(bin_folder.parent),
    }


def table(rows: list[tuple[str, bool, float]]) -> list[str]:
    """One line a part: name, outcome, time."""
    total = sum(seconds for _, _, seconds in rows)
    lines = [f"  {name:<12} {'ok' if well else 'FAILED':<7} {words(seconds)}" for name, well, seconds in rows]
    return [*lines, f"  {'total':<12} {'':<7} {words(total)}"]


def main() -> int:
    """Exit codes: 0 all parts are fine, 1 one failed, else what the set-up ended with."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.suite", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=sorted(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first part that fails")
    given = parser.parse_args()
    started = time.monotonic()
    if code := set_up(given.parts):
        return code
    rows = [("set-up", True, time.monotonic() - started)]
    for name in given.parts:
        print(f"== {name}", flush=True)
        started = time.monotonic()
        well = run_part(PARTS[name], environment(name))
        rows.append((name, well, time.monotonic() - started))
        if not well and given.fail_fast:
            break
    print("\nparts:", *table(rows), sep="\n", flush=True)
    return 0 if all(well for _, well, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
