"""Where the gRPC server listens, and whether it may do so without TLS."""

import fcntl
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

PLACE = "{process}"
MOST_PROCESSES = 64
_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", re.ASCII)
_ALLOWED = "allowed: HOST:PORT, [IPv6]:PORT or unix:/absolute/path"


class BadBindError(ValueError):
    """The server must not listen there. The message names the setting, its value and what is allowed."""


@dataclass(frozen=True)
class Bind:
    """One listening address: TCP with host and port, or a socket in the file system."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def address(self) -> str:
        """As gRPC takes it."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def stays_on_this_host(self) -> bool:
        """Whether nobody on the network can listen in."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name may resolve to anything


def parse(text: str) -> Bind:
    """The address that `text` means. Raises BadBindError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/") or len(path) > 100:
            raise BadBindError(f"grpc_bind: {text!r} is not allowed; {_ALLOWED} of at most 100 characters")
        return Bind(path=path)
    found = _HOST_PORT.fullmatch(text)
    if not found or int(found[3]) > 65_535:
        raise BadBindError(f"grpc_bind: {text!r} is not allowed; {_ALLOWED}")
    return Bind(host=found[1] or found[2], port=int(found[3]))


def check_secret(bind: Bind, *, tls: bool) -> None:
    """API keys cross this connection: refuse to send them over a network in the clear."""
    if not tls and not bind.stays_on_this_host:
        raise BadBindError(
            f"grpc_bind: {bind.address!r} without grpc_tls_cert and grpc_tls_key is not allowed; "
            "allowed without TLS: a loopback address or unix:/path"
        )


class Claimed:
    """A socket path that no other process serves, until `release` or the end of this process.

    A second process that bound the same path would take it away from the first one unnoticed. So each takes
    the first free number in place of `{process}`, from 0; without that text only one process can serve.
    """

    def __init__(self, bind: Bind) -> None:
        numbers = range(MOST_PROCESSES) if PLACE in bind.path else range(1)
        for number in numbers:
            path = bind.path.replace(PLACE, str(number))
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            self.bind, self._lock = Bind(path=path), lock
            return
        raise BadBindError(
            f"grpc_bind: 'unix:{bind.path}' is served by another process; allowed: a path with "
            f"{PLACE} in it, for up to {MOST_PROCESSES} processes"
        )

    def release(self) -> None:
        """Let another process serve the path. The lock file stays: removing it would race with the next."""
        Path(self.bind.path).unlink(missing_ok=True)
        os.close(self._lock)
