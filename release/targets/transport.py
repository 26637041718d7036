"""Running a command on a host: docker exec, ssh, or the controller itself.

Commands are lists of arguments, never shell strings (ssh gets one quoted line, because its
protocol has no list). Every command has a time limit in seconds.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

from infra.inventory import Host as InventoryHost

Connection = Literal["docker", "ssh", "local"]
T = TypeVar("T")

#: Options that make ssh fail instead of asking, and share one connection between commands.
SSH_OPTIONS = (
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=5",
    "-o", "ControlMaster=auto",
    "-o", "ControlPersist=60",
    "-o", "ControlPath=~/.ssh/plumbline-%C",
)  # fmt: skip


class HostUnreachable(Exception):
    """The command couldn't be run, or didn't end in time. Its effect is unknown."""

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(f"{host}: {detail}")
        self.host = host
        self.detail = detail


@dataclass(frozen=True)
class Host:
    """One machine of the inventory and the way to it."""

    name: str
    connection: Connection
    address: str = ""
    container: str | None = None
    user: str | None = None
    port: int | None = None

    @classmethod
    def from_inventory(cls, entry: InventoryHost) -> Host:
        """The way to a host of the inventory."""
        return cls(
            name=entry.name,
            connection=entry.connection,
            address=entry.address,
            container=entry.container,
            user=entry.vars.get("ansible_user"),
            port=entry.vars.get("ansible_port"),
        )

    def command(self, argv: Sequence[str], *, stdin: bool = False) -> list[str]:
        """The command of the controller that runs `argv` on this host."""
        if self.connection == "local":
            return list(argv)
        if self.connection == "docker":
            return ["docker", "exec", *(["-i"] if stdin else []), self.container or self.name, *argv]
        target = f"{self.user}@{self.address}" if self.user else self.address
        port = ["-p", str(self.port)] if self.port else []
        sudo = [] if self.user in (None, "root") else ["sudo", "-n"]
        return ["ssh", *SSH_OPTIONS, *port, target, shlex.join([*sudo, *argv])]


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The last line of what it complained about, for one-line messages."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else f"exit {self.code} and no message"


Runner = Callable[..., Answer]


def run_on(host: Host, argv: Sequence[str], *, stdin: str | None = None, timeout_s: float = 10.0) -> Answer:
    """Run a command on a host. Raises HostUnreachable when it can't be run or doesn't end in time."""
    command = host.command(argv, stdin=stdin is not None)
    try:
        done = subprocess.run(
            command,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostUnreachable(host.name, f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise HostUnreachable(host.name, f"{command[0]}: {error.strerror}") from None
    if _never_arrived(host, done.returncode, done.stderr):
        raise HostUnreachable(host.name, Answer(done.returncode, "", done.stderr).complaint)
    return Answer(done.returncode, done.stdout, done.stderr)


def _never_arrived(host: Host, code: int, stderr: str) -> bool:
    """Whether the way to the host failed, and not the command on it."""
    if host.connection == "ssh":
        return code == 255
    if host.connection == "docker":
        daemon_said = stderr.startswith(("Error", "error", "Cannot connect", "OCI runtime", "unable to"))
        return code in (1, 125, 126) and daemon_said and "rror" in stderr[:40]
    return False


def on_all(hosts: Sequence[Host], action: Callable[[Host], T]) -> dict[str, T | Exception]:
    """Do something on every host at the same time. An exception is a value: one host's fault is not all's."""
    if not hosts:
        return {}

    def attempt(host: Host) -> T | Exception:
        try:
            return action(host)
        except Exception as error:
            return error

    with ThreadPoolExecutor(max_workers=min(len(hosts), 32)) as pool:
        return dict(zip([h.name for h in hosts], pool.map(attempt, hosts), strict=True))
