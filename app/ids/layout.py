"""How 64 bits are shared out: 1 sign, 41 milliseconds, 3 data centre, 8 worker, 11 sequence (or 10).

With fewer sequence bits the higher fields move down and the top bits stay free.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

EPOCH_MS = 1_735_689_600_000
"""2025-01-01T00:00:00Z in Unix milliseconds: the zero of every ID's time. Changing it repeats IDs."""

TIME_BITS = 41
DATACENTER_BITS = 3
WORKER_BITS = 8

SEGMENT_BITS = 53
"""Segments of data centre d lie in [d * 2**53 + 1, (d + 1) * 2**53 - 1]."""

FIRST_SNOWFLAKE = 1 << (SEGMENT_BITS + DATACENTER_BITS)
"""Segment values are below, snowflake IDs are not: a tag that degrades from one to the other repeats none."""

EARLIEST_MS = EPOCH_MS + (1 << 35)
"""2026-02-02T16:22:18Z: from here on the ID is at least FIRST_SNOWFLAKE in every layout."""


class Parts(NamedTuple):
    """The fields of one ID; `unix_ms` is milliseconds since 1970."""

    unix_ms: int
    datacenter: int
    worker: int
    sequence: int


@dataclass(frozen=True)
class Layout:
    """One way to pack an ID. IDs of two layouts must never share a tag."""

    sequence_bits: int = 11

    def __post_init__(self) -> None:
        if self.sequence_bits not in (10, 11):
            raise ValueError(f"sequence_bits: {self.sequence_bits} is not allowed; allowed: 10 or 11")

    @property
    def per_ms(self) -> int:
        """IDs that one worker id can issue in one millisecond: the honest ceiling."""
        return 1 << self.sequence_bits

    @property
    def last_unix_ms(self) -> int:
        """The last millisecond that fits; after it no ID can be made."""
        return EPOCH_MS + (1 << TIME_BITS) - 1

    @property
    def exhausted_at(self) -> datetime:
        """When the last millisecond begins, UTC."""
        return datetime.fromtimestamp(self.last_unix_ms / 1_000, UTC)

    def pack(self, parts: Parts) -> int:
        """The ID of these fields. Raises ValueError for a field out of its range, naming it."""
        since = parts.unix_ms - EPOCH_MS
        for name, value, bits in (
            ("unix_ms since the epoch", since, TIME_BITS),
            ("datacenter", parts.datacenter, DATACENTER_BITS),
            ("worker", parts.worker, WORKER_BITS),
            ("sequence", parts.sequence, self.sequence_bits),
        ):
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name}: {value} is not allowed; allowed: 0 to {(1 << bits) - 1}")
        upper = ((since << DATACENTER_BITS | parts.datacenter) << WORKER_BITS) | parts.worker
        return upper << self.sequence_bits | parts.sequence

    def unpack(self, value: int) -> Parts:
        """The fields of an ID, the inverse of `pack`. Raises ValueError outside 0 to 2**63 - 1."""
        if not 0 <= value < 1 << 63:
            raise ValueError(f"id: {value} is not allowed; allowed: 0 to 2**63 - 1")
        value, sequence = divmod(value, self.per_ms)
        value, worker = divmod(value, 1 << WORKER_BITS)
        since, datacenter = divmod(value, 1 << DATACENTER_BITS)
        return Parts(EPOCH_MS + since, datacenter, worker, sequence)
