"""What one process asks over the network: Postgres, etcd, Redis, the policy service."""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Engine

from app.cache import address
from app.cache.connect import Cache, client
from app.coordination.etcd import Etcd
from app.coordination.tenure import Epochs
from app.observing.data_spans import trace_postgres, trace_redis
from app.observing.metrics import Metrics
from app.server.logs import logger
from app.settings import Settings
from app.storage import database, segments, tails, workers
from app.storage.models import owner
from app.storage.tags import Tag

LEAST_POOL = 2
"""The lease's renewal must never wait for a connection behind requests."""


@dataclass(frozen=True)
class Stores:
    """Made after the fork; opens nothing yet. `redis` is None where there is none."""

    engine: Engine
    etcd: Etcd
    redis: Cache | None
    datacenter: int
    holder: str

    def load(self, tag: Tag, size: int) -> range:
        """A range of about `size` IDs that nobody else has: the own data centre's first."""
        return segments.allocate_local_first(self.engine, tag, self.datacenter, size, holder=self.holder)

    def lease(self, tag: Tag, count: int) -> list[range]:
        """Exactly `count` IDs in as few ranges as there are."""
        taken: list[range] = []
        while count:
            part = segments.allocate_local_first(
                self.engine, tag, self.datacenter, count, holder=f"{self.holder}/lease", least=min(count, 1)
            )
            taken.append(part[:count])
            if rest := part[count:]:
                self.give_back(tag, [rest])
            count -= len(taken[-1])
        return taken

    def give_back(self, tag: Tag, ranges: Sequence[range]) -> None:
        """Let others hand these out. Raises what the database raises."""
        by_owner: dict[int, list[range]] = {}
        for one in ranges:
            by_owner.setdefault(owner(one[0]), []).append(one)
        for datacenter, own in by_owner.items():
            tails.give_back(self.engine, tag.id, datacenter, own)

    def epochs(self) -> Epochs:
        """The fencing epochs of this data centre's worker ids."""

        def reserve(worker: int, epoch: int, until_ms: int) -> None:
            workers.reserve(self.engine, self.datacenter, worker, epoch, until_ms)

        def end(worker: int, epoch: int, last_ms: int) -> None:
            workers.end(self.engine, self.datacenter, worker, epoch, last_ms)

        begin: Callable[[int, str], tuple[int, int]] = partial(workers.begin, self.engine, self.datacenter)
        return Epochs(begin, reserve, workers.FencedError, end)

    def close(self) -> None:
        """Close connections."""
        if self.redis:
            self.redis.close()
        self.etcd.close()
        self.engine.dispose()


def connect(settings: Settings, metrics: Metrics, pid: int) -> Stores:
    """The stores of these settings. Raises BadRedisUrlError or ValueError for a bad address."""
    each = settings.workers
    most = max(LEAST_POOL, settings.db_pool_max // each)
    engine = database.connect(
        settings.database_url.get_secret_value(),
        pool_min=min(most, max(LEAST_POOL, settings.db_pool_min // each)),
        pool_max=most,
        acquire_s=settings.db_acquire_s,
        on_acquire=metrics.storage.acquired,
    )
    trace_postgres(engine)
    return Stores(
        engine=engine,
        etcd=Etcd(settings.etcd_url),
        redis=_redis(settings, metrics),
        datacenter=settings.datacenter,
        holder=f"{socket.gethostname()}/{settings.slot}/{pid}",
    )


def _redis(settings: Settings, metrics: Metrics) -> Cache | None:
    if settings.redis_url is None:
        return None

    def state(up: bool, why: str) -> None:
        metrics.storage.redis_up(up)
        logger().info("redis answers") if up else logger().warning("redis is away", reason=why)

    return Cache(
        address.parse(settings.redis_url.get_secret_value()),
        time.monotonic,
        on_call=metrics.storage.redis_call,
        on_state=state,
        new_client=lambda where, timeout_s: trace_redis(client(where, timeout_s)),
    )
