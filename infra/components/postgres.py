"""The relational database."""

from __future__ import annotations

import pulumi

from infra.components.base import Component
from infra.config import PostgresConfig
from infra.runtimes.docker import DockerRuntime
from infra.runtimes.spec import File, ServiceSpec

PORT = 5432
_PASSWORD_FILE = "/etc/plumbline/postgres-password"  # noqa: S105


class Postgres(Component):
    """One Postgres 17 with a volume and a role that owns its database.

    Outputs: host, port. The password reaches the container as a file, so that it is in
    no environment variable, argument or `docker inspect`.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str,
        password: pulumi.Output[str],
        settings: PostgresConfig,
        runtime: DockerRuntime,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("data:Postgres", name, opts)
        service = runtime.service(
            ServiceSpec(
                name=name,
                image="postgres",
                address=address,
                port=PORT,
                memory_mib=settings.memory_mib,
                data="/var/lib/postgresql/data",
                arguments=["postgres", "-c", f"max_connections={settings.max_connections}"],
                environment={
                    "POSTGRES_DB": settings.database,
                    "POSTGRES_PASSWORD_FILE": _PASSWORD_FILE,
                    "POSTGRES_USER": settings.user,
                },
                files=[File(_PASSWORD_FILE, password, secret=True)],
                stop_grace_s=20,
            ),
            parent=self,
        )
        self.host, self.port = service.host, service.port
        self.register_outputs({"host": self.host, "port": self.port})
