"""The audit log of one process: a bounded queue and one thread that writes it to Postgres.

Recording never waits and never fails. While the database is away events wait in the queue; when that is
full, further ones are dropped and counted, and the loss becomes an event of its own. A graceful stop loses
nothing: what can't be written in time goes to a file, which the next start reads back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.audit import spool
from app.audit.event import Event, bounded, short
from app.server.logs import logger

BATCH = 500
LINGER_S = 0.05
RETRY_S = 1.0
TICK_S = 1.0
SPOOL_S = 0.5
"""Kept of the time to stop for writing the file."""

Write = Callable[[Sequence[Event]], None]
"""Inserts all events or raises. Written again after an error, so it must not insert half."""


class AuditLog:
    """Make it after the fork, `start()` it, and `close()` it at the end.

    `write` inserts events; `write_once` does the same for events that may be there already. `context` gives
    (request id, trace id) of the call being served. `count(outcome, events)` is told of every event once as
    `written`, `dropped` or `spooled`, and of failed attempts as `failed`. Units: seconds.
    """

    def __init__(
        self,
        write: Write,
        *,
        write_once: Write | None = None,
        spool_dir: Path | None = None,
        size: int = 10_000,
        context: Callable[[], tuple[str, str]] = lambda: ("", ""),
        count: Callable[[str, int], None] = lambda outcome, events: None,
        now: Callable[[], datetime] | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._write, self._write_once = write, write_once or write
        self._spool_dir, self._context, self._count = spool_dir, context, count
        self._now = now or unique_times(lambda: datetime.now(UTC))
        self._retry_s = retry_s
        self._size = size
        self._changed = threading.Condition()  # guards all that follows
        self._queue: deque[Event] = deque()
        self._batch: list[Event] = []
        self._dropped = self._reported = 0
        self._dropped_since: datetime | None = None
        self._closing = self._given_up = False
        self._ticks: list[Callable[[bool], None]] = []
        self._writer = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Begin to write; reads back first what an earlier stop left behind."""
        self._writer.start()

    @property
    def queued(self) -> int:
        """Events that wait to be written."""
        return len(self._queue)

    def each_second(self, tick: Callable[[bool], None]) -> None:
        """Call `tick(False)` about once a second from the writer, and `tick(True)` at the stop."""
        self._ticks.append(tick)

    def record(
        self,
        action: str,
        target: str,
        result: str,
        *,
        workspace_id: int | None = None,
        actor: str = "system",
        detail: Mapping[str, object] = {},
    ) -> None:
        """Take an event. Never waits for the database, never raises."""
        try:
            request_id, trace_id = self._context()
            event = Event(
                self._now(), short(action), short(target), short(result), workspace_id, short(actor),
                short(request_id), short(trace_id), bounded(detail),
            )  # fmt: skip
        except Exception as error:  # an audit event must never fail what it tells of
            logger().error("audit event not taken", action=str(action), error=str(error))
            event = None
        with self._changed:
            taken = event is not None and len(self._queue) < self._size and not self._given_up
            if taken and event is not None:
                self._queue.append(event)
                self._changed.notify_all()
            else:
                self._dropped += 1
                self._dropped_since = self._dropped_since or datetime.now(UTC)
        if not taken:
            self._count("dropped", 1)

    @property
    def dropped(self) -> int:
        """Events lost because the queue was full."""
        return self._dropped

    @property
    def pending(self) -> int:
        """Events taken and not yet written."""
        return len(self._queue) + len(self._batch)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write everything, for `timeout_s` at most; put the rest in a file. Callable more than once."""
        if self._closing:
            return
        self._tick(last=True)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._writer.is_alive():
            self._writer.join(max(timeout_s - SPOOL_S, 0))
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
            left = [*self._batch, *self._queue, *self._loss()]
            self._queue.clear()
        self._spool(left)

    def _tick(self, last: bool = False) -> None:
        for tick in self._ticks:
            try:
                tick(last)
            except Exception as error:
                logger().error("audit tick failed", error=str(error))

    def _run(self) -> None:
        left_behind = self._spool_dir is not None
        next_tick, next_look = time.monotonic() + TICK_S, 0.0
        while True:
            if left_behind and time.monotonic() >= next_look:
                left_behind = not self._read_back()
                next_look = time.monotonic() + self._retry_s
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_S
                self._tick()
            if batch := self._collect():
                self._deliver(batch)
            with self._changed:
                # A stop doesn't wait for what an earlier one left: its file stays.
                done = self._closing and not self._queue and not self._batch
                if done or self._given_up:
                    return

    def _read_back(self) -> bool:
        """Whether nothing is left of an earlier stop. A file that can't be read keeps no event waiting."""
        assert self._spool_dir is not None
        try:
            if count := spool.give_back(self._spool_dir, self._write_once):
                self._count("written", count)
                logger().info("audit events of an earlier stop written", events=count)
            return True
        except Exception as error:
            self._count("failed", 1)
            logger().warning("audit events of an earlier stop not written", error=str(error))
            return False

    def _pause(self, seconds: float) -> None:
        """Wait, but not through a stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)

    def _collect(self) -> list[Event]:
        """What to write next; nothing when there was no event for a while."""
        with self._changed:
            if self._batch:
                return self._batch
            self._changed.wait_for(lambda: self._queue or self._closing, TICK_S / 4)
            if not self._queue:
                return []
        self._pause(LINGER_S)  # a moment for others, so that a burst is few statements
        with self._changed:
            if not self._given_up:
                self._batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                self._batch.extend(self._loss())
            return self._batch

    def _loss(self) -> list[Event]:
        """An event that tells of the dropped ones not told of yet. Call it with the lock held."""
        count, since = self._dropped - self._reported, self._dropped_since
        if not count:
            return []
        self._reported, self._dropped_since = self._dropped, None
        detail = {"events": count, "since": since.isoformat() if since else None}
        return [Event(self._now(), "audit.dropped", "audit", "lost", detail=detail)]

    def _deliver(self, batch: Sequence[Event]) -> None:
        """Write the batch; after an error it stays for the next turn."""
        try:
            self._write(batch)
        except Exception as error:
            self._count("failed", 1)
            logger().warning("audit events wait", events=self.pending, error=str(error))
            if self._closing:
                time.sleep(min(self._retry_s, 0.2))
            self._pause(self._retry_s)
            return
        with self._changed:
            given_up = self._given_up
            self._batch = []
        if not given_up:  # else they went to the file as well, which knows how to leave them out
            self._count("written", len(batch))

    def _spool(self, left: Sequence[Event]) -> None:
        if not left:
            return
        try:
            if self._spool_dir is None:
                raise OSError("no state directory is set")
            path = spool.keep(self._spool_dir, left)
        except OSError as error:
            self._count("dropped", len(left))
            logger().error("audit events lost", events=len(left), error=str(error))
            return
        self._count("spooled", len(left))
        logger().warning("audit events kept for the next start", events=len(left), file=str(path))


def unique_times(now: Callable[[], datetime]) -> Callable[[], datetime]:
    """The clock, rising by a microsecond a call at least, so that a time names one event of a process."""
    last = datetime.min.replace(tzinfo=UTC)
    lock = threading.Lock()

    def rising() -> datetime:
        nonlocal last
        with lock:
            last = max(now(), last + timedelta(microseconds=1))
            return last

    return rising
