"""What an environment holds on this machine: its subnet, its ports and how its daemon works.

Chosen once, at the first `up`, and recorded in the environment's state directory, so that `python -m infra`
and `pulumi up` by hand give the programs the same values.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import ipaddress
import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from infra import paths
from infra.config import NETWORK_RANGE
from infra.inventory import first_problem

_RECORD = "environment.json"
_FIRST_FREE = ipaddress.ip_network("198.18.20.0/22")


class AllocationError(RuntimeError):
    """No record, or nothing free; one line for people."""


class Allocation(BaseModel):
    """The record. Ports are on 127.0.0.1, keyed by the container that they lead to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    environment: str
    instance: str = ""
    subnet: str
    ports: dict[str, int]
    cgroup_version: Literal[1, 2]
    docker_plugin: Literal["official", "bundled"]

    @property
    def name(self) -> str:
        """The prefix of everything that the environment owns."""
        return paths.full_name(self.environment, self.instance)


def record_path(env: str, instance: str) -> Path:
    """Where the record is, without making its directory."""
    return paths.state_root() / paths.qualified(env, instance) / _RECORD


def read(env: str, instance: str = "") -> Allocation | None:
    """The record, None when there is none yet. Raises AllocationError when it is broken."""
    path = record_path(env, instance)
    try:
        return Allocation.model_validate(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValidationError, json.JSONDecodeError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise AllocationError(f"{path}: {reason}") from error


def write(record: Allocation) -> None:
    """Keep the record, whole or not at all."""
    paths.state_dir(record.environment, record.instance)
    path = record_path(record.environment, record.instance)
    partial = path.with_suffix(".new")
    partial.write_text(record.model_dump_json(indent=1) + "\n")
    partial.replace(path)


def forget(env: str, instance: str) -> None:
    """Give subnet and ports back."""
    record_path(env, instance).unlink(missing_ok=True)


@contextlib.contextmanager
def choosing() -> Iterator[None]:
    """Hold the machine-wide lock under which environments choose, so that no two take the same."""
    paths.state_root().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (paths.state_root() / "allocation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def recorded() -> list[Allocation]:
    """Every record of this state root; broken ones are left out."""
    found = []
    for path in paths.state_root().glob(f"*/{_RECORD}"):
        with contextlib.suppress(ValidationError, json.JSONDecodeError, OSError):
            found.append(Allocation.model_validate(json.loads(path.read_text())))
    return found


def free_subnet(name: str, taken: list[str]) -> str:
    """A /22 that overlaps none of `taken`, starting where the name's hash points. Raises AllocationError."""
    candidates = [net for net in NETWORK_RANGE.subnets(new_prefix=22) if int(net[0]) >= int(_FIRST_FREE[0])]
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % len(candidates)
    occupied = [ipaddress.ip_network(subnet, strict=False) for subnet in taken]
    for candidate in candidates[start:] + candidates[:start]:
        if not any(candidate.overlaps(other) for other in occupied if other.version == 4):
            return str(candidate)
    raise AllocationError(f"subnet: every /22 of {NETWORK_RANGE} is taken; remove a Docker network")


def free_port(avoid: set[int]) -> int:
    """A port on 127.0.0.1 that nobody listens on and no environment has."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port
    raise AllocationError("port: none is free on 127.0.0.1")


def is_port_free(port: int) -> bool:
    """Whether somebody could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def passphrase_file(env: str, instance: str) -> Path:
    """The file that encrypts the environment's Pulumi secrets, made on first use, mode 0600."""
    path = paths.state_dir(env, instance) / "passphrase"
    if not path.exists():
        partial = path.with_suffix(".new")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        partial.replace(path)
    return path
