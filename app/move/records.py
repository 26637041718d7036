"""Rows in one form, whatever database they come from: names in place of ids, every value plain. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

TABLES = ("workspaces", "groups", "biz_tags", "segments", "api_keys", "snapshots", "audit_events")
"""What is moved, in this order. Tails aren't: their IDs lie below the marks and are lost, not repeated.
Allocations, worker epochs and jobs belong to the installation that they were made in."""
KEYS = {
    "workspaces": ("name",),
    "groups": ("workspace", "name"),
    "biz_tags": ("workspace", "name"),
    "segments": ("workspace", "tag", "datacenter"),
    "api_keys": ("sha256",),
    "snapshots": ("workspace", "name"),
}


@dataclass(frozen=True)
class Record:
    """One row. content: JSON values; times as ISO 8601 in UTC with microseconds; octets as hex.

    An audit event has no key of its own: it's all of its content, and the how-maniest of equals it is.
    """

    table: str
    content: Mapping[str, Any]
    nth: int = 0
    blank: bool = field(default=False, compare=False)  # as a new database has it: may be written over

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """What makes it the same row on both sides."""
        names = KEYS.get(self.table)
        return tuple(self.content[name] for name in names) if names else (self.digest, self.nth)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of its content."""
        text = json.dumps(self.content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).digest()

    @property
    def held(self) -> "Held":
        """What comparing needs of it."""
        return Held(self.digest, int(self.content.get("next_id", 0)), self.blank)

    def told(self) -> str:
        """Its key for people."""
        named = KEYS.get(self.table)
        return "/".join(str(part) for part in self.key) if named else str(self.content.get("at"))


class Held(NamedTuple):
    """A row as the other side is compared with it: small, so that millions fit into memory."""

    digest: bytes
    next_id: int
    blank: bool


class Checksum:
    """A sum of SHA-256s modulo 2**256: the same for the same rows in any order, and duplicates count."""

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self.rows, self._sum = 0, 0
        for digest in digests:
            self.add(digest)

    def add(self, digest: bytes) -> None:
        """One more row's."""
        self.rows += 1
        self._sum = (self._sum + int.from_bytes(digest)) % (1 << 256)

    def __str__(self) -> str:
        return f"{self._sum:064x}"
