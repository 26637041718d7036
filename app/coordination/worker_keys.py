"""How worker ids stand in etcd.

`/idgen/workers/{dc}/{worker}` exists while one is held, under the holder's lease;
`/idgen/stamps/{dc}/{worker}` stays, and is only written together with a check of the former.
"""

import json
from contextlib import suppress
from dataclasses import dataclass

from app.coordination.store import Delete, Entry, EtcdAwayError, Put, Store
from app.coordination.worker_ids import Stamp


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker id's key, held by us while it's at `revision`. lives_s: of the lease, when granted."""

    worker: int
    lease: int
    lives_s: int
    revision: int


class WorkerKeys:
    """The keys of one data centre. Every call may raise EtcdAwayError."""

    def __init__(self, store: Store, datacenter: int) -> None:
        self._store = store
        self._workers, self._stamps = f"/idgen/workers/{datacenter}/", f"/idgen/stamps/{datacenter}/"

    def look(self) -> tuple[set[int], dict[int, Stamp]]:
        """The worker ids that are held, and every readable stamp."""
        held = set(_numbered(self._store.list(self._workers)[0]))
        stamps = {}
        for worker, entry in _numbered(self._store.list(self._stamps)[0]).items():
            with suppress(ValueError):  # of an unreadable one, Postgres knows what was reserved
                stamps[worker] = Stamp.parse(entry.value)
        return held, stamps

    def claim(self, worker: int, holder: str, ttl_s: int, now_ms: int) -> Claim | None:
        """Take a worker id that nobody holds, under a new lease; None when somebody does."""
        lease, lives_s = self._store.grant(ttl_s)
        try:
            key = f"{self._workers}{worker}"
            value = json.dumps({"holder": holder, "since_ms": now_ms})
            revision = self._store.transact({key: 0}, [Put(key, value, lease)])
            if revision is None:
                # Perhaps it was us, at an endpoint whose answer got lost.
                entry = self._store.get(key)
                if entry is not None and entry.lease == lease:
                    revision = entry.revision
        except EtcdAwayError:
            self.end(lease)
            raise
        if revision is None:
            self.end(lease)
            return None
        return Claim(worker, lease, lives_s, revision)

    def stamp(self, claim: Claim, stamp: Stamp, *, leave: bool = False) -> bool:
        """Write the worker id's stamp if its key is still ours; `leave` removes the key in the same step."""
        key = f"{self._workers}{claim.worker}"
        put = Put(f"{self._stamps}{claim.worker}", stamp.to_json())
        then: list[Put | Delete] = [put, Delete(key)] if leave else [put]
        return self._store.transact({key: claim.revision}, then) is not None

    def end(self, lease: int) -> None:
        """End a lease; with etcd away it runs out by itself."""
        with suppress(EtcdAwayError):
            self._store.revoke(lease)


def _numbered(entries: list[Entry]) -> dict[int, Entry]:
    """Entries by the worker id that their key ends with; keys that end otherwise aren't ours."""
    found = ((entry.key.rpartition("/")[2], entry) for entry in entries)
    return {int(number): entry for number, entry in found if number.isascii() and number.isdigit()}
