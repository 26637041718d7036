"""What was drawn: how many, how many twice, how many out of order."""

from __future__ import annotations

import threading
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

INT64_OCTETS = 8
UUID_OCTETS = 16


class Drawn:
    """All IDs of a soak, by tag and kind; thread-safe. Memory: 8 octets an int64, 16 a UUID."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[NDArray[np.uint64]]] = defaultdict(list)
        self._uuids: dict[str, list[NDArray[np.uint64]]] = defaultdict(list)
        self._last: dict[tuple[str, str], int] = {}
        self.out_of_order: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def add(self, tag: str, stream: str, octets: bytes, count: int) -> None:
        """One answer of `count` IDs on a stream (one connection: one process answers it).

        Raises ValueError when the octets aren't that many IDs of one kind.
        """
        if len(octets) == count * INT64_OCTETS:
            numbers = np.frombuffer(octets, dtype=">u8").astype(np.uint64)
            with self._lock:
                self._numbers[tag].append(numbers)
                self._order(tag, stream, numbers)
        elif len(octets) == count * UUID_OCTETS:
            pairs = np.frombuffer(octets, dtype=">u8").astype(np.uint64).reshape(-1, 2)
            with self._lock:
                self._uuids[tag].append(pairs)
        else:
            raise ValueError(f"tag {tag}: {len(octets)} octets are not {count} IDs")

    def _order(self, tag: str, stream: str, numbers: NDArray[np.uint64]) -> None:
        descents = int(np.count_nonzero(numbers[1:] <= numbers[:-1]))
        last = self._last.get((tag, stream), -1)
        self.out_of_order[tag] += descents + (int(numbers[0]) <= last)
        self._last[tag, stream] = int(numbers[-1])

    def total(self) -> int:
        """IDs drawn so far."""
        with self._lock:
            return sum(
                len(part) for parts in (self._numbers, self._uuids) for p in parts.values() for part in p
            )

    def kinds(self) -> dict[str, dict[str, int]]:
        """How many of each kind by tag."""
        with self._lock:
            tags = sorted({*self._numbers, *self._uuids})
            return {
                tag: {
                    "int64": sum(map(len, self._numbers.get(tag, []))),
                    "uuid": sum(map(len, self._uuids.get(tag, []))),
                }
                for tag in tags
            }

    def duplicates(self) -> int:
        """IDs of one tag that were given more than once: every further time counts."""
        with self._lock:
            found = 0
            for parts in self._numbers.values():
                whole = np.concatenate(parts)
                whole.sort()
                found += int(np.count_nonzero(whole[1:] == whole[:-1]))
            for parts in self._uuids.values():
                pairs = np.concatenate(parts)
                pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
                found += int(np.count_nonzero((pairs[1:] == pairs[:-1]).all(axis=1)))
            return found
