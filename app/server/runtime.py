"""Everything one server process holds: worker id, database pool, generators, clients. Made after the fork."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.coordination.worker_claim import WorkerClaim, claim
from app.faults import causes
from app.faults.config import ReleaseConfig
from app.faults.injector import Causes, Injector
from app.ids.segment import DoubleBuffer
from app.ids.snowflake import Snowflake
from app.issuing import Issuer
from app.policies import Policies
from app.server.logs import logger
from app.server.metrics import Metrics
from app.settings import Settings
from app.storage import database, segments
from app.storage.tags import Tag, TagDirectory

RETRY_S = 0.5
T = TypeVar("T")


def clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Runtime:
    """`start` returns at once; the process is ready when the database answered and a worker id is held."""

    def __init__(self, settings: Settings, release: ReleaseConfig, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.issuer: Issuer | None = None
        self._claim: WorkerClaim | None = None
        self._snowflake: Snowflake | None = None
        self._waiting_for = "start"
        self._stopped = threading.Event()
        self._started = threading.Event()
        self._engine = database.connect(settings.database_url.get_secret_value())
        self._background = ThreadPoolExecutor(max_workers=2, thread_name_prefix="background")
        self.tags = TagDirectory(self._engine, time.monotonic)
        self.policies = Policies(
            settings.downstream_url, time.monotonic, lambda why: logger().warning("policy kept", reason=why)
        )
        self.injector = Injector(
            release.faults,
            Causes(
                compute=causes.compute,
                slow_plan=lambda rows: causes.slow_plan(self._engine, rows),
                dependency=self.policies.ask,
            ),
            random.random,
            metrics.fault_struck,
        )
        metrics.faults_active((fault.kind, fault.mode, fault.share) for fault in release.faults)

    def start(self) -> None:
        """Begin to get ready, in the background, retrying until it works or the process stops."""
        threading.Thread(target=self._get_ready, name="start", daemon=True).start()

    def wait_until_started(self, timeout_s: float) -> bool:
        """Whether start has succeeded, waiting for it that long."""
        return self._started.wait(timeout_s)

    def stop(self) -> None:
        """Give back what others wait for. Call it when no request runs any more."""
        self._stopped.set()
        self._background.shutdown(wait=True, cancel_futures=True)
        if self._claim and self._snowflake:
            self._claim.release(self._snowflake.stop())
            self._claim = None
        self.policies.close()
        self._engine.dispose()
        logger().info("stopped")

    def not_ready_because(self) -> str | None:
        """None when ready, else what is missing, for people."""
        if self.issuer is None:
            return f"starting: {self._waiting_for}"
        return None if self.issuer.can_issue() else "no algorithm can issue IDs now"

    @property
    def worker(self) -> int | None:
        """The held worker id."""
        return self._claim.worker if self._claim else None

    def _get_ready(self) -> None:
        held = self._until_it_works(
            "no worker id",
            lambda: claim(
                self.settings.claims_dir, host_index=self.settings.host_index, slot=self.settings.slot
            ),
        )
        if held is None:
            return
        self._claim = held
        logger().info("worker id held", worker=held.worker, datacenter=self.settings.datacenter)
        self._snowflake = Snowflake(
            datacenter=self.settings.datacenter,
            worker=held.worker,
            clock_ms=clock_ms,
            sleep=time.sleep,
            start_after_ms=held.used_until_ms,
            reserve=held.reserve,
        )
        issuer = Issuer(self._snowflake, self._new_buffer)
        tags = self._until_it_works("the database does not answer", self.tags.load)
        if tags is None:
            return
        for tag in tags:
            if tag.algorithm == "segment":
                self._until_it_works(f"no range for tag {tag.name}", issuer.buffer(tag).warm)
            self.policies.of(tag.name)
        if self._stopped.is_set():
            return
        self.issuer = issuer
        self._started.set()
        logger().info("ready", tags=len(tags))

    def _until_it_works(self, waiting_for: str, step: Callable[[], T]) -> T | None:
        logged = False
        while not self._stopped.is_set():
            try:
                return step()
            except Exception as error:
                self._waiting_for = f"{waiting_for} ({type(error).__name__})"
                if not logged:
                    logger().warning("not ready", waiting_for=waiting_for, error=str(error))
                logged = True
                self._stopped.wait(RETRY_S)
        return None

    def _new_buffer(self, tag: Tag) -> DoubleBuffer:
        def load(at_least: int) -> range:
            try:
                taken = segments.allocate(self._engine, tag, self.settings.datacenter, at_least)
            except Exception as error:
                self.metrics.segment_load("error")
                logger().error("segment not loaded", tag=tag.name, error=str(error))
                raise
            self.metrics.segment_load("ok")
            logger().info("segment loaded", tag=tag.name, first=taken.start, size=len(taken))
            return taken

        return DoubleBuffer(load, self._background.submit, time.monotonic)
