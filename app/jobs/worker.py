"""The loop of one export worker: take a job, run it, keep its lease alive, tell how it goes.

A worker that is killed leaves its job to the next one, when the lease has run out. A worker that loses its
lease (it was suspended, or the database was away too long) stops at the next chunk; should it come late, its
file has a name of its own and is removed, so the job's file is always that of the attempt that is recorded.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app.ids import IdsUnavailableError
from app.jobs.export import Drawing, ExportRequest, ImpossibleError, StoppedError, run
from app.jobs.queue import JobQueue, Taken
from app.jobs.store import Store
from app.server.logs import logger
from app.storage.segments import SegmentExhaustedError

RENEWALS_PER_LEASE = 3
RETRY_S = 5.0
KEEP_S = 7 * 86_400.0
SWEEP_EVERY_S = 600.0
ABANDONED_S = 86_400.0


class Bell(Protocol):
    """Says when a job may be there."""

    def wait(self, timeout_s: float) -> None:
        """Return when a job was put into the queue, or after that long; soon when the process stops."""
        ...


@dataclass
class Told:
    """What the worker is doing and has done; read by status.py while it works."""

    job: str | None = None
    ids: int = 0
    done: int = 0
    failed: int = 0
    put_back: int = 0
    lost: int = 0
    last_error: str = ""


class Worker:
    """`work` runs until `stop`; then a running job may go on for `grace_s`, and is put back after that.

    audit(action, target, result): told of each job that ended.
    """

    def __init__(
        self,
        queue: JobQueue,
        drawing: Drawing,
        store: Store,
        bell: Bell,
        *,
        holder: str,
        told: Told | None = None,
        audit: Callable[[str, str, str], None] = lambda action, target, result: None,
        poll_s: float = 2.0,
        grace_s: float = 20.0,
        keep_s: float = KEEP_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._drawing, self._store, self._bell = queue, drawing, store, bell
        self._holder, self._audit = holder, audit
        self.told = told or Told()
        self._poll_s, self._grace_s, self._keep_s, self._monotonic = poll_s, grace_s, keep_s, monotonic
        self._stop_at: float | None = None
        self._next_sweep = self._moved_at = monotonic()

    def stop(self) -> None:
        """Take no further job. May be called by a signal handler."""
        if self._stop_at is None:
            self._stop_at = self._monotonic() + self._grace_s

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop_at is not None

    def idle_s(self) -> float:
        """Seconds since the worker last moved: looked for a job, or wrote some IDs."""
        return self._monotonic() - self._moved_at

    def work(self) -> None:
        """Until stopped. The database may be away: it waits for it."""
        while not self.stopping:
            self._moved_at = self._monotonic()
            try:
                worked = self.work_once()
                self._sweep()
            except SQLAlchemyError as error:
                self.told.last_error = f"database: {type(error).__name__}"
                logger().warning("the queue does not answer", error=str(error)[:300])
                worked = False
            if not worked and not self.stopping:
                self._bell.wait(self._poll_s)

    def work_once(self) -> bool:
        """Take one job and run it to its end; False when there is none."""
        # Each attempt has a name of its own: a worker that took its own orphan would else renew both.
        holder = f"{self._holder}/{uuid.uuid4().hex[:8]}"
        taken = self._queue.take(holder)
        if taken is None:
            return False
        self.told.job = str(taken.id)
        try:
            self._run(taken, holder)
        finally:
            self.told.job = None
        return True

    def _run(self, taken: Taken, holder: str) -> None:
        log = logger().bind(job=str(taken.id), attempt=taken.attempt)
        log.info("export begins", request=taken.request)
        with _Lease(self._queue, taken, holder) as lease:
            try:
                request = ExportRequest.model_validate(taken.request)
                draw = self._drawing.source(taken.workspace_id, request.tag, request.count)
                key = f"{taken.id}.{uuid.uuid4().hex[:8]}.{request.format}"
                made = run(request, draw, self._store, key, lambda done: self._keep_on(lease, done))
            except (ImpossibleError, ValidationError, SegmentExhaustedError) as error:
                ended, reason = self._queue.fail(taken.id, holder, str(error)[:500]), str(error)
                self._tell(taken, "failed", reason, ended)
            except StoppedError:
                ended = not lease.lost and self._queue.put_back(taken.id, holder)
                self._tell(taken, "put_back", "this worker stops", ended)
            except (IdsUnavailableError, SQLAlchemyError, OSError) as error:
                ended = self._try_again(taken, holder, error)
                self._tell(taken, "put_back", f"{type(error).__name__}: {error}"[:300], ended)
            except Exception as error:
                log.error("export broke", exc_info=error)
                ended = self._try_again(taken, holder, error)
                self._tell(taken, "put_back", f"{type(error).__name__}", ended)
            else:
                try:
                    ended = self._queue.finish(taken.id, holder, made.as_result())
                except BaseException:
                    # Unknown whether it was recorded: the file stays, so that a recorded job has one.
                    log.error("the end of an export may not be recorded", key=key)
                    raise
                if not ended:
                    self._store.delete(key)
                self.told.ids += made.count
                self._tell(taken, "done", "", ended)

    def _keep_on(self, lease: "_Lease", done: int) -> bool:
        lease.done, self._moved_at = done, self._monotonic()
        return not lease.lost and (self._stop_at is None or self._monotonic() < self._stop_at)

    def _try_again(self, taken: Taken, holder: str, error: Exception) -> bool:
        # What the error says may quote the database, which is not for the job's owner.
        reason = "no ID could be drawn" if isinstance(error, IdsUnavailableError) else "the attempt failed"
        return self._queue.put_back(
            taken.id, holder, error=f"{reason} ({type(error).__name__})", after_s=RETRY_S * taken.attempt
        )

    def _tell(self, taken: Taken, result: str, reason: str, ended: bool) -> None:
        if not ended:
            result, reason = "lost", "another worker has the job by now"
        setattr(self.told, result, getattr(self.told, result) + 1)
        if reason and result != "put_back":
            self.told.last_error = reason[:300]
        logger().info("export ends", job=str(taken.id), result=result, reason=reason)
        self._audit("export.run", str(taken.id), result)

    def _sweep(self) -> None:
        if self._monotonic() < self._next_sweep:
            return
        self._next_sweep = self._monotonic() + SWEEP_EVERY_S
        for result in self._queue.sweep(self._keep_s):
            if key := result.get("key"):
                self._store.delete(key)
        self._store.sweep(ABANDONED_S)


class _Lease:
    """Renews a job's lease in a thread while it runs. `lost` once it is another's or can't be renewed."""

    def __init__(self, queue: JobQueue, taken: Taken, holder: str) -> None:
        self._queue, self._job, self._holder = queue, taken.id, holder
        self.done = 0
        self.lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="job-lease", daemon=True)

    def __enter__(self) -> "_Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        every_s = self._queue.lease_s / RENEWALS_PER_LEASE
        renewed = time.monotonic()
        # Progress is told more often than the lease needs it.
        while not self._ended.wait(min(every_s, 1.0)):
            began = time.monotonic()
            try:
                if not self._queue.renew(self._job, self._holder, self.done):
                    self.lost = True
                    return
                renewed = began
            except SQLAlchemyError as error:
                logger().warning("a job's lease was not renewed", job=str(self._job), error=str(error)[:200])
            if time.monotonic() - renewed > self._queue.lease_s:
                self.lost = True  # somebody may have it by now
                return
