"""The bundled docker plugin on real Docker: our leftovers are taken over, others' things left alone."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from pulumi.provider.experimental.provider import (
    CheckRequest,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    ReadRequest,
    UpdateRequest,
)

from infra.plugins.docker.objects import DockerRefusedError
from infra.plugins.docker.provider import DockerProvider
from infra.plugins.docker.schema import CONTAINER, NETWORK, REMOTE_IMAGE, VOLUME, ResourceType
from infra.plugins.docker.values import from_plain, plain_map
from tools.setup import images

pytestmark = pytest.mark.integration


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    found = docker.from_env()
    yield found
    found.close()


@pytest.fixture
def name(client: docker.DockerClient) -> Iterator[str]:
    unique = f"plugin-{uuid.uuid4().hex[:8]}"
    yield unique
    for container in client.containers.list(all=True, filters={"name": f"^/{unique}"}):
        container.remove(force=True, v=True)
    for network in client.networks.list(names=[unique]):
        network.remove()
    for volume in client.volumes.list(filters={"name": unique}):
        volume.remove()


def urn(kind: ResourceType) -> str:
    return f"urn:pulumi:test::test::{kind.token}::it"


def make(kind: ResourceType, **inputs: Any) -> tuple[CreateResponse, dict[str, Any]]:
    """Check and create, as the engine does; gives the answer and the plain outputs."""
    provider = DockerProvider()
    given = {key: from_plain(value) for key, value in inputs.items()}
    checked = asyncio.run(provider.check(CheckRequest(urn(kind), {}, given, b"")))
    assert not checked.failures
    assert checked.inputs is not None
    answer = asyncio.run(provider.create(CreateRequest(urn(kind), checked.inputs, 0, preview=False)))
    return answer, plain_map(answer.properties)


def labels(value: str) -> list[dict[str, str]]:
    return [{"label": "plumbline.test", "value": value}]


def container_inputs(name: str, **more: Any) -> dict[str, Any]:
    image = images.reference("base")
    command = ["sleep", "300"]
    return {"name": name, "image": image, "command": command, "labels": labels(name), "mustRun": True} | more


def test_a_container_of_an_interrupted_run_is_replaced_by_a_whole_one(
    client: docker.DockerClient, name: str
) -> None:
    client.api.create_container(images.reference("base"), name=name, labels={"plumbline.test": name})
    upload = {"file": "/etc/x", "content": "1", "permissions": "0440"}
    _, outputs = make(CONTAINER, **container_inputs(name, uploads=[upload]))
    container = client.containers.get(name)
    assert (container.status, outputs["mustRun"]) == ("running", True)
    assert container.exec_run("stat -c %a /etc/x").output.strip() == b"440"


def test_a_container_that_is_not_ours_is_left_alone_and_named(client: docker.DockerClient, name: str) -> None:
    foreign = client.api.create_container(images.reference("base"), name=name)["Id"]
    with pytest.raises(DockerRefusedError, match=f"container '{name}' exists .* left alone"):
        make(CONTAINER, **container_inputs(name))
    assert client.containers.get(name).id == foreign


def test_a_container_that_can_t_start_leaves_nothing_behind(client: docker.DockerClient, name: str) -> None:
    with pytest.raises(DockerRefusedError, match=r"nosuchprogram"):
        make(CONTAINER, **container_inputs(name, command=["/nosuchprogram"]))
    with pytest.raises(NotFound):
        client.containers.get(name)


def test_limits_change_in_place_and_a_container_removed_by_hand_reads_as_gone(
    client: docker.DockerClient, name: str
) -> None:
    made, outputs = make(CONTAINER, **container_inputs(name, memory=64, memorySwap=64, restart="no"))
    provider, identity = DockerProvider(), str(made.resource_id)
    news = made.properties | {"memory": from_plain(128), "memorySwap": from_plain(128)}
    request = UpdateRequest(urn(CONTAINER), identity, made.properties, news, 0, [], preview=False)
    changed = plain_map(asyncio.run(provider.update(request)).properties)
    assert (outputs["memory"], changed["memory"], changed["memorySwap"]) == (64, 128, 128)
    assert client.containers.get(name).id == identity

    client.containers.get(name).remove(force=True)
    read = asyncio.run(provider.read(ReadRequest(urn(CONTAINER), identity, made.properties, news)))
    assert not read.resource_id
    asyncio.run(provider.delete(DeleteRequest(urn(CONTAINER), identity, made.properties, 0)))


def test_a_volume_of_ours_is_taken_over_with_its_data(client: docker.DockerClient, name: str) -> None:
    make(VOLUME, name=name, labels=labels(name))
    mount = {name: {"bind": "/data", "mode": "rw"}}
    write = ["sh", "-c", "echo kept > /data/x"]
    client.containers.run(images.reference("base"), write, volumes=mount, remove=True)
    make(VOLUME, name=name, labels=labels(name))
    read = client.containers.run(images.reference("base"), ["cat", "/data/x"], volumes=mount, remove=True)
    assert read == b"kept\n"
    with pytest.raises(DockerRefusedError, match="left alone"):
        make(VOLUME, name=name, labels=labels("somebody else"))


def test_a_network_is_made_once_and_removed_twice_without_complaint(
    client: docker.DockerClient, name: str
) -> None:
    pools = [{"subnet": "198.19.255.240/28", "gateway": "198.19.255.241"}]
    first, outputs = make(NETWORK, name=name, driver="bridge", ipamConfigs=pools, labels=labels(name))
    again, _ = make(NETWORK, name=name, driver="bridge", ipamConfigs=pools, labels=labels(name))
    assert first.resource_id == again.resource_id
    assert outputs["ipamConfigs"][0]["subnet"] == "198.19.255.240/28"
    request = DeleteRequest(urn(NETWORK), str(first.resource_id), first.properties, 0)
    asyncio.run(DockerProvider().delete(request))
    asyncio.run(DockerProvider().delete(request))
    assert client.networks.list(names=[name]) == []


def test_an_image_is_found_on_the_machine_and_one_that_is_nowhere_is_named() -> None:
    reference = images.reference("base")
    made, outputs = make(REMOTE_IMAGE, name=reference, keepLocally=True)
    assert made.resource_id == f"{outputs['imageId']}{reference}"
    with pytest.raises(DockerRefusedError, match=r"image 'plumbline/none:0' is not on this machine"):
        make(REMOTE_IMAGE, name="plumbline/none:0", keepLocally=True)
