"""What can be known to go wrong before anything is started."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from infra import paths
from tools.setup import docker

LEAST_DISK_GIB = 5.0


def nearest_existing(path: Path) -> Path:
    """The path, or the closest directory above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def disk_problem(places: Iterable[Path], least_gib: float = LEAST_DISK_GIB) -> str | None:
    """A line about the first place with too little free space, or None."""
    for place in places:
        there = nearest_existing(place)
        free = shutil.disk_usage(there).free / 2**30
        if free < least_gib:
            return f"disk: {free:.1f} GiB free at {there}; {least_gib:.0f} GiB are needed"
    return None


def port_problem(ports: Iterable[int], address: str = "127.0.0.1") -> str | None:
    """A line that names the first port that something listens on already, or None."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                who = f"see who has it: ss -ltnp 'sport = :{port}'"
                return f"port: {address}:{port} is taken ({error.strerror}); {who}"
    return None


def system_problem() -> str | None:
    """A line about an operating system that the set-up doesn't know, or None."""
    if not sys.platform.startswith("linux"):
        return f"system: {sys.platform} is not supported; use Debian 12 or 13"
    return None


def docker_problem() -> str | None:
    """A line when no Docker daemon answers and none can be started, or None."""
    if docker.answers() or (os.environ.get("DOCKER_HOST") is None and may_become_root()):
        return None
    if host := os.environ.get("DOCKER_HOST"):
        return f"docker: nothing answers at DOCKER_HOST={host}; start it or unset DOCKER_HOST"
    return "docker: no daemon answers, and starting one needs root or sudo"


def may_become_root() -> bool:
    """Whether commands that need root have a way to it."""
    return os.geteuid() == 0 or shutil.which("sudo") is not None


def problems(with_docker: bool) -> list[str]:
    """Everything that stands in the way, one line each."""
    found = [system_problem()]
    places = [paths.repo_root(), paths.cache_dir()]
    if with_docker:
        places.append(Path("/var/lib/docker"))
        found.append(docker_problem())
    found.append(disk_problem(places))
    return [line for line in found if line]
