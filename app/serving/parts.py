"""The parts of a runtime that need more than a line to be made."""

import os
import random
import socket
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.audit import store as audit_store
from app.audit.log import AuditLog
from app.cache import states
from app.cache.tags import TagCache
from app.coordination.tenure import NotHeldError
from app.faults import causes
from app.faults.config import ReleaseConfig
from app.faults.injector import Causes, Injector
from app.faults.lookup import LookupTables
from app.faults.switch import FaultSet, FaultSwitch, server_identity
from app.ids import Algorithm
from app.ids.router import Switch
from app.observing import context, tracing
from app.observing.metrics import Metrics
from app.plugins.generation import Generation, Watcher
from app.plugins.plugin import Context
from app.plugins.registry import Registry
from app.server.logs import logger
from app.serving.generators import Sources
from app.serving.instant import Instant
from app.serving.stores import Stores
from app.serving.upkeep import cpu_pressure
from app.settings import Settings
from app.storage.tags import Tag, TagDirectory
from app.tag_config import TagConfig

if TYPE_CHECKING:
    from app.serving.runtime import Runtime

TAG_FRESH_S = 4.0
"""A tag's row is asked for again after this, from Redis first: so a change is live everywhere within 5 s."""

BUILT_IN = ("segment", "snowflake", "uuid7", "uuid4")


def clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def audit_log(settings: Settings, stores: Stores, metrics: Metrics) -> AuditLog:
    """The audit log, with this server's state directory for what a stop can't write."""
    write, write_once = audit_store.writers(stores.engine)
    return AuditLog(
        write,
        write_once=write_once,
        spool_dir=settings.claims_dir / "audit",
        context=context.ids,
        count=metrics.operations.audit,
    )


def plugins(runtime: "Runtime") -> tuple[Registry, Watcher]:
    """The registry and what keeps the server's processes alike."""
    registry = Registry(
        BUILT_IN,
        _plugin_context(runtime, worker=0),  # plugins are tried before a worker id is held
        reloaded=runtime.metrics.operations.plugins_reloaded,
        changed=runtime.generators.forget,
        record=runtime.audit.record,
    )
    return registry, Watcher(Generation(runtime.settings.runtime_dir), registry.reload)


def _plugin_context(runtime: "Runtime", worker: int) -> Context:
    return Context(
        datacenter=runtime.settings.datacenter,
        worker=worker,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        random_octets=os.urandom,
    )


def sources(runtime: "Runtime") -> Sources:
    """What generators are made of."""
    stores, metrics = runtime.stores, runtime.metrics

    def load(tag: Tag, size: int) -> range:
        try:
            taken = stores.load(tag, size)
        except Exception as error:
            metrics.segment_load("error")
            logger().error("segment not loaded", tag=tag.name, error=str(error)[:300])
            raise
        metrics.segment_load("ok")
        logger().info("segment loaded", tag=tag.name, first=taken[0], size=len(taken))
        if (cache := runtime.tag_cache) is not None:
            runtime.background.submit(show, cache, tag)
        return taken

    def show(cache: TagCache, tag: Tag) -> None:
        """Segment state in Redis, for reading; the tag's own row, not the one under etcd's configuration."""
        state = states.read(stores.engine, stores.datacenter, [tag.id]).get(tag.id)
        if state is not None and (row := cache.get(tag.workspace_id, tag.name)) is not None:
            cache.put(row, state)

    def switched(tag: Tag, switch: Switch) -> None:
        degraded = switch.to != tag.config.algorithm
        metrics.issuing.switched(tag.name, switch.from_, switch.to, degraded=degraded)
        detail = {"from": switch.from_, "to": switch.to, "reason": switch.reason[:500]}
        log = logger().info if switch.back else logger().warning
        log("tag returns" if switch.back else "tag degrades", tag=tag.name, **detail)
        action = "tag.returned" if switch.back else "tag.degraded"
        runtime.audit.record(action, tag.name, "ok", workspace_id=tag.workspace_id, detail=detail)

    def plugin(name: str, config: TagConfig) -> Algorithm:
        if runtime.worker is None:
            raise NotHeldError("no worker id is held, which a plugin may build on")
        return runtime.plugins.factory(name)(config, _plugin_context(runtime, runtime.worker))

    return Sources(
        datacenter=runtime.settings.datacenter,
        load=load,
        give_back=stores.give_back,
        spawn=runtime.background.submit,
        clock_ms=clock_ms,
        sleep=time.sleep,
        monotonic=time.monotonic,
        randomness=os.urandom,
        cpu_pressure=cpu_pressure,
        plugin=plugin,
        switched=switched,
        stepped=metrics.issuing.clock_rollback,
    )


def tag_cache(
    settings: Settings, stores: Stores, spawn: Callable[[Callable[[], None]], object]
) -> TagCache | None:
    """Tags in Redis, where there is one."""
    if stores.redis is None:
        return None
    return TagCache(
        stores.redis,
        settings.datacenter,
        read=TagDirectory(stores.engine, time.monotonic, fresh_s=0).find,
        spawn=spawn,
        uniform=random.random,
    )


def tag_directory(runtime: "Runtime") -> TagDirectory:
    """Tags in memory, before Redis, before Postgres, under etcd's configuration."""
    cache, metrics, redis = runtime.tag_cache, runtime.metrics, runtime.stores.redis

    def get(workspace_id: int, name: str) -> Tag | None:
        assert cache is not None and redis is not None
        tag = cache.get(workspace_id, name)
        metrics.storage.cache("tags", "hit" if tag else "miss" if redis.up else "error")
        return tag

    def refused(tag: Tag, why: str) -> None:
        metrics.coordination.config_update("refused")
        logger().error("configuration refused", tag=tag.name, workspace=tag.workspace, reason=why)
        detail = {"reason": why[:500]}
        runtime.audit.record(
            "config.refused", tag.name, "refused", workspace_id=tag.workspace_id, detail=detail
        )

    def put(tag: Tag) -> None:
        assert cache is not None
        cache.put(tag)

    return TagDirectory(
        runtime.stores.engine,
        time.monotonic,
        l2_get=get if cache else None,
        l2_put=put if cache else None,
        overlay=runtime.coordination.config.overlay,
        refused=refused,
        fresh_s=TAG_FRESH_S,
    )


def faults(runtime: "Runtime", release: ReleaseConfig) -> tuple[Injector, FaultSwitch]:
    """The injector, and the switch by which faults are set at run time."""
    stores, settings = runtime.stores, runtime.settings
    here = zlib.crc32(socket.gethostname().encode())
    tables = LookupTables(stores.engine, f"{settings.slot}_{here:08x}_{os.getppid()}")
    injector = Injector(
        release.faults,
        Causes(
            compute=causes.compute,
            slow_plan=partial(causes.slow_plan, stores.engine),
            dependency=runtime.policies.ask,
            missing_index=tables.look_up,
        ),
        random.random,
        runtime.metrics.fault_struck,
        tracing.fault_span,
    )

    def changed(now: FaultSet) -> None:
        if now.generation:
            logger().warning("faults set", generation=now.generation, faults=len(now.faults), by=now.set_by)

    switch = FaultSwitch(
        settings.runtime_dir / f"faults-{settings.slot}.json",
        server=server_identity(os.getppid()),
        release=release.faults,
        set_=injector.set,
        tables=tables,
        show=runtime.metrics.faults_active,
        changed=changed,
        failed=lambda error: logger().error("faults not taken up", error=str(error)[:300]),
    )
    return injector, switch


def instant(runtime: "Runtime") -> Instant:
    """What the event loop answers by itself."""
    traces, everyone, settings = runtime.traces, runtime.access.everyone, runtime.settings

    def busy(traceparent: str) -> bool:
        if not runtime.ready or runtime.injector.any:
            return True
        return traces is not None and traces.takes_long_way(traceparent)

    return Instant(
        known=runtime.access.directory.known if everyone is None else lambda token: everyone,
        served=runtime.access.directory.served if everyone is None else lambda key_id: None,
        take=runtime.access.limits.take,
        tag=runtime.tags.fresh,
        policy=runtime.policies.fresh,
        ready=runtime.generators.ready,
        busy=busy,
        observed=runtime.metrics.request,
        headers={"X-Plumbline-Version": settings.version, "X-Plumbline-Slot": settings.slot},
    )
