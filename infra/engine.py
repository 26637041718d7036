"""Running Pulumi's engine on one environment: making its stacks, and clearing what a killed run left."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation
from pulumi.automation._stack import StackInitMode

from infra import config, paths
from infra.backend import Backend
from infra.config import Layer

_ORPHAN_WAIT_S = 90.0
_CLI_TIMEOUT_S = 60.0
_SECRET_BYTES = 32  # 43 characters of A-Z a-z 0-9 - _: safe in URLs, files and SQL


class EngineBusyError(RuntimeError):
    """Somebody else is changing the environment."""


class QuietStack(automation.Stack):
    """A stack whose `up` doesn't ask for outputs and history afterwards: three more starts of the CLI each
    time, for answers that nobody here reads.
    """

    def outputs(self) -> automation.OutputMap:
        """Nothing; `infra.outputs` reads them when they are wanted."""
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        """An empty summary, since `up` wants one."""
        return automation.UpdateSummary(
            kind="update",
            start_time=datetime.now(UTC),
            message="",
            environment={},
            config={},
            result="succeeded",
        )


class KnownWorkspace(automation.LocalWorkspace):
    """A workspace that selects no stack: every command names its own."""

    def select_stack(self, stack_name: str) -> None:
        """Nothing to do."""


class Engine(Backend):
    """Runs Pulumi on one environment."""

    def open(self, layer: Layer, more_settings: Mapping[str, str] | None = None) -> QuietStack:
        """A layer's stack, made when it isn't there, with its program to run in this process."""
        work = self.state / "work" / layer
        work.mkdir(parents=True, exist_ok=True)
        # The checkout's project file, but with the configuration where this environment keeps it.
        project = yaml.safe_load((config.stack_folder(layer) / "Pulumi.yaml").read_text())
        project["runtime"], project["stackConfigDir"] = "python", "../../config"
        (work / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        workspace = KnownWorkspace(
            work_dir=str(work),
            program=program(layer),
            env_vars={**self.settings, **(more_settings or {})},
            pulumi_command=self._command,
        )
        if not self.exists(layer):
            workspace.create_stack(self.stack)
        self._generate_secrets(layer, work)
        return QuietStack(self.stack, workspace, StackInitMode.SELECT)

    def _generate_secrets(self, layer: Layer, work: Path) -> None:
        """Make those secrets of a layer that its configuration doesn't have yet."""
        known = yaml.safe_load(self.config_file.read_text()).get("config") or {}
        for name, prefix in config.GENERATED_SECRETS.get(layer, {}).items():
            key = f"{config.project(layer)}:{name}"
            if key in known:
                continue
            # By standard input: an argument would show in the list of processes.
            subprocess.run(
                ["pulumi", "config", "set", key, "--secret", "--stack", self.stack],
                input=prefix + secrets.token_urlsafe(_SECRET_BYTES),
                env=self.subprocess_settings,
                cwd=work,
                text=True,
                capture_output=True,
                timeout=_CLI_TIMEOUT_S,
                check=True,
            )

    @cached_property
    def _command(self) -> automation.PulumiCommand:
        os.environ["PATH"] = self.settings["PATH"]
        command = automation.PulumiCommand()
        command.command = str(paths.tool("pulumi"))
        return command

    def tidy(self, layer: Layer, say: Callable[[str], None]) -> None:
        """Clear what a killed run left on a layer: its lock, and the operations that it had begun.

        Dropping a begun creation is safe: the next up makes it again, and the plugin takes over or replaces
        what is already there. Raises EngineBusyError when the lock's process doesn't end.
        """
        locks = self.state / "pulumi" / ".pulumi" / "locks"
        for lock in sorted(locks.glob(f"organization/{config.project(layer)}/{self.stack}/*.json")):
            _await_end(lock, say)
            say(f"{layer}: a run that was killed left its lock; taken over")
            lock.unlink(missing_ok=True)
        if not self.exists(layer) or not pending_operations(self.checkpoint(layer)):
            return
        stack = self.open(layer)
        exported = stack.export_stack()
        deployment = dict(exported.deployment or {})
        dropped = deployment.pop("pending_operations", [])
        stack.import_stack(automation.Deployment(version=exported.version, deployment=deployment))
        say(f"{layer}: a run that was killed left {len(dropped)} operation(s) begun; they are done again")


def program(layer: Layer) -> Callable[[], None]:
    """A layer's program, run in this process from its own file."""
    path = config.stack_folder(layer) / "__main__.py"

    def run() -> None:
        # Not runpy: it swaps sys.modules["__main__"], and two layers run at once.
        code = compile(path.read_text(), str(path), "exec")
        exec(code, {"__name__": "__main__", "__file__": str(path)})  # noqa: S102

    return run


def pending_operations(checkpoint: Path) -> list[dict[str, Any]]:
    """Operations that a checkpoint says were begun and not finished."""
    latest = json.loads(checkpoint.read_text())["checkpoint"].get("latest") or {}
    found: list[dict[str, Any]] = latest.get("pending_operations") or []
    return found


def _await_end(lock: Path, say: Callable[[str], None]) -> None:
    """Wait until the lock's process is gone; a killed run's engine may still be finishing a step."""
    try:
        pid = int(json.loads(lock.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return
    deadline = time.monotonic() + _ORPHAN_WAIT_S
    told = False
    while _is_pulumi(pid):
        if not told:
            say(f"waiting for pulumi (process {pid}), which is changing this environment")
            told = True
        if time.monotonic() >= deadline:
            raise EngineBusyError(
                f"{lock.parent.parent.name}/{lock.parent.name}: pulumi (process {pid}) holds its lock; "
                f"wait for it, or end it and run the same command again"
            )
        time.sleep(0.5)


def _is_pulumi(pid: int) -> bool:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return name == "pulumi" and state != "Z"
