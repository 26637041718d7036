"""The network of an environment."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from infra.addresses import Addresses
from infra.allocation import Allocation
from infra.components.base import Component
from infra.runtimes.docker import labels


class Network(Component):
    """One bridge with the environment's /22, reached from this machine only.

    Outputs: network_name.
    """

    def __init__(self, name: str, allocation: Allocation, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("foundation:Network", name, opts)
        bridge = docker.Network(
            name,
            name=allocation.name,
            driver="bridge",
            ipam_configs=[
                docker.NetworkIpamConfigArgs(
                    subnet=allocation.subnet, gateway=Addresses(allocation.subnet).gateway
                )
            ],
            labels=[
                docker.NetworkLabelArgs(label=label, value=value)
                for label, value in labels(allocation, "network").items()
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.network_name: pulumi.Output[str] = bridge.name
        self.register_outputs({"network_name": self.network_name})
