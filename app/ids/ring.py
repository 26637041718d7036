"""Single IDs made ahead: a ring buffer that is filled in the background and popped in well under 100 ns.

IDs wait as numpy blocks (8 octets a number, 16 a UUID); a short list in front holds the next ones as Python
objects, last first, since nothing in CPython is faster than `list.pop`. IDs leave in the order in which the
algorithm made them. Those of time-ordered algorithms are as old as they waited, so choose `capacity` by the
age that is wanted.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.ids.encoding import to_array
from app.ids.model import UUID_OCTETS, Algorithm, Batch, Health, Id, check_count

HOT = 1_000
BLOCK = 10_000
MOST_POPPED = 16


class Ring:
    """A thread-safe buffer in front of an algorithm, itself one (same name and kind).

    spawn: runs a function in the background. capacity: IDs. fill_below: the share of the capacity under
    which it is filled again. block: IDs asked of the algorithm at once.
    """

    def __init__(
        self,
        source: Algorithm,
        spawn: Callable[[Callable[[], None]], object],
        *,
        capacity: int = 1_000_000,
        fill_below: float = 0.5,
        block: int = BLOCK,
    ) -> None:
        check_count(capacity)
        self.name, self.kind = source.name, source.kind
        self._source, self._spawn = source, spawn
        self._capacity, self._block = capacity, min(block, capacity)
        self._fill_below = capacity * fill_below
        self._thaw_ids = min(HOT, max(1, capacity // 10))  # a small ring, too, notices in time that it's low
        self._hot: list[Any] = []
        self._pop_hot = self._hot.pop
        self._cold: deque[NDArray[Any]] = deque()
        self._cold_ids = 0
        self._filling = False
        self._thawed = self._misses = self._fills = self._fill_failures = 0
        self._changes = threading.Lock()  # of everything above, but pops from the list, which are atomic
        self._drawing = threading.Lock()  # from the source: one at a time, so that blocks arrive in order

    def pop(self) -> Any:
        """The next ID: an int, or the 16 octets of a UUID.

        An empty ring draws from the algorithm itself, and raises IdsUnavailableError if that can't issue.
        """
        try:
            return self._pop_hot()
        except IndexError:
            return self._pop_behind()

    def generate(self) -> Id:
        """The next ID."""
        value = self.pop()
        return Id(int.from_bytes(value, "big"), "uuid") if self.kind == "uuid" else Id(value, "int64")

    def batch(self, count: int) -> Batch:
        """The next `count` IDs. Raises IdsUnavailableError; IDs popped until then are lost: a gap."""
        check_count(count)
        values = [self.pop() for _ in range(count)]
        if self.kind == "uuid":
            return Batch("uuid", uuids=b"".join(values))
        return Batch("int64", ranges_of(np.array(values, dtype=np.int64)))

    def fill(self) -> None:
        """Draw from the algorithm until the ring is full. Raises what the algorithm raises."""
        while len(self) < self._capacity:
            with self._drawing:
                block = self._draw(self._block)
                with self._changes:
                    self._cold.append(block)
                    self._cold_ids += len(block)

    def __len__(self) -> int:
        return self._cold_ids + len(self._hot)

    def ready(self, count: int) -> bool:
        """Whether so many IDs are buffered."""
        return len(self) >= count

    def health(self) -> Health:
        """Able while IDs are buffered, then as the algorithm."""
        return Health(True) if len(self) else self._source.health()

    def metrics(self) -> Mapping[str, float]:
        """Counters: `pops`, `hits` (needed no draw), `fills` begun and `fill_failures`; `buffered` now."""
        pops = max(0, self._thawed - len(self._hot))
        return {
            "pops": pops,
            "hits": max(0, pops - self._misses),
            "fills": self._fills,
            "fill_failures": self._fill_failures,
            "buffered": len(self),
        }

    def _pop_behind(self) -> Any:
        if (found := self._pop_cold()) is not None:
            return found
        with self._drawing:
            # Whoever drew before may have brought some.
            if (found := self._pop_cold()) is not None:
                return found
            block = self._draw(self._thaw_ids)
            with self._changes:
                self._misses += 1
                value = self._thaw(block)
        self._fill_if_low()
        return value

    def _pop_cold(self) -> Any:
        """The next ID, or None when nothing is buffered."""
        with self._changes:
            try:
                return self._pop_hot()
            except IndexError:
                if not self._cold:
                    return None
            block = self._cold[0]
            if len(block) > self._thaw_ids:
                self._cold[0] = block[self._thaw_ids :]
                block = block[: self._thaw_ids]
            else:
                self._cold.popleft()
            self._cold_ids -= len(block)
            found = self._thaw(block)
        self._fill_if_low()
        return found

    def _thaw(self, block: NDArray[Any]) -> Any:
        """Put a block in front, when nothing is there; its first ID, or others might take all of them.

        A list is replaced, never refilled: who still pops from the old one finds it empty and comes here.
        """
        hot = block[::-1].tolist()
        first = hot.pop()
        self._hot, self._pop_hot = hot, hot.pop
        self._thawed += len(block)
        return first

    def _draw(self, count: int) -> NDArray[Any]:
        batch = self._source.batch(count)
        if self.kind == "uuid":
            return np.frombuffer(batch.uuids, dtype=f"V{UUID_OCTETS}")
        return to_array(batch)

    def _fill_if_low(self) -> None:
        with self._changes:
            if self._filling or len(self) >= self._fill_below:
                return
            self._filling = True
            self._fills += 1
        try:
            self._spawn(self._fill_behind)
        except Exception:  # the executor may be shut down already
            self._filled(failed=True)

    def _fill_behind(self) -> None:
        try:
            self.fill()
        except Exception:
            # Nobody waits for it: the pops that find the ring empty meet the error themselves.
            self._filled(failed=True)
        else:
            self._filled(failed=False)

    def _filled(self, *, failed: bool) -> None:
        with self._changes:
            self._filling = False
            self._fill_failures += failed


class Buffered:
    """An algorithm whose single IDs come from a ring, and larger batches from itself, which is faster."""

    def __init__(self, ring: Ring, source: Algorithm) -> None:
        self.name, self.kind = source.name, source.kind
        self._ring, self._source = ring, source

    def generate(self) -> Id:
        """One ID."""
        return self._ring.generate()

    def batch(self, count: int) -> Batch:
        """`count` IDs. Raises IdsUnavailableError."""
        return (self._ring if count <= MOST_POPPED else self._source).batch(count)

    def health(self) -> Health:
        """The ring's."""
        return self._ring.health()

    def metrics(self) -> Mapping[str, float]:
        """The ring's."""
        return self._ring.metrics()


def ranges_of(values: NDArray[np.int64]) -> tuple[range, ...]:
    """Numbers, in order, as ranges of consecutive ones."""
    breaks = np.flatnonzero(np.diff(values) != 1) + 1
    starts = values[np.concatenate(([0], breaks))].tolist()
    ends = values[np.concatenate((breaks - 1, [len(values) - 1]))].tolist()
    return tuple(range(first, last + 1) for first, last in zip(starts, ends, strict=True))
