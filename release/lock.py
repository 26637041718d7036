"""One controller at a time for a service and environment: a file lock with a fencing token.

The holder is a process: its number, its start time and the machine's boot, so that a number used again is
not taken for the holder. A holder that is dead on this machine loses the lock to the next who asks, and
that is said. Tokens only grow: every change of a share carries one, and an edge refuses a lower one.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """Who holds the lock. start_ticks is field 22 of /proc/PID/stat; since is Unix seconds."""

    pid: int
    start_ticks: int
    boot_id: str
    host: str
    user: str
    since: float
    release_id: str
    token: int

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{self.user}@{self.host}, process {self.pid}, for release {self.release_id}, since {at}"


class LockHeld(Exception):
    """Somebody alive holds the lock. The message says who and since when."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(
            f"lock: held by {holder}. One release at a time; wait for it, or stop that process and run the "
            "same command again"
        )
        self.holder = holder


class LockLost(Exception):
    """This process no longer holds the lock: somebody took it over. It must not touch anything more."""


@dataclass(frozen=True)
class Taken:
    """The lock as it was got. `from_dead` is the dead holder that it was taken over from."""

    holder: Holder
    from_dead: Holder | None


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def boot_id() -> str:
    """This boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class FileLock:
    """The lock in `folder`: lock.json while somebody holds it, token.json for good."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._file, self._tokens = folder / "lock.json", folder / "token.json"

    def take(self, pid: int, release_id: str, now: float) -> Taken:
        """Take the lock for a process, or keep it when that process has it. Raises LockHeld."""
        started = start_ticks(pid)
        if started is None:
            raise ProcessLookupError(f"lock: process {pid} is not there to hold it")
        with self._guarded():
            before = self.holder()
            if before is not None and (before.pid, before.start_ticks, before.boot_id) == (
                pid,
                started,
                boot_id(),
            ):
                kept = Holder(**{**asdict(before), "release_id": release_id})
                _put(self._file, json.dumps(asdict(kept)))
                return Taken(kept, None)
            if before is not None and alive(before):
                raise LockHeld(before)
            token = self._next_token(before)
            holder = Holder(pid, started, boot_id(), socket.gethostname(), getuser(), now, release_id, token)
            _put(self._tokens, json.dumps({"token": token}))
            _put(self._file, json.dumps(asdict(holder)))
            return Taken(holder, before)

    def holder(self) -> Holder | None:
        """Who holds the lock, dead or alive."""
        try:
            return Holder(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return None

    def check(self, token: int) -> None:
        """Raises LockLost unless the lock is still held under this token."""
        holder = self.holder()
        if holder is None or holder.token != token:
            now = f"held by {holder}" if holder else "free"
            raise LockLost(f"lock: this process lost it; it is {now}. Nothing more is touched")

    def release(self, token: int) -> None:
        """Give the lock back; nothing when it isn't held under this token."""
        with self._guarded():
            holder = self.holder()
            if holder is not None and holder.token == token:
                self._file.unlink()

    def _next_token(self, before: Holder | None) -> int:
        try:
            last = int(json.loads(self._tokens.read_text())["token"])
        except FileNotFoundError:
            last = 0
        return max(last, before.token if before else 0) + 1

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Alone with the files for a moment; the kernel ends it with the process."""
        descriptor = os.open(self._folder / "lock.guard", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def alive(holder: Holder) -> bool:
    """Whether a holder may still act. One on another machine can't be seen from here and counts as alive."""
    if holder.host != socket.gethostname():
        return True
    return holder.boot_id == boot_id() and start_ticks(holder.pid) == holder.start_ticks


def _put(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner alone."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
