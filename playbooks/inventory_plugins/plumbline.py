"""Inventory of an environment that Pulumi provisioned: reads the stacks' outputs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = """
name: plumbline
short_description: Hosts of a Plumbline environment, from its Pulumi stacks
description:
  - Reads the C(ansible_inventory) output of every stack of an environment and merges them.
  - Gives the groups C(edge), C(app) and C(client) below C(plumbline).
  - Gives every host, and the controller, the variables C(plumbline_environment), C(plumbline_instance),
    C(plumbline_inventory) (the whole inventory as a mapping) and C(plumbline_secrets) (decrypted secret
    outputs, kept in memory only).
options:
  plugin:
    description: Marks a file as one for this plugin.
    required: true
    choices: [plumbline]
  environment:
    description: The environment.
    default: dev
    env:
      - name: PLUMBLINE_ENV
  instance:
    description: A parallel copy of the environment; empty for the default one.
    default: ""
    env:
      - name: PLUMBLINE_INSTANCE
"""

EXAMPLES = """
plugin: plumbline
environment: dev
"""

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from infra import allocation, config, inventory, outputs, paths  # noqa: E402
from infra.backend import Backend  # noqa: E402

_CONNECTIONS = {
    "docker": "community.docker.docker",
    "ssh": "ansible.builtin.ssh",
    "local": "ansible.builtin.local",
}
_ERRORS = (
    allocation.AllocationError,
    config.ConfigurationError,
    inventory.InventoryError,
    outputs.OutputsError,
    paths.MissingToolError,
    ValueError,
)


class InventoryModule(BaseInventoryPlugin):
    """The plugin, as Ansible wants it."""

    NAME = "plumbline"

    def verify_file(self, path: str) -> bool:
        """Whether the file may be one for this plugin; `plugin:` in it decides."""
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill Ansible's inventory. Raises AnsibleParserError in one line."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        env, instance = self.get_option("environment"), self.get_option("instance")
        try:
            found, secrets = read(str(env), str(instance or ""))
        except _ERRORS as error:
            raise AnsibleParserError(str(error)) from error
        self._fill(found, secrets)

    def _fill(self, found: inventory.Inventory, secrets: Mapping[str, Any]) -> None:
        self.inventory.add_group("plumbline")
        for group in ("edge", "app", "client"):
            self.inventory.add_group(group)
            self.inventory.add_child("plumbline", group)
        for host in found.hosts:
            for group in host.groups:
                self.inventory.add_host(host.name, group=group)
            for key, value in host_variables(host).items():
                self.inventory.set_variable(host.name, key, value)
        for key, value in shared_variables(found, secrets).items():
            self.inventory.set_variable("all", key, value)


def read(env: str, instance: str) -> tuple[inventory.Inventory, dict[str, Any]]:
    """The inventory of an environment and its decrypted secrets."""
    config.check_environment(env)
    record = allocation.read(env, instance)
    if record is None:
        option = f" --instance {instance}" if instance else ""
        raise allocation.AllocationError(
            f"environment: {paths.qualified(env, instance)} is not up; run: python -m infra up {env}{option}"
        )
    stacks = outputs.read(Backend(env, instance, record.docker_plugin), show_secrets=True)
    secrets = {key: value for stack in stacks.values() for key, value in stack.secrets.items()}
    return inventory.complete(outputs.read_inventory(stacks)), secrets


def host_variables(host: inventory.Host) -> dict[str, Any]:
    """How Ansible reaches a host, and its own variables."""
    return {
        "ansible_connection": _CONNECTIONS[host.connection],
        "ansible_host": host.container or host.address,
        **host.vars,
    }


def shared_variables(found: inventory.Inventory, secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What every host and the controller know."""
    return {
        "plumbline_environment": found.environment,
        "plumbline_instance": found.instance,
        "plumbline_inventory": found.model_dump(mode="json"),
        "plumbline_secrets": dict(secrets),
    }
