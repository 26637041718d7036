"""What the service is told by its environment: variables `PLUMBLINE_*` and the release's JSON file.

Everything is checked before anything starts; a wrong value is one line that names the variable.
"""

import os
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from app import versions
from app.cache import address
from app.coordination import etcd
from app.faults.config import ReleaseConfig, read_release_config
from app.grpc_api import bind as grpc

PREFIX = "PLUMBLINE_"
CONFIG = f"{PREFIX}CONFIG"
"""Names a YAML file with the same settings, in small letters; the environment goes before it."""


class BadSettingsError(Exception):
    """The service must not start. The message names each key, its value and what is allowed."""


class Settings(BaseSettings):
    """Units: seconds. Directories must exist or be creatable by the service's user."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    slot: Literal["blue", "green"]
    version: str
    database_url: SecretStr
    runtime_dir: Path = Field(description="multiprocess metrics; may be lost on reboot")
    state_dir: Path | None = Field(
        None, description="worker ids and their last used time; runtime_dir if unset"
    )
    bind: str = "127.0.0.1:8001"
    workers: int = Field(2, ge=1, le=32, description="gunicorn processes; each holds a worker id")
    threads: int = Field(16, ge=1, le=64)
    datacenter: int = Field(0, ge=0, le=7)
    faults_allowed: bool = False
    release_config: Path | None = None
    downstream_url: str = "http://127.0.0.1:8099"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    auth: Literal["required", "off"] = "required"
    key_rate_per_s: float = Field(0, ge=0, description="requests of one API key at this server; 0: no limit")
    key_burst_s: float = Field(2, gt=0, le=60, description="of that rate at once")
    etcd_url: str = Field(description="leases and configuration: http://A:2379,http://B:2379")
    redis_url: SecretStr | None = Field(
        None, description="redis://, redis+sentinel://H1:P,H2:P/NAME or redis+cluster://H1:P,H2:P"
    )
    lease_ttl_s: int = Field(30, ge=3, le=300, description="of the worker id; renewed at a third of it")
    db_pool_min: int = Field(10, ge=1, le=100, description="connections kept, over all processes")
    db_pool_max: int = Field(100, ge=1, le=500, description="connections at most, over all processes")
    db_acquire_s: float = Field(5, gt=0, le=60, description="longest wait for a connection")
    grpc_bind: str | None = Field(None, description="HOST:PORT, or unix:/path; no gRPC without")
    grpc_tls_cert: Path | None = None
    grpc_tls_key: Path | None = None
    otlp_url: str | None = Field(None, description="an OTLP/HTTP collector; no tracing without")
    trace_share: float = Field(0.01, ge=0, le=1, description="share traced of requests without a decision")
    trace_most_per_s: float = Field(10, gt=0, le=10_000, description="of those, at most, in a process")
    sentry_dsn: SecretStr | None = None
    jobs_dir: Path | None = Field(None, description="of finished exports; no exports without")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file that PLUMBLINE_CONFIG names."""
        path = os.environ.get(CONFIG)
        file = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, env_settings, *file)

    @field_validator("version")
    @classmethod
    def _semantic_and_as_stamped(cls, value: str) -> str:
        versions.checked(value)
        stamp = versions.stamped()
        if stamp not in (None, value):
            raise ValueError(f"{value!r} is not the version of this bundle, which is {stamp}")
        return value

    @field_validator("grpc_bind")
    @classmethod
    def _grpc(cls, value: str | None) -> str | None:
        if value is not None:
            grpc.parse(value)
        return value

    @model_validator(mode="after")
    def _grpc_is_secret(self) -> Self:
        if (self.grpc_tls_cert is None) != (self.grpc_tls_key is None):
            raise ValueError("GRPC_TLS_CERT, GRPC_TLS_KEY: only one is set; allowed: both or none")
        if self.grpc_bind is not None:
            grpc.check_secret(grpc.parse(self.grpc_bind), tls=self.grpc_tls_cert is not None)
        return self

    @field_validator("etcd_url")
    @classmethod
    def _etcd(cls, value: str) -> str:
        etcd.endpoints(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            address.parse(value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: SecretStr) -> SecretStr:
        scheme, mark, rest = value.get_secret_value().partition("://")
        if not mark or scheme not in ("postgresql", "postgresql+psycopg"):
            raise ValueError("allowed: a URL that begins with postgresql://")
        return SecretStr(f"postgresql+psycopg://{rest}")

    @property
    def claims_dir(self) -> Path:
        """Where worker ids are claimed. Must outlive a restart, or a clock stepped back could repeat IDs."""
        return self.state_dir or self.runtime_dir

    @property
    def metrics_dir(self) -> Path:
        """The prometheus multiprocess directory of this slot."""
        return self.runtime_dir / f"metrics-{self.slot}"


def load() -> tuple[Settings, ReleaseConfig]:
    """The settings from the environment and the release's configuration, or BadSettingsError."""
    if path := os.environ.get(CONFIG):
        _check_file(Path(path))
    try:
        settings = Settings()  # type: ignore[call-arg]  # the values come from the environment
    except ValidationError as error:
        raise BadSettingsError("; ".join(_line(e) for e in error.errors(include_url=False))) from None
    try:
        release = read_release_config(settings.release_config)
    except ValueError as error:
        raise BadSettingsError(f"{PREFIX}RELEASE_CONFIG: {error}") from None
    if release.faults and not settings.faults_allowed:
        kinds = ", ".join(f"{fault.kind}" for fault in release.faults)
        raise BadSettingsError(
            f"{PREFIX}FAULTS_ALLOWED: false, but {settings.release_config} configures faults ({kinds}); "
            f"allowed: an environment that sets {PREFIX}FAULTS_ALLOWED=true, or a release without faults"
        )
    return settings, release


def _check_file(path: Path) -> None:
    """Raises BadSettingsError for a file that is no YAML mapping of settings."""
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise BadSettingsError(f"{CONFIG}: {path} can't be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise BadSettingsError(f"{CONFIG}: {path} is not a mapping; allowed: settings by their names")
    unknown = sorted(str(key) for key in found if key not in Settings.model_fields)
    if unknown:
        raise BadSettingsError(f"{CONFIG}: {path}: {unknown[0]!r} is no setting; allowed: such as log_level")


def _line(error: "object") -> str:
    assert isinstance(error, dict)
    name = PREFIX + ".".join(str(part) for part in error["loc"]).upper()
    secret = name.endswith(("DATABASE_URL", "REDIS_URL", "SENTRY_DSN"))
    value = "" if error["type"] == "missing" or secret else f" {error['input']!r}"
    return f"{name}:{value} {error['msg'].removeprefix('Value error, ')}"
