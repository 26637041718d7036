"""The Docker daemon: found, or started where none answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from infra import paths
from tools.setup.shell import Log, SetupError, as_root

# Addresses for Docker's own bridge and for networks that name none: in the range for benchmarks (RFC 2544),
# and apart from 198.18.16.0 onward, which environments take.
BRIDGE = "198.18.0.1/24"
POOL = "base=198.18.8.0/21,size=24"
START_LIMIT_S = 90.0


def version() -> tuple[str, str]:
    """The daemon's version and an empty string, or an empty string and why there is no answer."""
    if shutil.which("docker") is None:
        return "", "the docker command is missing"
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", "the daemon didn't answer within 20 s"
    return (asked.stdout.strip(), "") if asked.returncode == 0 else ("", asked.stderr.strip())


def answers() -> bool:
    """Whether a Docker daemon answers this user."""
    return bool(version()[0])


def runs_systemd() -> bool:
    """Whether systemd manages this machine's services."""
    return Path("/run/systemd/system").is_dir()


def daemon_options(configuration: Path = Path("/etc/docker/daemon.json")) -> list[str]:
    """Options for dockerd. What the machine's own configuration sets is left to it: dockerd refuses both."""
    try:
        kept = json.loads(configuration.read_text())
    except FileNotFoundError:
        kept = {}
    except ValueError as error:
        raise SetupError(
            f"{configuration}: not valid JSON ({error})", f"repair {configuration}", 2
        ) from error
    options: list[str] = []
    if "bip" not in kept and "bridge" not in kept:
        options += ["--bip", BRIDGE]
    if "default-address-pools" not in kept:
        options += ["--default-address-pool", POOL]
    return options


def start(log: Log) -> str:
    """Make a daemon answer. Raises SetupError when none can be started."""
    known, reason = version()
    if known:
        return f"{known} answers"
    if "permission denied" in reason:
        user = os.environ.get("USER", "this user")
        raise SetupError(
            f"docker: {user} may not use the daemon", f"sudo usermod -aG docker {user}; log in again", 2
        )
    with log.only_one("dockerd"):
        if answers():
            return f"{version()[0]} answers"
        if runs_systemd():
            log.say("systemctl start docker")
            log.run(as_root(["systemctl", "start", "docker"]))
            wait_for_answer(None, log)
        else:
            log.say("starting dockerd")
            wait_for_answer(launch(log.path.with_name("dockerd.log")), log)
    return f"{version()[0]} started"


def launch(output: Path) -> subprocess.Popen[bytes]:
    """Start dockerd in a session of its own, so that it outlives the set-up."""
    if shutil.which("dockerd") is None:
        raise SetupError("docker: dockerd is not installed", "apt-get install docker.io", 2)
    with output.open("ab") as file:
        return subprocess.Popen(
            as_root(["dockerd", *daemon_options()]),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )


def wait_for_answer(daemon: subprocess.Popen[bytes] | None, log: Log) -> None:
    """Wait until the daemon answers. Raises SetupError when it ends or takes too long."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        if answers():
            return
        if daemon is not None and daemon.poll() is not None:
            break
        time.sleep(0.3)
    output = paths.cache_dir() / "logs" / "dockerd.log"
    if daemon is not None and output.is_file():
        with log.path.open("a") as file:
            file.write("\n".join(output.read_text(errors="replace").splitlines()[-20:]) + "\n")
    raise SetupError(
        f"docker: the daemon doesn't answer: {version()[1]}", f"see {output}, or run: dockerd --debug"
    )
