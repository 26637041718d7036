"""System packages: which ones are missing and why, said before apt installs them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra import paths
from tools.setup import docker, images, venv
from tools.setup.shell import Log, SetupError, as_root

Find = Callable[[str], str | None]


@dataclass(frozen=True)
class Need:
    """A package that is missing, and what for."""

    package: str
    why: str


def installing_allowed() -> bool:
    """Whether PLUMBLINE_INSTALL lets the set-up install packages. Raises SetupError for another value."""
    value = os.environ.get("PLUMBLINE_INSTALL", "yes")
    if value not in ("yes", "no"):
        raise SetupError(f"PLUMBLINE_INSTALL: {value!r} is not allowed; use yes or no", code=2)
    return value == "yes"


def apt_knows(package: str) -> bool:
    """Whether apt has a version of the package to offer."""
    shown = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, timeout=30, check=False
    )
    return "Candidate:" in shown.stdout and "Candidate: (none)" not in shown.stdout


def missing(
    with_docker: bool, with_images: bool, find: Find = shutil.which, *, for_benchmarks: bool = False
) -> list[Need]:
    """Packages that the wanted steps can't do without and this machine lacks."""
    found: list[Need] = []
    if not venv.ready() and importlib.util.find_spec("ensurepip") is None:
        found.append(Need("python3-venv", "the virtual environment is made with it"))
    if find("git") is None:
        found.append(Need("git", "versions carry the commit that they were built from"))
    if find("make") is None:
        found.append(Need("make", "the commands of the README"))
    if with_docker:
        found += missing_for_docker(find)
    if for_benchmarks and find("wrk") is None:
        found.append(Need("wrk", "the load of the service's benchmarks"))
    if with_images and find("mmdebstrap") is None and not base_can_be_had(find):
        found.append(Need("mmdebstrap", "makes the base of the container images"))
    return found


def base_can_be_had(find: Find) -> bool:
    """Whether the base image, or the archive that it is made from, is there already."""
    if images.rootfs_archive().is_file():
        return True
    return find("docker") is not None and images.reference("base") in images.present()


def missing_for_docker(find: Find) -> list[Need]:
    """What Docker lacks: the command, and the daemon where none answers."""
    found: list[Need] = []
    if find("docker") is None:
        # Debian 13 has the command in a package of its own; before that it comes with the daemon.
        package = "docker-cli" if apt_knows("docker-cli") else "docker.io"
        found.append(Need(package, "talks to the Docker daemon"))
    if find("docker") is None or not docker.answers():
        if find("dockerd") is None and not os.environ.get("DOCKER_HOST"):
            found.append(Need("docker.io", "the Docker daemon, which runs the hosts and services of dev"))
        if find("iptables") is None and not os.environ.get("DOCKER_HOST"):
            found.append(Need("iptables", "the Docker daemon sets up its networks with it"))
    return found


def describe(needs: Iterable[Need]) -> list[str]:
    """One line for each package."""
    return [f"  {need.package}: {need.why}" for need in needs]


def install(needs: list[Need], log: Log) -> str:
    """Install packages by apt without a question. Raises SetupError (code 2) where that is not allowed."""
    wanted = sorted({need.package for need in needs})
    if not wanted:
        return "nothing missing"
    by_hand = f"apt-get install --no-install-recommends {' '.join(wanted)}"
    if not installing_allowed():
        lines = "\n".join(describe(needs))
        raise SetupError(f"PLUMBLINE_INSTALL=no, and these packages are missing:\n{lines}", by_hand, 2)
    if shutil.which("apt-get") is None:
        raise SetupError(f"packages: {', '.join(wanted)} are missing, and there is no apt-get here", code=2)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q"]
    with log.only_one("apt"):
        log.say("apt-get update")
        try:
            log.run(as_root([*quiet, "update"]))
        except SetupError:
            log.say("apt-get update failed somewhere; trying with what is known")
        log.say(f"apt-get install {' '.join(wanted)}")
        try:
            log.run(as_root([*quiet, "install", "--no-install-recommends", *wanted]))
        except SetupError as error:
            raise SetupError(str(error), by_hand) from error
    return f"installed {', '.join(wanted)}"


def announce(needs: list[Need]) -> None:
    """Say which packages will be installed and why, before anything is."""
    print("missing system packages, to be installed by apt:", *describe(needs), sep="\n", file=sys.stderr)


def cached_tools_missing() -> list[str]:
    """Tools that are neither on PATH nor cached."""
    return [
        name
        for name in paths.known_tools()
        if paths.tool_on_path(name) is None and not paths.cached_tool(name).is_file()
    ]
