"""Who may call: API keys of one process, cached in memory and in Redis."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from app.audit import store as audit_store
from app.audit.key_use import KeyUse
from app.auth.directory import KeyDirectory
from app.auth.limits import KeyLimits
from app.auth.principal import Principal
from app.auth.rows import KeyRows
from app.auth.watch import KeyWatch
from app.observing.metrics import Metrics
from app.server.admission import Admission
from app.server.logs import logger
from app.serving.stores import Stores
from app.settings import Settings

EVERYONE = Principal(0, 1, "default", frozenset({"issue", "read", "admin", "operate"}), "anonymous")
"""The caller of every request where keys are switched off."""

_LEVELS = {"l1": "l1", "stale": "l1", "l2": "l2", "miss": "database"}


class Access:
    """record: the audit's."""

    def __init__(
        self, settings: Settings, stores: Stores, metrics: Metrics, record: Callable[..., None]
    ) -> None:
        self._storage = metrics.storage
        self.use = KeyUse(record, time.time, partial(audit_store.owners, stores.engine))
        self.directory = KeyDirectory(
            KeyRows(stores.engine),
            time.monotonic,
            time.time,
            redis=stores.redis,
            on_hits=self._hits,
            on_used=self.use.used,
        )
        each = settings.key_rate_per_s / settings.workers
        self.limits = KeyLimits(each, max(1.0, each * settings.key_burst_s), time.monotonic)
        self.everyone = EVERYONE if settings.auth == "off" else None
        self.admission = Admission(self.directory.authenticate, self.limits.take, self.everyone)
        self._watch = KeyWatch(
            self.directory,
            stores.redis.address if stores.redis else None,
            on_error=lambda error: logger().warning("keys are not looked after", error=str(error)[:300]),
        )

    def start(self) -> None:
        """Learn of revocations."""
        self._watch.start()

    def stop(self) -> None:
        """Tell what was counted; call it when no request runs any more."""
        self._watch.stop()

    def count_use(self, last: bool) -> None:
        """Once a second, and at the stop: what was counted becomes audit events of whole minutes."""
        self.directory.flush_used()
        self.use.flush(last)

    def _hits(self, hits: Mapping[str, int]) -> None:
        for level, count in hits.items():
            self._storage.key_found(_LEVELS.get(level, "none"), count)
