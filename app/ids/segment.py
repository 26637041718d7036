"""IDs from ranges that a store hands out, with the next range fetched before the current one runs out.

A store gives each range once, so buffers in any number of processes never overlap. When the current range
is 10 % used the next one is fetched in the background; a caller waits only when both are empty.
"""

import threading
from collections import deque
from collections.abc import Callable

from app.ids import IdsUnavailableError

PRELOAD_AT = 0.1


class SegmentUnavailableError(IdsUnavailableError):
    """The buffers are empty and the store gave no range."""


class DoubleBuffer:
    """A thread-safe buffer of ranges in front of a store.

    load(at_least): a fresh range of at least that many IDs; may block and raise. spawn: runs a function in
    the background. monotonic: seconds. wait_s: how long a caller waits for a range. retry_after_s: after a
    failed load no other is tried for this long, so that an outage costs callers no waiting.
    """

    def __init__(
        self,
        load: Callable[[int], range],
        spawn: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        *,
        preload_at: float = PRELOAD_AT,
        wait_s: float = 3.0,
        retry_after_s: float = 0.5,
    ) -> None:
        self._load, self._spawn, self._monotonic = load, spawn, monotonic
        self._preload_at, self._wait_s, self._retry_after_s = preload_at, wait_s, retry_after_s
        self._segments: deque[range] = deque()  # the current one, then the preloaded one
        self._current_size = 0
        self._loading = False
        self._failure: Exception | None = None
        self._failed_at = 0.0
        self._changed = threading.Condition()

    def blocks(self, count: int) -> list[range]:
        """`count` IDs, all or none. Raises SegmentUnavailableError when the store gives none in time."""
        if count < 1:
            raise ValueError(f"count: {count} is not allowed; allowed: 1 or more")
        with self._changed:
            self._wait_for(count)
            taken = []
            while count:
                segment = self._segments[0]
                size = min(count, len(segment))
                taken.append(segment[:size])
                count -= size
                if size == len(segment):
                    self._segments.popleft()
                    self._current_size = len(self._segments[0]) if self._segments else 0
                else:
                    self._segments[0] = segment[size:]
            self._preload_if_due()
            return taken

    def can_issue(self) -> bool:
        """Whether IDs are buffered, or a load is under way or may be tried."""
        return bool(self._segments) or self._loading or not self._in_retry_pause()

    def warm(self) -> None:
        """Hold a range when this returns. Raises SegmentUnavailableError when the store gives none."""
        with self._changed:
            if self._segments or self._loading:
                self._wait_for(1)
                return
            self._loading = True
        self._fetch(1)
        with self._changed:
            if self._failure is not None:
                raise SegmentUnavailableError(f"no range from the store: {self._failure}") from self._failure

    def used_ratio(self) -> float:
        """Share of the current range that is used, 0 to 1; 1 when there is none."""
        with self._changed:
            return 1 - len(self._segments[0]) / self._current_size if self._segments else 1.0

    def _wait_for(self, count: int) -> None:
        deadline = self._monotonic() + self._wait_s
        while (available := sum(map(len, self._segments))) < count:
            if not self._loading:
                if self._in_retry_pause():
                    raise SegmentUnavailableError(f"no range from the store: {self._failure}")
                self._start_loading(count - available)
                continue
            left = deadline - self._monotonic()
            if left <= 0:
                raise SegmentUnavailableError(f"no range from the store within {self._wait_s} s")
            self._changed.wait(left)

    def _preload_if_due(self) -> None:
        if len(self._segments) > 1 or self._in_retry_pause():
            return
        if not self._segments or len(self._segments[0]) <= self._current_size * (1 - self._preload_at):
            self._start_loading(1)

    def _in_retry_pause(self) -> bool:
        return self._failure is not None and self._monotonic() < self._failed_at + self._retry_after_s

    def _start_loading(self, at_least: int) -> None:
        if self._loading:
            return
        self._loading = True
        try:
            self._spawn(lambda: self._fetch(at_least))
        except Exception as error:  # the executor may be shut down already
            self._failed(error)

    def _fetch(self, at_least: int) -> None:
        try:
            segment = self._load(at_least)
        except Exception as error:
            with self._changed:
                self._failed(error)
            return
        with self._changed:
            if not self._segments:
                self._current_size = len(segment)
            self._segments.append(segment)
            self._loading, self._failure = False, None
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        self._loading, self._failure, self._failed_at = False, error, self._monotonic()
        self._changed.notify_all()
