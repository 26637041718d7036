"""Everything one server process holds, from its start to its stop. Made after the fork."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from flask import Blueprint

from app.cache import states
from app.coordination import spans
from app.coordination.lease import WorkerIdsExhaustedError
from app.faults.config import ReleaseConfig
from app.ids.router import Router
from app.ids.segment import SegmentUnavailableError
from app.issuing import Issuing
from app.observing.metrics import Metrics
from app.observing.tracing import Tracing
from app.policies import Policies
from app.server import problems
from app.server.logs import logger
from app.server.problems import ProblemError
from app.serving import endpoints, parts
from app.serving.access import Access
from app.serving.coordination import Coordination
from app.serving.generators import Generators
from app.serving.stores import Stores, connect
from app.serving.upkeep import Upkeep
from app.settings import Settings
from app.storage.models import span
from app.storage.segments import SegmentExhaustedError
from app.storage.tags import Tag

RETRY_S = 0.5
AUDIT_STOP_S = 5.0
GRPC_GRACE_S = 20.0
T = TypeVar("T")


class Runtime:
    """`start` returns at once; the process is ready when the database answered and a worker id is held.

    `blueprints`, `issuing`, `admission`, `traces` and `instant` are what the application is made of.
    """

    def __init__(
        self,
        settings: Settings,
        release: ReleaseConfig,
        metrics: Metrics,
        traces: Tracing | None = None,
    ) -> None:
        self.settings, self.metrics, self.traces = settings, metrics, traces
        pid = os.getpid()
        settings.claims_dir.mkdir(parents=True, exist_ok=True)
        self._stopped, self._started, self._ready = threading.Event(), threading.Event(), False
        self._waiting_for: tuple[str, ProblemError | None] = ("start", None)
        self.background = ThreadPoolExecutor(max_workers=4, thread_name_prefix="background")
        self.stores: Stores = connect(settings, metrics, pid)
        self.audit = parts.audit_log(settings, self.stores, metrics)
        self.access = Access(settings, self.stores, metrics, self.audit.record)
        self.audit.each_second(self.access.count_use)
        self.generators = Generators(parts.sources(self))
        self.plugins, self._plugin_watch = parts.plugins(self)
        self.coordination = Coordination(
            settings, self.stores, metrics, record=self.audit.record, held=self.generators.use, pid=pid
        )
        self.tag_cache = parts.tag_cache(settings, self.stores, self.background.submit)
        self.tags = parts.tag_directory(self)
        self.policies = Policies(
            settings.downstream_url, time.monotonic, lambda why: logger().warning("policy kept", reason=why)
        )
        self.injector, self.faults = parts.faults(self, release)
        self.issuing = Issuing(
            tags=self.tags,
            router_for=self.router_for,
            ranges=self.stores.lease,
            policies=self.policies,
            injector=self.injector,
            observed=metrics.request,
            leased=metrics.issuing.leased,
        )
        self.admission = self.access.admission
        self.blueprints: list[Blueprint] = endpoints.blueprints(self)
        self.upkeep = Upkeep(
            self.stores,
            tags=self.tags,
            generators=self.generators,
            coordination=self.coordination,
            audit=self.audit,
            metrics=metrics,
        )
        self.grpc = None
        if settings.grpc_bind is not None:
            from app.serving.grpc import grpc_server  # noqa: PLC0415  # a heavy import, for those who serve it

            self.grpc = grpc_server(self, settings.grpc_bind)
        self.instant = parts.instant(self)

    def start(self) -> None:
        """Begin to get ready, in the background, retrying until it works or the process stops."""
        threading.Thread(target=self._get_ready, name="start", daemon=True).start()

    def wait_until_started(self, timeout_s: float) -> bool:
        """Whether start has succeeded, waiting for it that long."""
        return self._started.wait(timeout_s)

    def drain(self) -> None:
        """No new gRPC calls; those begun are answered. Call it when the process is asked to stop."""
        if self.grpc:
            self.grpc.stop(GRPC_GRACE_S)

    def stop(self) -> None:
        """Give back what others wait for. Call it when no request runs any more."""
        self._stopped.set()
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("grpc", self.drain),
            ("upkeep", self.upkeep.stop),
            ("faults", self.faults.stop),
            ("plugins", self._plugin_watch.close),
            ("worker id", lambda: self.coordination.stop(self.generators.close())),
            ("keys", self.access.stop),
            ("background", lambda: self.background.shutdown(wait=True, cancel_futures=True)),
            ("audit", lambda: self.audit.close(AUDIT_STOP_S)),
            ("policies", self.policies.close),
            ("stores", self.stores.close),
            ("traces", self.traces.stop if self.traces else lambda: None),
        )
        for name, step in steps:
            try:
                step()
            except Exception as error:
                logger().error("not stopped cleanly", part=name, error=str(error)[:300])
        logger().info("stopped")

    def not_ready_because(self) -> str | ProblemError | None:
        """None when ready, else what is missing: for people, or as the problem that it is."""
        if not self._ready:
            reason, problem = self._waiting_for
            return problem or f"starting: {reason}"
        if self.generators.can_issue():
            return None
        if self.coordination.exhausted:
            return problems.unavailable("worker-ids-exhausted", "all worker ids are held")
        return "no algorithm can issue IDs now"

    @property
    def worker(self) -> int | None:
        """The held worker id."""
        tenure = self.coordination.lease.tenure
        return tenure.worker if tenure else None

    def tag_changed(self, workspace: str, group: str, name: str) -> None:
        """A tag's row changed: this process looks again at once, the others within TAG_FRESH_S."""
        for tag in self.tags.known():
            if (tag.workspace, tag.name) == (workspace, name):
                if self.tag_cache:
                    self.tag_cache.forget(tag)
                self.tags.forget(tag.workspace_id, name)

    def announce_plugins(self) -> None:
        """This process has other plugins now: the server's other processes shall look, too."""
        self._plugin_watch.announce()

    def router_for(self, tag: Tag) -> Router:
        """The tag's router. Raises ProblemError until the process is ready."""
        if not self._ready:
            because = self.not_ready_because()
            raise (
                because
                if isinstance(because, ProblemError)
                else problems.unavailable("not-ready", str(because))
            )
        return self.generators.router_for(tag)

    @property
    def ready(self) -> bool:
        """Whether the start has succeeded."""
        return self._ready

    # The start.

    def _get_ready(self) -> None:
        if self.stores.redis:
            self.stores.redis.start()
        self.audit.start()
        self.access.start()
        if self.settings.faults_allowed:
            self.faults.start()
        logger().info("configuration", source=self.coordination.follow())
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("no worker id", self.coordination.acquire),
            ("segments of this data centre", self._take_span),
            ("the database does not answer", self.tags.load),
            ("no first range", self._warm),
        )
        for waiting_for, step in steps:
            self._until_it_works(waiting_for, step)
        if self._stopped.is_set():
            return
        self.plugins.reload()
        self._plugin_watch.start()
        self.upkeep.start()
        if self.grpc:
            # An address or a certificate that can't be used is for people to mend: it's said until it is.
            self._until_it_works("gRPC does not listen", self.grpc.start)
        if self._stopped.is_set():
            return
        self._ready = True
        self._started.set()
        logger().info("ready", tags=len(self.tags.known()), worker=self.worker)

    def _take_span(self) -> None:
        owned = span(self.settings.datacenter)
        spans.take_span(
            self.stores.etcd,
            self.settings.datacenter,
            spans.Span(owned[0], owned[-1]),
            lambda one, token: logger().info("span of segments taken", span=str(one), token=token),
            holder=self.stores.holder,
        )

    def _warm(self) -> None:
        if self.tag_cache:
            rows = states.read(self.stores.engine, self.settings.datacenter)
            self.tag_cache.warm((tag for tag in self.tags.known()), rows)
        for tag in self.tags.known():
            if not tag.config.enabled:
                continue
            self.policies.of(tag.name)
            try:
                self.generators.warm(tag)
            except SegmentUnavailableError as error:
                if not isinstance(error.__cause__, SegmentExhaustedError):
                    raise
                logger().warning("tag at its end", tag=tag.name)
            except Exception as error:  # one tag that can't be served must not keep the others from it
                logger().warning("tag not ready", tag=tag.name, error=str(error)[:300])

    def _until_it_works(self, waiting_for: str, step: Callable[[], T]) -> T | None:
        logged = False
        while not self._stopped.is_set():
            try:
                return step()
            except Exception as error:
                problem = None
                if isinstance(error, WorkerIdsExhaustedError):
                    problem = problems.unavailable("worker-ids-exhausted", str(error))
                self._waiting_for = f"{waiting_for} ({type(error).__name__})", problem
                if not logged:
                    logger().warning("not ready", waiting_for=waiting_for, error=str(error)[:500])
                logged = True
                self._stopped.wait(RETRY_S)
        return None
