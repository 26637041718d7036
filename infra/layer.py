"""What every stack's program begins with: which environment it is, its configuration and its runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

import pulumi

from infra import allocation, config
from infra.addresses import Addresses
from infra.allocation import Allocation
from infra.config import Layer, LayerConfig
from infra.inventory import Inventory
from infra.runtimes.docker import DockerRuntime


@dataclass(frozen=True)
class StackLayer(Generic[LayerConfig]):
    """One layer of one environment, as the running program sees it."""

    layer: Layer
    config: LayerConfig
    allocation: Allocation

    @property
    def addresses(self) -> Addresses:
        """The environment's address plan."""
        return Addresses(self.allocation.subnet)

    @cached_property
    def foundation(self) -> pulumi.StackReference:
        """The same environment's foundation stack."""
        return pulumi.StackReference(f"organization/{config.project('foundation')}/{pulumi.get_stack()}")

    def runtime(self, network: pulumi.Input[str]) -> DockerRuntime:
        """The runtime that the configuration picks."""
        return DockerRuntime(self.allocation, network, self.config.images)

    def export_inventory(self, **parts: Any) -> None:
        """Export this stack's fragment of the inventory."""
        fragment = Inventory(
            environment=self.allocation.environment, instance=self.allocation.instance, **parts
        )
        pulumi.export("ansible_inventory", fragment.to_output())


def split_stack(stack: str) -> tuple[str, str]:
    """`dev` is (dev, ""), `dev-x` is (dev, x)."""
    env, _, instance = stack.partition("-")
    return env, instance


def current(layer: Layer, kind: type[LayerConfig]) -> StackLayer[LayerConfig]:
    """The layer that is running now. Raises ConfigurationError or AllocationError in one line."""
    env, instance = split_stack(pulumi.get_stack())
    record = allocation.read(env, instance)
    if record is None:
        flag = f" --instance {instance}" if instance else ""
        raise allocation.AllocationError(
            f"{pulumi.get_stack()}: no subnet and ports are recorded for it; "
            f'run: eval "$(python -m infra env {env}{flag})"'
        )
    given = pulumi.Config(config.project(layer))
    overrides = {}
    for key in config.MODELS[layer].model_fields:
        if (text := given.get(key)) is not None:
            overrides[key] = _value(text)
    return StackLayer(layer, config.load(layer, kind, env, overrides), record)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
