"""One environment for this folder's tests, on real Docker with the real engine, and its clean-up."""

import json
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

ROOT = Path(__file__).resolve().parents[3]


class Environment:
    """An environment of its own name, with its own state directory."""

    def __init__(self, state: Path) -> None:
        self.instance = f"t{uuid.uuid4().hex[:8]}"
        self.name = f"plumbline-dev-{self.instance}"
        self.state = state / f"dev-{self.instance}"
        self.variables = {
            **os.environ,
            "PLUMBLINE_STATE": str(state),
            "PLUMBLINE_INSTANCE": self.instance,
            "PYTHONPATH": str(ROOT),
        }
        self.client = docker.from_env()

    def command(self, action: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "infra", action, "dev", *more]

    def run(self, action: str, *more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(action, *more),
            env=self.variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.run("up", "--json").stdout)
        return summary

    def start_up(self) -> subprocess.Popen[bytes]:
        """`up` in a process group of its own, to be killed."""
        return subprocess.Popen(
            self.command("up"),
            env=self.variables,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def exports(self) -> dict[str, str]:
        """What `python -m infra env` exports."""
        lines = self.run("env").stdout.splitlines()
        pairs = [shlex.split(line.removeprefix("export "))[0].partition("=") for line in lines]
        return {key: value for key, _, value in pairs}

    def pulumi(self, layer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pulumi` by hand in a stack's folder."""
        variables = self.variables | self.exports()
        return subprocess.run(
            ["pulumi", *arguments, "--stack", f"dev-{self.instance}", "--non-interactive"],
            env=variables,
            cwd=ROOT / "stacks" / layer,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def containers(self) -> dict[str, str]:
        """Id of each container by its short name."""
        found = self.client.api.containers(all=True, filters={"label": f"plumbline.instance={self.instance}"})
        return {item["Names"][0].removeprefix(f"/{self.name}-"): item["Id"] for item in found}

    def leftovers(self) -> list[str]:
        filters = {"label": f"plumbline.instance={self.instance}"}
        names = [item["Names"][0] for item in self.client.api.containers(all=True, filters=filters)]
        names += [item["Name"] for item in self.client.api.networks(filters=filters)]
        names += [item["Name"] for item in self.client.api.volumes(filters=filters).get("Volumes") or []]
        return names

    def sweep(self) -> None:
        """Remove what a failed test left, without the platform's help."""
        filters = {"label": f"plumbline.instance={self.instance}"}
        for item in self.client.api.containers(all=True, filters=filters):
            self.client.api.remove_container(item["Id"], force=True, v=True)
        for item in self.client.api.networks(filters=filters):
            self.client.api.remove_network(item["Id"])
        for item in self.client.api.volumes(filters=filters).get("Volumes") or []:
            self.client.api.remove_volume(item["Name"])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    made = Environment(tmp_path_factory.mktemp("state"))
    try:
        yield made
    finally:
        made.sweep()
        made.client.close()
