"""Hosts and services as Docker containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.allocation import Allocation
from infra.runtimes.spec import File, HostSpec, Service, ServiceSpec
from tools.setup import images

# Debian's systemd needs these in a container; --privileged is not needed and may be refused.
_SYSTEMD_CAPABILITIES = ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]
_SYSTEMD_SECURITY = ["apparmor=unconfined", "seccomp=unconfined"]
_SYSTEMD_TMPFS = {"/run": "", "/run/lock": "", "/tmp": ""}  # noqa: S108
_SYSTEMD_CGROUP1 = "/sys/fs/cgroup/systemd"
_SYSTEMD_CGROUP1_ARGUMENTS = ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0"]
_LOG_OPTIONS = {"max-file": "2", "max-size": "10m"}


class DockerRuntime:
    """Makes containers on the environment's network, named and labelled as the environment's own.

    references: full names that replace the platform's own image of that name.
    """

    def __init__(
        self, allocation: Allocation, network: pulumi.Input[str], references: Mapping[str, str]
    ) -> None:
        self._allocation = allocation
        self._network = network
        self._references = references
        self._images: dict[str, docker.RemoteImage] = {}

    def host(self, spec: HostSpec, parent: pulumi.Resource) -> docker.Container:
        """A systemd host. What Ansible puts into it lives as long as the container, over restarts too."""
        cgroup1 = self._allocation.cgroup_version == 1
        return docker.Container(
            spec.name,
            name=f"{self._allocation.name}-{spec.name}",
            hostname=spec.name,
            image=self._image(spec.image),
            command=["/sbin/init", *(_SYSTEMD_CGROUP1_ARGUMENTS if cgroup1 else [])],
            networks_advanced=[self._attachment(spec.name, spec.address)],
            capabilities=docker.ContainerCapabilitiesArgs(adds=_SYSTEMD_CAPABILITIES),
            security_opts=_SYSTEMD_SECURITY,
            # On cgroup v1 the mount shows the whole machine: in a namespace of its own each systemd would
            # take the machine's root for its own, and clear away the others' groups.
            cgroupns_mode="host" if cgroup1 else "private",
            tmpfs=_SYSTEMD_TMPFS,
            volumes=[docker.ContainerVolumeArgs(host_path=_SYSTEMD_CGROUP1, container_path=_SYSTEMD_CGROUP1)]
            if cgroup1
            else [],
            ports=[_port(inside, outside) for inside, outside in spec.published.items()],
            stop_signal="SIGRTMIN+3",
            **self._common(spec.role, spec.memory_mib),
            opts=pulumi.ResourceOptions(parent=parent),
        )

    def service(self, spec: ServiceSpec, parent: pulumi.Resource) -> Service:
        """A service's container and, if it keeps data, its volume."""
        volumes = []
        if spec.data:
            volume = docker.Volume(
                spec.name,
                name=f"{self._allocation.name}-{spec.name}",
                labels=[
                    docker.VolumeLabelArgs(label=label, value=value)
                    for label, value in labels(self._allocation, spec.name).items()
                ],
                opts=pulumi.ResourceOptions(parent=parent),
            )
            volumes = [docker.ContainerVolumeArgs(volume_name=volume.name, container_path=spec.data)]
        docker.Container(
            spec.name,
            name=f"{self._allocation.name}-{spec.name}",
            hostname=spec.name,
            image=self._image(spec.image),
            command=spec.arguments or None,
            envs=[f"{key}={value}" for key, value in sorted(spec.environment.items())],
            networks_advanced=[self._attachment(spec.name, spec.address)],
            volumes=volumes,
            uploads=[_upload(file) for file in spec.files],
            group_adds=["0"] if any(file.secret for file in spec.files) else None,
            ports=[_port(spec.port, spec.published)] if spec.published else [],
            destroy_grace_seconds=spec.stop_grace_s,
            **self._common(spec.name, spec.memory_mib),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return Service(host=pulumi.Output.from_input(spec.address), port=spec.port)

    def _common(self, role: str, memory_mib: int) -> dict[str, Any]:
        return {
            "restart": "unless-stopped",
            "must_run": True,
            "memory": memory_mib,
            "memory_swap": memory_mib,  # no swap: a host that needs more is to fail loudly
            "log_driver": "json-file",
            "log_opts": _LOG_OPTIONS,
            "labels": [
                docker.ContainerLabelArgs(label=label, value=value)
                for label, value in labels(self._allocation, role).items()
            ],
        }

    def _attachment(self, alias: str, address: str) -> docker.ContainerNetworksAdvancedArgs:
        return docker.ContainerNetworksAdvancedArgs(name=self._network, ipv4_address=address, aliases=[alias])

    def _image(self, name: str) -> pulumi.Output[str]:
        if name not in self._images:
            reference = self._references.get(name) or images.reference(name)
            self._images[name] = docker.RemoteImage(f"image-{name}", name=reference, keep_locally=True)
        return self._images[name].image_id


def labels(allocation: Allocation, role: str) -> dict[str, str]:
    """The marks by which an environment knows its own."""
    return {
        "plumbline.environment": allocation.environment,
        "plumbline.instance": allocation.instance or "default",
        "plumbline.role": role,
    }


def _upload(file: File) -> docker.ContainerUploadArgs:
    content = pulumi.Output.secret(file.content) if file.secret else file.content
    return docker.ContainerUploadArgs(
        file=file.path, content=content, permissions="0440" if file.secret else "0444"
    )


def _port(inside: int, outside: int | None) -> docker.ContainerPortArgs:
    return docker.ContainerPortArgs(internal=inside, external=outside, ip="127.0.0.1", protocol="tcp")
