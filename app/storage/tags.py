"""Look-ups of tags, with a cache, so that a request costs no query."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, select

from app.storage.models import BizTag

FRESH_S = 60.0
UNKNOWN_FRESH_S = 2.0
MOST_UNKNOWN = 1_000


@dataclass(frozen=True)
class Tag:
    """What issuing needs to know of a tag."""

    id: int
    name: str
    algorithm: str
    step: int


class TagDirectory:
    """Tags by name. A known tag is served from memory even when the database is away."""

    def __init__(self, engine: Engine, monotonic: Callable[[], float]) -> None:
        self._engine, self._monotonic = engine, monotonic
        self._known: dict[str, tuple[float, Tag]] = {}
        self._unknown: dict[str, float] = {}
        self._lock = threading.Lock()

    def load(self) -> list[Tag]:
        """Read all tags; raises what the database raises."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(BizTag.id, BizTag.name, BizTag.algorithm, BizTag.step)).all()
        tags = [Tag(*row) for row in rows]
        now = self._monotonic()
        with self._lock:
            self._known = {tag.name: (now, tag) for tag in tags}
            self._unknown.clear()
        return tags

    def find(self, name: str) -> Tag | None:
        """The tag, or None. Raises what the database raises, only for a name never seen."""
        now = self._monotonic()
        hit = self._known.get(name)
        if hit and now - hit[0] < FRESH_S:
            return hit[1]
        if now - self._unknown.get(name, float("-inf")) < UNKNOWN_FRESH_S:
            return None
        if hit:
            # One thread asks; the others, and everyone during an outage, go on with what is known.
            self._known[name] = (now, hit[1])
        try:
            tag = self._query(name)
        except Exception:
            if not hit:
                raise
            return hit[1]  # stale, but tags change seldom and IDs matter more
        with self._lock:
            if tag:
                self._known[name] = (now, tag)
            else:
                self._known.pop(name, None)
                if len(self._unknown) >= MOST_UNKNOWN:
                    self._unknown.clear()
                self._unknown[name] = now
        return tag

    def _query(self, name: str) -> Tag | None:
        query = select(BizTag.id, BizTag.name, BizTag.algorithm, BizTag.step).where(BizTag.name == name)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return Tag(*row) if row else None
