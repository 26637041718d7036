"""What measures edges and app hosts."""

from __future__ import annotations

from typing import Any

import pulumi
import yaml

from infra import inventory
from infra.components.base import Component
from infra.config import PrometheusConfig
from infra.runtimes.docker import DockerRuntime
from infra.runtimes.spec import File, ServiceSpec

PORT = 9090
EDGE_EXPORTER_PORT = 8404
EDGE_LOG_PORT = 3903
SLOT_PORTS = (8001, 8002)  # blue, green
_CONFIGURATION = "/etc/prometheus/prometheus.yml"


class Prometheus(Component):
    """One Prometheus that scrapes the hosts of the foundation's inventory.

    Outputs: host, port. A changed configuration makes a new container on the same volume.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str,
        published: int,
        settings: PrometheusConfig,
        hosts: pulumi.Output[dict[str, Any]],
        runtime: DockerRuntime,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("observability:Prometheus", name, opts)
        configuration = hosts.apply(lambda value: scrape_configuration(inventory.parse(value), settings))
        service = runtime.service(
            ServiceSpec(
                name=name,
                image="prometheus",
                address=address,
                port=PORT,
                memory_mib=settings.memory_mib,
                data="/var/lib/prometheus/data",
                environment={
                    "PROMETHEUS_RETENTION_SIZE": f"{settings.retention_mib}MB",
                    "PROMETHEUS_RETENTION_TIME": f"{settings.retention_h}h",
                },
                files=[File(_CONFIGURATION, configuration)],
                published=published,
            ),
            parent=self,
        )
        self.host, self.port = service.host, service.port
        self.register_outputs({"host": self.host, "port": self.port})


def scrape_configuration(fragment: inventory.Inventory, settings: PrometheusConfig) -> str:
    """Prometheus's configuration: every edge and app host, each target labelled with its host."""
    edges, apps = fragment.in_group("edge"), fragment.in_group("app")
    jobs = {
        "edge": _targets(edges, (EDGE_EXPORTER_PORT,)),
        "edge_log": _targets(edges, (EDGE_LOG_PORT,)),
        "app": _targets(apps, SLOT_PORTS),
    }
    interval = f"{settings.scrape_interval_s}s"
    document = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "external_labels": {"environment": fragment.environment},
        },
        "scrape_configs": [{"job_name": job, "static_configs": targets} for job, targets in jobs.items()],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _targets(hosts: list[inventory.Host], ports: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {"targets": [f"{host.address}:{port}" for port in ports], "labels": {"host": host.name}}
        for host in hosts
    ]
