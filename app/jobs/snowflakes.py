"""Snowflake generators of a worker process, under a worker id of its own, taken when first needed."""

import threading
import time
from collections.abc import Callable

from app.coordination.lease import WorkerLease, unix_ms
from app.coordination.tenure import NotHeldError, Tenure
from app.ids import IdsUnavailableError
from app.ids.layout import Layout
from app.ids.snowflake import Snowflake
from app.storage.tags import Tag


class Snowflakes:
    """One generator a layout, for the tenure that is held now; a new tenure gets new ones."""

    def __init__(self, lease: WorkerLease, sleep: Callable[[float], None] = time.sleep) -> None:
        self._lease, self._sleep = lease, sleep
        self._tenure: Tenure | None = None
        self._generators: dict[int, Snowflake] = {}
        self._renewing = False
        self._lock = threading.Lock()

    def of(self, tag: Tag) -> Snowflake:
        """The tag's generator. Raises IdsUnavailableError when no worker id can be had now."""
        with self._lock:
            tenure = self._held()
            if tenure is not self._tenure:
                self._tenure, self._generators = tenure, {}
            bits = tag.config.sequence_bits
            if bits not in self._generators:
                self._generators[bits] = Snowflake(
                    datacenter=self._lease.datacenter,
                    worker=tenure.worker,
                    clock_ms=unix_ms,
                    sleep=self._sleep,
                    layout=Layout(bits),
                    usable=tenure.usable,
                    start_after_ms=tenure.used_until_ms,
                    reserve=tenure.reserve,
                )
            return self._generators[bits]

    def stop(self) -> None:
        """Give the worker id back with the last millisecond that was really used."""
        with self._lock:
            last_ms = max((one.stop() for one in self._generators.values()), default=0)
            self._lease.release(last_ms)

    def _held(self) -> Tenure:
        try:
            tenure = self._lease.acquire()
        except IdsUnavailableError:
            raise
        except Exception as error:
            raise NotHeldError(f"no worker id: {error}") from error
        if not self._renewing:
            self._lease.start()
            self._renewing = True
        return tenure
