"""Counts that many threads add to without a lock, and one takes away now and then."""

import itertools
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MOST_IDLE = 2


class Tally(Generic[K]):
    """Adds one at a time, exactly, whatever threads do: the step of an itertools.count is one C call."""

    def __init__(self) -> None:
        self._next: dict[K, Callable[[], int]] = {}
        self._seen: dict[K, int] = {}
        self._idle: dict[K, int] = {}

    def add(self, key: K) -> None:
        """One more."""
        step = self._next.get(key)
        if step is None:
            step = self._next.setdefault(key, itertools.count().__next__)
        step()

    def take(self) -> dict[K, int]:
        """What was added since the last call, only what isn't 0. For one thread at a time."""
        added: dict[K, int] = {}
        for key, step in list(self._next.items()):
            now = step()  # as many as were added, and this function's own steps before
            if count := now - self._seen.get(key, 0):
                added[key] = count
                self._idle.pop(key, None)
            elif (idle := self._idle.get(key, 0) + 1) > MOST_IDLE:
                # Unused for several rounds: no thread can be between finding the counter and its step.
                for each in (self._next, self._seen, self._idle):
                    each.pop(key, None)
                continue
            else:
                self._idle[key] = idle
            self._seen[key] = now + 1
        return added
