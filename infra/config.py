"""The typed configuration of an environment: one model for each layer, with bounds and safe defaults.

Values come from `stacks/<layer>/Pulumi.<environment>.yaml`, shared by every copy of the environment, and are
overridden by Pulumi's own configuration of the stack (this machine's, or `pulumi up -c`). A wrong value ends
in one line that names the key, the value and what is allowed, before anything is touched.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from infra import paths
from infra.inventory import first_problem

Layer = Literal["foundation", "data", "observability"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
PROJECT_PREFIX = "plumbline-"
NETWORK_RANGE = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544: never routed on the internet

MemoryMiB = Annotated[int, Field(ge=64, le=65536)]


class ConfigurationError(ValueError):
    """A configuration that can't be used; one line for people."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HostCounts(_Model):
    """How many hosts of each kind. Addresses are laid out for no more than these."""

    edge: int = Field(default=1, ge=1, le=2)
    app: int = Field(default=3, ge=1, le=9)
    client: int = Field(default=1, ge=0, le=1)


class HostMemory(_Model):
    """Memory limit of each kind of host, in MiB."""

    edge: MemoryMiB = 512
    app: MemoryMiB = 1024
    client: MemoryMiB = 1024


class FoundationConfig(_Model):
    """Network and hosts, and what the environment allows."""

    runtime: Literal["docker"] = "docker"
    subnet: str = Field(
        default="198.18.16.0/22", description="of the default instance; others get a free one"
    )
    edge_port: int = Field(default=18443, ge=1024, le=65535, description="on 127.0.0.1, default instance")
    hosts: HostCounts = HostCounts()
    memory_mib: HostMemory = HostMemory()
    faults_allowed: bool = False
    rate_limit_per_ip: int = Field(default=50, ge=1, le=1_000_000)
    images: dict[str, str] = {}

    @field_validator("subnet")
    @classmethod
    def _in_range(cls, value: str) -> str:
        network = ipaddress.ip_network(value)
        if network.prefixlen != 22 or not network.subnet_of(NETWORK_RANGE):  # type: ignore[arg-type]  # v4 only
            raise ValueError(f"a /22 inside {NETWORK_RANGE}")
        return str(network)


class PostgresConfig(_Model):
    """The service's database. Its password is generated, never configured."""

    database: str = Field(default="idgen", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    user: str = Field(default="idgen", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    memory_mib: MemoryMiB = 768
    max_connections: int = Field(default=200, ge=20, le=5000)


class RedisConfig(_Model):
    """A single Redis; `maxmemory_mib` stays below the container's limit to leave room for a fork."""

    memory_mib: MemoryMiB = 256
    maxmemory_mib: int = Field(default=128, ge=16, le=65536)


class EtcdConfig(_Model):
    """A single etcd."""

    memory_mib: MemoryMiB = 256


class DataConfig(_Model):
    """The services that keep data."""

    runtime: Literal["docker"] = "docker"
    postgres: PostgresConfig = PostgresConfig()
    redis: RedisConfig = RedisConfig()
    etcd: EtcdConfig = EtcdConfig()
    images: dict[str, str] = {}


class PrometheusConfig(_Model):
    """Scrape interval in seconds; a release's windows are counted in it. Retention in hours and MiB."""

    port: int = Field(default=19090, ge=1024, le=65535, description="on 127.0.0.1, default instance")
    scrape_interval_s: int = Field(default=15, ge=1, le=300)
    retention_h: int = Field(default=6, ge=1, le=24 * 365)
    retention_mib: int = Field(default=512, ge=64, le=1024 * 1024)
    memory_mib: MemoryMiB = 512


class ObservabilityConfig(_Model):
    """What measures."""

    runtime: Literal["docker"] = "docker"
    prometheus: PrometheusConfig = PrometheusConfig()
    images: dict[str, str] = {}


LayerConfig = TypeVar("LayerConfig", FoundationConfig, DataConfig, ObservabilityConfig)
MODELS: dict[Layer, type[BaseModel]] = {
    "foundation": FoundationConfig,
    "data": DataConfig,
    "observability": ObservabilityConfig,
}


# Secrets that are generated when a stack is made, and kept encrypted in its Pulumi configuration: what each
# begins with. The API key is the platform's own: load, smoke tests and the first administrator use it.
GENERATED_SECRETS: dict[Layer, dict[str, str]] = {"data": {"postgres_password": "", "api_key": "plk_"}}


def project(layer: str) -> str:
    """The Pulumi project of a layer. Here and nowhere else, for stack references."""
    return f"{PROJECT_PREFIX}{layer}"


def stack_folder(layer: str) -> Path:
    """Where a layer's program and shared configuration are."""
    return paths.repo_root() / "stacks" / layer


def environments() -> list[str]:
    """The environments that the checkout configures."""
    found = stack_folder("foundation").glob("Pulumi.*.yaml")
    return sorted(path.name.split(".")[1] for path in found)


def check_environment(env: str) -> None:
    """Raise ConfigurationError when nobody configured this environment."""
    if env not in environments():
        raise ConfigurationError(f"environment: {env!r} is not known; allowed: {', '.join(environments())}")


def shared_values(layer: Layer, env: str) -> dict[str, Any]:
    """The values in the checkout's file, without the project's prefix. Raises ConfigurationError."""
    path = stack_folder(layer) / f"Pulumi.{env}.yaml"
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        check_environment(env)
        return {}
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"{path.name} of {layer}: not YAML: {' '.join(str(error).split())}"
        ) from error
    return own_values(layer, document.get("config") or {})


def own_values(layer: Layer, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those plain keys of a Pulumi configuration that belong to the layer's project."""
    prefix = f"{project(layer)}:"
    secrets = {f"{prefix}{name}" for name in GENERATED_SECRETS.get(layer, {})}
    return {
        key.removeprefix(prefix): value
        for key, value in values.items()
        if key.startswith(prefix) and key not in secrets
    }


def load(layer: Layer, kind: type[LayerConfig], env: str, overrides: Mapping[str, Any]) -> LayerConfig:
    """A layer's configuration: the shared values, key by key replaced by the overrides.

    Raises ConfigurationError.
    """
    values = {**shared_values(layer, env), **overrides}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"{project(layer)}:{first_problem(error)}") from error
