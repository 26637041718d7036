"""Time-ordered IDs of one worker id, safe when the clock goes back.

When the clock reads less than the last ID's time by
- up to 5 ms: the call waits for the clock;
- up to 1,000 ms: a logical clock goes on from the last ID's time and advances only as sequences run out;
- more: the call is refused (ClockRolledBackError) until the clock has caught up to within that bound.

Timestamps never run away: they lead the clock by at most `max_lead_ms`, after a rollback by at most the
rollback (<= 1,000 ms) more. So one worker id issues at most `layout.per_ms` IDs a millisecond.
"""

import threading
from collections.abc import Callable

from app.ids import IdsUnavailableError
from app.ids.layout import Layout, Parts

WAIT_MS = 5
LOGICAL_MS = 1_000
TICK_S = 0.0005
MOST_TICKS_WITHOUT_PROGRESS = 200


class ClockRolledBackError(IdsUnavailableError):
    """The clock is more than a second behind the last ID."""

    def __init__(self, behind_ms: int) -> None:
        super().__init__(f"the clock is {behind_ms} ms behind the last ID; allowed: {LOGICAL_MS} ms")
        self.behind_ms = behind_ms


class ClockStuckError(IdsUnavailableError):
    """The clock does not advance, so no further millisecond can be used."""


class Snowflake:
    """A thread-safe generator for one (data centre, worker) pair.

    clock_ms: Unix milliseconds, may jump. sleep: seconds. start_after_ms: the last millisecond that an
    earlier holder of the worker id may have used. reserve: called with a millisecond before its first ID
    is handed out; it must make "used up to here" durable and return the (same or later) reserved
    millisecond, so that it's called seldom.
    """

    def __init__(
        self,
        *,
        datacenter: int,
        worker: int,
        clock_ms: Callable[[], int],
        sleep: Callable[[float], None],
        layout: Layout | None = None,
        start_after_ms: int = 0,
        reserve: Callable[[int], int] | None = None,
        max_lead_ms: int = WAIT_MS,
    ) -> None:
        self.layout = layout or Layout()
        self.datacenter, self.worker = datacenter, worker
        self._clock_ms, self._sleep, self._reserve = clock_ms, sleep, reserve
        self._max_lead_ms = self._allowed_lead_ms = max_lead_ms
        self._last_ms = self._seen_ms = start_after_ms
        self._sequence = self.layout.per_ms  # start_after_ms itself counts as used up
        self._reserved_ms = start_after_ms
        self._stopped = False
        self._lock = threading.Lock()

    def stop(self) -> int:
        """Issue nothing more; the time of the last ID in Unix milliseconds, after which another may begin."""
        with self._lock:
            self._stopped = True
            return self._last_ms

    def can_issue(self) -> bool:
        """False when stopped, and while the clock is too far behind the last ID."""
        return not self._stopped and self._last_ms - self._clock_ms() <= LOGICAL_MS + self._max_lead_ms

    def blocks(self, count: int) -> list[range]:
        """`count` IDs, larger than all before. Raises ClockRolledBackError or ClockStuckError."""
        if count < 1:
            raise ValueError(f"count: {count} is not allowed; allowed: 1 or more")
        with self._lock:
            if self._stopped:
                raise IdsUnavailableError("this process has given its worker id back")
            taken = []
            while count:
                self._enter_usable_millisecond()
                size = min(count, self.layout.per_ms - self._sequence)
                first = self.layout.pack(Parts(self._last_ms, self.datacenter, self.worker, self._sequence))
                taken.append(range(first, first + size))
                self._sequence += size
                count -= size
            return taken

    def _enter_usable_millisecond(self) -> None:
        """Make `_last_ms` a reserved millisecond with sequence left, waiting for the clock if need be."""
        ticks = 0
        while True:
            now_ms = self._read_clock()
            if now_ms > self._last_ms:
                self._begin(now_ms)
                self._allowed_lead_ms = self._max_lead_ms
            elif self._sequence == self.layout.per_ms:
                if self._last_ms + 1 - now_ms > self._allowed_lead_ms:
                    ticks += 1
                    if ticks > MOST_TICKS_WITHOUT_PROGRESS:
                        raise ClockStuckError(f"the clock stays at {now_ms} ms")
                    self._sleep(TICK_S)
                    continue
                self._begin(self._last_ms + 1)
            return

    def _begin(self, ms: int) -> None:
        # Reserved first: if that fails, the state is as before and nothing was handed out.
        if self._reserve is not None and ms > self._reserved_ms:
            self._reserved_ms = self._reserve(ms)
        self._last_ms, self._sequence = ms, 0

    def _read_clock(self) -> int:
        """The clock in milliseconds, after the tier that a rollback falls into was applied."""
        now_ms = self._clock_ms()
        if now_ms < self._seen_ms and now_ms < self._last_ms:
            if self._seen_ms - now_ms <= WAIT_MS:
                now_ms = self._wait_until(self._seen_ms, now_ms)
            behind_ms = self._last_ms - now_ms
            if behind_ms > LOGICAL_MS + self._max_lead_ms:
                raise ClockRolledBackError(behind_ms)
            if now_ms < self._seen_ms:
                self._allowed_lead_ms = max(self._max_lead_ms, behind_ms)
        self._seen_ms = now_ms
        return now_ms

    def _wait_until(self, target_ms: int, now_ms: int) -> int:
        """Wait at most about twice the step back; the clock's reading afterwards, wherever it is."""
        for _ in range(2):
            if now_ms >= target_ms or target_ms - now_ms > WAIT_MS:
                break
            self._sleep((target_ms - now_ms) / 1_000)
            now_ms = self._clock_ms()
        return now_ms
