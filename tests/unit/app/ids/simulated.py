"""Time, a store and background work that the test holds in its hand."""

import threading
from collections import deque

from app.ids.layout import EARLIEST_MS

START_MS = EARLIEST_MS + 1_000_000


class Clock:
    """Simulated time; sleeping advances it."""

    def __init__(self, now_ms: float = START_MS) -> None:
        self.now_ms, self.slept_s = float(now_ms), 0.0

    def read(self) -> int:
        return int(self.now_ms)

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.now_ms += seconds * 1_000


class Store:
    """Gives each range once, to any number of buffers."""

    def __init__(self, step: int = 100) -> None:
        self.step, self.next, self.loads, self.broken = step, 1, 0, False
        self.tails: list[range] = []
        self._lock = threading.Lock()

    def load(self, at_least: int) -> range:
        with self._lock:
            if self.broken:
                raise ConnectionError("no database")
            self.loads += 1
            if self.tails:
                return self.tails.pop(0)
            size = max(self.step, at_least)
            self.next += size
            return range(self.next - size, self.next)

    def give_back(self, ranges: list[range]) -> None:
        self.tails += ranges


class Later:
    """Background work that the test runs when it likes."""

    def __init__(self) -> None:
        self.waiting: deque = deque()

    def spawn(self, work) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


def in_thread(work) -> None:
    threading.Thread(target=work, daemon=True).start()


def at_once(work) -> None:
    work()
