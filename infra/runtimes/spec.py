"""What a component asks a runtime for, the same on Docker and elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True)
class File:
    """A file that is there before the first start. Only root and root's group may read a secret one."""

    path: str
    content: pulumi.Input[str]
    secret: bool = False


@dataclass(frozen=True)
class ServiceSpec:
    """One process with its data. Memory in MiB; `stop_grace_s` before it is killed when it is removed.

    image: name of a platform image, or a full reference.
    data: path of the named volume, "" for none.
    published: port on 127.0.0.1 of the controller that leads to `port`, None for none.
    """

    name: str
    image: str
    address: str
    port: int
    memory_mib: int
    data: str = ""
    arguments: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    published: int | None = None
    stop_grace_s: int = 5


@dataclass(frozen=True)
class HostSpec:
    """A machine with systemd that Ansible configures. Memory in MiB; `published`: inside port to outside."""

    name: str
    role: str
    image: str
    address: str
    memory_mib: int
    published: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """Where a running service answers inside the environment."""

    host: pulumi.Output[str]
    port: int
