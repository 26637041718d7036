"""Reading an environment's stack outputs, fast.

Plain outputs are read from the state files; only a stack that has secret outputs costs a start of the CLI,
which decrypts them. Nothing decrypted is ever written.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra import config, inventory
from infra.backend import Backend
from infra.config import LAYERS, Layer

_SIGNATURE = "4dabf18193072939515e22adb298388d"  # marks a special value in Pulumi's state
_STACK = "pulumi:pulumi:Stack"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # that marks a secret
_CLI_TIMEOUT_S = 60


class OutputsError(RuntimeError):
    """Outputs that can't be read; one line for people."""


@dataclass(frozen=True)
class StackOutputs:
    """One stack's outputs; `secrets` holds decrypted values and is empty unless asked for."""

    plain: dict[str, Any]
    secret_names: list[str]
    secrets: dict[str, Any]


def read(
    backend: Backend, layers: Iterable[Layer] = LAYERS, show_secrets: bool = False
) -> dict[Layer, StackOutputs]:
    """The outputs of those layers that were brought up."""
    present = [layer for layer in layers if backend.exists(layer)]
    with ThreadPoolExecutor(len(LAYERS)) as pool:
        found = list(pool.map(lambda layer: _read_layer(backend, layer, show_secrets), present))
    return dict(zip(present, found, strict=True))


def _read_layer(backend: Backend, layer: Layer, show_secrets: bool) -> StackOutputs:
    try:
        latest = json.loads(backend.checkpoint(layer).read_text())["checkpoint"].get("latest") or {}
    except (OSError, ValueError, KeyError) as error:
        raise OutputsError(f"{layer}: its state can't be read: {error}") from error
    resources: list[dict[str, Any]] = latest.get("resources") or []
    values: dict[str, Any] = next((item for item in resources if item["type"] == _STACK), {}).get(
        "outputs", {}
    )
    names = sorted(key for key, value in values.items() if _holds_secret(value))
    plain = {key: value for key, value in values.items() if key not in names}
    secrets = _decrypt(backend, layer, names) if names and show_secrets else {}
    return StackOutputs(plain, names, secrets)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get(_SIGNATURE) == _SECRET or any(_holds_secret(item) for item in value.values())
    return isinstance(value, list) and any(_holds_secret(item) for item in value)


def _decrypt(backend: Backend, layer: Layer, names: list[str]) -> dict[str, Any]:
    stack = f"organization/{config.project(layer)}/{backend.stack}"
    done = subprocess.run(
        ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack],
        env=backend.subprocess_settings,
        cwd=backend.state,
        capture_output=True,
        text=True,
        timeout=_CLI_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise OutputsError(f"{layer}: its secret outputs can't be read: {reason}")
    values = json.loads(done.stdout)
    return {name: values[name] for name in names}


def read_inventory(found: dict[Layer, StackOutputs]) -> inventory.Inventory:
    """The inventory merged from the stacks. Raises InventoryError."""
    fragments = [
        inventory.parse(outputs.plain["ansible_inventory"], f"{layer}: ansible_inventory")
        for layer, outputs in found.items()
        if "ansible_inventory" in outputs.plain
    ]
    return inventory.merge(fragments)
