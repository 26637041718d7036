"""Hands out ranges of a segment tag, each once, under an optimistic lock."""

import random
import time

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import func

from app.storage.models import DATACENTER_SPAN, Segment
from app.storage.tags import Tag

MOST_TRIES = 50


class SegmentConflictError(Exception):
    """Others won the optimistic lock every time."""


class SegmentExhaustedError(Exception):
    """The tag's IDs of this data centre are used up."""


def allocate(engine: Engine, tag: Tag, datacenter: int, at_least: int = 1) -> range:
    """A range of max(tag.step, at_least) IDs that nobody else has or will get."""
    size = max(tag.step, at_least)
    for attempt in range(MOST_TRIES):
        with engine.begin() as connection:
            taken = _try(connection, tag, datacenter, size)
        if taken is not None:
            return taken
        # Spread the losers out, or they meet again.
        time.sleep(random.uniform(0, 0.002 * (attempt + 1)))
    raise SegmentConflictError(f"tag {tag.name}: lost the optimistic lock {MOST_TRIES} times")


def _try(connection: Connection, tag: Tag, datacenter: int, size: int) -> range | None:
    """One attempt; None when another process was faster."""
    mine = (Segment.tag_id == tag.id, Segment.datacenter == datacenter)
    row = connection.execute(
        select(Segment.next_id, Segment.last_id, Segment.version).where(*mine)
    ).one_or_none()
    if row is None:
        first = datacenter * DATACENTER_SPAN + 1
        values = {"tag_id": tag.id, "datacenter": datacenter, "next_id": first,
                  "last_id": (datacenter + 1) * DATACENTER_SPAN - 1}  # fmt: skip
        connection.execute(insert(Segment).values(**values).on_conflict_do_nothing())
        return None
    if row.next_id + size - 1 > row.last_id:
        raise SegmentExhaustedError(f"tag {tag.name}: IDs of data centre {datacenter} are used up")
    changed = connection.execute(
        update(Segment)
        .where(*mine, Segment.version == row.version)
        .values(next_id=row.next_id + size, version=row.version + 1, updated_at=func.now())
    )
    return range(row.next_id, row.next_id + size) if changed.rowcount == 1 else None
