"""A worker id for this process, unique in its data centre: an etcd lease, an epoch in Postgres, a local file.

The lease says who may issue now; the epoch decides when etcd errs (a restored etcd believes in old leases).
What makes a repeated ID impossible is neither: every millisecond is reserved durably before its first ID,
and the next tenure of the worker id starts after the last reserved one. See `worker_ids` and `tenure`.

Issuing stops `margin_s` before the lease can run out, on a clock that counts a suspended machine's time too.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from app.coordination import state_file, worker_ids
from app.coordination.state_file import StateFile
from app.coordination.store import EtcdAwayError, Store
from app.coordination.tenure import AHEAD_MS, Epochs, NotHeldError, Tenure
from app.coordination.worker_ids import Stamp
from app.coordination.worker_keys import WorkerKeys

TTL_S = 30
RENEWALS_PER_TTL = 3
MARGIN = 1 / 6  # of the TTL: 5 s of 30 s
TRIES = 4
MOST_EPOCHS_BEHIND = 1_000
OnEvent = Callable[[str, Mapping[str, object]], None]


class WorkerIdsExhaustedError(Exception):
    """Every worker id of the data centre is held."""

    def __init__(self, datacenter: int, workers: int = worker_ids.WORKERS) -> None:
        super().__init__(
            f"all {workers} worker ids of data centre {datacenter} are held; stop processes that aren't "
            "needed, or wait until the leases of dead ones have run out"
        )


class FencedAtStartError(Exception):
    """Somebody took the worker id while this process was taking it."""


def boot_clock() -> float:
    """Seconds since boot, with the time that the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def unix_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class WorkerLease:
    """Holds a worker id from `acquire` (or `start`) to `release`, and gets another when it's lost.

    on_event(kind, detail) is told: acquired, renewed_failed, lost, released, exhausted. It must not raise or
    block. After `acquired` following `lost`, `tenure` is a new one: make a new generator for it.
    """

    def __init__(
        self,
        store: Store,
        epochs: Epochs,
        *,
        datacenter: int,
        holder: str,
        directory: Path,
        on_event: OnEvent = lambda kind, detail: None,
        ttl_s: int = TTL_S,
        interval_s: float | None = None,
        margin_s: float | None = None,
        ahead_ms: int = AHEAD_MS,
        clock_ms: Callable[[], int] = unix_ms,
        monotonic: Callable[[], float] = boot_clock,
    ) -> None:
        self.datacenter = worker_ids.checked_datacenter(datacenter)
        self.holder, self.ttl_s = holder, ttl_s
        self.interval_s = ttl_s / RENEWALS_PER_TTL if interval_s is None else interval_s
        self.margin_s = ttl_s * MARGIN if margin_s is None else margin_s
        if not 0 < self.interval_s < ttl_s - self.margin_s < ttl_s:
            raise ValueError(
                f"ttl_s: {ttl_s} with interval_s {self.interval_s} and margin_s {self.margin_s} is not "
                "allowed; allowed: 0 < interval_s < ttl_s - margin_s < ttl_s"
            )
        self._store, self._keys = store, WorkerKeys(store, datacenter)
        self._epochs, self._directory, self._on_event = epochs, directory, on_event
        self._ahead_ms, self._horizon_ms = ahead_ms, ttl_s * 1_000 + ahead_ms
        self._clock_ms, self._monotonic = clock_ms, monotonic
        self._file: StateFile | None = None
        self._tenure: Tenure | None = None
        self._lapse_told = self._exhausted_told = False
        self._lock = threading.Lock()  # of acquire, renew and release; not needed to issue
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # For requests: no lock, no network (`reserve` may ask Postgres, see Tenure).

    @property
    def tenure(self) -> Tenure | None:
        """What is held now, perhaps not usable; None when nothing is."""
        return self._tenure

    def usable(self) -> bool:
        """Whether IDs may be issued under the worker id now."""
        tenure = self._tenure
        return tenure is not None and tenure.usable()

    def reserve(self, ms: int) -> int:
        """`Tenure.reserve` of what is held now. A generator uses its own tenure's instead."""
        tenure = self._tenure
        if tenure is None:
            raise NotHeldError("no worker id is held")
        return tenure.reserve(ms)

    # For the start, the thread, and the stop.

    def acquire(self) -> Tenure:
        """Take a worker id, or give back the one that is held.

        Raises WorkerIdsExhaustedError, EtcdAwayError, OSError (the state directory), FencedAtStartError, or
        what the epochs raise; then nothing is held, and another try may work.
        """
        with self._lock:
            return self._tenure or self._acquire()

    def start(self) -> None:
        """Renew, and acquire when nothing is held, in a daemon thread until `release`."""
        self._thread = threading.Thread(target=self._run, name="worker-lease", daemon=True)
        self._thread.start()

    def release(self, last_ms: int) -> None:
        """Give the worker id back. last_ms: the last millisecond that was really used. Never raises.

        Call it when the generator is stopped. With etcd away the lease runs out by itself, or the next
        process of this host ends it.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        with self._lock:
            tenure, self._tenure = self._tenure, None
            if tenure is not None:
                self._give_back(tenure, last_ms)
            if self._file is not None:
                self._file.close()
                self._file = None

    def renew(self) -> bool:
        """One renewal, as the thread does it every `interval_s`. False when it failed or nothing is held."""
        with self._lock:
            tenure = self._tenure
            return tenure is not None and self._renew(tenure)

    def _run(self) -> None:
        wait_s = 0.0 if self._tenure is None else self.interval_s
        while not self._stop.wait(wait_s):
            if self._tenure is not None and self.renew():
                wait_s = self.interval_s
                continue
            wait_s = min(1.0, self.interval_s / 4)
            if self._tenure is None:
                try:
                    self.acquire()
                    wait_s = self.interval_s
                except Exception as error:
                    if not isinstance(error, WorkerIdsExhaustedError):
                        self._on_event("renewed_failed", {"reason": f"no worker id yet: {error}"})

    def _acquire(self) -> Tenure:
        if self._stop.is_set():
            raise NotHeldError("this process is stopping")
        if self._file is None:
            self._file = state_file.claim(self._directory, self.datacenter)
        state = self._file.state
        if state.lease and self._file.trusted:
            self._store.revoke(state.lease)  # its holder is dead, for we hold its file
        held, stamps = self._keys.look()
        own = state.worker if state.datacenter == self.datacenter and state.worker >= 0 else None
        own_stamp = Stamp(state.epoch, state.used_until_ms, exact=self._file.trusted)
        order = worker_ids.candidates(
            held, stamps, own=own, own_used_until_ms=state.used_until_ms, now_ms=self._clock_ms()
        )
        for tried, worker in enumerate(order, start=1):
            known = [stamps[worker]] if worker in stamps else []
            if worker == own:
                known.append(own_stamp)
            tenure = self._take(worker, known, wait=tried >= min(TRIES, len(order)))
            if tenure is not None:
                self._tenure, self._lapse_told, self._exhausted_told = tenure, False, False
                detail = {"worker": worker, "epoch": tenure.epoch, "used_until_ms": tenure.used_until_ms}
                self._on_event("acquired", detail)
                return tenure
        exhausted = WorkerIdsExhaustedError(self.datacenter)
        if not self._exhausted_told:
            self._exhausted_told = True
            self._on_event("exhausted", {"reason": str(exhausted)})
        raise exhausted

    def _take(self, worker: int, known: list[Stamp], wait: bool) -> Tenure | None:
        """The worker id's tenure; None when another has it. Unless `wait`, also when it can't begin yet."""
        assert self._file is not None
        began = self._monotonic()
        claim = self._keys.claim(worker, self.holder, self.ttl_s, self._clock_ms())
        if claim is None:
            return None
        kept = False
        try:
            epoch, after_ms = self._begin_epoch(worker, known)
            now_ms = self._clock_ms()
            if after_ms > now_ms + worker_ids.FUTURE_MS and not wait:
                return None
            until_ms = max(now_ms, after_ms) + self._horizon_ms
            try:
                self._epochs.reserve(worker, epoch, until_ms)
            except self._epochs.fenced as error:
                raise FencedAtStartError(f"worker id {worker}: a newer holder exists: {error}") from error
            if not self._keys.stamp(claim, Stamp(epoch, until_ms)):
                return None
            tenure = Tenure(
                claim=claim, epoch=epoch, used_until_ms=after_ms, durable_until_ms=until_ms,
                valid_until=self._valid_until(began, claim.lives_s), datacenter=self.datacenter,
                file=self._file, epochs=self._epochs, monotonic=self._monotonic,
                horizon_ms=self._horizon_ms, ahead_ms=self._ahead_ms,
            )  # fmt: skip
            kept = True
            return tenure
        finally:
            if not kept:
                self._keys.end(claim.lease)

    def _begin_epoch(self, worker: int, known: list[Stamp]) -> tuple[int, int]:
        """A new epoch above every one known of, and the millisecond after which it starts."""
        seen = max((stamp.epoch for stamp in known), default=0)
        for _ in range(MOST_EPOCHS_BEHIND):  # more than one only where Postgres was restored from a backup
            epoch, reserved_ms = self._epochs.begin(worker, self.holder)
            if epoch > seen:
                return epoch, worker_ids.start_after_ms(known, epoch - 1, reserved_ms)
        raise FencedAtStartError(
            f"worker id {worker}: epoch {epoch} lies below {seen}, which was used; was Postgres restored?"
        )

    def _renew(self, tenure: Tenure) -> bool:
        if tenure.lost:  # found out by `reserve`
            return self._lose(tenure, tenure.lost)
        began, without_gap = self._monotonic(), tenure.usable()
        until_ms = max(self._clock_ms() + self._horizon_ms, tenure.durable_until_ms)
        try:
            lives_s = self._store.keep_alive(tenure.claim.lease)
            ours = lives_s > 0 and self._keys.stamp(tenure.claim, Stamp(tenure.epoch, until_ms))
        except EtcdAwayError as error:
            return self._not_renewed(tenure, f"etcd: {error}")
        if not ours:
            gone = "etcd has ended its lease" if lives_s <= 0 else "etcd has given its key to another"
            return self._lose(tenure, gone)
        valid_until = self._valid_until(began, lives_s)
        if without_gap:
            # etcd was sure of us all the time, so Postgres may be away. After a gap the epoch decides.
            tenure.renewed(valid_until, until_ms)
        try:
            self._epochs.reserve(tenure.worker, tenure.epoch, until_ms)
        except self._epochs.fenced as error:
            return self._lose(tenure, f"a newer holder exists: {error}")
        except Exception as error:
            return self._not_renewed(tenure, f"epoch: {error}")
        tenure.renewed(valid_until, until_ms)
        self._lapse_told = False
        return True

    def _valid_until(self, began: float, lives_s: int) -> float:
        return began + min(lives_s, self.ttl_s) - self.margin_s

    def _not_renewed(self, tenure: Tenure, reason: str) -> bool:
        self._on_event("renewed_failed", {"worker": tenure.worker, "reason": reason})
        if not tenure.usable() and not self._lapse_told:
            self._lapse_told = True
            self._on_event("lost", {"worker": tenure.worker, "reason": "not renewed in time", "final": False})
        return False

    def _lose(self, tenure: Tenure, reason: str) -> bool:
        tenure.lose(reason)
        self._tenure = None
        self._on_event("lost", {"worker": tenure.worker, "reason": reason, "final": True})
        return False

    def _give_back(self, tenure: Tenure, last_ms: int) -> None:
        worker, epoch = tenure.worker, tenure.epoch
        used_ms = tenure.last_used_ms(last_ms)
        steps: list[Callable[[], object]] = [
            lambda: tenure.end(used_ms),
            lambda: self._keys.stamp(tenure.claim, Stamp(epoch, used_ms, exact=True), leave=True),
            lambda: self._store.revoke(tenure.claim.lease),
        ]
        if (end := self._epochs.end) is not None:
            steps.append(lambda: end(worker, epoch, used_ms))
        problems = []
        for step in steps:
            try:
                step()
            except Exception as error:
                problems.append(f"{type(error).__name__}: {error}")
        detail: dict[str, object] = {"worker": worker, "used_until_ms": used_ms}
        if problems:
            detail["reason"] = f"not told to everyone: {'; '.join(problems)}"
        self._on_event("released", detail)
