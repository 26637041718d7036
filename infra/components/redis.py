"""Queues and locks."""

from __future__ import annotations

import pulumi

from infra.components.base import Component
from infra.config import RedisConfig
from infra.runtimes.docker import DockerRuntime
from infra.runtimes.spec import ServiceSpec

PORT = 6379


class Redis(Component):
    """One Redis 8 with an append-only file on a volume; it refuses writes rather than drop keys.

    Outputs: host, port.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str,
        settings: RedisConfig,
        runtime: DockerRuntime,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("data:Redis", name, opts)
        service = runtime.service(
            ServiceSpec(
                name=name,
                image="redis",
                address=address,
                port=PORT,
                memory_mib=settings.memory_mib,
                data="/data",
                environment={"REDIS_MAXMEMORY": f"{settings.maxmemory_mib}mb"},
            ),
            parent=self,
        )
        self.host, self.port = service.host, service.port
        self.register_outputs({"host": self.host, "port": self.port})
