"""Issues IDs of a tag by the tag's algorithm."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.ids import Generator
from app.ids.segment import DoubleBuffer
from app.storage.tags import Tag


@dataclass(frozen=True)
class Issued:
    """IDs, as ascending ranges, and the algorithm that made them.

    used_ratio: how far the current segment is used now; 0 where there is none.
    """

    algorithm: str
    blocks: list[range]
    used_ratio: float = 0.0


class Issuer:
    """One snowflake for the process, one double buffer per segment tag, made when first needed."""

    def __init__(self, snowflake: Generator, new_buffer: Callable[[Tag], DoubleBuffer]) -> None:
        self._snowflake, self._new_buffer = snowflake, new_buffer
        self._buffers: dict[str, DoubleBuffer] = {}
        self._lock = threading.Lock()

    def issue(self, tag: Tag, count: int) -> Issued:
        """`count` new IDs. Raises IdsUnavailableError when none can be issued safely."""
        if tag.algorithm == "snowflake":
            return Issued(tag.algorithm, self._snowflake.blocks(count))
        buffer = self.buffer(tag)
        return Issued(tag.algorithm, buffer.blocks(count), buffer.used_ratio())

    def can_issue(self) -> bool:
        """Whether at least one algorithm can: a service that serves a part is better than none."""
        return self._snowflake.can_issue() or any(buffer.can_issue() for buffer in self._buffers.values())

    def buffer(self, tag: Tag) -> DoubleBuffer:
        """The tag's buffer."""
        buffer = self._buffers.get(tag.name)
        if buffer is None:
            with self._lock:
                buffer = self._buffers.setdefault(tag.name, self._new_buffer(tag))
        return buffer
