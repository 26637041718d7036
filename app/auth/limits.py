"""How often a key may be used. Pure: time is an argument.

A token bucket, kept as one number a key: the time at which the bucket would be full again (the generic cell
rate algorithm, ITU-T I.371, in the form of its virtual scheduling). In any stretch of t seconds a key gets at
most `burst + rate * t`.
"""

import threading
from collections.abc import Callable

MOST_KEYS = 10_000


class KeyLimits:
    """rate: a second, 0 for no limit. burst: at once, at least 1. monotonic: seconds.

    The limits of one process: divide a service's by its processes. Memory is bounded by `most_keys`; when
    more than those are in use at the same time, the ones whose buckets are fullest begin anew.
    """

    def __init__(
        self, rate: float, burst: float, monotonic: Callable[[], float], *, most_keys: int = MOST_KEYS
    ) -> None:
        if rate < 0:
            raise ValueError(f"rate: {rate} is not allowed; allowed: 0 (no limit) or more a second")
        if rate and burst < 1:
            raise ValueError(f"burst: {burst} is not allowed; allowed: 1 or more")
        self.rate, self.burst = rate, burst
        self._monotonic, self._most_keys = monotonic, most_keys
        self._full_at: dict[int, float] = {}
        self._lock = threading.Lock()

    def take(self, key_id: int, n: float = 1) -> float:
        """0 when n were taken; else nothing was, and it's the seconds after which they can be.

        More than `burst` at once never fits: infinity.
        """
        if not self.rate:
            return 0.0
        if n > self.burst:
            return float("inf")
        with self._lock:
            now = self._monotonic()
            full_at = max(self._full_at.get(key_id, now), now) + n / self.rate
            wait = full_at - now - self.burst / self.rate
            if wait > 1e-9:  # rounding, not a token
                return wait
            if key_id not in self._full_at and len(self._full_at) >= self._most_keys:
                self._make_room(now)
            self._full_at[key_id] = full_at
            return 0.0

    def __len__(self) -> int:
        return len(self._full_at)

    def _make_room(self, now: float) -> None:
        # Full buckets are as good as none. A tenth at a time, so that this isn't done for every new key.
        ends = sorted(self._full_at.values())
        limit = max(now, ends[len(ends) // 10])
        self._full_at = {key: end for key, end in self._full_at.items() if end > limit}
