"""A whole platform for the end-to-end tests: provisioned, configured, under load, with its own state."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import docker

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RATE = 300
#: A fault that gates see within seconds, and that k6 tells from a lost request by its header.
FAULTS = {
    "faults": [
        {"kind": "dependency", "mode": "slow", "share": 0.2, "delay_s": 1.5},
        {"kind": "dependency", "mode": "error", "share": 0.2},
    ]
}


class Platform:
    """An instance of `dev`. `state` is this test run's own folder."""

    def __init__(self, state: Path) -> None:
        self.instance = f"e{uuid.uuid4().hex[:7]}"
        self.name = f"plumbline-dev-{self.instance}"
        self.home = state / f"dev-{self.instance}"
        self.folder = state
        self.variables = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PLUMBLINE_ENV": "dev",
            "PLUMBLINE_INSTANCE": self.instance,
            "PLUMBLINE_STATE": str(state),
            "ANSIBLE_NOCOLOR": "1",
        }
        self.docker = docker.from_env()
        self.started: list[subprocess.Popen[bytes]] = []

    def run(
        self, *command: str, code: int | None = 0, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end. code None: any."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert code is None or done.returncode == code, (
            f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        )
        return done

    def python(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", *arguments, code=code)

    def release(self, version: str, *, config: dict | None = None, code: int | None = 0, stage: str = "all"):
        """`ansible-playbook release.yml` to its end."""
        return self.run(*self.release_command(version, config, stage), code=code)

    def release_command(self, version: str, config: dict | None = None, stage: str = "all") -> list[str]:
        extra = ["-e", f"stage={stage}", "-e", f"version={version}", "-e", "profile=demo"]
        if config:
            path = self.folder / f"release-{version}.json"
            path.write_text(json.dumps(config))
            extra += ["-e", f"release_config={path}"]
        return ["ansible-playbook", "release.yml", *extra]

    def start_release(self, version: str, config: dict | None = None) -> subprocess.Popen[bytes]:
        """The same in the background, in a process group of its own."""
        with (self.folder / f"release-{version}.log").open("ab") as log:
            process = subprocess.Popen(
                self.release_command(version, config),
                cwd=ROOT,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def stop_all(self) -> None:
        """End the releases that a failed or interrupted test left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def journal(self, version: str) -> list[dict]:
        """The entries of the newest release of a version; none while there is no such release."""
        found = sorted((self.home / "releases").glob(f"*-{version}/journal.jsonl"))
        if not found:
            return []
        return [json.loads(line) for line in found[-1].read_text().splitlines() if line.endswith("}")]

    def summary(self, version: str) -> dict:
        """The newest report of a version."""
        release_id = sorted((self.home / "releases").glob(f"*-{version}"))[-1].name
        return json.loads((ROOT / "results" / release_id / "summary.json").read_text())

    def wait_for(
        self, version: str, entry_type: str, process: subprocess.Popen[bytes], count: int = 1
    ) -> None:
        """Until the journal has `count` entries of a type. Fails when the process ends before."""
        deadline = time.monotonic() + 180
        while sum(e["type"] == entry_type for e in self.journal(version)) < count:
            assert process.poll() is None, (
                f"ended with {process.returncode} before {entry_type}:\n{self.log(version)[-4000:]}"
            )
            assert time.monotonic() < deadline, f"no {entry_type}:\n{self.log(version)[-4000:]}"
            time.sleep(0.02)

    def log(self, version: str) -> str:
        return (self.folder / f"release-{version}.log").read_text()

    def answers(self, requests: int = 40) -> set[str]:
        """The versions that answer from outside, each request on a new connection."""
        from release.engine.site import of_environment

        variables = {k: self.variables[k] for k in ("PLUMBLINE_STATE",)}
        before = {k: os.environ.get(k) for k in variables}
        os.environ.update(variables)
        try:
            probes = of_environment("dev", self.instance).fleet.probe(requests)
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)
        assert all(not p.failed and not p.nobody_there for p in probes.values()), probes
        return {version for p in probes.values() for version in p.versions}

    def container(self, host: str):
        return self.docker.containers.get(f"{self.name}-{host}")


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of ansible-playbook alone: its children must end by themselves."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def group_is_gone(process: subprocess.Popen[bytes], within_s: float = 5) -> bool:
    """Whether everything that the process had started ended after it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
