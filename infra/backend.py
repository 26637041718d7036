"""Where an environment's Pulumi state is, and the environment variables under which `pulumi` finds it.

All state is below the environment's state directory: `pulumi/` (the backend), `config/Pulumi.<stack>.yaml`
(salt, generated secrets, this machine's overrides), `work/<layer>/` (project files for the Automation API).
Nothing here imports Pulumi's SDK, so that reading outputs stays quick.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra import allocation, config, paths
from infra.config import Layer
from infra.plugins.choice import Choice, bundled_folders


@dataclass(frozen=True)
class Backend:
    """One environment's state."""

    env: str
    instance: str
    docker: Choice

    @property
    def stack(self) -> str:
        """The name of its stack in every project."""
        return paths.qualified(self.env, self.instance)

    @cached_property
    def state(self) -> Path:
        """The environment's state directory."""
        return paths.state_dir(self.env, self.instance)

    @property
    def config_file(self) -> Path:
        """Salt and local overrides, shared by the layers. Runs never write the checkout's file."""
        return self.state / "config" / f"Pulumi.{self.stack}.yaml"

    @cached_property
    def settings(self) -> dict[str, str]:
        """Environment variables under which `pulumi` works on this environment."""
        for folder in ("pulumi", "config"):
            (self.state / folder).mkdir(mode=0o700, exist_ok=True)
        return {
            **base_settings(),
            "PATH": self._path(),
            "PULUMI_BACKEND_URL": f"file://{self.state / 'pulumi'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(allocation.passphrase_file(self.env, self.instance)),
            "PULUMI_OPTION_CONFIG_FILE": str(self.config_file),
            "PLUMBLINE_STATE": str(paths.state_root()),
        }

    @property
    def subprocess_settings(self) -> dict[str, str]:
        """The whole environment for a process of `pulumi`."""
        return {**os.environ, **self.settings}

    def _path(self) -> str:
        path = base_settings()["PATH"]
        folders = [str(folder) for folder in bundled_folders(self.docker, path)]
        return os.pathsep.join([*folders, path])

    def checkpoint(self, layer: Layer) -> Path:
        """The file that holds a layer's state."""
        stacks = self.state / "pulumi" / ".pulumi" / "stacks"
        return stacks / config.project(layer) / f"{self.stack}.json"

    def exists(self, layer: Layer) -> bool:
        """Whether the layer's stack was made."""
        return self.checkpoint(layer).is_file()


def base_settings() -> dict[str, str]:
    """Environment variables that `pulumi` needs for any environment."""
    tool = paths.tool("pulumi")
    return {
        "PATH": os.pathsep.join([str(tool.parent), os.environ.get("PATH", os.defpath)]),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PYTHONPATH": str(paths.repo_root()),
    }
