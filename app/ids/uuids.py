"""UUIDs of RFC 9562: version 7, ordered within a process, and version 4. Randomness is an argument.

Version 7 here: 48 bits Unix milliseconds, then a counter of 42 bits (`rand_a` and the first 30 bits of
`rand_b`) that begins at a random value below 2**41 in each millisecond and goes up by one, then 32 random
bits for each UUID (RFC 9562, 6.2, method 1). When the clock stands still or steps back the counter goes on
from the last UUID's time, so order is kept and nothing waits; an overflowing counter advances the time by
one millisecond. Make one generator in each process, after the fork.
"""

import threading
from collections.abc import Callable, Mapping

import numpy as np

from app.ids.model import UUID_OCTETS, Batch, Health, Id, IdsUnavailableError, Kind, check_count

TIMESTAMP_BITS = 48
COUNTER_BITS = 42
LOW_BITS = 30  # of the counter, in rand_b
LOW_MASK = (1 << LOW_BITS) - 1
VERSION_7 = 7 << 12
VARIANT = 0b10 << 62
FRESH_MASK = (1 << (COUNTER_BITS - 1)) - 1

Randomness = Callable[[int], bytes]
"""Like os.urandom: that many unpredictable octets."""


class Uuid7:
    """A thread-safe generator of ascending version 7 UUIDs. clock_ms: Unix milliseconds, may jump."""

    name = "uuid7"
    kind: Kind = "uuid"

    def __init__(self, *, clock_ms: Callable[[], int], randomness: Randomness) -> None:
        self._clock_ms, self._randomness = clock_ms, randomness
        self._last_ms = -1
        self._counter = 0  # the next UUID's
        self._issued = self._clock_held = 0
        self._lock = threading.Lock()

    def generate(self) -> Id:
        """One UUID, larger than all before."""
        tail = int.from_bytes(self._randomness(4), "big")
        ms, counter = self._take(1)
        high = ms << 16 | VERSION_7 | counter >> LOW_BITS
        return Id(high << 64 | VARIANT | (counter & LOW_MASK) << 32 | tail, "uuid")

    def batch(self, count: int) -> Batch:
        """`count` ascending UUIDs, larger than all before. Raises ValueError for a count below 1."""
        check_count(count)
        tails = np.frombuffer(self._randomness(4 * count), dtype=">u4").astype(np.uint64)
        ms, first = self._take(count)
        counters = np.arange(first, first + count, dtype=np.uint64)
        words = np.empty((count, 2), dtype=">u8")
        words[:, 0] = np.uint64(ms << 16 | VERSION_7) | counters >> np.uint64(LOW_BITS)
        low = (counters & np.uint64(LOW_MASK)) << np.uint64(32)
        words[:, 1] = np.uint64(VARIANT) | low | tails
        return Batch("uuid", uuids=words.tobytes())

    def health(self) -> Health:
        """Always able: it needs neither a worker id nor a sane clock."""
        return Health(True)

    def ready(self, count: int) -> bool:
        """Always: it never waits."""
        return True

    def metrics(self) -> Mapping[str, float]:
        """`issued`, and how often the clock read less than the last UUID's time (`clock_held`)."""
        return {"issued": self._issued, "clock_held": self._clock_held}

    def _take(self, count: int) -> tuple[int, int]:
        """The time and the first of `count` counter values that nobody else gets."""
        with self._lock:
            now_ms = self._clock_ms()
            if now_ms > self._last_ms:
                self._begin(now_ms)
            elif now_ms < self._last_ms:
                self._clock_held += 1
            if self._counter + count > 1 << COUNTER_BITS:
                self._begin(self._last_ms + 1)
            first = self._counter
            self._counter += count
            self._issued += count
            return self._last_ms, first

    def _begin(self, ms: int) -> None:
        if not 0 <= ms < 1 << TIMESTAMP_BITS:
            raise IdsUnavailableError(f"clock: {ms} ms is not allowed; allowed: 0 to 2**{TIMESTAMP_BITS} - 1")
        # The top bit stays 0, so that a millisecond has room for 2**41 UUIDs at least.
        self._counter = int.from_bytes(self._randomness(6), "big") & FRESH_MASK
        self._last_ms = ms


class Uuid4:
    """Random UUIDs: no order, no clock, no state. The last resort of every chain that may hold UUIDs."""

    name = "uuid4"
    kind: Kind = "uuid"

    def __init__(self, *, randomness: Randomness) -> None:
        self._randomness = randomness
        self._issued = 0
        self._lock = threading.Lock()

    def generate(self) -> Id:
        """One UUID."""
        value = int.from_bytes(self._randomness(UUID_OCTETS), "big")
        with self._lock:
            self._issued += 1
        return Id(value & ~(0xF << 76 | 0b11 << 62) | 4 << 76 | VARIANT, "uuid")

    def batch(self, count: int) -> Batch:
        """`count` UUIDs. Raises ValueError for a count below 1."""
        check_count(count)
        octets = np.frombuffer(bytearray(self._randomness(UUID_OCTETS * count)), dtype=np.uint8)
        octets = octets.reshape(count, UUID_OCTETS)
        octets[:, 6] = octets[:, 6] & 0x0F | 0x40
        octets[:, 8] = octets[:, 8] & 0x3F | 0x80
        with self._lock:
            self._issued += count
        return Batch("uuid", uuids=octets.tobytes())

    def health(self) -> Health:
        """Always able."""
        return Health(True)

    def ready(self, count: int) -> bool:
        """Always: it never waits."""
        return True

    def metrics(self) -> Mapping[str, float]:
        """`issued`."""
        return {"issued": self._issued}
