"""What must be so before anything is touched: a daemon that answers, disk, images, free ports.

Each check raises PreconditionError with one line that says what is wrong and what to do.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from infra import paths
from infra.allocation import Allocation, is_port_free
from tools.setup import images

MINIMUM_FREE_GIB = 5
_GIB = 1024**3
_TIMEOUT_S = 20
PLATFORM_IMAGES = ("host", "client", "postgres", "redis", "etcd", "prometheus")


class PreconditionError(RuntimeError):
    """Something outside the platform is missing or in the way."""


def daemon() -> docker.DockerClient:
    """A client of a Docker daemon that answers."""
    try:
        client = docker.from_env(timeout=_TIMEOUT_S)
        client.ping()
    except DockerException as error:
        reason = " ".join(str(error).split())
        raise PreconditionError(
            f"docker: the daemon doesn't answer ({reason}); start it with: python3 -m tools.setup"
        ) from error
    return client


def cgroup_version(client: docker.DockerClient) -> int:
    """1 or 2, as the daemon's machine has it."""
    return 1 if str(client.info().get("CgroupVersion", "2")) == "1" else 2


def check_disk(client: docker.DockerClient) -> None:
    """Refuse when Docker's or the state's file system is nearly full."""
    places = {"Docker's data": client.info().get("DockerRootDir", ""), "the state": str(paths.state_root())}
    for what, place in places.items():
        path = Path(place)
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free / _GIB
        if free < MINIMUM_FREE_GIB:
            raise PreconditionError(
                f"disk: {free:.1f} GiB free at {path} for {what}; needed: {MINIMUM_FREE_GIB} GiB"
            )


def check_images(client: docker.DockerClient, replaced: Iterable[str]) -> None:
    """Refuse when an image isn't built, unless the configuration names another in its place."""
    present = {tag for image in client.api.images() for tag in image.get("RepoTags") or []}
    wanted = [images.reference(name) for name in PLATFORM_IMAGES if name not in set(replaced)]
    if missing := [reference for reference in wanted if reference not in present]:
        raise PreconditionError(
            f"images: {', '.join(missing)} not built; build with: python3 -m tools.setup images"
        )


def check_ports(client: docker.DockerClient, allocation: Allocation) -> None:
    """Refuse when somebody else listens on a port of the environment."""
    for name, port in allocation.ports.items():
        if is_port_free(port):
            continue
        holder = port_holder(client, port)
        if holder == f"{allocation.name}-{name}":
            continue
        who = f"container {holder}" if holder else "a process of this machine"
        raise PreconditionError(f"port: 127.0.0.1:{port} for {name} is taken by {who}; free it")


def check_subnet(client: docker.DockerClient, allocation: Allocation) -> None:
    """Refuse when another Docker network has addresses of the environment's subnet."""
    ours = ipaddress.ip_network(allocation.subnet)
    for name, subnet in networks(client):
        if name != allocation.name and ours.overlaps(ipaddress.ip_network(subnet, strict=False)):
            raise PreconditionError(
                f"subnet: {ours} overlaps {subnet} of Docker network {name!r}; remove that network"
            )


def networks(client: docker.DockerClient) -> list[tuple[str, str]]:
    """Name and IPv4 subnet of every Docker network."""
    found = []
    for network in client.api.networks():
        for pool in (network.get("IPAM") or {}).get("Config") or []:
            if "." in pool.get("Subnet", ""):
                found.append((network["Name"], pool["Subnet"]))
    return found


def port_holder(client: docker.DockerClient, port: int) -> str | None:
    """The container that publishes a port, None when it is no container."""
    listed: list[dict[str, Any]] = client.api.containers(filters={"publish": str(port)})
    return listed[0]["Names"][0].lstrip("/") if listed else None
