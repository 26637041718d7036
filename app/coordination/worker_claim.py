"""A worker id for one process, unique over the fleet, held by a lock on a file of this host.

Worker id, 8 bits: 5 host index, 1 slot, 2 index within the slot. The lock dies with the process, so a killed
process leaves no claim behind. The file keeps the last millisecond that the id may have used: it is written
ahead of use, and whoever holds the id next starts after it.
"""

import fcntl
import os
from pathlib import Path

SLOT_BIT = {"blue": 0, "green": 1}
INDEXES = 4
RESERVE_AHEAD_MS = 3_000


class NoWorkerIdError(Exception):
    """All indexes of this slot are held."""


class WorkerClaim:
    """A held worker id. `reserve` and `used_until_ms` are what Snowflake needs."""

    def __init__(self, fd: int, worker: int, used_until_ms: int) -> None:
        self._fd, self.worker, self.used_until_ms = fd, worker, used_until_ms

    def reserve(self, ms: int) -> int:
        """Make "used until a few seconds after `ms`" durable; returns that millisecond."""
        until_ms = ms + RESERVE_AHEAD_MS
        self._write(until_ms)
        return until_ms

    def release(self, last_ms: int) -> None:
        """Give the id back with the last millisecond really used, so that the next holder needn't wait."""
        self._write(last_ms)
        fd, self._fd = self._fd, -1  # the number may soon be another file's
        os.close(fd)

    def _write(self, ms: int) -> None:
        # A fixed width, written in place: no moment at which the file is empty or half a number.
        os.pwrite(self._fd, b"%020d\n" % ms, 0)
        os.fdatasync(self._fd)


def claim(directory: Path, *, host_index: int, slot: str) -> WorkerClaim:
    """Take the free index that was used longest ago. Raises NoWorkerIdError when all four are held."""
    directory.mkdir(parents=True, exist_ok=True)
    free: list[tuple[int, int, int]] = []
    for index in range(INDEXES):
        fd = os.open(directory / f"worker-{slot}-{index}", os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        free.append((int(os.pread(fd, 64, 0) or b"0"), index, fd))
    if not free:
        raise NoWorkerIdError(f"all {INDEXES} worker ids of slot {slot} are held, see {directory}")
    free.sort()
    for _, _, fd in free[1:]:
        os.close(fd)
    used_until_ms, index, fd = free[0]
    return WorkerClaim(fd, worker_id(host_index, slot, index), used_until_ms)


def worker_id(host_index: int, slot: str, index: int) -> int:
    """The 8-bit worker id. Raises ValueError for a part out of range."""
    if not 0 <= host_index < 32 or not 0 <= index < INDEXES:
        raise ValueError(f"host index {host_index}, index {index}: allowed 0 to 31 and 0 to {INDEXES - 1}")
    return host_index << 3 | SLOT_BIT[slot] << 2 | index
