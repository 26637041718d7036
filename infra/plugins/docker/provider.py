"""The plugin's face to Pulumi's engine: it turns requests into calls on plain values.

The work on Docker blocks, so it runs in threads and the engine's parallel requests stay parallel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import DockerException
from pulumi.provider.experimental import provider as pulumi_provider
from pulumi.provider.experimental.provider import PropertyDiff, PropertyDiffKind

from infra.plugins.docker import checks, container, objects
from infra.plugins.docker.schema import CONTAINER, NETWORK, REMOTE_IMAGE, VOLUME, resource_type
from infra.plugins.docker.values import UNKNOWN, Unknown, plain_map, property_map

_CONFIGURATION = {"version", "__internal"}
_TIMEOUT_S = 120


class DockerProvider(pulumi_provider.Provider):
    """Networks, volumes, images and containers of one Docker daemon (DOCKER_HOST, or the local socket)."""

    def __init__(self) -> None:
        self._client: docker.APIClient | None = None

    @property
    def client(self) -> docker.APIClient:
        """The connection to the daemon, made at the first use."""
        if self._client is None:
            try:
                self._client = docker.from_env(timeout=_TIMEOUT_S).api
            except DockerException as error:
                raise objects.DockerRefusedError(f"Docker doesn't answer: {error}") from error
        return self._client

    async def check_config(self, request: pulumi_provider.CheckRequest) -> pulumi_provider.CheckResponse:
        unknown = set(request.new_inputs) - _CONFIGURATION
        failures = [
            pulumi_provider.CheckFailure(
                key, f"{key} is not known to the bundled docker plugin's configuration"
            )
            for key in sorted(unknown)
        ]
        return pulumi_provider.CheckResponse(inputs=request.new_inputs, failures=failures)

    async def configure(self, request: pulumi_provider.ConfigureRequest) -> pulumi_provider.ConfigureResponse:
        return pulumi_provider.ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=True, accept_outputs=False
        )

    async def check(self, request: pulumi_provider.CheckRequest) -> pulumi_provider.CheckResponse:
        kind = resource_type(request.type)
        inputs, problems = checks.check(kind, plain_map(request.new_inputs))
        return pulumi_provider.CheckResponse(
            inputs=property_map(inputs, request.new_inputs),
            # Given a property the engine would print its value, which may be a secret; the reason names it.
            failures=[pulumi_provider.CheckFailure("", item.reason) for item in problems],
        )

    async def diff(self, request: pulumi_provider.DiffRequest) -> pulumi_provider.DiffResponse:
        kind = resource_type(request.type)
        old = plain_map(request.old_state)
        new = plain_map(request.new_inputs)
        for key in request.ignore_changes:
            new[key] = old.get(key)
        changes = checks.diff(kind, old, new)
        detailed = {key: PropertyDiff(PropertyDiffKind.UPDATE, False) for key in changes.updates}
        detailed |= {key: PropertyDiff(PropertyDiffKind.UPDATE_REPLACE, False) for key in changes.replaces}
        return pulumi_provider.DiffResponse(
            changes=bool(changes),
            replaces=changes.replaces,
            # Names are given, so the old object has to go before the new one can come.
            delete_before_replace=bool(changes.replaces),
            diffs=changes.updates + changes.replaces,
            detailed_diff=detailed,
        )

    async def create(self, request: pulumi_provider.CreateRequest) -> pulumi_provider.CreateResponse:
        kind = resource_type(request.type)
        inputs = plain_map(request.properties)
        if request.preview:
            outputs = {**_planned(kind.token), **_without_internals(inputs)}
            return pulumi_provider.CreateResponse("", property_map(outputs, request.properties))
        resource_id, outputs = await asyncio.to_thread(_CREATE[kind.token], self.client, inputs)
        return pulumi_provider.CreateResponse(resource_id, property_map(outputs, request.properties))

    async def read(self, request: pulumi_provider.ReadRequest) -> pulumi_provider.ReadResponse:
        kind = resource_type(request.type)
        known = plain_map(request.inputs) or plain_map(request.properties)
        key = request.resource_id
        if kind is REMOTE_IMAGE:
            key = known.get("name") or request.resource_id
        outputs = await asyncio.to_thread(_READ[kind.token], self.client, key, known)
        if outputs is None:
            return pulumi_provider.ReadResponse("", {}, {})
        secrets = (request.inputs, request.properties)
        # After `pulumi import` there are no inputs yet: take those that the type knows from the outputs.
        inputs = plain_map(request.inputs) or {
            name: outputs[name] for name in kind.properties if outputs.get(name) is not None
        }
        return pulumi_provider.ReadResponse(
            request.resource_id, property_map(outputs, *secrets), property_map(inputs, *secrets)
        )

    async def update(self, request: pulumi_provider.UpdateRequest) -> pulumi_provider.UpdateResponse:
        kind = resource_type(request.type)
        inputs = plain_map(request.news)
        if request.preview or kind is not CONTAINER:
            outputs = {**plain_map(request.olds), **_without_internals(inputs)}
        else:
            outputs = await asyncio.to_thread(
                container.update_container, self.client, request.resource_id, inputs
            )
        return pulumi_provider.UpdateResponse(property_map(outputs, request.news))

    async def delete(self, request: pulumi_provider.DeleteRequest) -> None:
        kind = resource_type(request.type)
        known = plain_map(request.properties)
        await asyncio.to_thread(self._delete, kind.token, request.resource_id, known)

    def _delete(self, token: str, resource_id: str, known: Mapping[str, Any]) -> None:
        if token == CONTAINER.token:
            container.delete_container(self.client, resource_id, known)
        elif token == NETWORK.token:
            objects.delete_network(self.client, resource_id)
        elif token == VOLUME.token:
            objects.delete_volume(self.client, resource_id)
        else:
            objects.delete_image(self.client, known)

    async def invoke(self, request: pulumi_provider.InvokeRequest) -> pulumi_provider.InvokeResponse:
        reason = f"function {request.tok} is not served by the bundled docker plugin"
        return pulumi_provider.InvokeResponse(failures=[pulumi_provider.CheckFailure("", reason)])

    async def cancel(self) -> None:
        """Nothing to do: every call is bounded by a timeout and safe to repeat."""


_CREATE = {
    NETWORK.token: objects.create_network,
    VOLUME.token: objects.create_volume,
    REMOTE_IMAGE.token: objects.create_image,
    CONTAINER.token: container.create_container,
}
_READ = {
    NETWORK.token: objects.read_network,
    VOLUME.token: objects.read_volume,
    REMOTE_IMAGE.token: objects.read_image,
    CONTAINER.token: container.read_container,
}


def _planned(token: str) -> dict[str, Unknown]:
    """Outputs that a preview can't know."""
    names = {
        REMOTE_IMAGE.token: ("imageId", "repoDigest"),
        CONTAINER.token: ("networkDatas", "hostname", "memorySwap"),
        VOLUME.token: ("mountpoint", "driver"),
        NETWORK.token: ("scope",),
    }
    return dict.fromkeys(names[token], UNKNOWN)


def _without_internals(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if not key.startswith("__")}
