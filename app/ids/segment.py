"""IDs from ranges that a store hands out, with the next range fetched before the current one runs out.

A store gives each range once, so buffers in any number of processes never overlap. When the current range
is 10 % used the next one is fetched in the background; a caller waits only when both are empty.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping

from app.ids.model import Batch, Health, Id, IdsUnavailableError, Kind, check_count
from app.ids.steps import Fixed, StepPolicy

PRELOAD_AT = 0.1


class SegmentUnavailableError(IdsUnavailableError):
    """The buffers are empty and the store gave no range."""


class BufferClosedError(SegmentUnavailableError):
    """The buffer was closed and its rest given back."""


class DoubleBuffer:
    """A thread-safe buffer of ranges in front of a store.

    load(size): a fresh range of about that many IDs, at least one; may block and raise. spawn: runs a
    function in the background. monotonic: seconds. steps: how large the ranges should be. wait_s: how long a
    caller waits for a range; one that has kept a caller waiting that long keeps nobody else. retry_after_s:
    after a failed load no other is tried for this long, so that an outage costs callers no waiting.
    """

    name = "segment"
    kind: Kind = "int64"

    def __init__(
        self,
        load: Callable[[int], range],
        spawn: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        *,
        steps: StepPolicy | None = None,
        preload_at: float = PRELOAD_AT,
        wait_s: float = 3.0,
        retry_after_s: float = 0.5,
    ) -> None:
        self._load, self._spawn, self._monotonic = load, spawn, monotonic
        self._steps = steps or Fixed(1)  # with 1 the store alone decides
        self._preload_at, self._wait_s, self._retry_after_s = preload_at, wait_s, retry_after_s
        self._next = self._stop = 0  # what is left of the current range
        self._size = 0  # what it was at first
        self._preload_below = 0  # the rest at which the next one is fetched
        self._spare: deque[tuple[int, int, int, int]] = deque()  # the four above, of ranges not begun
        self._available = 0
        self._step = self._steps.step
        self._loading = self._late = self._closed = self._given_back = False
        self._loaded_at = 0.0  # when the last range was asked for, and what had been issued then
        self._issued_then = 0
        self._failure: Exception | None = None
        self._failed_at = 0.0
        self._issued = self._loads = self._load_failures = self._wasted = 0
        self._switches = self._preload_hits = self._preload_misses = self._waiting = 0
        self._lock = threading.RLock()  # again in one thread: `spawn` and `load` may be direct calls
        self._changed = threading.Condition(self._lock)

    def generate(self) -> Id:
        """One ID. Raises SegmentUnavailableError when the store gives no range in time."""
        return Id(self.blocks(1)[0].start, "int64")

    def batch(self, count: int) -> Batch:
        """`count` IDs, all or none. Raises SegmentUnavailableError when the store gives none in time."""
        return Batch("int64", tuple(self.blocks(count)))

    def blocks(self, count: int) -> list[range]:
        """`count` IDs as ranges, all or none. Raises SegmentUnavailableError as `batch` does."""
        if count < 1:
            check_count(count)
        with self._lock:
            waited = self._available < count
            if waited:
                self._preload_misses += bool(self._loads)  # the very first range nobody could fetch before
                self._wait_for(count)
            taken = []
            left = count
            while True:
                first = self._next
                size = self._stop - first
                if left < size:
                    self._next = first + left
                    taken.append(range(first, self._next))
                    break
                if size:
                    taken.append(range(first, self._stop))
                    left -= size
                    self._next = self._stop
                if self._spare:
                    self._switch(waited)
                if not left:
                    break
            self._available -= count
            self._issued += count
            if self._stop - self._next <= self._preload_below and not self._loading and not self._spare:
                self._preload(count)
            return taken

    def can_issue(self) -> bool:
        """Whether IDs are buffered, or a load is under way or may be tried."""
        return self._obstacle() is None

    def health(self) -> Health:
        """Why nothing can be issued, if so."""
        obstacle = self._obstacle()
        return Health(obstacle is None, obstacle or "")

    def ready(self, count: int) -> bool:
        """Whether `count` IDs can be had now without waiting, as far as can be told without the lock."""
        return self._available >= count

    def warm(self) -> None:
        """Hold a range when this returns. Raises SegmentUnavailableError when the store gives none."""
        with self._lock:
            if self._available or self._loading or self._closed:
                self._wait_for(1)
                return
            size = self._begin_loading(1)
        self._fetch(size)
        with self._lock:
            if self._failure is not None:
                raise SegmentUnavailableError(f"no range from the store: {self._failure}") from self._failure

    def close(self, wait_s: float = 1.0) -> list[range]:
        """Issue nothing more; the ranges nobody got, for the store to hand out again.

        Waits up to `wait_s` for a load under way. What arrives later is given to nobody: a gap, counted.
        """
        with self._lock:
            self._closed = True
            rest = [range(self._next, self._stop), *self._take_spare()]
            self._next = self._stop = self._available = 0
            self._changed.notify_all()
            deadline = self._monotonic() + wait_s
            while self._loading and (left := deadline - self._monotonic()) > 0:
                self._changed.wait(left)
            rest += self._take_spare()
            self._given_back = True
            return [one for one in rest if one]

    def used_ratio(self) -> float:
        """Share of the current range that is used, 0 to 1; 1 when there is none."""
        with self._lock:
            left = self._stop - self._next
            return 1 - left / self._size if left else 1.0

    def metrics(self) -> Mapping[str, float]:
        """Counters and gauges. Preload success = hits / (hits + misses); a miss kept a caller waiting."""
        with self._lock:
            return {
                "issued": self._issued,
                "buffered": self._available,
                "used_ratio": self.used_ratio(),
                "step": self._step,
                "loads": self._loads,
                "load_failures": self._load_failures,
                "switches": self._switches,
                "preload_hits": self._preload_hits,
                "preload_misses": self._preload_misses,
                "wasted": self._wasted,
            }

    def _obstacle(self) -> str | None:
        if self._closed:
            return "the buffer is closed"
        if self._available:
            return None
        if self._in_retry_pause():
            return f"no range from the store: {self._failure}"
        return f"no range from the store within {self._wait_s} s" if self._late else None

    def _switch(self, waited: bool) -> None:
        """Make the spare range the current one; `waited`: somebody had to wait for it."""
        if self._size:  # else it's the first
            self._switches += 1
            self._preload_hits += not waited
        self._next, self._stop, self._size, self._preload_below = self._spare.popleft()

    def _take_spare(self) -> list[range]:
        spare = [range(first, stop) for first, stop, _, _ in self._spare]
        self._spare.clear()
        return spare

    def _wait_for(self, count: int) -> None:
        self._waiting += 1
        try:
            deadline = self._monotonic() + self._wait_s
            while self._available < count:
                if self._closed:
                    raise BufferClosedError("the buffer is closed")
                if not self._loading:
                    if self._in_retry_pause():
                        message = f"no range from the store: {self._failure}"
                        raise SegmentUnavailableError(message) from self._failure
                    self._start_loading(count - self._available)
                    continue
                left = deadline - self._monotonic()
                self._late = self._late or left <= 0
                if self._late:
                    raise SegmentUnavailableError(f"no range from the store within {self._wait_s} s")
                self._changed.wait(left)
        finally:
            self._waiting -= 1

    def _preload(self, count: int) -> None:
        # As much as the last call took at least, so that the same call finds it there again.
        if not self._closed and not self._in_retry_pause():
            self._start_loading(count)

    def _in_retry_pause(self) -> bool:
        return self._failure is not None and self._monotonic() < self._failed_at + self._retry_after_s

    def _begin_loading(self, at_least: int) -> int:
        """Mark a load as under way; the size to ask for."""
        self._loading = True
        now = self._monotonic()
        if self._loads:
            wanted = self._steps.next(self._step, self._issued - self._issued_then, now - self._loaded_at)
        else:
            wanted = self._step
        return max(wanted, at_least)

    def _start_loading(self, at_least: int) -> None:
        size = self._begin_loading(at_least)
        try:
            self._spawn(lambda: self._fetch(size))
        except Exception as error:  # the executor may be shut down already
            self._failed(error)

    def _fetch(self, size: int) -> None:
        asked_at, issued_then = self._monotonic(), self._issued
        try:
            segment = self._load(size)
            if not segment or segment.step != 1:
                raise ValueError(f"the store gave {segment}, which is no range of consecutive IDs")
        except Exception as error:
            with self._lock:
                self._failed(error)
            return
        with self._lock:
            self._loading, self._late, self._failure = False, False, None
            self._loads += 1
            self._loaded_at, self._issued_then = asked_at, issued_then
            self._step = max(size, self._steps.step)
            self._accept(segment)
            self._changed.notify_all()

    def _accept(self, segment: range) -> None:
        if self._given_back:
            self._wasted += len(segment)
            return
        preload_below = int(len(segment) * (1 - self._preload_at))
        self._spare.append((segment.start, segment.stop, len(segment), preload_below))
        if self._closed:
            return  # `close` waits for it
        self._available += len(segment)
        if self._next == self._stop:
            self._switch(self._waiting > 0)

    def _failed(self, error: Exception) -> None:
        self._loading, self._late, self._failure = False, False, error
        self._failed_at = self._monotonic()
        self._load_failures += 1
        self._changed.notify_all()
