"""A machine that Ansible configures."""

from __future__ import annotations

import pulumi

from infra import inventory
from infra.allocation import Allocation
from infra.components.base import Component
from infra.inventory import Group
from infra.runtimes.docker import DockerRuntime
from infra.runtimes.spec import HostSpec

HTTPS = 443
_IMAGES: dict[Group, str] = {"edge": "host", "app": "host", "client": "client"}


class Host(Component):
    """Debian with systemd, in one group, at a fixed address. Memory in MiB.

    `entry` is its inventory entry; edges also publish HTTPS on 127.0.0.1 at the port that was allocated.
    """

    def __init__(
        self,
        *,
        group: Group,
        number: int,
        address: str,
        memory_mib: int,
        allocation: Allocation,
        runtime: DockerRuntime,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{group}{number}"
        super().__init__("foundation:Host", name, opts)
        port = allocation.ports.get(name)
        runtime.host(
            HostSpec(
                name=name,
                role=group,
                image=_IMAGES[group],
                address=address,
                memory_mib=memory_mib,
                published={HTTPS: port} if port else {},
            ),
            parent=self,
        )
        self.entry = inventory.Host(
            name=name,
            groups=[group],
            address=address,
            connection="docker",
            container=f"{allocation.name}-{name}",
            vars={"plumbline_host_index": number - 1},
        )
        self.register_outputs({"address": address})
