"""IDs of one tag that this process holds, with more fetched before they run out."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """Thread-safe; each ID goes to one caller.

    fetch: more IDs, as sequences; may block and raise. spawn: runs a function in the background, or raises
    RuntimeError. When `prefetch_at` of what a fetch gave is used, the next fetch begins. A fetch that
    failed is tried again when half of the rest is used, and in any case when nothing is left.
    """

    def __init__(
        self,
        fetch: Callable[[], Sequence[Sequence[T]]],
        spawn: Callable[[Callable[[], None]], object],
        prefetch_at: float = 0.1,
    ) -> None:
        self._fetch, self._spawn, self._prefetch_at = fetch, spawn, prefetch_at
        self._current: Sequence[T] = ()
        self._at = 0
        self._ahead: deque[Sequence[T]] = deque()
        self._left = 0  # IDs, in all sequences
        self._fetch_below = 0
        self._loading = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()

    def next(self) -> T:
        """One ID. Raises what `fetch` raises, only when no ID is left."""
        with self._changed:
            if self._at == len(self._current):
                self._turn()
            taken = self._current[self._at]
            self._at += 1
            self._left -= 1
            if self._left < self._fetch_below and not self._loading:
                self._prefetch()
            return taken

    def _turn(self) -> None:
        """Make another sequence the current one, fetching it now if need be."""
        while not self._ahead:
            if self._loading:
                self._changed.wait()
                if not self._ahead and not self._loading and self._failure is not None:
                    raise self._failure
                continue
            self._loading = True
            self._changed.release()
            try:
                self._load()
            finally:
                self._changed.acquire()
            if not self._ahead and self._failure is not None:
                raise self._failure
        self._current, self._at = self._ahead.popleft(), 0

    def _prefetch(self) -> None:
        self._loading = True
        self._fetch_below //= 2  # for the case that it fails
        try:
            self._spawn(self._load_quietly)
        except RuntimeError:  # no background any more: the last ID's caller will fetch
            self._loading = False

    def _load_quietly(self) -> None:
        with suppress(Exception):
            self._load()

    def _load(self) -> None:
        """Fetch, without the lock."""
        failure: Exception | None = None
        got: list[Sequence[T]] = []
        try:
            got = [one for one in self._fetch() if len(one)]
        except Exception as error:
            failure = error
        finally:
            with self._changed:
                self._loading, self._failure = False, failure
                if got:
                    fresh = sum(map(len, got))
                    self._ahead.extend(got)
                    self._left += fresh
                    self._fetch_below = int(fresh * (1 - self._prefetch_at)) + 1
                self._changed.notify_all()
