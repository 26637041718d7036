"""`python3 -m tools.setup [all|venv|packages|docker|tools|control|images|bench|image NAME|status]`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from types import FrameType

from infra import paths
from tools.setup import checks, graph, images, packages, plan, timings
from tools.setup.progress import Progress
from tools.setup.shell import Children, Log, SetupError

WORKERS = 6
# What a part can't do without.
INCLUDES = {
    "all": set(plan.PARTS),
    "venv": {"venv"},
    "packages": set(plan.PARTS) - {"venv", "tools"},
    "docker": {"docker"},
    "tools": {"tools"},
    "control": {"venv", "docker", "tools"},
    "images": {"docker", "images"},
    "bench": {"venv", "docker", "images", "bench"},
}


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.setup", description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=[*INCLUDES, "image", "status"])
    parser.add_argument("image", nargs="?", help="with `image`: which one; its reference is printed")
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    return parser


def main() -> int:
    """Exit codes: 0 ready, 1 a step failed, 2 refused before anything was touched, 130 interrupted."""
    parser = arguments()
    given = parser.parse_args()
    if (given.part == "image") != (given.image is not None):
        parser.error("`image` takes the name of one image, and nothing else does")
    try:
        if given.part == "status":
            return status()
        if given.part == "image":
            code = set_up({"docker", "images"}, [given.image], quiet=True)
            if code == 0:
                print(images.reference(given.image))
            return code
        return set_up(INCLUDES[given.part], None, given.quiet)
    except images.UnknownImageError as error:
        print(error, file=sys.stderr)
        return 2
    except SetupError as error:
        print(error, *([f"next: {error.fix}"] if error.fix else []), sep="\n", file=sys.stderr)
        return error.code


def set_up(parts: set[str], only_images: list[str] | None, quiet: bool) -> int:
    """Do what is left to do for the parts."""
    started = time.monotonic()
    allowed = packages.installing_allowed()
    if found := checks.problems(with_docker=bool(parts & {"docker", "images"})):
        print("the set-up cannot start:", *(f"  {line}" for line in found), sep="\n", file=sys.stderr)
        return 2
    children = Children()
    todo = plan.make(parts, lambda name: Log(name, children), only_images)
    if not todo.steps:
        if not quiet:
            print(f"set-up: nothing to do ({time.monotonic() - started:.1f} s)", file=sys.stderr)
        return 0
    needs = todo.packages
    if needs and not allowed:
        return told_only(needs, parts)
    if needs:
        packages.announce(needs)
    return carry_out(todo, children, started)


def told_only(needs: list[packages.Need], parts: set[str]) -> int:
    """PLUMBLINE_INSTALL=no: say what is missing, touch nothing."""
    lines = packages.describe(needs)
    print("PLUMBLINE_INSTALL=no, and these system packages are missing:", *lines, sep="\n", file=sys.stderr)
    if "tools" in parts and shutil.which("go") is None and (absent := packages.cached_tools_missing()):
        print(
            f"  golang-go: only if the official release of {' and '.join(absent)} can't be had",
            file=sys.stderr,
        )
    wanted = " ".join(sorted({need.package for need in needs}))
    print(f"next: apt-get install --no-install-recommends {wanted}", file=sys.stderr)
    return 2


def carry_out(todo: plan.Plan, children: Children, started: float) -> int:
    """Run the steps and report."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, stop)
    last = timings.load()
    for name in todo.ready:
        print(f"  there {name}: {todo.ready[name]}", file=sys.stderr)
    progress = Progress(todo.logs, last)
    try:
        well = graph.run(todo.steps, WORKERS, tick=progress.tick, on_interrupt=children.end)
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    spent = timings.words(time.monotonic() - started)
    if well:
        print(f"set-up: ready after {spent}", file=sys.stderr)
        return 0
    failed = [step for step in todo.steps if step.state == "failed"]
    print(f"set-up: {', '.join(step.name for step in failed)} failed after {spent}", file=sys.stderr)
    return max(getattr(step.error, "code", 1) for step in failed)


def status() -> int:
    """Say what is ready and what is not; changes nothing."""
    todo = plan.make(set(plan.PARTS), lambda name: Log(name, Children()))
    last = timings.load()
    for name, how in todo.ready.items():
        print(f"ready    {name}: {how}")
    for step in todo.steps:
        took = f" (last time {timings.words(last[step.name])})" if step.name in last else ""
        print(f"missing  {step.name}{took}")
    print(f"cache    {paths.cache_dir()}")
    return 0 if not todo.steps else 1


if __name__ == "__main__":
    sys.exit(main())
