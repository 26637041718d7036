"""How many connections each worker of this server has, in memory that all of them share.

The kernel wakes every worker for a new connection and the fastest gets it, which is the one that is awake
already: without this, one worker ends up with most kept-alive connections and with their load.
"""

import array
import mmap

SLOTS = 64
NOBODY = 2**31 - 1


class Connections:
    """Make it before the workers are forked. A worker's number is gunicorn's `age`."""

    def __init__(self) -> None:
        width = array.array("i").itemsize
        self._memory = memoryview(mmap.mmap(-1, SLOTS * width)).cast("i")
        for slot in range(SLOTS):
            self._memory[slot] = NOBODY

    def set(self, worker: int, number: int) -> None:
        """This worker has so many connections."""
        self._memory[worker % SLOTS] = number

    def gone(self, worker: int) -> None:
        """This worker ended."""
        self._memory[worker % SLOTS] = NOBODY

    def is_fullest(self, worker: int) -> bool:
        """Whether another worker has fewer connections than this one."""
        return min(self._memory) < self._memory[worker % SLOTS]


connections = Connections()
