"""Time-ordered IDs of one worker id, safe when the clock goes back.

When the clock reads less than the last ID's time by
- up to 5 ms: the call waits for the clock;
- up to 1,000 ms: a logical clock goes on from the last ID's time and advances only as sequences run out;
- more: the call is refused (ClockRolledBackError) until the clock has caught up to within that bound.

Timestamps never run away: they lead the clock by at most `max_lead_ms`, after a rollback by at most the
rollback (<= 1,000 ms) more. So one worker id issues at most `layout.per_ms` IDs a millisecond. A call that
needs several milliseconds takes those just passed first, if no ID used them, up to `MOST_LAG_MS` back: a
process that didn't run for a moment (two cores, many processes) loses nothing of its worker id's share.
"""

import threading
from collections.abc import Callable, Mapping

from app.ids.layout import EARLIEST_MS, Layout, Parts
from app.ids.model import Batch, Health, Id, IdsUnavailableError, Kind, check_count

WAIT_MS = 5
LOGICAL_MS = 1_000
MOST_LAG_MS = 10
TICK_S = 0.0005
LONGEST_SLEEP_MS = 10
MOST_TICKS_WITHOUT_PROGRESS = 200
DAY_MS = 86_400_000


class ClockRolledBackError(IdsUnavailableError):
    """The clock is more than a second behind the last ID."""

    def __init__(self, behind_ms: int) -> None:
        super().__init__(f"the clock is {behind_ms} ms behind the last ID; allowed: {LOGICAL_MS} ms")
        self.behind_ms = behind_ms


class ClockStuckError(IdsUnavailableError):
    """The clock does not advance, so no further millisecond can be used."""


class ClockOutOfRangeError(IdsUnavailableError):
    """The clock is before EARLIEST_MS, where IDs would meet those of segments, or after the layout's end."""


class WorkerIdUnusableError(IdsUnavailableError):
    """The worker id is not held (any more): another process may have it."""


class ReservationFailedError(IdsUnavailableError):
    """The time up to which IDs are used could not be made durable, so a restart might repeat them."""


class Snowflake:
    """A thread-safe generator for one (data centre, worker) pair.

    clock_ms: Unix milliseconds, may jump. sleep: seconds. usable: whether the worker id is still held, asked
    before every call and every new millisecond. start_after_ms: the last millisecond that an earlier holder
    of the worker id may have used. reserve: called with a millisecond before its first ID is handed out; it
    must make "used up to here" durable and return the (same or later) reserved millisecond, so that it's
    called seldom. stepped: told of each step back of the clock by its tier, `wait`, `logical` or `degrade`.
    """

    name = "snowflake"
    kind: Kind = "int64"

    def __init__(
        self,
        *,
        datacenter: int,
        worker: int,
        clock_ms: Callable[[], int],
        sleep: Callable[[float], None],
        layout: Layout | None = None,
        usable: Callable[[], bool] = lambda: True,
        start_after_ms: int = 0,
        reserve: Callable[[int], int] | None = None,
        max_lead_ms: int = WAIT_MS,
        stepped: Callable[[str], None] = lambda tier: None,
    ) -> None:
        self.layout = layout or Layout()
        self.datacenter, self.worker = datacenter, worker
        self._clock_ms, self._sleep, self._usable, self._reserve = clock_ms, sleep, usable, reserve
        self._stepped = stepped
        self._max_lead_ms = self._allowed_lead_ms = max_lead_ms
        self._last_ms = self._seen_ms = start_after_ms
        self._per_ms = self._sequence = self.layout.per_ms  # start_after_ms itself counts as used up
        self._first = 0  # the ID of `_last_ms` with sequence 0, once something was issued
        self._reserved_ms = start_after_ms
        self._stopped = self._refused = False
        self._issued = self._waits = self._rollbacks = self._refusals = 0
        self._lock = threading.Lock()
        self.layout.pack(Parts(EARLIEST_MS, datacenter, worker, 0))  # refuses wrong numbers now, not later

    def stop(self) -> int:
        """Issue nothing more; the time of the last ID in Unix milliseconds, after which another may begin."""
        with self._lock:
            self._stopped = True
            return self._last_ms

    def generate(self) -> Id:
        """One ID, larger than all before."""
        return Id(self.blocks(1)[0].start, "int64")

    def batch(self, count: int) -> Batch:
        """`count` IDs, larger than all before."""
        return Batch("int64", tuple(self.blocks(count)))

    def blocks(self, count: int) -> list[range]:
        """`count` IDs as ranges, larger than all before. Raises IdsUnavailableError by its subclasses."""
        if count < 1:
            check_count(count)
        with self._lock:
            try:
                return self._take(count)
            except IdsUnavailableError:
                self._refusals += 1
                raise

    def can_issue(self) -> bool:
        """False when stopped or not usable, and while the clock allows no ID."""
        return self._obstacle() is None

    def health(self) -> Health:
        """Why nothing can be issued, if so."""
        obstacle = self._obstacle()
        return Health(obstacle is None, "" if obstacle is None else str(obstacle))

    def ready(self, count: int) -> bool:
        """Whether `count` IDs can be had now without waiting, as far as can be told without the lock."""
        spare_ms = self._clock_ms() + self._allowed_lead_ms - self._last_ms
        return spare_ms * self._per_ms >= count and self._obstacle() is None

    def metrics(self) -> Mapping[str, float]:
        """Counters, `lead_ms` (how far the last ID is ahead of the clock) and `days_left` of the layout."""
        now_ms = self._clock_ms()
        return {
            "issued": self._issued,
            "waits": self._waits,
            "rollbacks": self._rollbacks,
            "refusals": self._refusals,
            "lead_ms": max(0, self._last_ms - now_ms),
            "days_left": (self.layout.last_unix_ms - max(now_ms, self._last_ms)) / DAY_MS,
        }

    def _obstacle(self) -> IdsUnavailableError | None:
        if self._stopped:
            return WorkerIdUnusableError("this process has given its worker id back")
        if not self._usable():
            return WorkerIdUnusableError(f"worker id {self.worker} is no longer held by this process")
        now_ms = self._clock_ms()
        behind_ms = self._last_ms - now_ms
        if behind_ms > LOGICAL_MS + self._max_lead_ms:
            return ClockRolledBackError(behind_ms)
        return self._out_of_range(max(now_ms, self._last_ms))

    def _out_of_range(self, ms: int) -> ClockOutOfRangeError | None:
        if EARLIEST_MS <= ms <= self.layout.last_unix_ms:
            return None
        return ClockOutOfRangeError(
            f"clock: {ms} ms is not allowed; allowed: {EARLIEST_MS} to {self.layout.last_unix_ms} ms"
        )

    def _check_held(self) -> None:
        if self._stopped or not self._usable():
            raise self._obstacle() or WorkerIdUnusableError("the worker id was not held a moment ago")

    def _take(self, count: int) -> list[range]:
        self._check_held()
        taken = []
        left = count
        while True:
            self._enter_usable_millisecond(left)
            size = min(left, self._per_ms - self._sequence)
            first = self._first + self._sequence
            taken.append(range(first, first + size))
            self._sequence += size
            left -= size
            if not left:
                self._issued += count
                return taken

    def _enter_usable_millisecond(self, wanted: int) -> None:
        """Make `_last_ms` a reserved millisecond with sequence left, waiting for the clock if need be."""
        ticks, before_ms = 0, -1
        while True:
            now_ms = self._read_clock()
            if now_ms > self._last_ms:
                lag_ms = MOST_LAG_MS if wanted > self._per_ms else 0
                self._begin(max(self._last_ms + 1, now_ms - lag_ms))
                self._allowed_lead_ms = self._max_lead_ms
            elif self._sequence == self._per_ms:
                wait_ms = self._last_ms + 1 - now_ms - self._allowed_lead_ms
                if wait_ms > 0:
                    ticks = ticks + 1 if now_ms == before_ms else 0
                    if ticks > MOST_TICKS_WITHOUT_PROGRESS:
                        raise ClockStuckError(f"the clock stays at {now_ms} ms")
                    before_ms = now_ms
                    # One sleep for the whole call: it needs this many milliseconds more to be over.
                    whole_ms = min(wait_ms - 1 + (wanted - 1) // self._per_ms, LONGEST_SLEEP_MS)
                    self._waits += 1
                    self._sleep(TICK_S + whole_ms / 1_000)
                    continue
                self._begin(self._last_ms + 1)
            return

    def _begin(self, ms: int) -> None:
        # Reserved first: if that fails, the state is as before and nothing was handed out.
        if error := self._out_of_range(ms):
            raise error
        if self._reserve is not None and ms > self._reserved_ms:
            try:
                self._reserved_ms = self._reserve(ms)
            except Exception as error:
                raise ReservationFailedError(f"no reservation of worker id {self.worker}: {error}") from error
        self._check_held()
        self._first = self.layout.pack(Parts(ms, self.datacenter, self.worker, 0))
        self._last_ms, self._sequence = ms, 0

    def _read_clock(self) -> int:
        """The clock in milliseconds, after the tier that a rollback falls into was applied."""
        now_ms = self._clock_ms()
        if now_ms < self._seen_ms and now_ms < self._last_ms:
            if self._seen_ms - now_ms <= WAIT_MS:
                self._stepped("wait")
                now_ms = self._wait_until(self._seen_ms, now_ms)
            behind_ms = self._last_ms - now_ms
            if behind_ms > LOGICAL_MS + self._max_lead_ms:
                if not self._refused:
                    self._stepped("degrade")
                self._refused = True
                raise ClockRolledBackError(behind_ms)
            if now_ms < self._seen_ms:
                self._rollbacks += 1
                self._stepped("logical")
                self._allowed_lead_ms = max(self._max_lead_ms, behind_ms)
        self._seen_ms, self._refused = now_ms, False
        return now_ms

    def _wait_until(self, target_ms: int, now_ms: int) -> int:
        """Wait at most about twice the step back; the clock's reading afterwards, wherever it is."""
        self._waits += 1
        for _ in range(2):
            if now_ms >= target_ms or target_ms - now_ms > WAIT_MS:
                break
            self._sleep((target_ms - now_ms) / 1_000)
            now_ms = self._clock_ms()
        return now_ms
