"""What a process remembers on this host about its worker id, for the process that comes after it.

A file belongs to the process that holds its lock; the kernel drops the lock with the process. So whoever
gets the lock knows that the last holder is dead, that its lease may be revoked, and that it used no
millisecond after `used_until_ms`, which was written ahead of use. That holds where the file is the very
one that the holder locked, in the same boot of the machine; of a copy or a cloned disk nothing is concluded.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FILES = 256
WIDTH = 256


@dataclass(frozen=True, slots=True)
class State:
    """worker -1: none yet. used_until_ms: Unix milliseconds. home: the file and boot it was written in."""

    datacenter: int = 0
    worker: int = -1
    lease: int = 0
    epoch: int = 0
    used_until_ms: int = 0
    home: str = ""


class StateFile:
    """One locked file. Not thread-safe."""

    def __init__(self, fd: int, path: Path, boot_id: str) -> None:
        status = os.fstat(fd)
        self._home = f"{boot_id}/{status.st_dev}/{status.st_ino}"
        self._fd, self.path, self.state = fd, path, _parse(os.pread(fd, WIDTH, 0))

    @property
    def trusted(self) -> bool:
        """Whether the state is the last holder's own, so that it tells what that holder really used."""
        return self.state.home == self._home

    def write(self, state: State) -> None:
        """Make the state durable. Raises OSError."""
        state = replace(state, home=self._home)
        # A fixed width within one disk sector, written in place: never empty, never half.
        line = json.dumps(asdict(state)).encode().ljust(WIDTH - 1) + b"\n"
        os.pwrite(self._fd, line, 0)
        os.fdatasync(self._fd)
        self.state = state

    def close(self) -> None:
        """Give the file to the next process."""
        fd, self._fd = self._fd, -1  # the number may soon be another file's
        if fd >= 0:
            os.close(fd)


def claim(directory: Path, datacenter: int) -> StateFile:
    """A free file of the directory: of this data centre's, the one used longest ago, else an unused one.

    Raises OSError when the directory can't be used or all 256 files are held.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # One at a time: who tries every lock must not make another believe that all are held.
    turn = os.open(directory / "claiming", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        free = _free(directory, boot_id())
    finally:
        os.close(turn)
    if not free:
        raise OSError(f"all {FILES} state files of {directory} are held")

    def order(one: StateFile) -> tuple[bool, int]:
        return one.state.worker < 0 or one.state.datacenter != datacenter, one.state.used_until_ms

    free.sort(key=order)
    for other in free[1:]:
        other.close()
    return free[0]


def _free(directory: Path, boot: str) -> list[StateFile]:
    """Every file that was used and isn't held, locked, and one that was never used."""
    free: list[StateFile] = []
    for index in range(FILES):
        path = directory / f"lease-{index}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        free.append(StateFile(fd, path, boot))
        if free[-1].state.worker < 0:
            break  # files come into use in order
    return free


def boot_id() -> str:
    """The kernel's name for this boot of the machine; from PLUMBLINE_BOOT_ID where a sandbox hides it.

    Raises OSError where neither tells.
    """
    told = os.environ.get("PLUMBLINE_BOOT_ID", "")
    return told or Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _parse(text: bytes) -> State:
    """The state; an unreadable one is as good as none, for etcd and Postgres know later stamps."""
    try:
        content = json.loads(text)
        names = ("datacenter", "worker", "lease", "epoch", "used_until_ms")
        return State(**{name: int(content[name]) for name in names}, home=str(content["home"]))
    except (ValueError, TypeError, KeyError):
        return State()
