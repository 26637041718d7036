"""What a tag is, and how far its segment is handed out, shared by all processes of a data centre.

The segment's state is for reading only: for people, for metrics, for a look at the stock. No ID is ever
issued from it and no range is taken by it, since Redis answers with what it remembers: after a failover, a
flush or a restore that can be older than what was handed out. Ranges come from the database alone, so
Redis lost at any moment repeats no ID.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from app.cache.connect import Cache
from app.storage.tags import Tag
from app.tag_config import TagConfig

TTL_S = 600.0
JITTER = 0.1
REFRESH_AT = 0.8
REFRESH_S = 10.0
"""How long one caller may take to renew a value before another one tries."""
HOLD_S = 10.0
"""How long nothing is stored of a tag that has changed: longer than any reading of the database takes."""

_HOLD = b"{}"


@dataclass(frozen=True, slots=True)
class SegmentState:
    """A segment's row as it was at some time. Never a source of IDs; may lag behind the database."""

    next_id: int
    last_id: int
    step: int
    version: int


def key(workspace: str, tag: str, datacenter: int) -> str:
    """Where a tag's value is: `segment:{workspace}/{tag}:{data centre}`."""
    return f"segment:{workspace}/{tag}:{datacenter}"


class TagCache:
    """Tags by workspace and name, each for 10 minutes (give or take 10 %, so that not all end at once).

    read(workspace_id, name): the tag from the database; called in the background, by one process of all, when
    a value that is in use is about to end, so that a tag in use never leaves the cache. uniform: a random
    number from 0 to 1. now: Unix seconds; clocks that differ between hosts shift the renewal, nothing else.
    spawn: runs a function in the background. Nothing here raises.
    """

    def __init__(
        self,
        cache: Cache,
        datacenter: int,
        *,
        read: Callable[[int, str], Tag | None],
        spawn: Callable[[Callable[[], None]], object],
        uniform: Callable[[], float],
        now: Callable[[], float] = time.time,
        ttl_s: float = TTL_S,
    ) -> None:
        self._cache, self._datacenter = cache, datacenter
        self._read, self._spawn, self._uniform, self._now = read, spawn, uniform, now
        self._ttl_s = ttl_s
        # A caller has its workspace's id; the key has its name, which every tag that passed here told.
        self._workspaces: dict[int, str] = {}

    def get(self, workspace_id: int, name: str) -> Tag | None:
        """The tag, without asking the database; None when Redis doesn't have it or is away."""
        found = self._find(workspace_id, name)
        if found is None:
            return None
        tag, content = found
        if self._now() > content["renew_at"]:
            self._renew(tag)
        return tag

    def state(self, workspace_id: int, name: str) -> SegmentState | None:
        """The segment as it was last told, for reading only; None when it isn't known."""
        found = self._find(workspace_id, name)
        return _state(found[1]) if found else None

    def put(self, tag: Tag, state: SegmentState | None = None) -> bool:
        """Store what the database said; whether it was. Without a state, the one stored before stays."""
        return self.warm([tag], {tag.id: state} if state else {}) == 1

    def forget(self, tag: Tag) -> bool:
        """Call it when a tag has changed or is gone; whether Redis took it. Without Redis the TTL ends it.

        For a moment nothing is stored of it, so that what was read before the change doesn't come back.
        """
        return self._cache.put(self._key(tag), _HOLD, HOLD_S)

    def warm(self, tags: Iterable[Tag], states: Mapping[int, SegmentState] | None = None) -> int:
        """Store all tags at a start, in few round trips; how many were. states: by the tag's id."""
        all_tags = list(tags)
        self._workspaces |= {tag.workspace_id: tag.workspace for tag in all_tags}
        values = {}
        for tag, text in zip(all_tags, self._cache.get_many([self._key(t) for t in all_tags]), strict=True):
            if text != _HOLD:
                state = (states or {}).get(tag.id) or _state(_parsed(text))
                values[self._key(tag)] = self._content(tag, state)
        return self._cache.put_many(values)

    def _find(self, workspace_id: int, name: str) -> tuple[Tag, dict[str, Any]] | None:
        workspace = self._workspaces.get(workspace_id)
        if workspace is None:
            return None
        content = _parsed(self._cache.get(key(workspace, name, self._datacenter)))
        try:
            tag = Tag(**(content["tag"] | {"config": TagConfig(**content["tag"]["config"])}))
            float(content["renew_at"])
        except (ValueError, TypeError, KeyError):  # none, held, or of another version of the service
            return None
        # A workspace may have been renamed, and another may have its name now.
        return (tag, content) if (tag.workspace_id, tag.name) == (workspace_id, name) else None

    def _renew(self, tag: Tag) -> None:
        if not self._cache.put_new(f"{self._key(tag)}:renewing", b"", REFRESH_S):
            return

        def renew() -> None:
            try:
                fresh = self._read(tag.workspace_id, tag.name)
            except Exception:
                return  # the value lives on to its end; another caller tries again before
            if fresh is None:
                self.forget(tag)
            else:
                self.put(fresh)

        with contextlib.suppress(Exception):  # the executor may be shut down already
            self._spawn(renew)

    def _key(self, tag: Tag) -> str:
        return key(tag.workspace, tag.name, self._datacenter)

    def _content(self, tag: Tag, state: SegmentState | None) -> tuple[bytes, float]:
        ttl_s = self._ttl_s * (1 + JITTER * (2 * self._uniform() - 1))
        content = {
            "tag": asdict(tag) | {"config": tag.config.model_dump(mode="json")},
            "segment": asdict(state) if state else None,
            "renew_at": self._now() + REFRESH_AT * ttl_s,
        }
        return orjson.dumps(content), ttl_s


def _parsed(text: bytes | None) -> dict[str, Any]:
    try:
        content = orjson.loads(text or b"{}")
    except ValueError:  # not ours
        return {}
    return content if isinstance(content, dict) else {}


def _state(content: dict[str, Any]) -> SegmentState | None:
    try:
        return SegmentState(**content["segment"])
    except (KeyError, TypeError):  # none, or of another version of the service
        return None
