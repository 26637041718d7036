"""Batches as bytes for the wire, and one ID as its fields.

JSON carries IDs as strings: a reader's numbers may have 53 bits only. Consecutive numbers share all but
their last four digits, so a run of them is one row repeated, into which numpy writes four digits each from a
table: some five times as fast as joining strings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from app.ids.layout import FIRST_SNOWFLAKE, SEGMENT_BITS, Layout
from app.ids.model import UUID_OCTETS, Batch, Id, Kind

RUN = 10_000
SHORT = 25
"""Runs below are written one by one: then numpy's fixed cost (some 3 us) would be most of it."""
LONGEST = 2_000
"""IDs written at once: what that takes stays in the processor's cache and below malloc's limit for mmap."""
SUFFIX = np.dtype("<u4")  # four characters moved as one word; as text, so the byte order is of no matter
SUFFIXES = np.frombuffer(b"".join(b"%04d" % number for number in range(RUN)), dtype=SUFFIX)
UUID_TEXT = b"........-....-....-....-............"
# The hexadecimal digits of a UUID in words: where in its 32 digits, where in its text, how many characters.
UUID_WORDS = [(0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 8), (28, 32, 4)]
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def to_json_strings(batch: Batch) -> bytes:
    """A JSON array of strings, without spaces."""
    return _text(batch, b'["', b'","', b'"]') if len(batch) else b"[]"


def to_ndjson(batch: Batch) -> bytes:
    """One JSON string a line, each ended by a line feed."""
    return _text(batch, b'"', b'"\n"', b'"\n') if len(batch) else b""


def to_octets(batch: Batch) -> bytes:
    """Big-endian: 8 octets a number, 16 a UUID."""
    if batch.kind == "uuid":
        return batch.uuids
    return b"".join(np.arange(one.start, one.stop, dtype=">i8").tobytes() for one in batch.blocks)


def to_array(batch: Batch) -> NDArray[np.int64]:
    """The numbers of a batch of kind int64, in order; shape (len(batch),)."""
    if len(batch.blocks) == 1:
        return np.arange(batch.blocks[0].start, batch.blocks[0].stop, dtype=np.int64)
    sizes = np.fromiter(map(len, batch.blocks), dtype=np.int64, count=len(batch.blocks))
    firsts = np.fromiter((one.start for one in batch.blocks), dtype=np.int64, count=len(batch.blocks))
    before = np.cumsum(sizes) - sizes  # IDs before each block
    return np.repeat(firsts - before, sizes) + np.arange(sizes.sum(), dtype=np.int64)


def _text(batch: Batch, before: bytes, between: bytes, after: bytes) -> bytes:
    if batch.kind == "uuid":
        runs = list(_uuid_runs(batch.uuids, between))
    else:
        runs = [run for block in batch.blocks for run in _runs(block, between)]
    runs[-1] = runs[-1][: -len(between)]
    return b"".join((before, *runs, after))


def _runs(block: range, between: bytes) -> Iterator[memoryview]:
    """The numbers of a range as text, each followed by `between`; cut where the upper digits change."""
    first, stop = block.start, block.stop
    while first < stop:
        upper, lower = divmod(first, RUN)
        size = min(stop - first, RUN - lower, LONGEST)
        if upper and size >= SHORT:
            prefix = b"%d" % upper
            row = prefix + b"0000" + between
            text = bytearray(row) * size
            np.ndarray((size,), SUFFIX, text, len(prefix), (len(row),))[:] = SUFFIXES[lower : lower + size]
        else:
            text = bytearray(between.join([*(b"%d" % number for number in range(first, first + size)), b""]))
        yield memoryview(text)
        first += size


def _uuid_runs(octets: bytes, between: bytes) -> Iterator[memoryview]:
    digits, row = octets.hex().encode(), UUID_TEXT + between
    total = len(octets) // UUID_OCTETS
    for first in range(0, total, LONGEST):
        size = min(LONGEST, total - first)
        text = bytearray(row) * size
        for source, target, width in UUID_WORDS:
            at = first * 2 * UUID_OCTETS + source
            words = np.ndarray((size,), f"<u{width}", digits, at, (2 * UUID_OCTETS,))
            np.ndarray((size,), f"<u{width}", text, target, (len(row),))[:] = words
        yield memoryview(text)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What an ID tells of itself; None where it tells nothing. `unix_ms`: milliseconds since 1970.

    algorithm: by the value alone, so of a plugin's number the one whose range it lies in.
    """

    kind: Kind
    algorithm: str
    unix_ms: int | None = None
    datacenter: int | None = None
    worker: int | None = None
    sequence: int | None = None
    version: int | None = None

    @property
    def time(self) -> str | None:
        """The time in ISO 8601, UTC, to the millisecond."""
        if self.unix_ms is None:
            return None
        try:
            at = _UNIX + timedelta(milliseconds=self.unix_ms)
        except OverflowError:  # 48 bits of a UUID reach beyond the year 9999
            return None
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decode(identifier: Id, layout: Layout | None = None) -> Decoded:
    """The fields of an ID. layout: that of its tag, for a snowflake."""
    if identifier.kind == "uuid":
        return _decode_uuid(identifier.value)
    if identifier.value < FIRST_SNOWFLAKE:
        return Decoded("int64", "segment", datacenter=identifier.value >> SEGMENT_BITS)
    parts = (layout or Layout()).unpack(identifier.value)
    return Decoded(
        "int64",
        "snowflake",
        unix_ms=parts.unix_ms,
        datacenter=parts.datacenter,
        worker=parts.worker,
        sequence=parts.sequence,
    )


def _decode_uuid(value: int) -> Decoded:
    version = value >> 76 & 0xF if value >> 62 & 0b11 == 0b10 else None
    if version == 7:
        return Decoded("uuid", "uuid7", unix_ms=value >> 80, version=7)
    return Decoded("uuid", "uuid4" if version == 4 else "unknown", version=version)
