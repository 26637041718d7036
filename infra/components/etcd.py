"""Locks with leases, and what must outlive the database."""

from __future__ import annotations

import pulumi

from infra.components.base import Component
from infra.config import EtcdConfig
from infra.runtimes.docker import DockerRuntime
from infra.runtimes.spec import ServiceSpec

PORT = 2379


class Etcd(Component):
    """One etcd 3.5 node with a volume.

    Outputs: host, port.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str,
        settings: EtcdConfig,
        runtime: DockerRuntime,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("data:Etcd", name, opts)
        service = runtime.service(
            ServiceSpec(
                name=name,
                image="etcd",
                address=address,
                port=PORT,
                memory_mib=settings.memory_mib,
                data="/var/lib/etcd/data",
                environment={"ETCD_ADVERTISE_CLIENT_URLS": f"http://{address}:{PORT}"},
            ),
            parent=self,
        )
        self.host, self.port = service.host, service.port
        self.register_outputs({"host": self.host, "port": self.port})
