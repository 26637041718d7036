"""Hands out ranges of a segment tag, each once: tails that were given back first, then the segment.

Each data centre has a segment row of its own for a tag, in a span of its own, under an optimistic lock (which
needs READ COMMITTED, see database.connect). What was handed out is in segment_allocations, written in the
same transaction: when a commit's answer is lost the range is lost with it, never handed out again.
"""

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import func

from app.storage.models import (
    DATACENTERS,
    BizTag,
    Segment,
    SegmentAllocation,
    SegmentTail,
    Workspace,
    span,
)
from app.storage.tags import Tag

MOST_TRIES = 50


class SegmentConflictError(Exception):
    """Others won the optimistic lock every time."""


class SegmentExhaustedError(Exception):
    """The tag's IDs of this data centre are used up, by its maximum or by the span's end."""


class Mark(NamedTuple):
    """How far a segment was handed out: `next_id` and above never were. By names: ids may change."""

    workspace: str
    tag: str
    datacenter: int
    next_id: int


@dataclass(frozen=True)
class Bumped:
    """What `bump_past` did.

    unknown: marks of tags that the database lacks. unmarked: segments without a mark, which may still repeat
    what was handed out after the backup.
    """

    moved: int
    tails_dropped: int
    unknown: tuple[Mark, ...]
    unmarked: tuple[Mark, ...]


class _Wish(NamedTuple):
    tag: Tag
    datacenter: int
    owned: range
    size: int
    least: int


def allocate(
    engine: Engine, tag: Tag, datacenter: int, size: int | None = None, *, holder: str = "", least: int = 1
) -> range:
    """A range of `size` IDs (default: the tag's step) that nobody else has or will get.

    Shorter, but of `least` at least, when it is a tail that was given back or the segment's last IDs.
    holder: who gets it, for the record. Raises SegmentExhaustedError, SegmentConflictError, or what the
    database raises: then nothing was handed out.
    """
    size = tag.step if size is None else size
    if not 1 <= least <= size:
        raise ValueError(f"size {size}, least {least}: allowed 1 <= least <= size")
    wish = _Wish(tag, datacenter, bounds(tag, datacenter), size, least)
    for attempt in range(MOST_TRIES):
        with engine.begin() as connection:
            taken = _tail(connection, wish) or _fresh(connection, wish)
            if taken:
                _record(connection, tag, datacenter, taken, holder)
        if taken:
            return taken
        # Spread the losers out, or they meet again.
        time.sleep(random.uniform(0, 0.002 * (attempt + 1)))
    raise SegmentConflictError(f"tag {tag.name}: lost the optimistic lock {MOST_TRIES} times")


def allocate_local_first(
    engine: Engine, tag: Tag, datacenter: int, size: int | None = None, *, holder: str = "", least: int = 1
) -> range:
    """As `allocate`, but from another data centre's segment when the own one is used up.

    Give a rest back to the data centre that owns it: `models.owner(first)`.
    """
    for step in range(DATACENTERS):
        other = (datacenter + step) % DATACENTERS
        try:
            return allocate(engine, tag, other, size, holder=holder, least=least)
        except SegmentExhaustedError:
            continue
    raise SegmentExhaustedError(f"tag {tag.name}: IDs of all data centres are used up")


def bounds(tag: Tag, datacenter: int) -> range:
    """The IDs that the tag may have in a data centre: its span, up to the tag's maximum; perhaps none."""
    owned = span(datacenter)
    most = tag.config.max_id
    return owned if most is None else range(owned.start, max(owned.start, min(owned.stop, most + 1)))


def marks(engine: Engine) -> list[Mark]:
    """Every segment's mark, to be kept outside the database."""
    with engine.connect() as connection:
        return _marks(connection)


def bump_past(engine: Engine, kept: Iterable[Mark], *, margin: int = 0) -> Bumped:
    """After a restore, before anything is issued: move segments past what was handed out since the backup.

    kept: marks from outside the database. margin: IDs that may have been handed out after a mark was taken.
    No segment moves back; all tails go, as what the backup still has may be issued by now. Repeatable.
    """
    kept = list(kept)
    moved, unknown = 0, []
    with engine.begin() as connection:
        dropped = connection.execute(delete(SegmentTail)).rowcount
        before = {one[:3]: one for one in _marks(connection)}
        tags = select(Workspace.name, BizTag.name, BizTag.id).join(
            Workspace, Workspace.id == BizTag.workspace_id
        )
        ids = {(row[0], row[1]): row[2] for row in connection.execute(tags)}
        for mark in kept:
            tag_id = ids.get((mark.workspace, mark.tag))
            if tag_id is None:
                unknown.append(mark)
            else:
                moved += _bump(connection, tag_id, mark, margin)
    unmarked = set(before) - {one[:3] for one in kept}
    return Bumped(moved, dropped, tuple(unknown), tuple(before[key] for key in sorted(unmarked)))


def _marks(connection: Connection) -> list[Mark]:
    query = (
        select(Workspace.name, BizTag.name, Segment.datacenter, Segment.next_id)
        .join(BizTag, BizTag.id == Segment.tag_id)
        .join(Workspace, Workspace.id == BizTag.workspace_id)
        .order_by(Workspace.name, BizTag.name, Segment.datacenter)
    )
    return [Mark(*row) for row in connection.execute(query)]


def _bump(connection: Connection, tag_id: int, mark: Mark, margin: int) -> int:
    owned = span(mark.datacenter)
    if not owned.start <= mark.next_id <= owned.stop:
        raise ValueError(f"{mark}: next_id is not allowed; allowed: {owned.start} to {owned.stop}")
    next_id = min(mark.next_id + margin, owned.stop)
    row = {"tag_id": tag_id, "datacenter": mark.datacenter, "next_id": next_id, "last_id": owned[-1]}
    statement = (
        insert(Segment)
        .values(**row)
        .on_conflict_do_update(
            index_elements=[Segment.tag_id, Segment.datacenter],
            set_={"next_id": next_id, "version": Segment.version + 1, "updated_at": func.now()},
            where=Segment.next_id < next_id,
        )
        .returning(Segment.tag_id)
    )
    return len(connection.execute(statement).all())


def _tail(connection: Connection, wish: _Wish) -> range | None:
    """The oldest tail that fits and that nobody else is taking, or its beginning."""
    tag, datacenter, owned, size, least = wish
    candidate = (
        select(SegmentTail.id)
        .where(
            SegmentTail.tag_id == tag.id,
            SegmentTail.datacenter == datacenter,
            SegmentTail.last - SegmentTail.first + 1 >= least,
            SegmentTail.first >= owned.start,
            SegmentTail.last < owned.stop,  # a maximum that was lowered since stays a maximum
        )
        .order_by(SegmentTail.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken = connection.execute(
        delete(SegmentTail).where(SegmentTail.id == candidate).returning(SegmentTail.first, SegmentTail.last)
    ).one_or_none()
    if taken is None:
        return None
    whole = range(taken.first, taken.last + 1)
    if len(whole) > size:
        rest = {"tag_id": tag.id, "datacenter": datacenter, "first": whole[size], "last": whole[-1]}
        connection.execute(insert(SegmentTail).values(**rest))
    return whole[:size]


def _fresh(connection: Connection, wish: _Wish) -> range | None:
    """One attempt at the segment; None when another process was faster."""
    tag, datacenter, owned, size, least = wish
    if not owned:
        raise _exhausted(tag, datacenter)
    mine = (Segment.tag_id == tag.id, Segment.datacenter == datacenter)
    row = connection.execute(
        select(Segment.next_id, Segment.last_id, Segment.version).where(*mine)
    ).one_or_none()
    if row is None:
        values = {"tag_id": tag.id, "datacenter": datacenter, "next_id": owned.start,
                  "last_id": span(datacenter)[-1]}  # fmt: skip
        connection.execute(insert(Segment).values(**values).on_conflict_do_nothing())
        return None
    stop = min(row.next_id + size, row.last_id + 1, owned.stop)
    if stop - row.next_id < least or row.next_id < owned.start:
        raise _exhausted(tag, datacenter)
    changed = connection.execute(
        update(Segment)
        .where(*mine, Segment.version == row.version)
        .values(next_id=stop, version=row.version + 1, updated_at=func.now())
    )
    return range(row.next_id, stop) if changed.rowcount == 1 else None


def _exhausted(tag: Tag, datacenter: int) -> SegmentExhaustedError:
    most = tag.config.max_id
    why = f"the tag's max_id is {most}" if most is not None else f"its span ends at {span(datacenter)[-1]}"
    return SegmentExhaustedError(f"tag {tag.name}: IDs of data centre {datacenter} are used up ({why})")


def _record(connection: Connection, tag: Tag, datacenter: int, taken: range, holder: str) -> None:
    values = {"tag_id": tag.id, "datacenter": datacenter, "first": taken[0], "last": taken[-1]}
    connection.execute(insert(SegmentAllocation).values(**values, holder=holder))
