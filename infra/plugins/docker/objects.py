"""Networks, volumes and images: create, read and delete them on the Docker daemon.

Every function takes checked plain inputs and gives plain outputs. Creating is safe after an interrupted
run: an object of that name that carries all labels asked for is ours, and is taken over.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool

META = {"__meta": '{"schema_version":"1"}'}
_NETWORK_EMPTY_S = 10.0  # how long a network may keep endpoints of containers that are just going


class DockerRefusedError(RuntimeError):
    """Docker refused, or something that isn't ours is in the way; the message is for people."""


def refused(action: str, error: APIError) -> DockerRefusedError:
    """One line from Docker's answer."""
    return DockerRefusedError(f"{action}: {str(error.explanation or error).strip()}")


def label_map(labels: list[dict[str, str]] | None) -> dict[str, str]:
    """Labels as Docker wants them."""
    return {item["label"]: item["value"] for item in labels or []}


def label_list(labels: Mapping[str, str] | None, wanted: list[dict[str, str]] | None) -> list[dict[str, str]]:
    """Labels as Pulumi wants them; those that an image brought along are left out."""
    names = label_map(wanted)
    return [{"label": key, "value": value} for key, value in sorted((labels or {}).items()) if key in names]


def is_ours(labels: Mapping[str, str] | None, inputs: Mapping[str, Any]) -> bool:
    """Whether an object carries all labels that the inputs ask for (and they ask for some)."""
    wanted = label_map(inputs.get("labels"))
    return bool(wanted) and wanted.items() <= (labels or {}).items()


def not_ours(what: str, name: str) -> DockerRefusedError:
    """The refusal to touch somebody else's object."""
    return DockerRefusedError(
        f"{what} {name!r} exists and doesn't carry this environment's labels, so it is left alone; "
        f"remove it or choose another name"
    )


# -- network ---------------------------------------------------------------------------------------------


def create_network(client: docker.APIClient, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make a network, or take over the one that an interrupted run made."""
    name = inputs["name"]
    for found in client.networks(names=[name]):
        if found["Name"] != name:
            continue
        if not is_ours(found.get("Labels"), inputs):
            raise not_ours("network", name)
        if _subnets(found) == [item.get("subnet", "") for item in inputs.get("ipamConfigs", [])]:
            return found["Id"], read_network(client, found["Id"], inputs) or {}
        delete_network(client, found["Id"])
    pools = [
        IPAMPool(
            subnet=item.get("subnet") or None,
            gateway=item.get("gateway") or None,
            iprange=item.get("ipRange") or None,
        )
        for item in inputs.get("ipamConfigs", [])
    ]
    try:
        made = client.create_network(
            name,
            driver=inputs["driver"],
            options=inputs.get("options"),
            ipam=IPAMConfig(driver=inputs["ipamDriver"], pool_configs=pools),
            check_duplicate=True,
            internal=inputs.get("internal", False),
            labels=label_map(inputs.get("labels")),
            attachable=inputs.get("attachable", False),
        )
    except APIError as error:
        raise refused(f"network {name!r} can't be made", error) from error
    return made["Id"], read_network(client, made["Id"], inputs) or {}


def _subnets(inspected: Mapping[str, Any]) -> list[str]:
    return [item.get("Subnet", "") for item in (inspected.get("IPAM") or {}).get("Config") or []]


def read_network(
    client: docker.APIClient, resource_id: str, inputs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Outputs of a network, None when it is gone."""
    try:
        found = client.inspect_network(resource_id)
    except NotFound:
        return None
    ipam = found.get("IPAM") or {}
    return {
        **META,
        "attachable": found["Attachable"],
        "driver": found["Driver"],
        "ingress": found.get("Ingress", False),
        "internal": found["Internal"],
        "ipamConfigs": [
            {
                "auxAddress": None,
                "gateway": item.get("Gateway", ""),
                "ipRange": item.get("IPRange", ""),
                "subnet": item.get("Subnet", ""),
            }
            for item in ipam.get("Config") or []
        ],
        "ipamDriver": ipam.get("Driver", "default"),
        "ipamOptions": None,
        "ipv6": found.get("EnableIPv6", False),
        "labels": label_list(found.get("Labels"), inputs.get("labels")),
        "name": found["Name"],
        "options": found.get("Options") or {},
        "scope": found["Scope"],
    }


def delete_network(client: docker.APIClient, resource_id: str) -> None:
    """Remove a network; gone already is fine. Waits for containers that are just leaving it."""
    deadline = time.monotonic() + _NETWORK_EMPTY_S
    while True:
        try:
            client.remove_network(resource_id)
        except NotFound:
            return
        except APIError as error:
            if time.monotonic() >= deadline:
                raise refused(f"network {resource_id[:12]} can't be removed", error) from error
            time.sleep(0.5)
        else:
            return


# -- volume ----------------------------------------------------------------------------------------------


def create_volume(client: docker.APIClient, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make a volume, or take over ours of that name with the data in it."""
    name = inputs["name"]
    with contextlib.suppress(NotFound):
        if not is_ours(client.inspect_volume(name).get("Labels"), inputs):
            raise not_ours("volume", name)
    try:
        client.create_volume(
            name,
            driver=inputs.get("driver"),
            driver_opts=inputs.get("driverOpts"),
            labels=label_map(inputs.get("labels")),
        )
    except APIError as error:
        raise refused(f"volume {name!r} can't be made", error) from error
    return name, read_volume(client, name, inputs) or {}


def read_volume(
    client: docker.APIClient, resource_id: str, inputs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Outputs of a volume, None when it is gone."""
    try:
        found = client.inspect_volume(resource_id)
    except NotFound:
        return None
    return {
        **META,
        "cluster": None,
        "driver": found["Driver"],
        "driverOpts": found.get("Options"),
        "labels": label_list(found.get("Labels"), inputs.get("labels")),
        "mountpoint": found["Mountpoint"],
        "name": found["Name"],
    }


def delete_volume(client: docker.APIClient, resource_id: str) -> None:
    """Remove a volume and its data; gone already is fine."""
    try:
        client.remove_volume(resource_id)
    except NotFound:
        return
    except APIError as error:
        raise refused(f"volume {resource_id!r} can't be removed", error) from error


# -- image -----------------------------------------------------------------------------------------------


def create_image(client: docker.APIClient, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Find the image locally, else pull it."""
    name = inputs["name"]
    outputs = read_image(client, name, inputs)
    if outputs is None:
        try:
            client.pull(name)
        except APIError as error:
            raise refused(f"image {name!r} is not on this machine and can't be pulled", error) from error
        outputs = read_image(client, name, inputs)
    if outputs is None:
        raise DockerRefusedError(f"image {name!r} is not there although Docker pulled it")
    return f"{outputs['imageId']}{name}", outputs


def read_image(client: docker.APIClient, name: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Outputs of an image, None when it isn't on this machine."""
    try:
        found = client.inspect_image(name)  # type: ignore[no-untyped-call]  # its stub has no types
    except ImageNotFound:
        return None
    digests = found.get("RepoDigests") or []
    return {
        "__meta": '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":'
        '{"create":1200000000000,"delete":1200000000000,"update":1200000000000}}',
        "build": None,
        "forceRemove": inputs.get("forceRemove"),
        "imageId": found["Id"],
        "keepLocally": inputs.get("keepLocally"),
        "name": name,
        "platform": None,
        "pullTriggers": inputs.get("pullTriggers"),
        "repoDigest": digests[0] if digests else "",
        "triggers": inputs.get("triggers"),
    }


def delete_image(client: docker.APIClient, inputs: Mapping[str, Any]) -> None:
    """Remove the image unless it is to be kept; gone already is fine."""
    if inputs.get("keepLocally"):
        return
    try:
        client.remove_image(inputs["name"], force=bool(inputs.get("forceRemove")))
    except ImageNotFound:
        return
    except APIError as error:
        raise refused(f"image {inputs['name']!r} can't be removed", error) from error
