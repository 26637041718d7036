"""Algorithms that make IDs. Pure: time, sleep and storage come in as arguments.

Every generator has the same shape: `blocks(count)` returns ranges of consecutive IDs whose lengths add up
to `count`, in ascending order, all or nothing. `can_issue()` says whether a call now is expected to work.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Literal, Protocol

Kind = Literal["int64", "uuid"]
Format = Literal["any", "int64", "string", "uuid"]


class Generator(Protocol):
    """What the service needs of an algorithm."""

    def blocks(self, count: int) -> list[range]:
        """`count` new IDs as ranges. Raises IdsUnavailable when none can be issued safely."""
        ...

    def can_issue(self) -> bool:
        """Whether a call now is expected to succeed. Never blocks, never issues."""
        ...


class IdsUnavailableError(Exception):
    """No ID can be issued safely now. Nothing was handed out."""


def flatten(blocks: Iterable[range]) -> list[int]:
    """The IDs of some blocks, in order."""
    return list(chain.from_iterable(blocks))
