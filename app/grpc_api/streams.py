"""The open streams of a server: how many there may be, and which ones wait for their caller."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import grpc

from app.grpc_api.refusals import Refusal

T = TypeVar("T")


class Streams:
    """A stream holds a thread as long as it is open, so only some of the threads may carry one."""

    def __init__(self, most: int) -> None:
        self._most, self._open, self._draining = most, 0, False
        self._idle: dict[int, Callable[[], object]] = {}
        self._lock = threading.Lock()

    def requests(self, requests: Iterable[T], cancel: Callable[[], object]) -> Iterator[T]:
        """The stream's requests, until the caller or the server has done with it. Raises Refusal."""
        me = threading.get_ident()
        with self._lock:
            if self._open >= self._most:
                detail = f"{self._open} streams are open in this process; that is as many as it takes"
                raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-streams", detail, 1.0)
            self._open += 1
        try:
            source = iter(requests)
            while True:
                with self._lock:
                    if self._draining:
                        raise _ended()
                    self._idle[me] = cancel
                try:
                    request = next(source)
                except StopIteration:
                    return
                finally:
                    with self._lock:
                        self._idle.pop(me, None)
                yield request
        finally:
            with self._lock:
                self._open -= 1

    def drain(self) -> None:
        """End the streams: now those that wait for a request, the others after the answer that they owe."""
        with self._lock:
            self._draining = True
            idle = list(self._idle.values())
        for cancel in idle:
            cancel()


def _ended() -> Refusal:
    return Refusal(grpc.StatusCode.UNAVAILABLE, "not-ready", "this process stops; open a new stream", 0.1)
