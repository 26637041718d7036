"""Keeps requests away from a service that just failed. Pure: time is an argument."""

import threading
from collections.abc import Callable


class Breaker:
    """Open after one failure; from then on `probe_due` lets one caller in each `pause_s` find out more.

    It begins open, so that the first connection is made by a probe, never by a request. monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float], pause_s: float) -> None:
        self._monotonic, self._pause_s = monotonic, pause_s
        self._closed = False
        self._next_probe = float("-inf")
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether calls may be made."""
        return self._closed

    def probe_due(self) -> bool:
        """True for one caller a pause, while open. That caller must say `succeeded` or `failed`."""
        if self._closed or self._monotonic() < self._next_probe:
            return False
        with self._lock:
            now = self._monotonic()
            if self._closed or now < self._next_probe:
                return False
            self._next_probe = now + self._pause_s
            return True

    def failed(self) -> bool:
        """Open it, or keep it open for another pause. True when it was closed before."""
        with self._lock:
            was_closed, self._closed = self._closed, False
            self._next_probe = self._monotonic() + self._pause_s
            return was_closed

    def succeeded(self) -> None:
        """Close it."""
        with self._lock:
            self._closed = True
