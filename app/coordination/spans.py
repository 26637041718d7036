"""Which values belong to which data centre's segments, agreed on once, by all of them.

`/idgen/segments/{dc}` says the span that a data centre has taken. It's written under a lock over all data
centres, after a look at the others', so spans never overlap, whatever a data centre is configured to take.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from app.coordination.locks import lock
from app.coordination.store import EtcdAwayError, Put, Store
from app.coordination.worker_ids import checked_datacenter

PREFIX = "/idgen/segments/"
TTL_S = 30
WAIT_S = 30.0


class SpanOverlapError(Exception):
    """The span would give out values of another data centre, or differs from the one taken before."""


@dataclass(frozen=True, slots=True)
class Span:
    """Values first to last, both included."""

    first: int
    last: int

    def overlaps(self, other: "Span") -> bool:
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


def take_span(
    store: Store,
    datacenter: int,
    span: Span,
    initialise: Callable[[Span, int], None],
    *,
    holder: str,
    ttl_s: int = TTL_S,
    wait_s: float = WAIT_S,
) -> bool:
    """Take the data centre's span if it isn't yet; whether this call did. Call it once at start.

    initialise(span, token) makes the rows from which the span is given out. It runs under the lock and
    before the span counts as taken, so after a failure it runs again: it must leave what exists as it is.
    Raises SpanOverlapError, EtcdAwayError, LockTakenError, LockLostError and what initialise raises.
    """
    key = f"{PREFIX}{checked_datacenter(datacenter)}"
    if not 0 < span.first <= span.last < 2**63:
        raise ValueError(f"span: {span} is not allowed; allowed: 1 to 2**63 - 1, first <= last")
    if _taken(store, key, span):
        return False
    with lock(store, "segments", ttl_s, holder=holder, wait_s=wait_s) as token:
        if _taken(store, key, span):
            return False
        for entry in store.list(PREFIX)[0]:
            if entry.key != key and span.overlaps(other := _parse(entry.key, entry.value)):
                raise SpanOverlapError(f"data centre {datacenter} takes {span}, but {entry.key} has {other}")
        initialise(span, token.revision)
        mark = Put(key, json.dumps(asdict(span) | {"token": token.revision, "holder": holder}))
        if store.transact({key: 0, token.key: token.revision}, [mark]) is None:
            raise EtcdAwayError(f"the lock ended before {key} could be written; start again")
    return True


def _taken(store: Store, key: str, span: Span) -> bool:
    entry = store.get(key)
    if entry is None:
        return False
    taken = _parse(key, entry.value)
    if taken != span:
        raise SpanOverlapError(f"{key} has {taken}, but {span} is configured; a span never changes")
    return True


def _parse(key: str, value: str) -> Span:
    try:
        content = json.loads(value)
        return Span(int(content["first"]), int(content["last"]))
    except (ValueError, KeyError, TypeError):
        raise SpanOverlapError(f"{key} holds {value[:80]!r}, which is no span; repair it by hand") from None
