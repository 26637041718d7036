"""Waiting until hosts and services do their work, after something was made or changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import docker
from docker.errors import DockerException

_SERVICES = ("postgres", "redis", "etcd", "prometheus")
_TIMEOUT_S = 90.0
_POLL_S = 0.3
# A degraded host runs; the roles say which of its units matter.
_HOST_STATES = {"running", "degraded"}


class NotReadyError(RuntimeError):
    """Something was made but doesn't do its work."""


def wait(client: docker.DockerClient, name: str, say: Callable[[str], None]) -> None:
    """Wait for every container of the environment `name`. Raises NotReadyError after 90 s."""
    found = client.api.containers(filters={"name": f"^/{name}-"})
    labelled = {item["Names"][0].lstrip("/"): item["Labels"].get("plumbline.role", "") for item in found}
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        late = [
            container
            for container in pool.map(
                lambda item: _wait_one(client, item[0], item[1], begun), labelled.items()
            )
            if container
        ]
    if late:
        raise NotReadyError(
            f"{', '.join(late)}: not ready after {_TIMEOUT_S:.0f} s; look with: docker logs {late[0]}"
        )
    say(f"ready: {len(labelled)} containers, {time.monotonic() - begun:.1f} s")


def _wait_one(client: docker.DockerClient, container: str, role: str, begun: float) -> str | None:
    while not _is_ready(client, container, role):
        if time.monotonic() - begun > _TIMEOUT_S:
            return container
        time.sleep(_POLL_S)
    return None


def _is_ready(client: docker.DockerClient, container: str, role: str) -> bool:
    is_service = role in _SERVICES
    command = ["ready"] if is_service else ["systemctl", "is-system-running"]
    try:
        session = client.api.exec_create(container, command)["Id"]
        answer = client.api.exec_start(session).decode(errors="replace").strip()
        code = client.api.exec_inspect(session)["ExitCode"]
    except DockerException:
        return False
    return code == 0 if is_service else answer in _HOST_STATES
