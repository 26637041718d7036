"""Containers: create, read, update and delete them on the Docker daemon.

Creating is safe after an interrupted run: a container of that name with all labels asked for is a leftover
of ours (it may lack its files or its start) and is removed first.
"""

from __future__ import annotations

import base64
import contextlib
import io
import tarfile
import time
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import Healthcheck, LogConfig

from infra.plugins.docker.container_state import outputs_of
from infra.plugins.docker.objects import DockerRefusedError, is_ours, label_map, not_ours, refused

MIB = 1024 * 1024
_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_POLL_S = 0.25


def create_container(client: docker.APIClient, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make a container, put its files in, start it and, if asked, wait until it is healthy."""
    name = inputs["name"]
    _remove_leftover(client, inputs)
    resource_id = ""
    try:
        resource_id = client.create_container(
            inputs["image"],
            name=name,
            command=inputs.get("command"),
            entrypoint=inputs.get("entrypoints") or None,
            hostname=inputs.get("hostname"),
            user=inputs.get("user"),
            working_dir=inputs.get("workingDir"),
            environment=inputs.get("envs"),
            labels=label_map(inputs.get("labels")),
            stop_signal=inputs.get("stopSignal"),
            stop_timeout=inputs.get("stopTimeout"),
            healthcheck=_healthcheck(inputs.get("healthcheck")),
            ports=[(port["internal"], port["protocol"]) for port in inputs.get("ports", [])],
            host_config=_host_config(client, inputs),
            networking_config=_first_network(client, inputs),
        )["Id"]
        for network in inputs.get("networksAdvanced", [])[1:]:
            client.connect_container_to_network(
                resource_id,
                network["name"],
                ipv4_address=network.get("ipv4Address"),
                aliases=network.get("aliases"),
            )
        for upload in inputs.get("uploads", []):
            _upload(client, resource_id, upload)
        if inputs["start"]:
            client.start(resource_id)
        if inputs["start"] and inputs["wait"]:
            _wait_healthy(client, resource_id, name, inputs["waitTimeout"])
    except APIError as error:
        _remove_failed(client, resource_id)
        raise refused(f"container {name!r} can't be made", error) from error
    except DockerRefusedError:
        _remove_failed(client, resource_id)
        raise
    return resource_id, read_container(client, resource_id, inputs) or {}


def _remove_failed(client: docker.APIClient, resource_id: str) -> None:
    """A container whose making failed isn't in the state, so nobody else would remove it."""
    if resource_id:
        with contextlib.suppress(APIError):
            client.remove_container(resource_id, force=True, v=True)


def _remove_leftover(client: docker.APIClient, inputs: Mapping[str, Any]) -> None:
    try:
        found = client.inspect_container(inputs["name"])
    except NotFound:
        return
    if not is_ours(found["Config"].get("Labels"), inputs):
        raise not_ours("container", inputs["name"])
    client.remove_container(found["Id"], force=True, v=True)


def _host_config(client: docker.APIClient, inputs: Mapping[str, Any]) -> Any:
    capabilities = inputs.get("capabilities") or {}
    networks = inputs.get("networksAdvanced") or []
    return client.create_host_config(
        binds=[_bind(volume) for volume in inputs.get("volumes", [])],
        port_bindings=_port_bindings(inputs.get("ports", [])),
        cap_add=capabilities.get("adds"),
        cap_drop=capabilities.get("drops"),
        security_opt=inputs.get("securityOpts"),
        cgroupns=inputs.get("cgroupnsMode"),
        tmpfs=inputs.get("tmpfs"),
        init=inputs.get("init"),
        mem_limit=inputs["memory"] * MIB if inputs.get("memory") else None,
        memswap_limit=inputs["memorySwap"] * MIB if inputs.get("memorySwap") else None,
        shm_size=inputs["shmSize"] * MIB if inputs.get("shmSize") else None,
        sysctls=inputs.get("sysctls"),
        group_add=inputs.get("groupAdds"),
        restart_policy={"Name": inputs["restart"]},
        log_config=LogConfig(type=inputs["logDriver"], config=inputs.get("logOpts") or {})
        if inputs.get("logDriver")
        else None,
        network_mode=networks[0]["name"] if networks else inputs["networkMode"],
    )


def _bind(volume: Mapping[str, Any]) -> str:
    source = volume.get("volumeName") or volume.get("hostPath")
    return f"{source}:{volume['containerPath']}:{'ro' if volume.get('readOnly') else 'rw'}"


def _port_bindings(ports: list[dict[str, Any]]) -> dict[int | str, Any]:
    bindings: dict[int | str, Any] = {}
    for port in ports:
        key = f"{port['internal']}/{port['protocol']}"
        bindings.setdefault(key, []).append((port["ip"], port.get("external")))
    return bindings


def _first_network(client: docker.APIClient, inputs: Mapping[str, Any]) -> Any:
    networks = inputs.get("networksAdvanced") or []
    if not networks:
        return None
    first = networks[0]
    return client.create_networking_config(
        {  # type: ignore[arg-type]  # its stub says EndpointConfig, its documentation and code a mapping
            first["name"]: client.create_endpoint_config(
                ipv4_address=first.get("ipv4Address"), aliases=first.get("aliases")
            )
        }
    )


def _healthcheck(wanted: Mapping[str, Any] | None) -> Any:
    if not wanted:
        return None
    return Healthcheck(
        test=wanted["tests"],
        interval=nanoseconds(wanted["interval"]),
        timeout=nanoseconds(wanted["timeout"]),
        retries=wanted["retries"],
        start_period=nanoseconds(wanted["startPeriod"]),
    )


def nanoseconds(duration: str) -> int:
    """`500ms`, `5s`, `2m` or `1h` in nanoseconds. Raises DockerRefusedError for anything else."""
    number = duration.rstrip("msh")
    unit = duration[len(number) :]
    try:
        return int(float(number) * _UNITS_NS[unit])
    except (ValueError, KeyError):
        raise DockerRefusedError(
            f"healthcheck: {duration!r} is not a duration; allowed: 500ms, 5s, 2m, 1h"
        ) from None


def _upload(client: docker.APIClient, resource_id: str, upload: Mapping[str, Any]) -> None:
    """Put one file into the container, owned by root, before its first start."""
    data = (
        base64.b64decode(upload["contentBase64"])
        if upload.get("contentBase64")
        else upload.get("content", "").encode()
    )
    mode = upload.get("permissions") or ("0744" if upload.get("executable") else "0644")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(upload["file"].lstrip("/"))
        member.size = len(data)
        member.mode = int(mode, 8)
        member.mtime = int(time.time())
        tar.addfile(member, io.BytesIO(data))
    client.put_archive(resource_id, "/", archive.getvalue())


def _wait_healthy(client: docker.APIClient, resource_id: str, name: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        state = client.inspect_container(resource_id)["State"]
        health = (state.get("Health") or {}).get("Status", "healthy")
        if state["Running"] and health == "healthy":
            return
        if not state["Running"]:
            raise DockerRefusedError(
                f"container {name!r} ended with exit code {state['ExitCode']}: "
                f"{_last_log(client, resource_id)}"
            )
        if time.monotonic() >= deadline:
            raise DockerRefusedError(
                f"container {name!r} is not healthy after {timeout_s:.0f} s: {_last_log(client, resource_id)}"
            )
        time.sleep(_POLL_S)


def _last_log(client: docker.APIClient, resource_id: str) -> str:
    text = client.logs(resource_id, tail=3).decode(errors="replace").strip()
    return " | ".join(text.splitlines()) or "it logged nothing"


def read_container(
    client: docker.APIClient, resource_id: str, inputs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Outputs of a container, None when it is gone.

    A container that should run but doesn't is reported with mustRun false, so that the next up starts it
    again and keeps what is in it.
    """
    try:
        return outputs_of(client.inspect_container(resource_id), inputs)
    except NotFound:
        return None


def update_container(client: docker.APIClient, resource_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Change limits and restart policy in place, and start the container if it must run."""
    memory = inputs.get("memory") or 0
    swap = inputs.get("memorySwap") or (2 * memory if memory else 0)
    try:
        client.update_container(
            resource_id,
            mem_limit=memory * MIB if memory else None,
            memswap_limit=swap * MIB if swap else None,
            restart_policy={"Name": inputs["restart"]},
        )
        if inputs["mustRun"] and inputs["start"]:
            client.start(resource_id)
            if inputs["wait"]:
                _wait_healthy(client, resource_id, inputs["name"], inputs["waitTimeout"])
    except APIError as error:
        raise refused(f"container {inputs['name']!r} can't be changed", error) from error
    return read_container(client, resource_id, inputs) or {}


def delete_container(client: docker.APIClient, resource_id: str, inputs: Mapping[str, Any]) -> None:
    """Stop gracefully if destroyGraceSeconds says so, then remove; gone already is fine."""
    try:
        if grace := inputs.get("destroyGraceSeconds"):
            client.stop(resource_id, timeout=grace)
        client.remove_container(resource_id, force=True, v=inputs.get("removeVolumes", True))
    except NotFound:
        return
    except APIError as error:
        if error.status_code == 409 and "in progress" in str(error.explanation):
            return  # an interrupted run is still removing it
        raise refused(f"container {resource_id[:12]} can't be removed", error) from error
