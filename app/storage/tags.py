"""Look-ups of tags, with a cache, so that a request costs no query."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine, Row, Select, select

from app.ids.router import chain_for
from app.repeats import could_repeat
from app.storage.models import BizTag, Group, Workspace
from app.tag_config import TagConfig

FRESH_S = 60.0
UNKNOWN_FRESH_S = 2.0
MOST_UNKNOWN = 1_000
COLUMNS = ("algorithm", "format", "step")
"""The keys of TagConfig that biz_tags has as columns; the others are in its `config`."""


@dataclass(frozen=True)
class Tag:
    """What issuing needs to know of a tag. A name is unique in its workspace."""

    id: int
    workspace_id: int
    workspace: str
    group: str
    name: str
    config: TagConfig

    @property
    def algorithm(self) -> str:
        """The configured algorithm."""
        return self.config.algorithm

    @property
    def step(self) -> int:
        """IDs that a range has at least."""
        return self.config.step


def columns_of(config: TagConfig) -> dict[str, Any]:
    """A configuration as values for biz_tags: algorithm, format, step, and the rest as `config`."""
    whole = config.model_dump(mode="json")
    return {**{key: whole.pop(key) for key in COLUMNS}, "config": whole}


def config_of(algorithm: str, format_: str, step: int, rest: Mapping[str, Any]) -> TagConfig:
    """The way back. Raises pydantic's ValidationError."""
    return TagConfig.model_validate({**rest, "algorithm": algorithm, "format": format_, "step": step})


Get = Callable[[int, str], Tag | None]
"""l2_get(workspace_id, name): the tag as another process found it, or None. Must not raise."""
Put = Callable[[Tag], None]
"""l2_put(tag): keep it for other processes. Must not raise."""
Overlay = Callable[[str, str, str], Mapping[str, Any] | None]
"""overlay(workspace, group, name): keys of TagConfig that replace the row's; None for none. From memory: it
is called at each look-up. As long as nothing changed it gives the same object."""


@dataclass
class _Known:
    """A tag as its row says, and as it is under the overlay that was met last."""

    read_at: float
    row: Tag
    overlay: Mapping[str, Any] | None = None
    effective: Tag | None = None


class TagDirectory:
    """Tags by workspace and name. A known tag is served from memory even when the database is away.

    Order of a look-up: memory (fresh for `fresh_s`), l2_get, the database, then l2_put. The overlay is laid
    over whatever was found, each time, so that a change of it counts at once.
    """

    def __init__(
        self,
        engine: Engine,
        monotonic: Callable[[], float],
        *,
        l2_get: Get | None = None,
        l2_put: Put | None = None,
        overlay: Overlay | None = None,
        refused: Callable[[Tag, str], None] = lambda tag, why: None,
        fresh_s: float = FRESH_S,
    ) -> None:
        """refused(tag, why): told once of an overlay that can't be laid over the tag's row."""
        self._refused = refused
        self._engine, self._monotonic, self._fresh_s = engine, monotonic, fresh_s
        self._l2_get, self._l2_put, self._overlay = l2_get, l2_put, overlay
        self._known: dict[tuple[int, str], _Known] = {}
        self._unknown: dict[tuple[int, str], float] = {}
        self._lock = threading.Lock()

    def load(self) -> list[Tag]:
        """Read all tags; raises what the database raises. Also fills the second cache.

        A tag whose row isn't a valid TagConfig is left out; `find` raises pydantic's error for it.
        """
        with self._engine.connect() as connection:
            rows = connection.execute(_query()).all()
        tags = [tag for row in rows if (tag := _readable(row))]
        now = self._monotonic()
        with self._lock:
            self._known = {(tag.workspace_id, tag.name): _Known(now, tag) for tag in tags}
            self._unknown.clear()
        if self._l2_put:
            for tag in tags:
                self._l2_put(tag)
        return [self._under_overlay(known) for known in list(self._known.values())]

    def find(self, workspace_id: int, name: str) -> Tag | None:
        """The tag, or None. Raises what the database raises, only for a name never seen."""
        key, now = (workspace_id, name), self._monotonic()
        hit = self._known.get(key)
        if hit and now - hit.read_at < self._fresh_s:
            return self._under_overlay(hit)
        if now - self._unknown.get(key, float("-inf")) < UNKNOWN_FRESH_S:
            return None
        if hit:
            # One thread asks; the others, and everyone during an outage, go on with what is known.
            hit.read_at = now
        try:
            tag = self._ask(workspace_id, name)
        except Exception:
            if not hit:
                raise
            return self._under_overlay(hit)  # stale, but tags change seldom and IDs matter more
        return self._keep(key, now, tag)

    def fresh(self, workspace_id: int, name: str) -> Tag | None:
        """The tag as memory has it; None when `find` would have to ask somebody."""
        hit = self._known.get((workspace_id, name))
        if hit is None or self._monotonic() - hit.read_at >= self._fresh_s:
            return None
        return self._under_overlay(hit)

    def forget(self, workspace_id: int, name: str) -> None:
        """Look the tag up anew next time: it was changed, made or removed."""
        key = (workspace_id, name)
        with self._lock:
            self._unknown.pop(key, None)
            hit = self._known.get(key)
            if hit:
                hit.read_at = float("-inf")  # kept for the case that the database is away

    def known(self) -> list[Tag]:
        """The tags in memory, under their overlays."""
        return [self._under_overlay(hit) for hit in list(self._known.values())]

    def _keep(self, key: tuple[int, str], now: float, tag: Tag | None) -> Tag | None:
        with self._lock:
            if tag is None:
                self._known.pop(key, None)
                if len(self._unknown) >= MOST_UNKNOWN:
                    self._unknown.clear()
                self._unknown[key] = now
                return None
            known = self._known[key] = _Known(now, tag)
        return self._under_overlay(known)

    def _ask(self, workspace_id: int, name: str) -> Tag | None:
        if self._l2_get and (tag := self._l2_get(workspace_id, name)):
            return tag
        tag = self._row(workspace_id, name)
        if tag and self._l2_put:
            self._l2_put(tag)
        return tag

    def _row(self, workspace_id: int, name: str) -> Tag | None:
        query = _query().where(BizTag.workspace_id == workspace_id, BizTag.name == name)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return _tag(row) if row else None

    def _under_overlay(self, known: _Known) -> Tag:
        if self._overlay is None:
            return known.row
        row = known.row
        over = self._overlay(row.workspace, row.group, row.name)
        effective = known.effective
        if effective is None or over is not known.overlay:
            effective, why = _laid_over(row, over)
            known.overlay, known.effective = over, effective
            if why:
                self._refused(row, why)
        return effective


def overlaid(tag: Tag, over: Mapping[str, Any] | None) -> Tag:
    """The tag with those keys of its configuration replaced; as it is where they aren't allowed together."""
    return _laid_over(tag, over)[0]


def _laid_over(tag: Tag, over: Mapping[str, Any] | None) -> tuple[Tag, str | None]:
    """The tag in force, and why the overlay isn't: a request must not fail for it."""
    if not over:
        return tag, None
    try:
        config = TagConfig.model_validate({**tag.config.model_dump(), **over})
        chain_for(config.algorithm, config.format)
    except ValueError as error:
        return tag, " ".join(str(error).split())
    why = could_repeat(tag.config, config)
    return (tag, why) if why else (replace(tag, config=config), None)


def _query() -> Select[Any]:
    return (
        select(
            BizTag.id, BizTag.workspace_id, Workspace.name, Group.name, BizTag.name,
            BizTag.algorithm, BizTag.format, BizTag.step, BizTag.config,
        )
        .join(Group, Group.id == BizTag.group_id)
        .join(Workspace, Workspace.id == BizTag.workspace_id)
    )  # fmt: skip


def _readable(row: Row[Any]) -> Tag | None:
    """None for a row that someone wrote past the API: one bad tag must not keep the others from starting."""
    try:
        return _tag(row)
    except ValidationError:
        return None


def _tag(row: Row[*tuple[Any, ...]]) -> Tag:
    id_, workspace_id, workspace, group, name, algorithm, format_, step, rest = row
    return Tag(id_, workspace_id, workspace, group, name, config_of(algorithm, format_, step, rest))
