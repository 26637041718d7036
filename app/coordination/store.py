"""What coordination needs of etcd, small enough to be kept by anything linearizable.

One primitive changes things: `transact` writes when every named key is still at a given revision. Creating,
guarded writing and fencing are all made of it. Revisions only grow; 0 means that a key doesn't exist.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class EtcdAwayError(Exception):
    """No endpoint gave an answer. Whether a write arrived isn't known: look, or guard it by revision."""


class LeaseGoneError(EtcdAwayError):
    """The lease of a write has expired or was revoked; nothing was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it is stored. revision: of its last change; lease: 0 without one."""

    key: str
    value: str
    revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key, under a lease unless it's 0."""

    key: str
    value: str
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; no error if it isn't there."""

    key: str


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch; value None: the key was removed."""

    key: str
    value: str | None
    revision: int


class WatchBrokenError(Exception):
    """Events may have been missed: list again and watch from there."""


class Store(Protocol):
    """Every call raises EtcdAwayError when no answer comes within seconds."""

    def get(self, key: str) -> Entry | None:
        """The key as it is now."""
        ...

    def list(self, prefix: str) -> tuple[list[Entry], int]:
        """All keys that begin with the prefix, by key, and the revision of the whole store."""
        ...

    def transact(self, when: Mapping[str, int], then: Sequence[Put | Delete]) -> int | None:
        """Do all of `then` if every key of `when` is at its revision; the new revision, or None if not.

        Raises LeaseGoneError.
        """
        ...

    def grant(self, ttl_s: int) -> tuple[int, int]:
        """A new lease: (id, seconds it lives, which may be more than asked for)."""
        ...

    def keep_alive(self, lease: int) -> int:
        """Begin the lease's time again; the seconds it lives, 0 if it's gone."""
        ...

    def revoke(self, lease: int) -> None:
        """End the lease and remove its keys; no error if it's gone."""
        ...

    def watch(self, prefix: str, after_revision: int, idle_s: float) -> Iterator[Change]:
        """Changes after a revision, in order; ends when none came for `idle_s`. Raises WatchBrokenError."""
        ...
