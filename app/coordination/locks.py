"""One at a time over all data centres: a lock in etcd with a lease and a fencing token."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.coordination.names import checked_part
from app.coordination.store import Delete, EtcdAwayError, Put, Store

PREFIX = "/idgen/locks/"
POLL_S = 0.2


class LockTakenError(Exception):
    """Another holds the lock, for longer than one was ready to wait. The message says who."""


class LockLostError(Exception):
    """The lock ended while it was thought to be held: another may have worked meanwhile."""


@dataclass(frozen=True, slots=True)
class Token:
    """A held lock. revision: the fencing token, higher for each later holder; key: guard writes with both."""

    key: str
    revision: int


@contextmanager
def lock(
    store: Store,
    name: str,
    ttl_s: int,
    *,
    holder: str,
    wait_s: float = 0.0,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Token]:
    """Hold the lock `name` for at most `ttl_s`; it isn't prolonged.

    Raises LockTakenError after waiting `wait_s`, LockLostError at the end if it wasn't held any more, and
    EtcdAwayError. Write to etcd under it with `transact({token.key: token.revision}, ...)`; elsewhere hand
    the token on, so that a lower one can be refused.
    """
    key = f"{PREFIX}{checked_part('lock', name)}"
    deadline = monotonic() + wait_s
    while True:
        lease, _ = store.grant(ttl_s)
        try:
            revision = store.transact({key: 0}, [Put(key, json.dumps({"holder": holder}), lease)])
            entry = store.get(key) if revision is None else None
        except EtcdAwayError:
            _end(store, lease)
            raise
        if entry is not None and entry.lease == lease:
            revision = entry.revision  # it was us, at an endpoint whose answer got lost
        if revision is not None:
            break
        _end(store, lease)
        if monotonic() >= deadline:
            who = entry.value if entry else "somebody who has just left"
            raise LockTakenError(f"lock {name}: held by {who}; try again in {ttl_s} s")
        sleep(POLL_S)
    try:
        yield Token(key, revision)
    except BaseException:
        _end(store, lease)
        raise
    held = store.transact({key: revision}, [Delete(key)]) is not None
    _end(store, lease)
    if not held:
        raise LockLostError(f"lock {name} was lost; what was done under it may overlap with another's work")


def _end(store: Store, lease: int) -> None:
    with suppress(EtcdAwayError):  # it runs out by itself
        store.revoke(lease)
