"""The `ansible_inventory` contract: what Pulumi tells Ansible about an environment.

Each stack exports a fragment of one `Inventory` (its hosts, its endpoints); `merge` joins the fragments of
all stacks of an environment. Secrets are never in here: they are stack outputs of their own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

SCHEMA_VERSION = 1
EDGE_CERTIFICATE_NAME = "edge.plumbline.internal"

Group = Literal["edge", "app", "client"]
Port = Field(ge=1, le=65535)


class InventoryError(ValueError):
    """An inventory that can't be used; the message names key, value and what is allowed."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Host(_Model):
    """One machine that Ansible configures. `container` is its name on the Docker host, if it is one."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    groups: list[Group] = Field(min_length=1)
    address: str
    connection: Literal["docker", "ssh", "local"]
    container: str | None = None
    vars: dict[str, Any] = {}

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))


class PostgresEndpoint(_Model):
    """Where Postgres answers, as seen from the hosts. Its password is the secret `postgres_password`."""

    host: str
    port: int = Port
    database: str
    user: str


class Endpoint(_Model):
    """Where a service answers, as seen from the hosts."""

    host: str
    port: int = Port


class PrometheusEndpoint(_Model):
    """`url` as the controller reaches it, `internal_url` as the hosts do; scrape interval in seconds."""

    url: str
    internal_url: str
    scrape_interval_s: float = Field(gt=0, le=300)


class Endpoints(_Model):
    """The services of an environment; a fragment holds those of its own stack."""

    postgres: PostgresEndpoint | None = None
    redis: Endpoint | None = None
    etcd: Endpoint | None = None
    prometheus: PrometheusEndpoint | None = None


class Edge(_Model):
    """One edge as the controller reaches it. Its certificate carries EDGE_CERTIFICATE_NAME."""

    name: str
    url: str = Field(pattern=r"^https://")


class Load(_Model):
    """Where load comes from: a client host and the range of its source addresses, first-last."""

    client: str
    sources: str = Field(pattern=r"^[0-9.]+-[0-9.]+$")
    target_url: str = f"https://{EDGE_CERTIFICATE_NAME}"


class Policy(_Model):
    """What the environment allows. The limit is requests a second for one client address at the edges."""

    faults_allowed: bool = False
    rate_limit_per_ip: int = Field(ge=1, le=1_000_000)


class Inventory(_Model):
    """An environment, or one stack's fragment of it."""

    schema_version: Literal[1] = 1
    environment: str
    instance: str = ""
    hosts: list[Host] = []
    endpoints: Endpoints = Endpoints()
    edges: list[Edge] = []
    load: Load | None = None
    policy: Policy | None = None

    def in_group(self, group: Group) -> list[Host]:
        """The hosts of one group, in the order of the inventory."""
        return [host for host in self.hosts if group in host.groups]

    def to_output(self) -> dict[str, Any]:
        """The plain value for `pulumi.export("ansible_inventory", ...)`; leaves out what is not set."""
        return self.model_dump(mode="json", exclude_none=True)


def parse(data: object, source: str = "ansible_inventory") -> Inventory:
    """Validate a value read from a stack's output or a file; `source` begins the error's line.

    Raises InventoryError. The schema version is looked at first, since the rest can't be judged without it.
    """
    if not isinstance(data, Mapping):
        raise InventoryError(f"{source}: is {type(data).__name__}; allowed: a mapping")
    version = data.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise InventoryError(f"{source}: schema_version is {version!r}; allowed: {SCHEMA_VERSION}")
    try:
        return Inventory.model_validate(dict(data))
    except ValidationError as error:
        raise InventoryError(f"{source}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem as `key is value; allowed: ...`, without pydantic's page of text."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"]) or "(whole)"
    if problem["type"] == "missing":
        return f"{key} is missing; allowed: a value"
    if problem["type"] == "extra_forbidden":
        return f"{key} is {problem['input']!r}; allowed: no such key"
    return f"{key} is {problem['input']!r}; allowed: {problem['msg']}"


def merge(fragments: Iterable[Inventory]) -> Inventory:
    """Join the fragments of one environment's stacks, in their order.

    Raises InventoryError when they name different environments, or two give the same host, edge or endpoint.
    """
    parts = list(fragments)
    if not parts:
        raise InventoryError("ansible_inventory: no stack has this output; run: python -m infra up dev")
    first = parts[0]
    merged: dict[str, Any] = {"environment": first.environment, "instance": first.instance}
    hosts: list[Host] = []
    edges: list[Edge] = []
    endpoints: dict[str, Any] = {}
    for part in parts:
        if (part.environment, part.instance) != (first.environment, first.instance):
            raise InventoryError(
                f"environment: {part.environment!r} instance {part.instance!r} beside "
                f"{first.environment!r} instance {first.instance!r}; allowed: one environment"
            )
        hosts += part.hosts
        edges += part.edges
        _put(endpoints, {key: value for key, value in part.endpoints if value is not None}, "endpoints.")
        _put(merged, {key: getattr(part, key) for key in ("load", "policy") if getattr(part, key)}, "")
    _refuse_doubles("hosts", [host.name for host in hosts])
    _refuse_doubles("edges", [edge.name for edge in edges])
    return Inventory(**merged, hosts=hosts, edges=edges, endpoints=Endpoints(**endpoints))


def _put(target: dict[str, Any], more: Mapping[str, Any], prefix: str) -> None:
    for key, value in more.items():
        if key in target:
            raise InventoryError(f"{prefix}{key}: given by two stacks; allowed: one")
        target[key] = value


def _refuse_doubles(key: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InventoryError(f"{key}: {name!r} is given twice; allowed: once")


def complete(inventory: Inventory) -> Inventory:
    """The same inventory, once everything is there that the playbooks count on. Raises InventoryError."""
    missing = [key for key in ("load", "policy") if getattr(inventory, key) is None]
    missing += [f"endpoints.{key}" for key, value in inventory.endpoints if value is None]
    missing += [f"hosts in group {group}" for group in ("edge", "app") if not inventory.in_group(group)]
    if missing:
        raise InventoryError(f"ansible_inventory: {', '.join(missing)} missing; run: python -m infra up")
    return inventory
