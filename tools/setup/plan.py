"""The steps of a set-up and what each one needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from infra import paths
from tools.setup import binaries, docker, images, packages, rootfs, timings, venv
from tools.setup.graph import Step
from tools.setup.shell import Log, SetupError

PARTS = ("venv", "packages", "docker", "tools", "images")


class Plan:
    """Collects the steps that are not done yet, each with its log."""

    def __init__(self, log: Callable[[str], Log]):
        self._new_log = log
        self.logs: dict[str, Log] = {}
        self.steps: list[Step] = []
        self.ready: dict[str, str] = {}
        self.packages: list[packages.Need] = []

    def add(self, name: str, work: Callable[[Log], str], needs: tuple[str, ...] = ()) -> None:
        """Put a step into the plan. Needs that are ready already are dropped."""
        self.logs[name] = self._new_log(name)
        missing = tuple(need for need in needs if need not in self.ready)
        self.steps.append(Step(name, partial(self._timed, name, work), missing))

    def _timed(self, name: str, work: Callable[[Log], str]) -> str:
        log = self.logs[name]
        log.path.write_text("")
        started = timings.now()
        result = work(log)
        if not log.waited:  # somebody else's work says nothing about how long this takes
            timings.remember(name, timings.now() - started)
        return result


def make(parts: set[str], log: Callable[[str], Log], only_images: list[str] | None = None) -> Plan:
    """What is left to do for the wanted parts. Asks this machine, changes nothing.

    `only_images` limits the images to these and their parents.
    """
    plan = Plan(log)
    wanted = wanted_images(only_images) if "images" in parts else []
    tools = tools_for(parts, wanted)
    with_docker = bool(parts & {"docker", "images"})
    needs = plan.packages = packages.missing(with_docker, "images" in parts, for_benchmarks="bench" in parts)
    if needs:
        plan.add("packages", partial(packages.install, needs))
    else:
        plan.ready["packages"] = "nothing missing"
    if "venv" in parts:
        if venv.ready():
            plan.ready["venv"] = "filled from these locks"
        else:
            plan.add(
                "venv", venv.make, ("packages",) if any(n.package == "python3-venv" for n in needs) else ()
            )
    if with_docker:
        known = docker.version()[0]
        if known:
            plan.ready["docker"] = f"{known} answers"
        else:
            plan.add("docker", docker.start, ("packages",))
    for tool in tools:
        found = binaries.ready(tool)
        if found:
            plan.ready[f"tool {tool}"] = found
        else:
            plan.add(f"tool {tool}", partial(binaries.acquire, tool))
    add_images(plan, wanted)
    return plan


def wanted_images(only: list[str] | None) -> list[str]:
    """The images asked for with their parents, parents first; all of them by default."""
    if only is None:
        return images.names()
    asked = {above for name in only for above in images.lineage(name)}
    return [name for name in images.names() if name in asked]


def tools_for(parts: set[str], wanted: list[str]) -> list[str]:
    """Tools to have: all when they are asked for, else those that go into a wanted image that is missing."""
    if "tools" in parts:
        return paths.known_tools()
    there = images.present() if wanted else set()
    inside = {
        tool for name in wanted if images.reference(name) not in there for tool in images.tools_inside(name)
    }
    return sorted(inside)


def add_images(plan: Plan, wanted: list[str]) -> None:
    """Steps for the images that this daemon lacks, and for the base archive when the base is among them."""
    there = images.present() if wanted and "docker" in plan.ready else set()
    for name in wanted:
        if images.reference(name) in there:
            plan.ready[f"image {name}"] = images.reference(name)
            continue
        above = images.parent(name)
        needs = [
            "docker",
            *([f"image {above}"] if above else []),
            *(f"tool {t}" for t in images.tools_inside(name)),
        ]
        if name == "base" and images.rootfs_archive().is_file():
            plan.ready["base archive"] = "cached"
        elif name == "base":
            plan.add("base archive", make_archive, ("packages",))
            needs.append("base archive")
        plan.add(f"image {name}", partial(build_image, name), tuple(needs))


def make_archive(log: Log) -> str:
    """The base file system, once for all set-ups of this user."""
    with log.only_one("base-archive"):
        log.say("mmdebstrap makes the base from this machine's apt sources")
        try:
            return rootfs.make(log.run).name
        except rootfs.NoDebianSourcesError as error:
            raise SetupError(str(error), "add Debian's main archive to /etc/apt/sources.list.d", 2) from error


def build_image(name: str, log: Log) -> str:
    """One image, once for all set-ups of this user."""
    reference = images.reference(name)
    with log.only_one(f"image-{name}"):
        if reference not in images.present():
            log.say(f"docker build {reference}")
            images.build(name, log.run)
    return reference
