"""What every algorithm and everything that uses one agrees on: IDs, batches of them, health, the protocol."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Protocol

Kind = Literal["int64", "uuid"]
Format = Literal["any", "int64", "string", "uuid"]

MOST_INT64 = (1 << 63) - 1
UUID_OCTETS = 16

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class IdsUnavailableError(Exception):
    """No ID can be issued safely now. Nothing was handed out. Subclasses say why."""


@dataclass(frozen=True, slots=True)
class Id:
    """One ID: 0 to 2**63 - 1 as `int64`, or the 128 bits of a UUID. `str` is decimal, or 8-4-4-4-12."""

    value: int
    kind: Kind = "int64"

    def __str__(self) -> str:
        if self.kind == "int64":
            return str(self.value)
        digits = f"{self.value:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    @classmethod
    def parse(cls, text: str) -> "Id":
        """The inverse of `str`; a UUID's letters may be of either case. Raises ValueError for other text."""
        if _DECIMAL.fullmatch(text) and (value := int(text)) <= MOST_INT64:
            return cls(value, "int64")
        if _UUID.fullmatch(text):
            return cls(int(text.replace("-", ""), 16), "uuid")
        shown = text if len(text) <= 64 else text[:64] + "..."
        raise ValueError(
            f"id: {shown!r} is not allowed; allowed: 0 to {MOST_INT64} in decimal, or a UUID as 8-4-4-4-12"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """IDs of one kind, as issued: ranges of consecutive numbers, or 16 octets (big-endian) for each UUID."""

    kind: Kind
    blocks: tuple[range, ...] = ()
    uuids: bytes = b""

    def __len__(self) -> int:
        return sum(map(len, self.blocks)) + len(self.uuids) // UUID_OCTETS

    def ids(self) -> Iterator[Id]:
        """The IDs one by one. For many, the functions of app.ids.encoding are far faster."""
        if self.kind == "int64":
            return (Id(value, "int64") for value in chain.from_iterable(self.blocks))
        octets = self.uuids
        return (
            Id(int.from_bytes(octets[at : at + UUID_OCTETS], "big"), "uuid")
            for at in range(0, len(octets), UUID_OCTETS)
        )


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a call now is expected to succeed; `reason` says why not."""

    can_issue: bool
    reason: str = ""


class Algorithm(Protocol):
    """What the service needs of an algorithm. Thread-safe; a call hands out everything asked for or nothing.

    `metrics` are counters and gauges by name, read seldom. `generate` and `batch` raise IdsUnavailableError
    when no ID can be issued safely, and `batch` ValueError for a count below 1.
    """

    name: str
    kind: Kind

    def generate(self) -> Id: ...

    def batch(self, count: int) -> Batch: ...

    def health(self) -> Health:
        """Never blocks, never issues."""
        ...

    def metrics(self) -> Mapping[str, float]: ...


def check_count(count: int) -> None:
    """Raises ValueError for a count below 1."""
    if count < 1:
        raise ValueError(f"count: {count} is not allowed; allowed: 1 or more")


def flatten(blocks: Iterable[range]) -> list[int]:
    """The IDs of some blocks, in order."""
    return list(chain.from_iterable(blocks))
