"""Who runs: `/idgen/nodes/{dc}/{node}` says what a process is, as long as it lives."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from app.coordination.names import checked_part
from app.coordination.store import EtcdAwayError, Put, Store
from app.coordination.worker_ids import checked_datacenter

TTL_S = 30
PREFIX = "/idgen/nodes/"


@dataclass(frozen=True, slots=True)
class Node:
    """One process. started_at: Unix seconds."""

    slot: str
    version: str
    pid: int
    started_at: float


class NodeRegistration:
    """Keeps a node listed from `start` to `stop`. Nothing depends on it: a failure is only told.

    on_failure is called with the reason when a beat fails after one that worked.
    """

    def __init__(
        self,
        store: Store,
        datacenter: int,
        name: str,
        node: Node,
        *,
        ttl_s: int = TTL_S,
        on_failure: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.key = f"{PREFIX}{checked_datacenter(datacenter)}/{checked_part('node', name)}"
        self._store, self._node, self._ttl_s, self._on_failure = store, node, ttl_s, on_failure
        self._lease = 0
        self._failing = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Register and stay registered, in a daemon thread."""
        self._thread = threading.Thread(target=self._run, name="node-registration", daemon=True)
        self._thread.start()

    def beat(self) -> bool:
        """Register, or prolong the registration; whether it worked."""
        try:
            if not self._lease or not self._store.keep_alive(self._lease):
                self._lease, _ = self._store.grant(self._ttl_s)
                self._store.transact({}, [Put(self.key, json.dumps(asdict(self._node)), self._lease)])
        except EtcdAwayError as error:
            if not self._failing:
                self._on_failure(str(error))
            self._failing = True
            return False
        self._failing = False
        return True

    def stop(self) -> None:
        """Leave the list at once; with etcd away, after the lease's time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        lease, self._lease = self._lease, 0
        if lease:
            with suppress(EtcdAwayError):
                self._store.revoke(lease)

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            wait_s = self._ttl_s / 3 if self.beat() else min(2.0, self._ttl_s / 3)


def nodes(store: Store, datacenter: int | None = None) -> dict[tuple[int, str], Node]:
    """Every registered node by (data centre, name). Raises EtcdAwayError."""
    prefix = PREFIX if datacenter is None else f"{PREFIX}{checked_datacenter(datacenter)}/"
    found = {}
    for entry in store.list(prefix)[0]:
        with suppress(ValueError, TypeError):  # written by something else: not a node
            place, name = entry.key.removeprefix(PREFIX).split("/")
            found[int(place), name] = Node(**json.loads(entry.value))
    return found
